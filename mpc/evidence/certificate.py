"""X.509 certificates as attestation meets them, parsed whole and believed in nothing (RFC 5280, section 4).

Certificates of attestation keys are unlike those of web servers: critical names of hardware, serial number 0,
parameters that strict parsers refuse. So the structure is read here, in DER, and asn1crypto only names the algorithms:
to read a certificate with it takes half a millisecond, as long as to verify a P-384 signature.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from asn1crypto import algos

from mpc.canonical import sha256
from mpc.errors import Malformed
from mpc.evidence.armour import unarmoured
from mpc.evidence.der import (
    BIT_STRING,
    BOOLEAN,
    CONTEXT_0,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    Element,
    dotted,
    integer_of,
    read_element,
    text_of,
)

CERTIFICATE_MAX_BYTES = 16 << 10

BASIC_CONSTRAINTS = "2.5.29.19"
KEY_USAGE = "2.5.29.15"
SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"
EXTENDED_KEY_USAGE = "2.5.29.37"

_CONTEXT_3: Final = CONTEXT_0 + 3
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_CONSTRAINTS: Final[tuple[list[int], ...]] = ([], [BOOLEAN], [INTEGER], [BOOLEAN, INTEGER])
_USAGES: Final = (
    "digital_signature", "non_repudiation", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
    "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
_COMMON_NAME, _COUNTRY = "Common Name", "Country"
_NAMES: Final = {
    "2.5.4.3": _COMMON_NAME, "2.5.4.4": "Surname", "2.5.4.5": "Serial Number", "2.5.4.6": _COUNTRY,
    "2.5.4.7": "Locality", "2.5.4.8": "State/Province", "2.5.4.9": "Street Address", "2.5.4.10": "Organization",
    "2.5.4.11": "Organizational Unit", "2.5.4.12": "Title", "2.5.4.17": "Postal Code", "2.5.4.42": "Given Name",
    "1.2.840.113549.1.9.1": "Email Address", "0.9.2342.19200300.100.1.25": "Domain Component",
    "0.9.2342.19200300.100.1.1": "User ID",
}  # fmt: skip


@dataclass(frozen=True)
class SignatureAlgorithm:
    """``kind`` as asn1crypto names it, the hash's name, and the salt's length under RSA-PSS (None: any)."""

    kind: str
    hash: str | None
    salt_bytes: int | None


@dataclass(frozen=True)
class Certificate:
    """An X.509 certificate, parsed whole; names and the public key stay in DER, times are UTC.

    ``common_name`` is the subject's, empty where it has none or several.
    """

    der: bytes
    signed: bytes
    signature: bytes
    algorithm: SignatureAlgorithm
    serial: int
    issuer: bytes
    subject: bytes
    issuer_text: str
    subject_text: str
    common_name: str
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


@lru_cache(maxsize=128)  # the same few authorities stand in every chain
def parse_certificate(der: bytes, *, max_bytes: int = CERTIFICATE_MAX_BYTES) -> Certificate:
    """Return the certificate that ``der`` is, with nothing before or after it, or raise ``Malformed``.

    ``max_bytes`` is higher where a certificate carries evidence.
    """
    if len(der) > max_bytes:
        raise malformed("it is over the limit of size")
    try:
        return _parsed(der)
    except (ValueError, LookupError, OverflowError) as failure:
        raise malformed(f"it does not parse as X.509 ({type(failure).__name__})") from None


def certificates_of(data: bytes) -> tuple[bytes, ...]:
    """Return the DER certificates of a file: one in DER, or any number in PEM; ``Malformed`` when there is none."""
    if not data.startswith(b"-----BEGIN"):
        return (parse_certificate(data).der,)
    try:
        found = tuple(der for kind, der in unarmoured(data) if kind == "CERTIFICATE")
    except ValueError as problem:
        raise malformed(str(problem)) from None
    if not found:
        raise malformed("the file holds no certificate")
    return tuple(parse_certificate(der).der for der in found)


def fingerprint(certificate: Certificate) -> str:
    """Return the hex SHA-256 of the certificate's DER."""
    return sha256(certificate.der).hex()


