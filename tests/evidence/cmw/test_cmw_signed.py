"""Signed wrappers: believed under the signer's key, which is given beside them, and under no other."""

import base64
import json
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from mpc.evidence.cmw import Collection, Record, to_cbor, to_json
from mpc.evidence.verdict import Verdict, examine
from tests.evidence.ear.ear_forge import NOW, P256, P384, pem, signed
from tests.evidence.snp_forge import SnpForge

COLLECTION = Collection({"a": Record("application/eat+cwt", b"evidence"), "b": Record(30001, b"more")})
COSE = signed(to_cbor(COLLECTION), header={3: "application/cmw+cbor"})


def jws(payload: bytes, **header: Any) -> bytes:
    parts = (json.dumps({"alg": "ES256", **header}).encode(), payload)
    covered = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    r, s = decode_dss_signature(P256.sign(covered, ec.ECDSA(hashes.SHA256())))
    return covered + b"." + base64.urlsafe_b64encode(r.to_bytes(32) + s.to_bytes(32)).rstrip(b"=")


JWS = jws(to_json(COLLECTION), cty="application/cmw+json")


def judged(raw: bytes, *keys: bytes, **changed: Any) -> Verdict:
    return examine(raw, **({"at": NOW, "endorsements": keys} | changed))


@pytest.mark.parametrize("raw", [COSE, JWS])
def test_a_signed_collection_is_read_under_the_key_that_is_given(raw: bytes) -> None:
    for given in ({"endorsements": [pem(P256)]}, {"roots": [pem(P256)]}):
        verdict = judged(raw, **given)
        assert (verdict.format, verdict.stage, verdict.accepted) == ("cmw", "verify", True), verdict.refusal
        assert verdict.document is not None
        assert verdict.document.facts["signed"] is True
        assert verdict.document.facts["keys"] == ("a", "b")


@pytest.mark.parametrize("raw", [COSE, JWS])
def test_without_its_key_and_under_another_it_is_refused(raw: bytes) -> None:
    assert judged(raw).reason.startswith("no key")
    assert not judged(raw, pem(P384)).accepted


def test_what_is_signed_counts_whole() -> None:
    for index in range(len(COSE)):
        changed = COSE[:index] + bytes([COSE[index] ^ 1]) + COSE[index + 1 :]
        assert not judged(changed, pem(P256), format="cmw").accepted


def test_another_content_type_is_no_wrapper() -> None:
    assert judged(signed(to_cbor(COLLECTION), header={3: "text/plain"}), pem(P256)).format != "cmw"
    assert judged(signed(cbor2.dumps({"x": 1}), header={3: "application/cmw+cbor"}), pem(P256)).format is None


def test_evidence_in_a_signed_wrapper_is_not_taken_out_unbelieved() -> None:
    held = Collection({"a": Record("text/plain", SnpForge().report())})
    raw = signed(to_cbor(held), header={3: "application/cmw+cbor"})
    assert judged(raw).format == "cmw"
