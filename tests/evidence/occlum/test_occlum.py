"""Occlum's files, what each of their fields may be, and the reference values that they make."""

import json
from typing import Any

import pytest

from mpc.errors import Malformed
from mpc.evidence.formats import recognise
from mpc.evidence.occlum.documents import EnclaveSettings, SecretNames, StartSettings, TrustSettings, parse_file
from mpc.evidence.occlum.reference import references_of
from mpc.evidence.verdict import examine
from tests.evidence.intel_forge import NOW

MR_ENCLAVE, MR_SIGNER = "e1" * 32, "E2" * 32
ENCLAVE = {
    "mr_enclave": MR_ENCLAVE, "mr_signer": MR_SIGNER, "isv_prod_id": 3, "isv_svn": 2, "config_svn": 0,
    "debuggable": False,
}  # fmt: skip
ALL = (
    "verify_mr_enclave", "verify_mr_signer", "verify_isv_prod_id", "verify_isv_svn", "verify_config_svn",
    "verify_enclave_debuggable",
)  # fmt: skip
SETTINGS = {
    "metadata": {"product_id": 1, "version_number": 2, "debuggable": False}, "entry_points": ["/bin"], "mount": [],
}  # fmt: skip


def trust(*on: str, enclaves: Any = (ENCLAVE,), **changed: Any) -> dict[str, Any]:
    return {**{name: "on" if name in on else "off" for name in ALL}, "sgx_mrs": list(enclaves)} | changed


def start(**changed: Any) -> dict[str, Any]:
    return {"kms_server": "kms:50051", "kms_keys": [{"key": "k", "path": "/etc/k"}], "ra_config": trust()} | changed


def parse(value: Any) -> Any:
    return parse_file(json.dumps(value).encode())


def test_each_file_is_known_by_its_names() -> None:
    assert parse(SETTINGS) == EnclaveSettings(1, 2, debuggable=False, entry_points=("/bin",))
    assert parse(start()).keys == ("k",)
    assert isinstance(parse(start()), StartSettings)
    assert isinstance(parse(trust(*ALL)), TrustSettings)
    assert parse({"b": "secret", "a": "secret"}) == SecretNames(("a", "b"))


def test_secrets_are_named_and_never_shown() -> None:
    verdict = examine(b'{"cert": "c2VjcmV0"}', at=NOW, format="occlum")
    assert verdict.accepted
    assert "c2VjcmV0" not in json.dumps(verdict.as_data())


@pytest.mark.parametrize("value", [SETTINGS, start(), trust()])
def test_settings_are_recognised_without_their_name(value: Any) -> None:
    assert recognise(json.dumps(value).encode()) == "occlum"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (SETTINGS | {"metadata": {}}, "missing field"),
        (SETTINGS | {"metadata": SETTINGS["metadata"] | {"product_id": "1"}}, "wrong type"),
        (SETTINGS | {"metadata": SETTINGS["metadata"] | {"product_id": True}}, "wrong type"),
        (SETTINGS | {"metadata": SETTINGS["metadata"] | {"version_number": 65536}}, "value out of range"),
        (SETTINGS | {"metadata": SETTINGS["metadata"] | {"debuggable": 0}}, "wrong type"),
        (SETTINGS | {"entry_points": [1]}, "wrong type"),
        (start(kms_keys=[{"key": "k"}]), "missing field"),
        (start(kms_keys=["k"]), "wrong type"),
        (trust(verify_mr_enclave="yes"), "value out of range"),
        (trust(enclaves=[1]), "wrong type"),
        (trust(enclaves=[ENCLAVE | {"isv_svn": -1}]), "value out of range"),
        ({"name": 1}, "wrong type"),
    ],
)
def test_a_field_of_another_kind_refuses_by_its_reason(value: Any, why: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse(value)
    assert refused.value.why == why


@pytest.mark.parametrize("raw", [b"", b"{", b'{"a": "1", "a": "2"}', b"[]", b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}"])
def test_what_is_no_single_object_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_file(raw)


def test_a_file_that_compares_everything_makes_the_same_reference_values() -> None:
    (reference,) = references_of(parse(trust(*ALL)), minimum_evaluation=19)
    assert (reference.mrenclave, reference.mrsigner) == (MR_ENCLAVE, MR_SIGNER.lower())
    assert (reference.isvprodid, reference.minimum_isvsvn) == (3, 2)
    assert reference.accepted == ()
    assert reference.minimum_tcb_evaluation_data_number == 19
    # neither debug nor a configuration of its own
    assert (reference.attributes, reference.attributes_mask) == ("00" * 16, "82" + "00" * 15)


def test_what_is_off_is_left_open() -> None:
    (reference,) = references_of(parse(start(ra_config=trust("verify_mr_enclave"))), minimum_evaluation=1)
    assert (reference.mrsigner, reference.isvprodid, reference.minimum_isvsvn) == (None, None, 0)
    assert reference.attributes_mask == "02" + "00" * 15


def test_a_debug_enclave_is_accepted_only_where_the_file_asks_for_one() -> None:
    asked = trust(*ALL, enclaves=[ENCLAVE | {"debuggable": True}, ENCLAVE])
    debug, other = references_of(parse(asked), minimum_evaluation=1)
    assert (debug.accepted, debug.attributes[:2]) == (("debug",), "02")
    assert (other.accepted, other.attributes[:2]) == ((), "00")


@pytest.mark.parametrize(
    "value",
    [
        trust(),
        trust("verify_isv_prod_id", "verify_isv_svn"),
        trust(*ALL, enclaves=[]),
        trust(*ALL, enclaves=[ENCLAVE | {"mr_enclave": ""}]),
        trust(*ALL, enclaves=[ENCLAVE | {"mr_enclave": "00" * 32}]),
        trust("verify_mr_signer"),  # which of its products?
        trust(*ALL, enclaves=[ENCLAVE | {"config_svn": 1}]),
        start(),
        SETTINGS,
        {"a": "b"},
    ],
)
def test_a_file_that_would_believe_anybody_makes_no_reference_values(value: Any) -> None:
    with pytest.raises(Malformed):
        references_of(parse(value), minimum_evaluation=1)


@pytest.mark.parametrize("compared", [(), ("verify_isv_prod_id", "verify_isv_svn")])
def test_a_file_that_compares_neither_program_nor_signer_is_told_so(compared: tuple[str, ...]) -> None:
    with pytest.raises(Malformed) as caught:
        references_of(parse(trust(*compared)), minimum_evaluation=1)
    assert caught.value.why.startswith("the file believes any enclave")


def test_settings_of_the_time_of_epid_are_told_by_what_they_are() -> None:
    raw = json.dumps({"ias_url": "https://example.org", "ias_access_key": "", "enclave_spid": ""}).encode()
    for name in (None, "occlum"):
        verdict = examine(raw, at=NOW, format=name)
        assert (verdict.format, verdict.accepted) == ("occlum", False)
        assert verdict.reason.startswith("EPID settings")
