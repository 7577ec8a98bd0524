"""Certificate revocation lists, checked offline: given as bytes, at a given time (RFC 5280, section 5).

A list says something only of certificates of its own issuer. So every step of a chain is *covered* by a current list
of the authority above it, or it is not; whether an uncovered step refuses is the format's to say, and it shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from mpc.canonical import format_time
from mpc.errors import Malformed
from mpc.evidence.certificate import Certificate, extensions_of
from mpc.evidence.chain import HASHES, RSA_MIN_BITS, Chain, load_key
from mpc.evidence.checks import Checks
from mpc.evidence.der import BIT_STRING, CONTEXT_0, INTEGER, SEQUENCE, read_element

LIST_MAX_BYTES = 256 << 10
# What the library raises for a list that it cannot read; most of these are no ValueError.
_UNREADABLE = (ValueError, LookupError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)


@dataclass(frozen=True)
class RevocationList:
    """A list as it was parsed, believed in nothing; ``issuer`` is a name in DER, times are UTC."""

    der: bytes
    parsed: x509.CertificateRevocationList = field(compare=False)
    issuer: bytes
    this_update: datetime
    next_update: datetime

    def names(self, serial: int) -> bool:
        """Tell whether the certificate of that serial number is revoked."""
        return self.parsed.get_revoked_certificate_by_serial_number(serial) is not None

    def is_current(self, at: datetime) -> bool:
        """Tell whether ``at`` lies in the time for which the list speaks."""
        return self.this_update <= at <= self.next_update


@dataclass(frozen=True)
class Coverage:
    """Which steps of a chain (0: the leaf) a current list covered, and until when the lists speak."""

    steps: frozenset[int]
    valid_until: datetime | None


@lru_cache(maxsize=32)
def parse_revocation_list(der: bytes) -> RevocationList:
    """Return the list that ``der`` is, with nothing before or after it, or raise ``Malformed``."""
    if len(der) > LIST_MAX_BYTES:
        raise _malformed("it is over the limit of size")
    try:
        issuer, critical = _issuer_of(der)
        parsed = x509.load_der_x509_crl(der)
        until = parsed.next_update_utc
        _ = parsed.signature_hash_algorithm, parsed.signature_algorithm_parameters  # raise where they are unknown
    except _UNREADABLE as failure:
        raise _malformed(f"it does not parse as X.509 ({type(failure).__name__})") from None
    if critical:  # a delta list, or one of only some certificates (5.2.4, 5.2.5)
        raise _malformed("it carries a limit that this version does not understand")
    if until is None:
        raise _malformed("it does not say until when it holds")
    return RevocationList(der, parsed, issuer, parsed.last_update_utc, until)


def _issuer_of(der: bytes) -> tuple[bytes, bool]:
    """Return the issuer's name, and whether an extension is critical (5.1); names are not the library's to judge."""
    body, _, signature = read_element(der).children(SEQUENCE)
    if signature.tag != BIT_STRING or signature.content[:1] != b"\0":  # the library drops bits that it says are unused
        raise ValueError("a signature that is not a whole number of bytes")
    fields = body.children(SEQUENCE)
    _, issuer, *rest = fields[1:] if fields[0].tag == INTEGER else fields  # before the issuer: version, algorithm
    extensions = [extension for field in rest for extension in extensions_of(field, tag=CONTEXT_0)]
    if len({oid for oid, _, _ in extensions}) != len(extensions):
        raise ValueError("an extension twice")
    return issuer.whole, any(critical for _, critical, _ in extensions)


def check_revocation(chain: Chain, lists: Sequence[RevocationList], *, at: datetime, checks: Checks) -> Coverage:
    """Return which steps of ``chain`` are covered, and refuse a revoked one; every list that applies must hold.

    Where several lists of one authority are given, each of them counts against a certificate, and one is current.
    """
    covered, ends = set(), []
    for depth, (certificate, issuer) in enumerate(zip(chain.certificates, chain.certificates[1:], strict=False)):
        until = check_lists(issuer, lists, at=at, checks=checks)
        if until is None:
            continue
        ends.append(until)
        revoked = any(given.names(certificate.serial) for given in lists if given.issuer == issuer.subject)
        checks.require(
            "revocation", expected="not on the authority's list", found="revoked" if revoked else "not listed",
            passed=not revoked, why=f"certificate revoked: {certificate.subject_text}",
            remedy="use a certificate that its authority has not called back",
        )  # fmt: skip
        covered.add(depth)
    return Coverage(frozenset(covered), min(ends) if ends else None)


def check_lists(
    issuer: Certificate, lists: Sequence[RevocationList], *, at: datetime, checks: Checks
) -> datetime | None:
    """Return until when the lists of the believed ``issuer`` speak, None without one; refuse one that does not hold."""
    applying = [given for given in lists if given.issuer == issuer.subject]
    if not applying:
        return None
    signs = issuer.key_usage is None or "crl_sign" in issuer.key_usage
    signed = signs and all(_is_signed(given, issuer.spki) for given in applying)
    checks.require(
        "crl_signature", expected=f"signed by {issuer.subject_text}", found="so" if signed else "not so",
        passed=signed, why="bad CRL signature: its authority did not sign the revocation list",
        remedy="fetch the revocation list again from the authority",
    )  # fmt: skip
    return _check_current(applying, at, checks)


def _check_current(lists: Sequence[RevocationList], at: datetime, checks: Checks) -> datetime:
    newest = max(lists, key=lambda given: (given.is_current(at), given.next_update))
    early = at < newest.this_update
    checks.require(
        "crl_validity", expected=f"{format_time(newest.this_update)} to {format_time(newest.next_update)}",
        found=format_time(at), passed=newest.is_current(at),
        why="CRL not yet valid: it was made after the time of verification" if early else
        "CRL expired: it does not cover the time of verification",
        remedy="fetch a current revocation list, or correct the clock",
    )  # fmt: skip
    return newest.next_update


@lru_cache(maxsize=64)  # it depends on the bytes alone, and one list serves for weeks
def _is_signed(given: RevocationList, spki: bytes) -> bool:
    parsed, key = given.parsed, load_key(spki)
    chosen = parsed.signature_hash_algorithm
    if chosen is None or chosen.name not in HASHES:
        return False
    try:
        match key, parsed.signature_algorithm_parameters:
            case rsa.RSAPublicKey(), (padding.PSS() | padding.PKCS1v15()) as scheme if key.key_size >= RSA_MIN_BITS:
                key.verify(parsed.signature, parsed.tbs_certlist_bytes, scheme, chosen)
            case ec.EllipticCurvePublicKey(), ec.ECDSA():
                key.verify(parsed.signature, parsed.tbs_certlist_bytes, ec.ECDSA(chosen))
            case _:
                return False
    except (InvalidSignature, ValueError):
        return False
    return True


def _malformed(why: str) -> Malformed:
    return Malformed(
        "evidence.revocation_list", "a revocation list is malformed", why=why,
        remedy="give the list as DER, whole, as its authority publishes it", field="revocation list",
    )  # fmt: skip
