"""Certificate requests of Enarx: PKCS #10 (RFC 2986) with one extension that holds the evidence of the keep.

====  ======================  ============================================================================
tee   extension               its value
====  ======================  ============================================================================
sgx   1.3.6.1.4.1.58270.1.2   SEQUENCE { quote OCTET STRING, CrlList, SEQUENCE { SEQUENCE OF Certificate,
                              TCB information as JSON OCTET STRING } }; earlier without the last, or the quote alone
snp   1.3.6.1.4.1.58270.1.3   SEQUENCE { SEQUENCE { VCEK Certificate, CrlList }, report OCTET STRING };
                              earlier SEQUENCE { VCEK Certificate, report OCTET STRING }
kvm   1.3.6.1.4.1.58270.1.1   empty: nothing attests
====  ======================  ============================================================================

CrlList is SEQUENCE { SEQUENCE OF SEQUENCE { url UTF8String, CertificateList } }. The keep's key signs the request, and
its digest is in the evidence: SHA-256 (SGX) or SHA-384 (SNP) of the SubjectPublicKeyInfo, then zeros.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from mpc.errors import Malformed
from mpc.evidence.der import (
    BIT_STRING,
    CONTEXT_0,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    UTF8_STRING,
    Element,
    read_element,
)
from mpc.evidence.intel import Quote, parse_quote
from mpc.evidence.snp import Report, parse_report

REQUEST_MAX_BYTES: Final = 64 << 10
Tee = Literal["sgx", "snp", "kvm"]
_ENARX: Final = bytes.fromhex("2b0601040183c71e01")  # 1.3.6.1.4.1.58270.1
_TEES: Final[Mapping[bytes, Tee]] = MappingProxyType(
    {_ENARX + b"\x01": "kvm", _ENARX + b"\x02": "sgx", _ENARX + b"\x03": "snp"}
)
_EXTENSION_REQUEST: Final = bytes.fromhex("2a864886f70d01090e")  # 1.2.840.113549.1.9.14
_VERSION_1: Final = b"\x02\x01\x00"
_LISTS_MAX: Final = 16
_PARTS_OF_A_REQUEST, _PARTS_OF_INFORMATION, _PARTS_OF_A_CERTIFICATE = 3, 4, 3


@dataclass(frozen=True)
class List:
    """A revocation list that the keep brought along, and where it says that it got it."""

    url: str
    der: bytes


@dataclass(frozen=True)
class SgxEvidence:
    """A quote; ``tcb_info`` is the service's JSON answer, None in the earlier forms; ``signers`` are certificates."""

    quote: Quote
    lists: tuple[List, ...]
    signers: tuple[bytes, ...]
    tcb_info: bytes | None


@dataclass(frozen=True)
class SnpEvidence:
    """A report, and the certificate (DER) of the key that signed it."""

    report: Report
    vcek: bytes
    lists: tuple[List, ...]


@dataclass(frozen=True)
class EnarxRequest:
    """A request as it was parsed, believed in nothing; ``signed`` is what its own key signed, names and keys are DER.

    ``evidence`` is None for a keep on KVM, which has none.
    """

    raw: bytes
    signed: bytes
    subject: bytes
    spki: bytes
    algorithm: bytes
    signature: bytes
    tee: Tee
    critical: bool
    evidence: SgxEvidence | SnpEvidence | None


def is_request(raw: bytes) -> bool:
    """Tell whether ``raw`` begins as a certificate request and names one of Enarx's extensions."""
    if len(raw) > REQUEST_MAX_BYTES:
        return False
    try:
        information = read_element(raw).children(SEQUENCE)[0].children(SEQUENCE)
    except (ValueError, IndexError):
        return False
    is_numbered = bool(information) and information[0].whole == _VERSION_1
    return is_numbered and any(b"\x06\x0a" + oid in raw for oid in _TEES)


