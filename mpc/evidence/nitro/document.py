"""The attestation document of AWS Nitro Enclaves, parsed and believed in nothing.

Source: "Nitro Enclaves attestation process" of aws/aws-nitro-enclaves-nsm-api (docs/attestation_process.md). It is a
COSE_Sign1 (RFC 9052, 4.2), mostly without its tag 18, around a CBOR map:

==============  ============================================================================================
``module_id``   name of the enclave's instance
``digest``      ``SHA384``
``timestamp``   milliseconds since 1970, by the security module's clock
``pcrs``        map of register number to value; 0 image, 1 kernel and boot, 2 application, 3 role of the parent
                instance, 4 the parent instance, 8 certificate that signed the image
``certificate`` DER certificate of the key that signed, valid for three hours
``cabundle``    DER certificates from the root down to the issuer of ``certificate``
``public_key``  at most 1024 bytes of the enclave's choice, or null
``user_data``   likewise, at most 512 bytes
``nonce``       likewise, at most 512 bytes
==============  ============================================================================================
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from mpc.canonical import format_time
from mpc.errors import Malformed
from mpc.evidence.cbor import CBORTag, read_cbor
from mpc.evidence.certificate import Certificate, parse_certificate
from mpc.evidence.claims import Given, Shown
from mpc.evidence.loose_json import read_json

MAX_BYTES = 16 << 10
CERTIFICATE_MAX_BYTES = 1024
BUNDLE_MAX_CERTIFICATES = 8
PCR_COUNT = 32
MEASURED = (0, 1, 2)
"""The registers that tell the program; all are zero in an enclave that runs in debug mode."""

_SIGN1 = 18  # RFC 9052, 2
_ALGORITHM, _ES384 = 1, -35  # RFC 9052, 3.1; RFC 9053, 2.1
_SIGNATURE_BYTES = 96
_DIGEST_BYTES = (32, 48, 64)
_LIMITS: Final = {"public_key": 1024, "user_data": 512, "nonce": 512}
_INSTANCE_LIMITS: Final = dict.fromkeys(_LIMITS, 1024)
_WHAT = "the Nitro attestation document"
# COSE_Sign1 under ES384 around a map, of any kind of length, that begins with the name of the enclave's instance.
_BEGINNING = re.compile(rb"\xd2?\x84\x44\xa1\x01\x38\x22\xa0\x59..[\xa0-\xbf]\x69module_id", re.DOTALL)
_HEX = re.compile(rb"(?:0x)?(?:[0-9A-Fa-f]{2})+")
_BASE64URL = bytes.maketrans(b"-_", b"+/")
# What services call the document in JSON, without underscores and in lower case.
_NAMES = frozenset({"attestation", "attestationdoc", "attestationdocument", "document"})
_INSTANCE_PCRS = "nitrotpm_pcrs"
_INSTANCE_PCR_MEANINGS = {
    4: "boot loader, or unified kernel image", 7: "Secure Boot: policy and certificates", 12: "kernel command line",
}  # fmt: skip
_PCR_MEANINGS = {
    0: "enclave image", 1: "kernel and boot", 2: "application", 3: "IAM role of the parent instance",
    4: "parent instance", 8: "certificate that signed the image",
}  # fmt: skip


@dataclass(frozen=True)
class NitroDocument:
    """A document as it came. ``protected`` and ``payload`` are the bytes under ``signature`` (r and s, 48 bytes each).

    ``bundle`` begins with the root, as AWS writes it. What the enclave chose may be None. ``of`` says who speaks: an
    enclave, or a whole instance with a NitroTPM, whose registers are those of a boot and mean other things.
    """

    protected: bytes
    payload: bytes
    signature: bytes
    module_id: str
    timestamp_ms: int
    pcrs: Mapping[int, bytes]
    certificate: Certificate
    bundle: tuple[Certificate, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None
    of: Literal["enclave", "instance"] = "enclave"

    @property
    def debug(self) -> bool:
        """Whether a register that tells the program holds nothing: its host can then read and change the enclave."""
        return self.of == "enclave" and not all(any(self.pcrs.get(index, b"")) for index in MEASURED)


def parse(raw: bytes) -> NitroDocument:
    """Return the document that ``raw`` spells, or raise ``Malformed``."""
    value = read_cbor(raw, max_bytes=MAX_BYTES, what=_WHAT)
    if isinstance(value, CBORTag) and value.tag == _SIGN1:
        value = value.value
    match value:
        # The unprotected header is under no signature: whatever stood in it would only mislead.
        case [bytes(protected), dict(unprotected), bytes(payload), bytes(signature)] if not unprotected:
            pass
        case _:
            raise _malformed("it is not a COSE_Sign1 with an empty unprotected header")
    # The algorithm is AWS's to say once and for all, and not the document's.
    if read_cbor(protected, max_bytes=MAX_BYTES, what=_WHAT) != {_ALGORITHM: _ES384}:
        raise _malformed("unknown signature algorithm: its protected header is not that of ES384 alone", "alg")
    if len(signature) != _SIGNATURE_BYTES:
        raise _malformed("its signature is not of 96 bytes", "signature")
    return _parsed(protected, payload, signature, read_cbor(payload, max_bytes=MAX_BYTES, what=_WHAT))


def gather(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[NitroDocument, tuple[bytes, ...]]:
    """Return the document, given in CBOR or as text around it; it needs nothing of what lies beside it."""
    del files, given
    return parse(_unwrapped(raw)), ()


def is_document(raw: bytes) -> bool:
    """Tell whether ``raw`` is such a document, or begins as they do: one that was damaged is told what is wrong."""
    document = _unwrapped(raw)
    if _BEGINNING.match(document):
        return True
    try:
        parse(document)
    except Malformed:
        return False
    return True


def describe(document: NitroDocument) -> tuple[Shown, ...]:
    """Return every field for a person to read; nothing of it is believed."""
    meanings = _PCR_MEANINGS if document.of == "enclave" else _INSTANCE_PCR_MEANINGS
    return (
        Shown("of", document.of, "enclave: closed to its instance; instance: a machine with a NitroTPM"),
        Shown("module_id", document.module_id, "instance and enclave, or instance and NitroTPM"),
        Shown("timestamp_ms", str(document.timestamp_ms), "milliseconds since 1970, by the security module's clock"),
        Shown("debug", "yes" if document.debug else "no", "whether the registers of the program are zero"),
        *(
            Shown(f"pcr{index}", value.hex(), meanings.get(index, "platform configuration register"))
            for index, value in sorted(document.pcrs.items())
        ),
        Shown("user_data", _hex(document.user_data), "bytes that the enclave chose"),
        Shown("nonce", _hex(document.nonce), "bytes that the enclave was asked to repeat"),
        Shown("public_key", _hex(document.public_key), "key that the enclave chose"),
        *(
            Shown("certificate", item.subject_text, f"until {format_time(item.not_after)}")
            for item in (document.certificate, *reversed(document.bundle))
        ),
    )


def _parsed(protected: bytes, payload: bytes, signature: bytes, fields: Mapping[Any, Any]) -> NitroDocument:
    match fields:
        case {
            "module_id": str(module_id), "digest": "SHA384", "timestamp": int(timestamp),
            "certificate": bytes(leaf), "cabundle": list(bundle),
        } if module_id and timestamp > 0:  # fmt: skip
            pass
        case _:
            raise _malformed("a required field is missing, or of another type")
    given = {name: fields[name] for name in ("pcrs", _INSTANCE_PCRS) if name in fields}
    if len(given) != 1 or not isinstance(pcrs := next(iter(given.values())), dict):
        raise _malformed("it does not hold the registers either of an enclave or of an instance", "pcrs")
    of_instance = _INSTANCE_PCRS in given
    limits = _INSTANCE_LIMITS if of_instance else _LIMITS
    if not pcrs or not all(_is_register(index, value) for index, value in pcrs.items()):
        raise _malformed("its registers are not 1 to 32 digests", "pcrs")
    if not 0 < len(bundle) <= BUNDLE_MAX_CERTIFICATES:
        raise _malformed("it does not come with 1 to 8 certificates of authorities", "cabundle")
    return NitroDocument(
        protected=protected, payload=payload, signature=signature, module_id=module_id, timestamp_ms=timestamp,
        pcrs=pcrs, certificate=_certificate(leaf), bundle=tuple(_certificate(item) for item in bundle),
        of="instance" if of_instance else "enclave",
        **{name: _chosen(fields, name, limit) for name, limit in limits.items()},
    )  # fmt: skip


def _is_register(index: object, value: object) -> bool:
    return (
        type(index) is int and 0 <= index < PCR_COUNT and isinstance(value, bytes) and len(value) in _DIGEST_BYTES
    )  # fmt: skip


def _certificate(der: object) -> Certificate:
    if not isinstance(der, bytes) or not 0 < len(der) <= CERTIFICATE_MAX_BYTES:
        raise _malformed("a certificate is not of 1 to 1024 bytes", "certificate")
    return parse_certificate(der)


def _chosen(fields: Mapping[Any, Any], name: str, limit: int) -> bytes | None:
    value = fields.get(name)
    if value is None or (isinstance(value, bytes) and len(value) <= limit):
        return value
    raise _malformed(f"{name} is not of at most {limit} bytes", name)


def _unwrapped(raw: bytes) -> bytes:
    """Return the document inside of JSON, hex or base64 of either alphabet, or ``raw``: CBOR begins as none of them."""
    if len(raw) > 2 * MAX_BYTES or not raw[:1].isascii():
        return raw
    text = b"".join(raw.split())
    if text.startswith(b"{"):
        text = _in_json(raw)
    try:
        if _HEX.fullmatch(text):
            return bytes.fromhex(text.removeprefix(b"0x").decode())
        plain = text.rstrip(b"=").translate(_BASE64URL)
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return raw


def _in_json(raw: bytes) -> bytes:
    try:
        fields = read_json(raw, what=_WHAT, max_bytes=2 * MAX_BYTES)
    except Malformed:
        return b""
    named = [value for name, value in fields.items() if name.lower().replace("_", "") in _NAMES]
    return named[0].encode() if len(named) == 1 and isinstance(named[0], str) else b""


def _hex(value: bytes | None) -> str:
    return "none" if value is None else value.hex()


def _malformed(why: str, field: str | None = None) -> Malformed:
    return Malformed(
        "evidence.malformed", f"{_WHAT} is malformed", why=why,
        remedy="give the document as the Nitro Security Module returned it", field=field,
    )  # fmt: skip
