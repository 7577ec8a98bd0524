"""Attestation results of others: every real one gets its verdict; none is believed that a verifier did not write."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mpc.errors import Malformed, Misconfigured, Untrusted
from mpc.evidence.claims import Given
from mpc.evidence.ear import parse_private_key, sign_token
from mpc.evidence.ear.jws import parse_token
from mpc.evidence.ear.vector import TIERS, Status, tier_of
from mpc.evidence.formats import parse_and_verify
from mpc.evidence.verdict import Verdict, examine, show
from tests.vectors import assert_as_expected, entries, judge, named, needs_vectors, read

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
RIGHT: dict[str, Any] = {
    "eat_profile": "tag:github.com,2023:veraison/ear",
    "iat": 1_780_000_000,
    "ear.verifier-id": {"developer": "me", "build": "1"},
    "submods": {"a": {"ear.status": "affirming", "ear.trustworthiness-vector": {"hardware": 2}}},
}


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def claims(**changed: Any) -> bytes:
    fields = RIGHT | changed
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def said(vector: dict[str, Any] | None = None, status: Any = "affirming", **more: Any) -> bytes:
    entry = {"ear.status": status, "ear.trustworthiness-vector": vector, **more}
    return claims(submods={"a": {name: value for name, value in entry.items() if value is not None}})


def judged(raw: bytes, *keys: bytes, **changed: Any) -> Verdict:
    return examine(raw, **({"at": NOW, "format": "ear", "endorsements": keys} | changed))


def reason(raw: bytes, *keys: bytes, **changed: Any) -> tuple[str, str]:
    verdict = judged(raw, *keys, **changed)
    assert not verdict.accepted
    return verdict.stage, verdict.reason.partition(":")[0]


@needs_vectors
def test_every_real_result_gets_its_verdict_and_its_facts() -> None:
    ran = entries("ear")
    for entry in ran:
        for name in (entry["format"], None):
            verdict, expected = judge(entry, format=name), entry["expect"]
            assert_as_expected(entry, verdict)
            if verdict.document:
                assert verdict.document.facts["profile"] == expected["profile"]
                assert verdict.document.facts["status"] == expected["status"]
                assert verdict.document.facts["signed"] == entry["file"].endswith(".jwt")
    assert len(ran) == 10


@needs_vectors
def test_a_key_inside_of_the_token_is_never_trusted() -> None:
    header = json.loads(base64.urlsafe_b64decode(read("ear/0.jwt").split(b".")[0] + b"=="))
    own = json.dumps(header["jwk"]).encode()
    entry = named("ear-0")
    then = datetime.fromtimestamp(1752059200, UTC)  # before the token expired
    assert judge(entry, endorsements=[own], at=then).accepted  # named by who asks: so the signature is its own
    assert judge(entry, endorsements=[own]).reason.startswith("expired")
    assert not judge(entry).accepted
    assert judge(entry, endorsements=[]).reason.startswith("no key")
    assert judge(named("ear-1"), endorsements=[], roots=[read("ear/pkey.json")]).accepted


@needs_vectors
@pytest.mark.parametrize("name", ["ear-1", "ear-3", "ear-5"])
def test_no_flip_truncation_or_extension_is_accepted(name: str) -> None:
    entry = named(name)
    raw = read(entry["file"]).strip()
    for index in range(0, len(raw), 5):
        changed = raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]
        assert not judge(entry, raw=changed).accepted
        assert not judge(entry, raw=raw[:index]).accepted
    for more in (b"A", b".", b"=", b"\0"):
        assert not judge(entry, raw=raw + more).accepted


KEYS = {
    "ES256": KEY,
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_what_was_signed_verifies_under_its_key_alone(algorithm: str) -> None:
    key = KEYS[algorithm]
    token = sign_token(claims(), key)
    assert json.loads(base64.urlsafe_b64decode(token.split(b".")[0] + b"=="))["alg"] == algorithm
    assert judged(token, pem(key)).accepted
    assert judged(token, pem(OTHER), pem(key)).accepted
    same_kind = {"ES256": OTHER, "ES384": ec.generate_private_key(ec.SECP384R1())}
    other = same_kind.get(algorithm) or ed25519.Ed25519PrivateKey.generate()
    assert reason(token, pem(other)) == ("verify", "bad signature")


def test_a_signature_has_one_spelling() -> None:
    header, body, signature = sign_token(claims(), KEY).split(b".")
    raw = base64.urlsafe_b64decode(signature + b"==")
    for other in (raw[:32] + b"\0" + raw[32:], b"\0" + raw, raw + b"\0", raw[:63], b""):
        assert reason(b".".join((header, body, base64url(other))), pem(KEY)) == ("verify", "bad signature")


def jwk(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, **changed: Any) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        fields = {"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_key().public_bytes_raw()).decode()}
    else:
        numbers, size = key.public_key().public_numbers(), key.key_size // 8
        x, y = (base64url(value.to_bytes(size)).decode() for value in (numbers.x, numbers.y))
        fields = {"kty": "EC", "crv": f"P-{key.key_size}", "x": x, "y": y}
    return json.dumps(fields | changed).encode()


@pytest.mark.parametrize("algorithm", KEYS)
def test_keys_may_be_jwk(algorithm: str) -> None:
    assert judged(sign_token(claims(), KEYS[algorithm]), jwk(KEYS[algorithm])).accepted


def test_keys_that_are_none_are_refused() -> None:
    token = sign_token(claims(), KEY)
    for key in (
        b"", b"{}", b"key", jwk(KEY, crv="P-521"), jwk(KEY, crv="secp256k1"), jwk(KEY, x="AA"), jwk(KEY, x="!"),
        pem(rsa.generate_private_key(65537, 2048)), pem(ec.generate_private_key(ec.SECP521R1())),
    ):  # fmt: skip
        assert judged(token, key).stage == "parse"
        assert not judged(token, roots=[key]).accepted


def test_an_algorithm_that_the_key_is_not_for_is_refused() -> None:
    body = base64url(claims())
    secret = pem(KEY)
    for algorithm in ("HS256", "none", "ES384", "RS256", "EdDSA", "es256", ""):
        signed = base64url(json.dumps({"alg": algorithm}).encode()) + b"." + body
        signature = hmac.new(secret, signed, hashlib.sha256).digest()
        assert reason(signed + b"." + base64url(signature), secret) == ("verify", "unknown signature algorithm")
        assert not judged(signed + b".", secret).accepted


def test_tokens_that_are_none_are_malformed() -> None:
    token = sign_token(claims(), KEY)
    header, body, signature = token.split(b".")
    critical = base64url(b'{"alg":"ES256","crit":["b64"],"b64":false}')
    twice = base64url(b'{"alg":"none","alg":"ES256"}')
    for raw in (
        b".".join((header, body)), token + b".x", b"..", b"", b".".join((header + b"=", body, signature)),
        b".".join((base64url(b"{}"), body, signature)), b".".join((critical, body, signature)),
        b".".join((twice, body, signature)), b".".join((base64url(b"[]"), body, signature)), token + b"A" * (1 << 20),
    ):  # fmt: skip
        assert judged(raw, pem(KEY)).stage == "parse"
    with pytest.raises(Malformed) as refused:
        parse_token(token + b"." + signature)
    assert refused.value.why == "it does not have three parts"


SHAPES: dict[str, bytes] = {
    "no profile": claims(eat_profile=...),
    "another profile": claims(eat_profile="tag:example.com,2026:ear"),
    "no time": claims(iat=...),
    "a time that is text": claims(iat="now"),
    "a time that is true": claims(iat=True),
    "a time before 1970": claims(iat=-1),
    "a time after all": claims(iat=1e300),
    "no verifier": claims(**{"ear.verifier-id": ...}),
    "no developer": claims(**{"ear.verifier-id": {"build": "1"}}),
    "no attesters": claims(submods={}),
    "attesters in a list": claims(submods=[]),
    "an attester that is text": claims(submods={"a": "affirming"}),
    "too many attesters": claims(submods={str(index): RIGHT["submods"]["a"] for index in range(65)}),
    "no status": claims(submods={"a": {}}),
    "another status": said(status="fine"),
    "a status that is true": said(status=True),
    "another number for a status": said(status=3),
    "an unknown claim": said({"luck": 2}),
    "a claim that is text": said({"hardware": "2"}),
    "a claim of 128": said({"hardware": 128}, "contraindicated"),
    "a claim of -129": said({"hardware": -129}, "contraindicated"),
    "a status better than a claim": said({"hardware": 32}),
    "a status far better than a claim": said({"hardware": 2, "executables": 96}, "warning"),
    "a policy that is a number": said(**{"ear.appraisal-policy-id": 7}),
    "evidence that is no base64url": claims(**{"ear.raw-evidence": "a+b/"}),
    "a nonce that is a number": claims(eat_nonce=7),
    "a nonce among others that is a number": claims(eat_nonce=["AAAAAAAA", 7]),
    "a name twice": claims().replace(b'"iat"', b'"iat": 1, "iat"'),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_claims_that_are_not_as_the_format_has_them_are_malformed(shape: str) -> None:
    assert judged(SHAPES[shape]).stage == "parse"
    assert judged(sign_token(SHAPES[shape], KEY), pem(KEY)).stage == "parse"


def test_the_names_of_the_working_groups_draft_are_understood() -> None:
    fields = {
        "eat_profile": "tag:ietf.org,2026:rats/ear#03", "iat": 1_780_000_000, "ear_raw_evidence": "eA",
        "ear_verifier_id": {"developer": "me", "build": "1"},
        "submods": {"a": {
            "ear_status": "affirming", "ear_trustworthiness_vector": {"hardware": 2},
            "ear_appraisal_policy_ids": ["one", "two"],
        }},
    }  # fmt: skip
    document = judged(json.dumps(fields).encode()).document
    assert document is not None
    assert document.facts["appraisal_policy_id"] == {"a": "one two"}
    both = fields | {"ear.verifier-id": fields["ear_verifier_id"]}
    assert judged(json.dumps(both).encode()).stage == "parse"
    worse = json.dumps(fields).replace('"hardware": 2', '"hardware": 96').encode()
    assert judged(worse).stage == "parse"


@pytest.mark.parametrize("status", ["none", "warning", "contraindicated", 0, 32, 96])
def test_only_an_affirming_result_is_accepted(status: Any) -> None:
    assert reason(said(status=status)) == ("appraise", "result not affirming")
    both = claims(submods={"a": RIGHT["submods"]["a"], "b": {"ear.status": status}})
    assert reason(both) == ("appraise", "result not affirming")
    assert judged(said(status=2)).accepted


def test_a_result_holds_for_its_time() -> None:
    second = int(NOW.timestamp())
    assert judged(claims(iat=second)).accepted
    assert reason(claims(iat=second + 1)) == ("verify", "not yet valid")
    assert reason(claims(nbf=second + 1)) == ("verify", "not yet valid")
    assert reason(claims(exp=second)) == ("verify", "expired")
    assert judged(claims(exp=second + 1, nbf=second)).accepted
    assert judged(claims(iat=1.78e9)).accepted
    assert reason(claims(exp=second), at=NOW + timedelta(days=1)) == ("verify", "expired")


def test_the_nonce_is_one_of_those_in_the_result() -> None:
    spelled = base64url(b"nonce of mine").decode()
    for nonces in (spelled, [spelled], ["other", spelled], "nonce of mine"):
        assert judged(claims(eat_nonce=nonces), given=Given(nonce=b"nonce of mine")).accepted
    for raw in (claims(), claims(eat_nonce="other"), claims(eat_nonce=[])):
        assert reason(raw, given=Given(nonce=b"nonce of mine")) == ("verify", "wrong nonce")


@pytest.mark.parametrize(
    ("value", "tier"),
    [
        (-128, "contraindicated"), (-97, "contraindicated"), (-96, "warning"), (-33, "warning"), (-32, "affirming"),
        (-2, "affirming"), (-1, "none"), (0, "none"), (1, "none"), (2, "affirming"), (31, "affirming"), (32, "warning"),
        (95, "warning"), (96, "contraindicated"), (127, "contraindicated"),
    ],
)  # fmt: skip
def test_tiers_are_those_of_the_draft(value: int, tier: Status) -> None:
    assert tier_of(value) == tier
    assert judged(said({"hardware": value}, tier)).stage == "appraise"
    for better in TIERS[: TIERS.index(tier)]:
        assert judged(said({"hardware": value}, better)).stage == "parse"


def test_a_result_is_shown_and_never_taken_for_evidence() -> None:
    name, fields = show(sign_token(claims(eat_nonce="n"), KEY))
    assert name == "ear"
    assert {"profile", "verifier", "nonce", "status a", "hardware a"} <= {field.name for field in fields}
    with pytest.raises(Untrusted):
        parse_and_verify("ear", claims(), (), roots=(), at=NOW)


def test_a_signing_key_is_one_of_the_three_kinds() -> None:
    for key in KEYS.values():
        written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        assert judged(sign_token(claims(), parse_private_key(written)), pem(key)).accepted
    strange = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for raw in (b"", b"key", strange, pem(KEY)):
        with pytest.raises(Misconfigured):
            parse_private_key(raw)