def malformed(why: str) -> Malformed:
    """Return the refusal of a certificate that is not one."""
    return Malformed(
        "evidence.certificate", "a certificate is malformed", why=why,
        remedy="give the certificate as DER, with nothing before or after it", field="certificate",
    )  # fmt: skip


def _parsed(der: bytes) -> Certificate:
    body, outer, signature = read_element(der).children(SEQUENCE)
    fields = list(body.children(SEQUENCE))
    if fields[0].tag == CONTEXT_0:  # the version, which says nothing that the fields do not
        del fields[0]
    serial, inner, issuer, validity, subject, spki, *optional = fields
    if outer.whole != inner.whole:
        raise malformed("it names two signature algorithms")
    extensions = tuple(extension for field in optional for extension in extensions_of(field, tag=_CONTEXT_3))
    values = {oid: value for oid, _, value in extensions}
    if len(values) != len(extensions):
        raise malformed("it holds an extension twice")
    not_before, not_after = map(_time, validity.children(SEQUENCE))
    named = _parts_of(subject.whole)
    is_authority, path_length = _constraints(values.get(BASIC_CONSTRAINTS))
    return Certificate(
        der=der,
        signed=body.whole,
        signature=_whole_octets(signature),
        algorithm=_algorithm(outer.whole),
        serial=integer_of(serial),
        issuer=issuer.whole,
        subject=subject.whole,
        issuer_text=_text_of(_parts_of(issuer.whole)) or "unnamed",
        subject_text=_text_of(named) or "unnamed",
        common_name=named[_COMMON_NAME][0] if len(named.get(_COMMON_NAME, ())) == 1 else "",
        not_before=not_before,
        not_after=not_after,
        spki=spki.whole,
        extensions=extensions,
        is_authority=is_authority,
        path_length=path_length,
        key_usage=_usage(values.get(KEY_USAGE)),
        extended_key_usage=_purposes(values.get(EXTENDED_KEY_USAGE)),
    )


def extensions_of(field: Element, *, tag: int) -> Iterator[tuple[str, bool, bytes]]:
    """Yield name, whether it is critical, and value of every extension, if ``field`` is the one of ``tag`` with them.

    Raises ``ValueError`` for extensions of another form.
    """
    if field.tag == tag:
        (listed,) = field.children()
        for extension in listed.children(SEQUENCE):
            oid, *critical, value = extension.children(SEQUENCE)
            if value.tag != OCTET_STRING or any(flag.tag != BOOLEAN for flag in critical):
                raise ValueError("an extension of another form")
            yield dotted(oid), any(any(flag.content) for flag in critical), value.content


def _time(element: Element) -> datetime:
    """Return a time as RFC 5280 spells it (4.1.2.5): in UTC, to the second."""
    digits = element.content[:-1]
    if element.tag == _UTC_TIME:
        digits = (b"19" if digits >= b"50" else b"20") + digits
    elif element.tag != _GENERALIZED_TIME:
        raise ValueError("no time")
    if element.content[-1:] != b"Z" or len(digits) != len("YYYYMMDDhhmmss") or not digits.isdigit():
        raise ValueError("a time in another form")
    year, (month, day, hour, minute, second) = int(digits[:4]), (int(digits[at : at + 2]) for at in range(4, 14, 2))
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def _constraints(value: bytes | None) -> tuple[bool, int | None]:
    if value is None:
        return False, None
    fields = read_element(value).children(SEQUENCE)
    if [one.tag for one in fields] not in _CONSTRAINTS:
        raise ValueError("constraints of another form")
    limits = [integer_of(one) for one in fields if one.tag == INTEGER]
    return any(any(one.content) for one in fields if one.tag == BOOLEAN), limits[0] if limits else None


