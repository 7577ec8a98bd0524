"""Evidence of a Veracruz runtime is believed as its platform's own is, and when it binds the certificate request."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hmac import compare_digest

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mpc.canonical import canonical_cbor, sha256
from mpc.evidence.certificate import SignatureAlgorithm
from mpc.evidence.chain import verify_signature
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Check, Claims, Fact
from mpc.evidence.nitro import FORMAT as NITRO
from mpc.evidence.nitro import NitroDocument
from mpc.evidence.snp import FORMAT as SNP
from mpc.evidence.snp import Report
from mpc.evidence.veracruz.evidence import VeracruzEvidence
from mpc.evidence.veracruz.request import CertificateRequest, parse_request, take_request
from mpc.evidence.veracruz.token import DIGEST_BYTES, PsaToken

NAME = "veracruz"
TEST_KEY = bytes.fromhex(
    "045f055d39d9ad6089f1337e6cf9570e6f84255f16f8cd9ce4a0a28d7a4fb7e4d3"
    "60372a814f07c25a2485bf47bc844740c59bffffd27632824d764db450ee9f22"
)
"""The key of every runtime on plain Linux, published with its secret as TOTALLY_INSECURE_ROOT_PUBLIC_KEY: 65 bytes."""
PUBLISHED_TEST_KEY = "published_test_key"

_ES256 = SignatureAlgorithm("ecdsa", "sha256", None)
_ANCHOR = b"veracruz psa key "  # anchors of all formats may lie in one list


def anchor(key: bytes) -> bytes:
    """Return the trust anchor that a key of PSA tokens is (an uncompressed point of P-256)."""
    return _ANCHOR + key


PINNED = (anchor(TEST_KEY), *NITRO.pinned, *SNP.pinned)


def verify(
    evidence: VeracruzEvidence, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime
) -> Claims:
    """Return the claims of the platform's evidence, when it binds the request among ``endorsements``, or refuse.

    ``bound`` is the challenge of the proxy attestation server; on SEV-SNP nothing binds one, and it is empty.
    """
    request, others = take_request(endorsements)
    vendors = [root for root in roots if not root.startswith(_ANCHOR)]
    match evidence.inner:
        case NitroDocument() as document:
            claims = NITRO.verify(document, others, roots=vendors, at=at)
            measured, bound, challenge = document.pcrs.get(0, b""), document.user_data or b"", document.nonce or b""
        case Report() as report:
            claims = SNP.verify(report, others, roots=vendors, at=at)
            measured, bound, challenge = report.measurement, _without_zeros(report.report_data), b""
        case token:
            claims = _verify_token(token, roots, at)
            measured, bound, challenge = token.runtime, token.request, token.challenge
    checks = Checks("the Veracruz evidence is not believed")
    checks.extend(claims.checks)
    requested = _check_request(request, bound, checks)
    facts: dict[str, Fact] = {
        **claims.facts, "platform": evidence.platform, "runtime_manager_hash": measured[:DIGEST_BYTES].hex(),
        "csr_digest": requested.digest.hex(), "csr_subject": requested.subject_text,
    }  # fmt: skip
    return replace(
        claims,
        format=NAME,
        bound=challenge,
        measurements={"runtime_manager": measured, **claims.measurements},
        facts=facts,
        checks=checks.made,
    )


def careful(claims: Claims, accepted: frozenset[str]) -> tuple[Check, ...]:
    """Return the careful checks of the platform; on plain Linux that the token's secret is not a published one."""
    match claims.facts["platform"]:
        case "nitro":
            return NITRO.careful(claims, accepted)
        case "sevsnp":
            return SNP.careful(claims, accepted)
        case _:
            published = claims.facts["token_key"] == TEST_KEY.hex()
            return (
                Check(
                    PUBLISHED_TEST_KEY, "a key whose secret is not published",
                    "the published mock key" if published else "such a key",
                    not published or PUBLISHED_TEST_KEY in accepted, why="published test key: anybody can sign with it",
                    remedy=f"use a platform with hardware; for trying things out, accept {PUBLISHED_TEST_KEY} by name",
                ),
            )  # fmt: skip


def _check_request(der: bytes | None, bound: bytes, checks: Checks) -> CertificateRequest:
    checks.require(
        "request", expected="the enclave's certificate request", found="none" if der is None else "one",
        passed=der is not None, why="no certificate request: nothing says whose key the evidence binds",
        remedy="give the request that came with the evidence as an endorsement",
    )  # fmt: skip
    request = parse_request(der or b"")
    checks.require(
        "request_signature", expected="by the key in the request", found="so" if request.is_signed else "not so",
        passed=request.is_signed, why="bad certificate request: who sent it does not hold its key",
        remedy="ask the enclave for a fresh request",
    )  # fmt: skip
    checks.require(
        "csr_digest", expected=request.digest.hex(), found=bound.hex() or "nothing",
        passed=compare_digest(request.digest, bound),
        why="wrong certificate request: the evidence binds another one",
        remedy="give the request that came with the evidence",
    )  # fmt: skip
    return request


def _verify_token(token: PsaToken, roots: Sequence[bytes], at: datetime) -> Claims:
    checks = Checks("the PSA token is not believed")
    keys = {b"\x01" + sha256(key): key for key in (r.removeprefix(_ANCHOR) for r in roots if r.startswith(_ANCHOR))}
    key = keys.get(token.instance)
    checks.require(
        "instance", expected=" or ".join(instance.hex() for instance in keys) or "no key was given",
        found=token.instance.hex(), passed=key is not None, why="unknown instance: nobody vouches for its key",
        remedy="name the platform's key in the reference values",
    )  # fmt: skip
    chosen = key or b""
    checks.require(
        "signature", expected="by the instance's P-256 key", found="so" if _is_signed(token, chosen) else "not so",
        passed=_is_signed(token, chosen), why="bad token signature", remedy="ask the enclave for fresh evidence",
    )  # fmt: skip
    facts: dict[str, Fact] = {"token_key": chosen.hex(), "lifecycle": token.lifecycle, "debug": token.debug}
    if chosen == TEST_KEY:
        facts["forgeable_by"] = "anybody"
    return Claims(
        format=NAME, bound=token.challenge, measurements={}, measured_by="self", memory_protected=False,
        debug=token.debug, verified_at=at, facts=facts, checks=checks.made,
    )  # fmt: skip


def _is_signed(token: PsaToken, key: bytes) -> bool:
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    except ValueError:
        return False
    half = len(token.signature) // 2
    signature = encode_dss_signature(int.from_bytes(token.signature[:half]), int.from_bytes(token.signature[half:]))
    signed = canonical_cbor(["Signature1", token.protected, b"", token.payload])  # RFC 9052, 4.4
    return verify_signature(public, signature, signed, _ES256)


def _without_zeros(report_data: bytes) -> bytes:
    """Return the first half of 64 bytes when the second is zero, else all: then it binds something else."""
    half = len(report_data) // 2
    return report_data if any(report_data[half:]) else report_data[:half]
