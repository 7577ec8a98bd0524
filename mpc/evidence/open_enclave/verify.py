"""Believing Open Enclave evidence: custom claims and the certificate's key are bound, Intel vouches for the quote."""

from collections.abc import Sequence
from datetime import datetime
from hmac import compare_digest

from mpc.canonical import sha256
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Claims, Fact
from mpc.evidence.intel import read_collateral
from mpc.evidence.open_enclave.layout import EXTENSIONS, OpenEnclaveEvidence, read_custom_claims
from mpc.evidence.ratls.binding import pem_with_nul
from mpc.evidence.ratls.self_signed import require_certificate
from mpc.evidence.ratls.verify import verify_carried

_WHAT = "the Open Enclave evidence is not believed"
_HASH_BYTES = 32


def verify(
    found: OpenEnclaveEvidence, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime
) -> Claims:
    """Return the claims of the quote, with the custom claims among the facts; ``endorsements`` are collateral files.

    What the enclave was free to say (``bound``) are its custom claims where there are any, else its report data.
    Raises ``NotBelieved``.
    """
    checks = Checks(_WHAT)
    require_custom_claims(found, checks)
    facts: dict[str, Fact] = {"wrapping": found.wrapping, **custom_claims_facts(found)}
    until = None
    if found.certificate is not None:
        require_key(found, checks)
        signed_by = require_certificate(
            found.certificate, (), roots=roots, at=at, carries=frozenset(EXTENSIONS), checks=checks
        )
        until = found.certificate.not_after
        facts |= {
            "spki_sha256": sha256(found.certificate.spki).hex(),
            "key_bound": True,
            "certificate_signed_by": signed_by,
        }
    return verify_carried(
        found.quote, read_collateral(endorsements), roots=roots, at=at, facts=facts, until=until,
        bound=found.custom_claims or None, checks=checks,
    )  # fmt: skip


def require_custom_claims(found: OpenEnclaveEvidence, checks: Checks) -> None:
    """Check that the report data carries the custom claims, where the format has them beside the quote."""
    if found.custom_claims is None:
        return
    expected, report_data = _padded(sha256(found.custom_claims)), found.quote.body.report_data
    checks.require(
        "custom_claims", expected=expected.hex(), found=report_data.hex(),
        passed=compare_digest(expected, report_data),
        why="custom claims not bound to evidence", remedy="ask for evidence, and take its claims as they came with it",
    )  # fmt: skip


def require_key(found: OpenEnclaveEvidence, checks: Checks) -> None:
    """Check that evidence in a certificate carries the certificate's key, as PEM with its NUL."""
    key = pem_with_nul(found.certificate.spki if found.certificate else b"")
    if found.custom_claims is not None:
        expected, carried = key, found.custom_claims
    else:
        expected, carried = _padded(sha256(key)), found.quote.body.report_data
    checks.require(
        "key_bound", expected=expected.hex(), found=carried.hex(), passed=compare_digest(expected, carried),
        why="key not bound to evidence",
        remedy="connect again: the certificate's key is another one than the enclave's",
    )  # fmt: skip


def custom_claims_facts(found: OpenEnclaveEvidence) -> dict[str, Fact]:
    """Return the custom claims by name where they are a list, else their bytes; in hex."""
    if not found.custom_claims:
        return {}
    named = read_custom_claims(found.custom_claims)
    if named is None:
        return {"custom_claims_buffer": found.custom_claims.hex()}
    return {"custom_claims": {name: value.hex() for name, value in named.items()}}


def _padded(digest: bytes) -> bytes:
    return digest + bytes(_HASH_BYTES)
