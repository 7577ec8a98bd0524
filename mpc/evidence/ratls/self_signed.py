"""The certificate around a quote: who signed it, whether it is in date, whether it limits what nobody here knows.

Evidence and key are bound by the report data, not by this signature; the signature says that whoever holds the key
wrote the rest: names, dates, the other extensions. A certificate that somebody else issued needs that issuer's own
root, given by the one who asks; a quote's vendor issues none.
"""

from collections.abc import Sequence
from datetime import datetime

from mpc.canonical import format_time
from mpc.evidence.certificate import (
    BASIC_CONSTRAINTS,
    EXTENDED_KEY_USAGE,
    KEY_USAGE,
    SUBJECT_ALTERNATIVE_NAME,
    Certificate,
)
from mpc.evidence.chain import is_signed_by, verify_chain
from mpc.evidence.checks import Checks
from mpc.evidence.intel.certificates import anchors_among

_HANDLED = frozenset({BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE, SUBJECT_ALTERNATIVE_NAME})
SIGNED_BY_ITSELF = "its own key"
SIGNED_BY_ISSUER = "a given authority"
NOT_CHECKED = "not checked: SHA-1"


def require_certificate(
    certificate: Certificate,
    issuers: Sequence[Certificate],
    *,
    roots: Sequence[bytes],
    at: datetime,
    carries: frozenset[str],
    sha1_is_advisory: bool = False,
    checks: Checks,
) -> str:
    """Check the certificate that carries evidence in the extensions ``carries``; return by whom it is signed.

    Under ``sha1_is_advisory`` a signature over SHA-1 is not looked at: it proves nothing, and one maker writes it.
    """
    if certificate.issuer != certificate.subject:
        anchors = anchors_among(roots, issuers)
        verify_chain(certificate, issuers, roots=anchors, at=at, handled=_HANDLED | carries, checks=checks)
        return SIGNED_BY_ISSUER
    if sha1_is_advisory and certificate.algorithm.hash == "sha1":
        signed_by = NOT_CHECKED
    else:
        _require_own_signature(certificate, checks)
        signed_by = SIGNED_BY_ITSELF
    _require_limits(certificate, at, carries, checks)
    return signed_by


def _require_own_signature(certificate: Certificate, checks: Checks) -> None:
    passed = is_signed_by(certificate, certificate)
    checks.require(
        "certificate_signature", expected="by the certificate's own key", found="such" if passed else "another",
        passed=passed, why="bad certificate signature",
        remedy="connect again, and take the certificate as the enclave presents it",
    )  # fmt: skip


def _require_limits(certificate: Certificate, at: datetime, carries: frozenset[str], checks: Checks) -> None:
    early = at < certificate.not_before
    checks.require(
        "certificate_validity", found=format_time(at),
        expected=f"{format_time(certificate.not_before)} to {format_time(certificate.not_after)}",
        passed=not early and at <= certificate.not_after,
        why="certificate not yet valid" if early else "certificate expired",
        remedy="let the enclave make a new certificate, or correct the clock",
    )  # fmt: skip
    critical = {oid for oid, is_critical, _ in certificate.extensions if is_critical}
    unknown = sorted(critical - _HANDLED - carries)
    checks.require(
        "certificate_extensions", expected="critical extensions that are understood",
        found=" ".join(unknown) or "only such", passed=not unknown,
        why="unknown critical extension: the certificate carries a limit that this version does not understand",
        remedy="use a certificate without that extension",
    )  # fmt: skip
