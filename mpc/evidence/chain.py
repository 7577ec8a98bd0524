"""Certificate chains as attestation needs them: to a pinned root, at a given time, offline (RFC 5280, section 6).

Certificates of attestation keys are unlike those of web servers: no name of a host, critical names of hardware. So
only their signatures are left to ``cryptography``, and the caller says which critical extensions it has dealt with.

Roots are anchors and nothing else is: a certificate that came along with evidence only ever bridges a gap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mpc.canonical import format_time
from mpc.evidence.certificate import BASIC_CONSTRAINTS, KEY_USAGE, Certificate, SignatureAlgorithm, malformed
from mpc.evidence.checks import Checks

CHAIN_MAX_CERTIFICATES = 8
OTHERS_MAX_CERTIFICATES = 32
RSA_MIN_BITS = 2048

_ALWAYS_HANDLED = frozenset({BASIC_CONSTRAINTS, KEY_USAGE})

# SHA-1 is absent on purpose: chosen-prefix collisions forge certificates.
HASHES: Final = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


@dataclass(frozen=True)
class Chain:
    """A verified path, leaf first and root last; ``valid_until`` is when the first of them expires."""

    certificates: tuple[Certificate, ...]

    @property
    def leaf(self) -> Certificate:
        """The certificate that was asked about."""
        return self.certificates[0]

    @property
    def root(self) -> Certificate:
        """The pinned certificate at the end."""
        return self.certificates[-1]

    @property
    def valid_until(self) -> datetime:
        """When the first certificate of the path expires."""
        return min(certificate.not_after for certificate in self.certificates)


def verify_chain(
    leaf: Certificate,
    others: Sequence[Certificate],
    *,
    roots: Sequence[Certificate],
    at: datetime,
    handled: frozenset[str],
    checks: Checks,
    signs_others: bool = False,
) -> Chain:
    """Return the verified path from ``leaf`` through ``others`` to one of ``roots`` at the time ``at``.

    ``handled`` names the critical extensions of the leaf that the caller checks itself. Revocation is the caller's.
    ``signs_others`` says that the certificate that is asked about is itself an authority's.
    Every step is written to ``checks``; the first that fails raises ``NotBelieved``.
    """
    if len(others) > OTHERS_MAX_CERTIFICATES:
        raise malformed("it comes with more certificates than any chain needs")
    path, whole = _path(leaf, others, roots, at)
    names = " or ".join(root.subject_text for root in roots) or "a pinned root, which was not given"
    checks.require(
        "certificate_path", expected=f"signed, step by step, by {names}",
        found=" <- ".join(step.subject_text for step in path), passed=whole,
        why="" if whole else _why_not_whole(path, others, roots),
        remedy="give every certificate up to the named authority; one that evidence brings along anchors nothing",
    )  # fmt: skip
    chain = Chain(path)
    for depth, certificate in enumerate(chain.certificates):
        _check_validity(certificate, at, checks)
        _check_extensions(certificate, handled if depth == 0 else frozenset(), checks)
        if depth > 0:
            _check_authority(certificate, depth, checks)
    checks.require(
        "certificate_leaf", expected=f"CA:{str(signs_others).upper()}", found=f"CA:{str(leaf.is_authority).upper()}",
        passed=leaf.is_authority is signs_others, why="a key that signs certificates does not attest",
        remedy="certify a key of its own for attestation",
    )  # fmt: skip
    return chain


def is_signed_by(certificate: Certificate, issuer: Certificate) -> bool:
    """Tell whether ``issuer``'s name and key are those that ``certificate`` was signed with."""
    return certificate.issuer == issuer.subject and _verifies(certificate, issuer.spki)


def _path(
    leaf: Certificate, others: Sequence[Certificate], roots: Sequence[Certificate], at: datetime
) -> tuple[tuple[Certificate, ...], bool]:
    """Return a shortest path to a root, through issuers in date where there are any, and True; or how far one goes.

    Every certificate is followed at most once: a crowd of them that sign each other costs no more than its square.
    """
    anchors, bridges = _in_date_first(roots, at), _in_date_first(others, at)
    waiting: list[tuple[Certificate, ...]] = [(leaf,)]
    seen = {leaf.der}
    for path in waiting:  # which grows while it is read
        for root in anchors:
            if is_signed_by(path[-1], root):
                return (*path, root), True
        for bridge in bridges:
            if bridge.der not in seen and is_signed_by(path[-1], bridge):
                seen.add(bridge.der)
                waiting.append((*path, bridge))
    return waiting[-1], False


