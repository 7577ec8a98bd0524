"""False keeps in SGX: what a request brings along is checked, what it does not bring is named in the claims."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mpc.evidence.checks import NotBelieved
from mpc.evidence.claims import Claims
from mpc.evidence.enarx import FORMAT, parse_request
from mpc.evidence.verdict import examine
from tests.evidence.enarx_forge import sgx_request
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
