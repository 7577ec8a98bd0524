"""What is met beside ECDSA quotes and Intel's own spelling of collateral: read where it can be, else told in words."""

import json
from base64 import b64encode
from typing import Any

import pytest

from mpc.evidence.verdict import Verdict, examine
from tests.evidence.intel_forge import (
    FORGE,
    NOW,
    PLATFORM_CA,
    ROOT_DER,
    enclave_report,
    new_key,
    pem,
    raw_signature,
)

COLLATERAL = FORGE.collateral("TDX")
EPID = b"\2\0\1\0" + bytes(44) + enclave_report() + (680).to_bytes(4, "little") + bytes(680)
IAS = json.dumps({"isvEnclaveQuoteBody": b64encode(EPID[:432]).decode()}).encode()  # as Intel's service answered


def judged(raw: bytes, *files: bytes, **changed: Any) -> Verdict:
    return examine(raw, **({"at": NOW, "endorsements": files, "roots": [ROOT_DER]} | changed))


@pytest.mark.parametrize("raw", [EPID, EPID[:432], IAS])
def test_a_quote_under_epid_is_told_by_its_name(raw: bytes) -> None:
    verdict = judged(raw)
    assert (verdict.format, verdict.stage) == ("sgx", "parse")
    assert verdict.reason.startswith("EPID quote")


@pytest.mark.parametrize("raw", [b"\2\0\2\0" + EPID[4:], EPID[:431], EPID[:70] + b"\1" + EPID[71:], b"\1\0\0\0"])
def test_what_only_begins_as_such_a_quote_is_none(raw: bytes) -> None:
    assert judged(raw).format is None


def test_a_tdreport_is_told_by_its_name_and_is_no_quote() -> None:
    report = b"\x81\0\1\0" + bytes(12) + bytes(range(256)) * 4
    verdict = judged(report[:1024])
    assert (verdict.format, verdict.stage) == ("tdx", "parse")
    assert verdict.reason.startswith("TDREPORT")
    assert judged(report[:1023]).format is None


def test_a_leaf_alone_finds_its_authority_beside_the_quote_and_no_other() -> None:
    leaf, authority, root = FORGE.chain()
    quote = FORGE.quote(certification=(4, pem(leaf).encode()))
    believed = judged(quote, COLLATERAL, authority, root)
    assert believed.accepted, believed.refusal
    missing = FORGE.collateral("TDX", pck_crl_issuer_chain=pem(ROOT_DER))
    assert "certificate_path" in {check.name for check in judged(quote, missing).checks if not check.passed}
    other = FORGE.certify(PLATFORM_CA, new_key(), authority=True)
    assert "certificate_path" in {check.name for check in judged(quote, missing, other).checks if not check.passed}
    both = FORGE.quote(certification=(4, pem(leaf, authority).encode()))
    assert judged(both, COLLATERAL).stage == "parse"


def answer(kind: str, document: dict[str, Any], **style: Any) -> bytes:
    """Sign a document as Intel writes it, and print it in another style."""
    body = json.dumps(document, separators=(",", ":")).encode()
    signature = raw_signature(FORGE.signer, body).hex()
    return json.dumps({kind: document, "signature": signature}, **style).encode()


CHAINS = [pem(FORGE.signer_certificate(), ROOT_DER).encode(), FORGE.revocation_list(),
          FORGE.revocation_list(PLATFORM_CA, FORGE.authority)]  # fmt: skip
STYLES: dict[str, dict[str, Any]] = {"indented": {"indent": 2}, "spaced": {}, "tabs": {"indent": "\t"}}


def documents(**style: Any) -> list[bytes]:
    return [answer("tcbInfo", FORGE.tcb_info(), **style), answer("enclaveIdentity", FORGE.identity(), **style)]


@pytest.mark.parametrize("style", STYLES)
def test_collateral_that_was_printed_again_is_judged_by_the_bytes_that_intel_signed(style: str) -> None:
    verdict = judged(FORGE.quote(), *documents(**STYLES[style]), *CHAINS)
    assert verdict.accepted, verdict.refusal


def test_the_signature_may_stand_before_the_document() -> None:
    turned = []
    for raw in documents(indent=1):
        found = json.loads(raw)
        turned.append(json.dumps({"signature": found.pop("signature"), **found}, indent=1).encode())
    assert judged(FORGE.quote(), *turned, *CHAINS).accepted


def test_only_spaces_between_values_are_forgiven() -> None:
    info, identity = documents(indent=2)
    for before, after in ((b'"UpToDate"', b'"UpToDate "'), (b'"TDX"', b'"T DX"'), (b'"UpToDate"', b'"OutOfDate"')):
        lie = info.replace(before, after)
        assert lie != info
        assert not judged(FORGE.quote(), lie, identity, *CHAINS).accepted
    sorted_names = json.loads(info)
    sorted_names["tcbInfo"] = dict(sorted(sorted_names["tcbInfo"].items()))
    verdict = judged(FORGE.quote(), json.dumps(sorted_names, indent=2).encode(), identity, *CHAINS)
    assert verdict.reason.startswith("bad collateral signature")
