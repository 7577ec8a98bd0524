"""False keeps in SGX: what a request brings along is checked, what it does not bring is named in the claims."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from mpc.evidence.checks import NotBelieved
from mpc.evidence.claims import Claims
from mpc.evidence.der import OCTET_STRING, encode, sequence_of
from mpc.evidence.enarx import FORMAT, EnarxReference, parse_request
from mpc.evidence.verdict import examine
from tests.evidence.enarx_forge import list_of, request, sgx_request
from tests.evidence.intel_forge import FORGE, NOW, PLATFORM_CA, ROOT_DER, IntelForge, level
from tests.evidence.snp_forge import ec_key


def believe(raw: bytes) -> Claims:
    return FORMAT.verify(parse_request(raw), [], roots=[ROOT_DER], at=NOW)


def refused(name: str, raw: bytes) -> str:
    with pytest.raises(NotBelieved) as refusal:
        believe(raw)
    assert refusal.value.code == f"evidence.{name}"
    return refusal.value.why


def test_a_keep_is_believed_and_the_claims_say_what_was_not_checked() -> None:
    claims = believe(sgx_request(FORGE))
    assert (claims.facts["tee"], claims.facts["tcb_status"], claims.facts["key_bound"]) == ("sgx", "UpToDate", True)
    assert str(claims.facts["qe_tcb_status"]).startswith("not checked")


def test_the_earlier_forms_bring_no_collateral() -> None:
    for form in ("early", "middle"):
        assert refused("collateral", sgx_request(FORGE, form=form)).startswith("no collateral")


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"body": {"report_data": bytes(64)}}, "key_bound"),
        ({"key": ec_key("a wide keep")}, "key_algorithm"),
        ({"signer": ec_key("somebody else's", ec.SECP256R1)}, "request_signature"),
        ({"critical": True}, "extension"),
        ({"qe": {"mrsigner": b"\1" * 32}}, "qe_identity"),
        ({"qe": {"isv_prod_id": 2}}, "qe_identity"),
        ({"qe": {"attributes": "1300000000000000"}}, "qe_identity"),
        ({"lists": []}, "revocation_lists"),
        ({"lists": [FORGE.revocation_list()]}, "revocation_lists"),
        ({"lists": [FORGE.revocation_list(), FORGE.revocation_list(PLATFORM_CA, ec_key("x"))]}, "crl_signature"),
        ({"info": {"fmspc": "00906ea10000"}}, "tcb_info_platform"),
        ({"info": FORGE.tcb_info("TDX")}, "tcb_info_platform"),
        ({"info": {"tcbLevels": [level("UpToDate", sgx=[9] * 16)]}}, "tcb_level"),
        ({"info": {"tcbLevels": [level("Revoked")]}}, "tcb_revoked"),
        ({"info": {"nextUpdate": "2026-05-31T00:00:00Z"}}, "tcb_info_validity"),
    ],
)
def test_each_lie_is_refused_by_its_check(changed: dict[str, Any], name: str) -> None:
    refused(name, sgx_request(FORGE, **changed))


def test_another_intel_s_keep_is_refused() -> None:
    assert refused("certificate_path", sgx_request(IntelForge())).startswith("wrong root")


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"body": {"attributes": "0700000000000000"}}, "debug"),
        ({"info": {"tcbLevels": [level("OutOfDate")]}}, "tcb_status"),
        ({"body": {"attributes": "0500000000000080"}}, "reserved_attributes"),
        ({}, "keep_quote"),  # the false Intel's quotes are by software older than Enarx takes
    ],
)
def test_the_careful_defaults(changed: dict[str, Any], name: str) -> None:
    key = ec_key("enclave", ec.SECP256R1)
    raw = sgx_request(FORGE, key=key, **changed)
    verdict = examine(raw, at=NOW, roots=[ROOT_DER])
    assert verdict.refusal is not None
    assert (verdict.refusal.code, verdict.stage) == (f"evidence.{name}", "appraise")


def test_a_quote_of_a_td_is_no_keep_s() -> None:
    key = ec_key("enclave", ec.SECP256R1)
    quote = FORGE.quote(version=4, tee=0x81)
    value = sequence_of(encode(OCTET_STRING, quote), list_of())
    assert refused("quote_body", request("sgx", value, key, algorithm="sha256")).startswith("wrong kind of quote")


def failing(wanted: dict[str, Any], **body: Any) -> list[str]:
    policy = EnarxReference.model_validate({
        "format": "enarx", "sgx": {"hash": ("e1" * 32,)} | wanted, "snp": None, "accepted": (),
        "measured_by": "hardware", "memory_protected": True,
    })  # fmt: skip
    _, checks = FORMAT.compare(believe(sgx_request(FORGE, body=body)), policy)
    return [check.name for check in checks if not check.passed]


def test_features_and_saved_state_are_those_that_the_policy_lists() -> None:
    provisioning = {"attributes": "1500000000000000"}
    assert failing({}, **provisioning) == []
    assert failing({"features": ("KSS",)}, **provisioning) == ["features"]
    assert failing({"features": ("KSS", "ProvisioningKey")}, **provisioning) == []
    assert failing({"features": ("KSS",)}, attributes="0700000000000000") == ["features"]
    assert failing({"misc_select": ("EXINFO",)}, misc_select=b"\2\0\0\0") == ["misc_select"]
    assert failing({"misc_select": ("EXINFO",)}, misc_select=b"\1\0\0\0") == []


def test_an_enclave_is_at_least_as_new_as_the_policy_says() -> None:
    assert failing({"enclave_security_version": 2, "enclave_product_id": 3}) == []
    assert failing({"enclave_security_version": 3, "enclave_product_id": 4}) == ["isvprodid", "isvsvn"]


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [({}, True), ({"quote_version": "4"}, False), ({"qe_svn": "6"}, False), ({"pce_svn": "11"}, False)],
)
def test_a_keeps_quote_is_of_one_version_and_by_software_that_enarx_takes(
    changed: dict[str, str], *, wanted: bool
) -> None:
    claims = believe(sgx_request(FORGE))
    facts = {**claims.facts, "quote_version": "3", "qe_svn": "7", "pce_svn": "12", **changed}
    checks = FORMAT.careful(replace(claims, facts=facts), frozenset())
    assert [check.passed for check in checks if check.name == "keep_quote"] == [wanted]


def test_what_a_policy_accepts_is_sorted() -> None:
    right: dict[str, Any] = {
        "format": "enarx", "sgx": {"hash": ("e1" * 32,)}, "snp": None, "accepted": ("debug", "tcb:OutOfDate"),
        "measured_by": "hardware", "memory_protected": True,
    }  # fmt: skip
    assert EnarxReference.model_validate(right).accepted == right["accepted"]
    for wrong in (("tcb:OutOfDate", "debug"), ("debug", "debug")):
        with pytest.raises(ValidationError):
            EnarxReference.model_validate(right | {"accepted": wrong})