def parse_request(raw: bytes) -> EnarxRequest:
    """Return the request that ``raw`` (DER, at most 64 KiB) spells, or raise ``Malformed``."""
    if len(raw) > REQUEST_MAX_BYTES:
        raise malformed("it is over the limit of size")
    try:
        information, algorithm, signature = _exactly(read_element(raw).children(SEQUENCE), _PARTS_OF_A_REQUEST)
        version, subject, key, attributes = _exactly(information.children(SEQUENCE), _PARTS_OF_INFORMATION)
        tee, critical, value = _extension(attributes)
        evidence = _evidence(tee, value)
    except ValueError as failure:
        raise malformed(f"it is no request of Enarx's form: {failure}") from None
    if version.whole != _VERSION_1:
        raise malformed("its version is unknown")
    if signature.tag != BIT_STRING or signature.content[:1] != b"\0":
        raise malformed("its signature is not a whole number of bytes")
    return EnarxRequest(
        raw=raw, signed=information.whole, subject=subject.whole, spki=key.whole, algorithm=algorithm.whole,
        signature=signature.content[1:], tee=tee, critical=critical, evidence=evidence,
    )  # fmt: skip


def _extension(attributes: Element) -> tuple[Tee, bool, bytes]:
    """Return tee, criticality and value of the one extension that is asked for."""
    (attribute,) = _exactly(attributes.children(CONTEXT_0), 1)
    name, values = _exactly(attribute.children(SEQUENCE), 2)
    if (name.tag, name.content) != (OBJECT_IDENTIFIER, _EXTENSION_REQUEST):
        raise ValueError("another attribute than a request for extensions")
    (extensions,) = _exactly(values.children(SET), 1)
    (extension,) = _exactly(extensions.children(SEQUENCE), 1)
    oid, *flag, value = extension.children(SEQUENCE)
    tee = _TEES.get(oid.content)
    if tee is None or oid.tag != OBJECT_IDENTIFIER:
        raise ValueError("another extension than Enarx's evidence")
    if [one.whole for one in flag] not in ([], [b"\x01\x01\xff"]) or value.tag != OCTET_STRING:
        raise ValueError("an extension of another form")
    return tee, bool(flag), value.content


def _evidence(tee: Tee, value: bytes) -> SgxEvidence | SnpEvidence | None:
    if tee == "sgx":
        return _sgx(value)
    if tee == "snp":
        return _snp(value)
    if value:
        raise ValueError("evidence of a keep on KVM, which has none")
    return None


def _sgx(value: bytes) -> SgxEvidence:
    if value[:1] != bytes([SEQUENCE]):
        return SgxEvidence(parse_quote(value), (), (), None)
    quote, lists, *rest = read_element(value).children(SEQUENCE)
    signers: tuple[bytes, ...] = ()
    tcb_info = None
    if rest:
        (tcb,) = rest
        certificates, report = _exactly(tcb.children(SEQUENCE), 2)
        signers = tuple(certificate.whole for certificate in certificates.children(SEQUENCE))
        tcb_info = _octets(report)
    return SgxEvidence(parse_quote(_octets(quote)), _lists(lists), signers, tcb_info)


def _snp(value: bytes) -> SnpEvidence:
    first, report = _exactly(read_element(value).children(SEQUENCE), 2)
    parts = first.children(SEQUENCE)
    if len(parts) == _PARTS_OF_A_CERTIFICATE:
        return SnpEvidence(parse_report(_octets(report)), first.whole, ())
    vcek, lists = _exactly(parts, 2)
    return SnpEvidence(parse_report(_octets(report)), vcek.whole, _lists(lists))


def _lists(holder: Element) -> tuple[List, ...]:
    (entries,) = _exactly(holder.children(SEQUENCE), 1)
    found = entries.children(SEQUENCE)
    if len(found) > _LISTS_MAX:
        raise ValueError("more revocation lists than any chain needs")
    lists = []
    for entry in found:
        url, der = _exactly(entry.children(SEQUENCE), 2)
        if url.tag != UTF8_STRING:
            raise ValueError("a revocation list without an address")
        lists.append(List(url.content.decode(), der.whole))
    return tuple(lists)


def _octets(element: Element) -> bytes:
    if element.tag != OCTET_STRING:
        raise ValueError("something else than octets")
    return element.content


def _exactly(elements: tuple[Element, ...], count: int) -> tuple[Element, ...]:
    if len(elements) != count:
        raise ValueError(f"{len(elements)} parts where there are {count}")
    return elements


def malformed(why: str) -> Malformed:
    """Return the refusal of bytes that are no request."""
    return Malformed(
        "evidence.enarx_malformed", "the certificate request is malformed", why=why,
        remedy="give the request as the keep wrote it, in DER", field="request",
    )  # fmt: skip