def _why_not_whole(path: tuple[Certificate, ...], others: Sequence[Certificate], roots: Sequence[Certificate]) -> str:
    last = path[-1]
    if last.issuer == last.subject and is_signed_by(last, last):
        return "wrong root: the chain does not lead to a pinned authority"
    what = "bad certificate signature" if others else "wrong root"
    if all(one.subject != last.issuer for one in (*others, *roots)):
        return f"{what}: the chain is not whole, a certificate of {_short(last.issuer_text)} was not given"
    return f"{what}: nothing that was given has signed {_short(last.subject_text)}"


def _short(name: str) -> str:
    """Return the common name alone, where a name has one."""
    return name.partition("Common Name: ")[2].partition(",")[0] or name


def _in_date_first(certificates: Sequence[Certificate], at: datetime) -> list[Certificate]:
    # Authorities re-issue certificates for one key; an old one must not hide the new.
    return sorted(certificates, key=lambda certificate: not certificate.not_before <= at <= certificate.not_after)


def _check_validity(certificate: Certificate, at: datetime, checks: Checks) -> None:
    when = "not yet valid" if at < certificate.not_before else "expired"
    checks.require(
        "certificate_validity",
        expected=f"{format_time(certificate.not_before)} to {format_time(certificate.not_after)}",
        found=format_time(at),
        passed=certificate.not_before <= at <= certificate.not_after,
        why=f"certificate {when}: it does not cover the time of verification",
        remedy="judge as of a time that it covers, get a certificate that holds now, or correct the clock",
    )  # fmt: skip


def _check_extensions(certificate: Certificate, handled: frozenset[str], checks: Checks) -> None:
    critical = {oid for oid, is_critical, _ in certificate.extensions if is_critical}
    unknown = sorted(critical - handled - _ALWAYS_HANDLED)
    checks.require(
        "certificate_extensions", expected="critical extensions that are understood",
        found=" ".join(unknown) or "only such", passed=not unknown,
        why="a certificate carries a limit that this version does not understand",
        remedy="use a certificate without that extension",
    )  # fmt: skip


def _check_authority(certificate: Certificate, depth: int, checks: Checks) -> None:
    signs = certificate.key_usage is None or "key_cert_sign" in certificate.key_usage
    checks.require(
        "certificate_authority", expected="CA:TRUE, key usage keyCertSign", passed=certificate.is_authority and signs,
        found=f"CA:{str(certificate.is_authority).upper()}, {'with' if signs else 'without'} keyCertSign",
        why="a certificate in the chain may not sign others", remedy="use a chain of certificate authorities",
    )  # fmt: skip
    below = depth - 1  # authorities between this one and the leaf
    limit = certificate.path_length
    checks.require(
        "certificate_path_length", expected="no limit" if limit is None else f"at most {limit} below", found=str(below),
        passed=limit is None or below <= limit, why="the chain is longer than one of its authorities allows",
        remedy="use a chain as its authorities made it",
    )  # fmt: skip


@lru_cache(maxsize=256)  # it depends on the bytes alone, and an RSA or P-384 signature takes a millisecond
def _verifies(certificate: Certificate, spki: bytes) -> bool:
    return verify_signature(load_key(spki), certificate.signature, certificate.signed, certificate.algorithm)


def load_key(spki: bytes) -> object:
    """Return the public key of a DER SubjectPublicKeyInfo, or None when there is no such key."""
    try:
        return load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        return None


def verify_signature(key: object, signature: bytes, signed: bytes, algorithm: SignatureAlgorithm) -> bool:
    """Tell whether ``signature`` by ``key`` covers ``signed``; weak keys, curves and hashes never do."""
    chosen = HASHES.get(algorithm.hash or "")
    try:
        match algorithm.kind, key:
            case "rsassa_pkcs1v15", rsa.RSAPublicKey() if chosen and key.key_size >= RSA_MIN_BITS:
                key.verify(signature, signed, padding.PKCS1v15(), chosen)
            case "rsassa_pss", rsa.RSAPublicKey() if chosen and key.key_size >= RSA_MIN_BITS:
                salt = padding.PSS.AUTO if algorithm.salt_bytes is None else algorithm.salt_bytes
                key.verify(signature, signed, padding.PSS(padding.MGF1(chosen), salt), chosen)
            case "ecdsa", ec.EllipticCurvePublicKey() if chosen and key.curve.name in _CURVES:
                key.verify(signature, signed, ec.ECDSA(chosen))
            case "ed25519", ed25519.Ed25519PublicKey():
                key.verify(signature, signed)
            case _:
                return False
    except (InvalidSignature, ValueError):
        return False
    return True
