"""Results in CBOR: signed (CWT) or not, they say the same as those in JSON, and are believed under the same rules."""

import base64
import json
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from mpc.errors import Malformed
from mpc.evidence.claims import Given
from mpc.evidence.ear.cose import parse_message
from mpc.evidence.verdict import Verdict, examine, show
from tests.evidence.ear.ear_forge import ED, NOW, P256, P384, pem, signed

ALGORITHMS: dict[str, tuple[Any, int]] = {"ES256": (P256, -7), "ES384": (P384, -35), "EdDSA": (ED, -8)}
NONCE = b"twelve bytes"
RIGHT: dict[int, Any] = {
    265: "tag:github.com,2023:veraison/ear", 6: 1_780_000_000, 10: NONCE, 1004: {0: "me", 1: "1"}, 1002: b"evidence",
    266: {"a": {1000: 2, 1001: {4: 2, 0: 0}, 1003: "policy://x", -70000: {"k": "v"}}},
}  # fmt: skip


def judged(raw: bytes, *keys: bytes, **changed: Any) -> Verdict:
    return examine(raw, **({"at": NOW, "endorsements": keys} | changed))


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("tags", [(), (18,), (18, 61)])
def test_a_signed_result_is_believed_under_its_verifiers_key(name: str, tags: tuple[int, ...]) -> None:
    key, algorithm = ALGORITHMS[name]
    verdict = judged(signed(RIGHT, key, algorithm, tags=tags), pem(key), given=Given(nonce=NONCE))
    assert (verdict.format, verdict.accepted) == ("ear", True), verdict.refusal
    assert verdict.document is not None
    facts = verdict.document.facts
    assert (facts["status"], facts["signed"]) == ({"a": "affirming"}, True)
    assert facts["trustworthiness_vector"] == {"a": {"hardware": 2, "instance-identity": 0}}
    assert facts["appraisal_policy_id"] == {"a": "policy://x"}


def test_another_key_another_algorithm_and_a_critical_header_are_refused() -> None:
    assert judged(signed(RIGHT), pem(ec.generate_private_key(ec.SECP256R1()))).reason == "bad signature"
    assert judged(signed(RIGHT)).reason.startswith("no key")
    for algorithm in (-35, 5, -257):
        assert judged(signed(RIGHT, algorithm=algorithm), pem(P256)).reason.startswith("unknown signature algorithm")
    assert not judged(signed(RIGHT, header={2: [33], 33: b"x"}), pem(P256)).accepted
    assert judged(signed(RIGHT | {10: b"other nonce"}), pem(P256), given=Given(nonce=NONCE)).reason == "wrong nonce"


def test_every_byte_of_a_signed_result_counts() -> None:
    raw = signed(RIGHT)
    for index in range(len(raw)):
        changed = raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]
        assert not judged(changed, pem(P256), format="ear").accepted
    for changed in (raw[:-1], raw + b"\0"):
        assert not judged(changed, pem(P256), format="ear").accepted


def test_an_unsigned_result_in_cbor_says_so() -> None:
    for raw in (cbor2.dumps(RIGHT), cbor2.dumps(cbor2.CBORTag(601, RIGHT))):
        verdict = judged(raw)
        assert (verdict.format, verdict.accepted) == ("ear", True)
        assert verdict.document is not None
        assert verdict.document.facts["signed"] is False
    assert show(cbor2.dumps(RIGHT))[0] == "ear"


@pytest.mark.parametrize(
    "lie",
    [
        {265: 7}, {265: "tag:other"}, {6: "now"}, {1004: "me"}, {1004: {0: "me"}}, {266: {}}, {266: {1: {1000: 2}}},
        {266: {"a": {1000: 2, 1001: {4: 96}}}}, {266: {"a": {1000: 2, 1001: {9: 2}}}}, {266: {"a": {1001: {4: 2}}}},
        {266: {"a": 2}}, {"eat_profile": "twice"}, {1002: 5},
    ],
)  # fmt: skip
def test_a_result_that_is_wrong_in_one_field_is_refused(lie: dict[Any, Any]) -> None:
    assert not judged(signed(RIGHT | lie), pem(P256), format="ear").accepted


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for data in (b"\xd2\x84" + raw, b"\xa2\x19\x01\x09" + raw, signed(raw)):
        assert not judged(data, pem(P256)).accepted


def test_a_token_of_a_service_is_told_by_its_issuer() -> None:
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, {"iss": "https://issuer.example", "sub": "vm"})]
    raw = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (*parts, b"signature"))
    verdict = judged(raw, pem(P256))
    assert verdict.reason.startswith("unknown kind of token")
    assert verdict.refusal is not None
    assert verdict.refusal.found == "https://issuer.example"


def test_a_protected_header_that_is_no_map_is_malformed() -> None:
    protected, *rest = cbor2.loads(signed(RIGHT)).value
    assert isinstance(cbor2.loads(protected), dict)
    with pytest.raises(Malformed) as refused:
        parse_message(cbor2.dumps([cbor2.dumps([1, -7]), *rest]))
    assert refused.value.field == "crit"
