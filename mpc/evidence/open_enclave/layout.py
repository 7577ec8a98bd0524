"""Open Enclave's wrappings of a quote, parsed and believed in nothing. All integers are little-endian.

Evidence (``oe_attestation_header_t``, 32 bytes, then the body): version u32 (3) @0, format UUID 16 @4, 4 bytes of
padding @20, size of the body u64 @24. A report (``oe_report_header_t``, 16 bytes): version u32 (1) @0, type u32
(1 local, 2 remote) @4, size u64 @8. The size has to be that of what follows.

The body of the format ``sgx-ecdsa`` is the quote and, after it, the custom claims, whose SHA-256 the report data
carries; in every other format the report data is the caller's own 64 bytes. Custom claims may be any bytes; where
they are a list (``common/custom_claims.c``) they are shown as one: version u64 (1), count u64, then for each claim
the size of its name with its NUL u64, the size of its value u64, name, value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from mpc.errors import Malformed
from mpc.evidence.certificate import Certificate, parse_certificate
from mpc.evidence.intel import Quote, parse_quote, quote_length
from mpc.evidence.intel.layout import carries_claims

EVIDENCE_MAX_BYTES = 64 << 10
CLAIMS_MAX_COUNT = 64

Wrapping = Literal["sgx-ecdsa", "legacy-report", "raw-sgx-quote", "tdx-quote", "report", "quote"]

_FORMATS: Mapping[bytes, Wrapping] = MappingProxyType(
    {
        bytes.fromhex("a3a21e871b4d4014b70aa125d2fbcd8c"): "sgx-ecdsa",
        bytes.fromhex("c8303454d9234c2ca691df7def460a76"): "legacy-report",
        bytes.fromhex("1923d91e12d24c72b22025cd8dace871"): "raw-sgx-quote",
        bytes.fromhex("8ba70286c1cf11edafa10242ac120002"): "tdx-quote",
    }
)
_NOT_VERIFIABLE: Mapping[bytes, str] = MappingProxyType(
    {
        bytes.fromhex("09268c336e0b45e58a2715644d0ef89a"): "a local report, which only the same machine can verify",
        bytes.fromhex("f228aa3fde4d49d3884cb2aa87a50da6"): "EPID evidence, whose service Intel has ended",
        bytes.fromhex("5c35d290a2c24c559e135ad732746c88"): "EPID evidence, whose service Intel has ended",
    }
)
_EVIDENCE_VERSION, _REPORT_VERSION = 3, 1
_EVIDENCE_HEADER, _REPORT_HEADER = 32, 16
_REMOTE = 2
_QUOTE_VERSIONS = (3, 4, 5)

CertificateKind = Literal["report", "evidence"]
EXTENSIONS: Mapping[str, CertificateKind] = MappingProxyType(
    {
        "1.2.840.113556.10.1.1": "report",
        "1.3.6.1.4.1.311.105.1": "report",
        "1.2.840.113556.10.1.2": "evidence",
        "1.3.6.1.4.1.311.105.2": "evidence",
    }
)
"""Extensions of attestation certificates, in the order in which Open Enclave looks for them."""


@dataclass(frozen=True)
class OpenEnclaveEvidence:
    """What a file holds: a quote in its ``wrapping``, with its custom claims, maybe in a ``certificate``."""

    wrapping: Wrapping
    quote: Quote
    custom_claims: bytes | None = None
    certificate: Certificate | None = None
    certificate_kind: CertificateKind | None = None


def parse_wrapped(raw: bytes) -> OpenEnclaveEvidence:
    """Return the evidence, report or bare quote that ``raw`` is, or raise ``Malformed``."""
    if len(raw) > EVIDENCE_MAX_BYTES:
        raise malformed(
            "it is over the limit of size", "size", f"at most {EVIDENCE_MAX_BYTES} bytes", f"{len(raw)} bytes"
        )
    version = _u32(raw, 0)
    if version == _EVIDENCE_VERSION:
        return _parse_evidence(raw)
    if version == _REPORT_VERSION:
        return OpenEnclaveEvidence("report", parse_quote(_report_body(raw)))
    if carries_claims(raw):  # as some services send it, the header left out
        end = quote_length(raw)
        return OpenEnclaveEvidence("sgx-ecdsa", parse_quote(raw[:end]), raw[end:])
    if int.from_bytes(raw[:2], "little") in _QUOTE_VERSIONS:
        return OpenEnclaveEvidence("quote", parse_quote(raw))
    raise malformed("unknown version", "version", "3 (evidence), 1 (report) or a quote", str(version))


def parse_certificate_with_evidence(der: bytes) -> OpenEnclaveEvidence:
    """Return the evidence in an attestation certificate, or raise ``Malformed``."""
    certificate = parse_certificate(der, max_bytes=EVIDENCE_MAX_BYTES)
    for oid, kind in EXTENSIONS.items():
        value = certificate.extension(oid)
        if value is not None:
            inside = parse_wrapped(value)
            return OpenEnclaveEvidence(inside.wrapping, inside.quote, inside.custom_claims, certificate, kind)
    raise malformed("no evidence in the certificate", "extension", " or ".join(EXTENSIONS), "none of them")


def read_custom_claims(buffer: bytes) -> Mapping[str, bytes] | None:
    """Return the claims that a buffer lists by name, or None when it is no such list."""
    count = int.from_bytes(buffer[8:16], "little")
    if len(buffer) < 16 or int.from_bytes(buffer[:8], "little") != 1 or count > CLAIMS_MAX_COUNT:  # noqa: PLR2004 - u64 twice
        return None
    claims: dict[str, bytes] = {}
    at = 16
    for _ in range(count):
        middle = at + 16 + int.from_bytes(buffer[at : at + 8], "little")
        end = middle + int.from_bytes(buffer[at + 8 : at + 16], "little")
        text, value = _claim_name(buffer[at + 16 : middle]), buffer[middle:end]
        at = end
        if at > len(buffer) or text is None or text in claims:
            return None
        claims[text] = value
    return claims if at == len(buffer) else None


def _parse_evidence(raw: bytes) -> OpenEnclaveEvidence:
    body, identifier = raw[_EVIDENCE_HEADER:], raw[4:20]
    if len(raw) < _EVIDENCE_HEADER or int.from_bytes(raw[24:32], "little") != len(body) or any(raw[20:24]):
        raise malformed("truncated, or bytes follow it", "data_size", f"{len(body)} bytes", "another size")
    if identifier in _NOT_VERIFIABLE:
        raise malformed(
            f"it is {_NOT_VERIFIABLE[identifier]}", "format", " or ".join(_FORMATS.values()), identifier.hex()
        )
    wrapping = _FORMATS.get(identifier)
    if wrapping is None:
        raise malformed("unknown format", "format", " or ".join(_FORMATS.values()), identifier.hex())
    if wrapping == "sgx-ecdsa":
        end = quote_length(body)
        return OpenEnclaveEvidence(wrapping, parse_quote(body[:end]), body[end:])
    if wrapping == "legacy-report" and _u32(body, 0) == _REPORT_VERSION:
        body = _report_body(body)
    return OpenEnclaveEvidence(wrapping, parse_quote(body))


def _report_body(raw: bytes) -> bytes:
    body = raw[_REPORT_HEADER:]
    if len(raw) < _REPORT_HEADER or int.from_bytes(raw[8:16], "little") != len(body):
        raise malformed("truncated, or bytes follow it", "report_size", f"{len(body)} bytes", "another size")
    if _u32(raw, 4) != _REMOTE:
        raise malformed(
            "it is a local report, which only the same machine can verify",
            "report_type",
            str(_REMOTE),
            str(_u32(raw, 4)),
        )
    return body


def _claim_name(name: bytes) -> str | None:
    if name[-1:] != b"\0" or not name.isascii():
        return None
    text = name[:-1].decode("ascii")
    return text if text.isprintable() else None


def _u32(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + 4], "little")


def malformed(why: str, name: str, expected: str, found: str) -> Malformed:
    """Return the refusal of what is not Open Enclave evidence as its sources lay it out."""
    return Malformed(
        "evidence.open_enclave", "the Open Enclave evidence is malformed", why=why,
        remedy="give what the enclave handed out, whole and unchanged", field=name, expected=expected, found=found,
    )  # fmt: skip