def _usage(value: bytes | None) -> frozenset[str] | None:
    if value is None:
        return None
    bits = read_element(value)
    if bits.tag != BIT_STRING:
        raise ValueError("key usage of another form")
    spelled = bits.content[1:]
    return frozenset(
        name for at, name in enumerate(_USAGES) if at // 8 < len(spelled) and spelled[at // 8] & 0x80 >> at % 8
    )


def _purposes(value: bytes | None) -> frozenset[str]:
    return frozenset() if value is None else frozenset(map(dotted, read_element(value).children(SEQUENCE)))


@lru_cache(maxsize=64)  # whoever issued one certificate is named in the next as well
def _parts_of(name: bytes) -> Mapping[str, list[str]]:
    """Return the parts of a name by their kind, in the order in which the kinds come; of each, the last one first."""
    parts: dict[str, list[str]] = {}
    for attribute in (one for step in read_element(name).children(SEQUENCE) for one in step.children(SET)):
        oid, value = attribute.children(SEQUENCE)
        kind = dotted(oid)
        parts.setdefault(_NAMES.get(kind, kind), []).insert(0, text_of(value))
    return parts


def _text_of(parts: Mapping[str, list[str]]) -> str:
    """Return a name for people, what is most particular first: ``Common Name: a, Organization: b``."""
    words = [f"{kind}: {', '.join(values)}" for kind, values in parts.items()]
    if list(parts)[-1:] != [_COUNTRY]:
        words.reverse()
    return ("; " if any("," in word for word in words) else ", ").join(words)


def _whole_octets(bits: Element) -> bytes:
    if bits.tag != BIT_STRING or bits.content[:1] != b"\0":
        raise malformed("its signature is not a whole number of bytes")
    return bits.content[1:]


# As vendors write them, with what asn1crypto makes of each: it takes a tenth of a millisecond to say it again.
_SHA384_PSS: Final = (
    "06092a864886f70d01010a3034a00f300d06096086480165030402020500"
    "a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130"
)
USUAL_ALGORITHMS: Final = {
    bytes.fromhex(der): SignatureAlgorithm(*named)
    for der, named in {
        "300a06082a8648ce3d040302": ("ecdsa", "sha256", None),
        "300a06082a8648ce3d040303": ("ecdsa", "sha384", None),
        "300d06092a864886f70d01010b0500": ("rsassa_pkcs1v15", "sha256", None),
        "300d06092a864886f70d01010c0500": ("rsassa_pkcs1v15", "sha384", None),
        f"3041{_SHA384_PSS}": ("rsassa_pss", "sha384", 48),
        f"3046{_SHA384_PSS.replace('3034a0', '3039a0')}a303020101": ("rsassa_pss", "sha384", 48),
    }.items()
}


@lru_cache(maxsize=64)  # a vendor uses one or two
def _algorithm(der: bytes) -> SignatureAlgorithm:
    if der in USUAL_ALGORITHMS:
        return USUAL_ALGORITHMS[der]
    try:
        return _named(algos.SignedDigestAlgorithm.load(der, strict=True))
    except (TypeError, AttributeError, RecursionError) as failure:
        raise ValueError(type(failure).__name__) from None


def _named(algorithm: algos.SignedDigestAlgorithm) -> SignatureAlgorithm:
    kind = algorithm.signature_algo
    if kind == "rsassa_pss":
        parameters = algorithm["parameters"]
        mask = parameters["mask_gen_algorithm"]["parameters"]["algorithm"].native
        name = parameters["hash_algorithm"]["algorithm"].native
        # Different hashes inside of one signature are allowed by the standard and used by nobody.
        return SignatureAlgorithm(kind, name if mask == name else None, parameters["salt_length"].native)
    return SignatureAlgorithm(kind, None if kind in {"ed25519", "ed448"} else algorithm.hash_algo, None)
