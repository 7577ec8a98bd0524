"""A contract's reference values: each field is compared, and what names nothing is no reference."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from mpc.evidence.intel import SGX_FORMAT, TDX_FORMAT, SgxReference, TdxReference
from mpc.evidence.verdict import Verdict, examine, parse_reference
from tests.evidence.intel_forge import (
    FORGE,
    INSTANCE,
    NOW,
    PPID,
    ROOT_DER,
    enclave_report,
    level,
    td_report,
)
from tests.vectors import entries, judge, needs_vectors

MACHINE: dict[str, Any] = {
    "minimum_tcb_evaluation_data_number": 19, "refused_advisories": (), "platforms": None, "measured_by": "hardware",
    "memory_protected": True, "accepted": (),
}  # fmt: skip
SGX: dict[str, Any] = MACHINE | {
    "format": "sgx", "mrenclave": "e1" * 32, "mrsigner": "e2" * 32, "isvprodid": 3, "minimum_isvsvn": 2,
    "attributes": "05" + "00" * 7 + "e7" + "00" * 7, "attributes_mask": "ff" * 16, "configid": "00" * 64,
}  # fmt: skip
TDX: dict[str, Any] = MACHINE | {
    "format": "tdx", "mrtd": "d0" * 48, "rtmr0": "01" * 48, "rtmr1": "02" * 48, "rtmr2": "03" * 48, "rtmr3": "00" * 48,
    "mrconfigid": "00" * 48, "mrowner": "00" * 48, "mrownerconfig": "00" * 48, "mrservicetd": None,
    "td_attributes": "0000001000000000", "td_attributes_mask": "ff" * 8, "xfam": "e702060000000000",
    "xfam_mask": "ff" * 8,
}  # fmt: skip


def compared(reference: dict[str, Any], quote: bytes | None = None, collateral: bytes | None = None) -> Verdict:
    sgx = reference["format"] == "sgx"
    kind = SgxReference if sgx else TdxReference
    body = FORGE.quote(enclave_report(), tee=0) if sgx else FORGE.quote()
    found = examine(
        quote or body,
        at=NOW,
        endorsements=[collateral or FORGE.collateral("SGX" if sgx else "TDX")],
        roots=[ROOT_DER],
        references=[kind(**reference)],
    )
    assert found.stage == "appraise", found.refusal
    return found


def failed(reference: dict[str, Any], quote: bytes | None = None, collateral: bytes | None = None) -> list[str]:
    return [check.name for check in compared(reference, quote, collateral).checks if not check.passed]


@pytest.mark.parametrize("reference", [SGX, TDX], ids=["sgx", "tdx"])
def test_what_the_contract_names_is_accepted_and_reads_back(reference: dict[str, Any]) -> None:
    assert compared(reference).accepted
    assert parse_reference(json.dumps(reference).encode()).format == reference["format"]


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("mrenclave", "e3" * 32, "mrenclave"),
        ("mrsigner", "e3" * 32, "mrsigner"),
        ("isvprodid", 4, "isvprodid"),
        ("minimum_isvsvn", 3, "isvsvn"),
        ("attributes", "04" + "00" * 7 + "e7" + "00" * 7, "attributes"),
        ("attributes", "05" + "00" * 7 + "03" + "00" * 7, "attributes"),
        ("configid", "01" * 64, "configid"),
        ("minimum_tcb_evaluation_data_number", 20, "tcb_evaluation_data_number"),
        ("platforms", ("ab" * 16,), "platform"),
    ],
)
def test_each_field_of_an_enclave_is_compared(name: str, value: object, check: str) -> None:
    assert failed(SGX | {name: value}) == [check]


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        *((name, "ee" * 48, name) for name in TDX if name.startswith(("mr", "rtmr")) and TDX[name]),
        ("mrservicetd", "ee" * 48, "mrservicetd"),
        ("td_attributes", "0000001000000080", "td_attributes"),
        ("xfam", "e718060000000000", "xfam"),
        ("minimum_tcb_evaluation_data_number", 20, "tcb_evaluation_data_number"),
        ("platforms", ("ab" * 16,), "platform"),
    ],
)
def test_each_field_of_a_td_is_compared(name: str, value: object, check: str) -> None:
    assert failed(TDX | {name: value}) == [check]


def test_null_is_any_and_a_mask_leaves_out() -> None:
    loose = dict.fromkeys(("rtmr0", "rtmr3", "mrconfigid", "mrowner", "mrownerconfig"))
    other = td_report(
        rtmr=bytes([9]) * 48 + bytes([2]) * 48 + bytes([3]) * 48 + bytes([9]) * 48, owner=bytes([9]) * 144
    )
    assert failed(TDX | loose, FORGE.quote(other)) == []
    masked = {"xfam": "00" * 8, "xfam_mask": "00" * 8}
    assert failed(TDX | masked, FORGE.quote(td_report(xfam=bytes(7) + b"\1"))) == []
    assert failed(SGX | {"mrenclave": None}, FORGE.quote(enclave_report(mrenclave=bytes([7]) * 32), tee=0)) == []


def test_machines_are_named_by_either_of_their_names() -> None:
    for name in (PPID, INSTANCE):
        assert failed(TDX | {"platforms": tuple(sorted((name.hex(), "ff" * 16)))}) == []


def test_an_advisory_refuses_even_where_its_status_is_waived() -> None:
    old = FORGE.collateral(tcb_info=FORGE.tcb_info(tcbLevels=[level("OutOfDate", tdx=[0] * 16)]))
    assert failed(TDX, None, old) == ["tcb_status"]
    waived = TDX | {"accepted": ("tcb:OutOfDate",)}
    assert failed(waived, None, old) == []
    assert failed(waived | {"refused_advisories": ("INTEL-SA-00001",)}, None, old) == ["advisories"]
    assert failed(waived | {"refused_advisories": ("INTEL-SA-00002",)}, None, old) == []


def test_debug_is_accepted_by_its_name_alone() -> None:
    quote = FORGE.quote(td_report(td_attributes=1 << 28 | 1))
    debug = TDX | {"td_attributes": "0100001000000000"}
    assert failed(debug, quote) == ["debug"]
    assert failed(debug | {"accepted": ("debug",)}, quote) == []
    assert failed(TDX | {"accepted": ("debug",)}, quote) == ["td_attributes"]


def test_a_service_td_is_accepted_only_where_it_is_named() -> None:
    quote = FORGE.quote(td_report(later=bytes(16) + bytes([9]) * 48), version=5)
    named = TDX | {"accepted": ("service_td",), "mrservicetd": "09" * 48}
    assert failed(named, quote) == []
    assert failed(named | {"mrservicetd": "08" * 48}, quote) == ["mrservicetd"]
    assert failed(TDX, quote) == ["service_td"]
    assert failed(named) == ["mrservicetd"]


WRONG: list[dict[str, Any]] = [
    SGX | {"mrenclave": None, "mrsigner": None},
    SGX | {"isvprodid": None},
    SGX | {"mrenclave": "00" * 32},
    SGX | {"mrsigner": "00" * 32},
    SGX | {"mrenclave": "E1" * 32},
    SGX | {"attributes_mask": "05" + "ff" * 15},
    SGX | {"attributes": "ff" * 16, "attributes_mask": "0f" * 16},
    SGX | {"accepted": ("sept_ve_disable",)},
    SGX | {"accepted": ("tcb:Revoked",)},
    SGX | {"accepted": ("tcb:OutOfDate", "debug")},
    SGX | {"platforms": ()},
    SGX | {"minimum_tcb_evaluation_data_number": 0},
    SGX | {"measured_by": "self"},
    SGX | {"memory_protected": False},
    SGX | {"refused_advisories": ("SA-1",)},
    TDX | {"mrtd": "00" * 48},
    TDX | {"rtmr1": "00" * 48},
    TDX | {"rtmr2": None},
    TDX | {"accepted": ("service_td",)},
    TDX | {"td_attributes_mask": "f0" + "ff" * 7},
    TDX | {"xfam_mask": "00" * 8},
    {name: value for name, value in TDX.items() if name != "refused_advisories"},
]


@pytest.mark.parametrize("reference", WRONG, ids=map(str, range(len(WRONG))))
def test_what_names_nothing_or_too_little_is_no_reference(reference: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        (SgxReference if reference["format"] == "sgx" else TdxReference)(**reference)


def test_the_anchor_of_every_reference_is_intels_key() -> None:
    assert SGX_FORMAT.roots(SgxReference(**SGX)) == TDX_FORMAT.roots(TdxReference(**TDX)) == TDX_FORMAT.pinned


@needs_vectors
def test_a_real_td_is_compared_with_its_own_values_and_with_others() -> None:
    entry = next(one for one in entries("tdx") if one["id"] == "tdx-v4-phala-B0C06F-202506-e17")
    said = entry["expect"]
    measured = dict.fromkeys(("rtmr0", "rtmr3", "mrconfigid", "mrowner", "mrownerconfig"))
    wanted = TDX | measured | {"minimum_tcb_evaluation_data_number": 17} | {
        "mrtd": said["mrtd"], "rtmr1": said["rtmr"][1], "rtmr2": said["rtmr"][2],
        "td_attributes": said["td_attributes"], "xfam": said["xfam"],
    }  # fmt: skip
    assert judge(entry, references=[TdxReference(**wanted)]).accepted
    verdict = judge(entry, references=[TdxReference(**wanted | {"mrtd": "11" * 48})])
    assert (verdict.stage, verdict.reason.partition(":")[0]) == ("appraise", "wrong measurement")
