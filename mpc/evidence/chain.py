"""Certificate chains as attestation needs them: to a pinned root, at a given time, offline (RFC 5280, section 6).

Certificates of attestation keys are unlike those of web servers: no name of a host, critical names of hardware,
serial number 0, parameters that strict parsers refuse. So they are parsed by asn1crypto, their signatures checked by
``cryptography``, and the caller says which critical extensions it has dealt with itself.

Roots are anchors and nothing else is: a certificate that came along with evidence only ever bridges a gap.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from asn1crypto import algos, core, pem, x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mpc.canonical import format_time
from mpc.errors import Malformed
from mpc.evidence.checks import Checks

CERTIFICATE_MAX_BYTES = 16 << 10
CHAIN_MAX_CERTIFICATES = 8
OTHERS_MAX_CERTIFICATES = 32
RSA_MIN_BITS = 2048

BASIC_CONSTRAINTS = "2.5.29.19"
KEY_USAGE = "2.5.29.15"
SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"
EXTENDED_KEY_USAGE = "2.5.29.37"
_ALWAYS_HANDLED = frozenset({BASIC_CONSTRAINTS, KEY_USAGE})

# SHA-1 is absent on purpose: chosen-prefix collisions forge certificates.
HASHES: Final = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


@dataclass(frozen=True)
class SignatureAlgorithm:
    """``kind`` as asn1crypto names it, the hash's name, and the salt's length under RSA-PSS (None: any)."""

    kind: str
    hash: str | None
    salt_bytes: int | None


@dataclass(frozen=True)
class Certificate:
    """An X.509 certificate, parsed whole; names and the public key stay in DER, times are UTC."""

    der: bytes
    signed: bytes
    signature: bytes
    algorithm: SignatureAlgorithm
    serial: int
    issuer: bytes
    subject: bytes
    subject_text: str
    not_before: datetime
    not_after: datetime
    spki: bytes
    extensions: tuple[tuple[str, bool, bytes], ...]
    is_authority: bool
    path_length: int | None
    key_usage: frozenset[str] | None
    extended_key_usage: frozenset[str]

    def extension(self, oid: str) -> bytes | None:
        """Return the raw value of the extension ``oid``, or None."""
        return next((value for name, _, value in self.extensions if name == oid), None)


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


@lru_cache(maxsize=128)  # the same few authorities stand in every chain, and parsing one takes milliseconds
def parse_certificate(der: bytes, *, max_bytes: int = CERTIFICATE_MAX_BYTES) -> Certificate:
    """Return the certificate that ``der`` is, with nothing before or after it, or raise ``Malformed``.

    ``max_bytes`` is higher where a certificate carries evidence.
    """
    if len(der) > max_bytes:
        raise _malformed("it is over the limit of size")
    try:
        return _parsed(x509.Certificate.load(der, strict=True), der)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as failure:
        raise _malformed(f"it does not parse as X.509 ({type(failure).__name__})") from None


def certificates_of(data: bytes) -> tuple[bytes, ...]:
    """Return the DER certificates of a file: one in DER, or any number in PEM; ``Malformed`` when there is none."""
    if not data.startswith(b"-----BEGIN"):
        return (parse_certificate(data).der,)
    try:
        found = tuple(der for kind, _, der in pem.unarmor(data, multiple=True) if kind == "CERTIFICATE")
    except ValueError:
        found = ()
    if not found:
        raise _malformed("the file holds no certificate")
    return tuple(parse_certificate(der).der for der in found)


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
        raise _malformed("it comes with more certificates than any chain needs")
    path, whole = _path(leaf, others, roots, at)
    names = " or ".join(root.subject_text for root in roots) or "no root was given"
    checks.require(
        "certificate_path", expected=f"signed, step by step, by {names}",
        found=" <- ".join(step.subject_text for step in path), passed=whole,
        why="" if whole else _why_not_whole(path, others),
        remedy="use a key that the named authority vouches for; authorities that evidence brings along do not count",
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


def _why_not_whole(path: tuple[Certificate, ...], others: Sequence[Certificate]) -> str:
    last = path[-1]
    if not others or (last.issuer == last.subject and is_signed_by(last, last)):
        return "wrong root: the chain does not lead to a pinned authority"
    return f"bad certificate signature: nothing that was given has signed {last.subject_text}"


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
        remedy="renew the certificate, or correct the clock",
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


def _parsed(certificate: x509.Certificate, der: bytes) -> Certificate:
    body = certificate["tbs_certificate"]
    outer, inner = certificate["signature_algorithm"], body["signature"]
    if outer.dump() != inner.dump():
        raise _malformed("it names two signature algorithms")
    extensions = tuple(_extensions(body["extensions"]))
    if len({oid for oid, _, _ in extensions}) != len(extensions):
        raise _malformed("it holds an extension twice")
    constraints, usage, extended = (
        certificate.basic_constraints_value, certificate.key_usage_value, certificate.extended_key_usage_value,
    )  # fmt: skip
    return Certificate(
        der=der,
        signed=body.dump(),
        signature=_whole_octets(certificate["signature_value"]),
        algorithm=_algorithm(outer),
        serial=body["serial_number"].native,
        issuer=body["issuer"].dump(),
        subject=body["subject"].dump(),
        subject_text=body["subject"].human_friendly or "unnamed",
        not_before=body["validity"]["not_before"].native,
        not_after=body["validity"]["not_after"].native,
        spki=body["subject_public_key_info"].dump(),
        extensions=extensions,
        is_authority=bool(constraints and constraints["ca"].native),
        path_length=constraints["path_len_constraint"].native if constraints else None,
        key_usage=frozenset(usage.native) if usage else None,
        extended_key_usage=frozenset(purpose.dotted for purpose in extended or ()),
    )


def _extensions(extensions: Iterable[x509.Extension]) -> Iterator[tuple[str, bool, bytes]]:
    if isinstance(extensions, core.Void):
        return
    for extension in extensions:
        yield extension["extn_id"].dotted, extension["critical"].native, extension["extn_value"].contents


def _whole_octets(bits: core.OctetBitString) -> bytes:
    if bits.contents[:1] != b"\0":
        raise _malformed("its signature is not a whole number of bytes")
    return bytes(bits.contents[1:])


def _algorithm(algorithm: algos.SignedDigestAlgorithm) -> SignatureAlgorithm:
    kind = algorithm.signature_algo
    if kind == "rsassa_pss":
        parameters = algorithm["parameters"]
        mask = parameters["mask_gen_algorithm"]["parameters"]["algorithm"].native
        name = parameters["hash_algorithm"]["algorithm"].native
        # Different hashes inside of one signature are allowed by the standard and used by nobody.
        return SignatureAlgorithm(kind, name if mask == name else None, parameters["salt_length"].native)
    return SignatureAlgorithm(kind, None if kind in {"ed25519", "ed448"} else algorithm.hash_algo, None)


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


def fingerprint(certificate: Certificate) -> str:
    """Return the hex SHA-256 of the certificate's DER."""
    return hashlib.sha256(certificate.der).hexdigest()


def _malformed(why: str) -> Malformed:
    return Malformed(
        "evidence.certificate", "a certificate is malformed", why=why,
        remedy="give the certificate as DER, with nothing before or after it", field="certificate",
    )  # fmt: skip
