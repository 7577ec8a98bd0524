"""Azure's evidence as it lies in files: JSON of report and quotes, certificates padded to the size of an NV index.

Names and spellings differ between those who write it (Confidential Containers in several versions, lunal, flashbots):
``hcl_report`` or ``report``; ``tpm_quote`` or ``quote`` of ``message``, ``signature``, ``pcrs``; ``td_quote``;
``vcek_pem`` or ``vcek``; ``ak_certificate`` and its like. Bytes are base64 of either alphabet, hex, or a list of
numbers. All of it may lie in an envelope, ``{"platform": ..., "evidence": ...}``; or the report lies alone, and
the rest in files beside it (``mpc.evidence.azure.pieces``).
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from mpc.errors import Malformed
from mpc.evidence.azure.layout import REPORT_MAX_BYTES, AzureEvidence, HclReport, malformed, parse_report_of_paravisor
from mpc.evidence.azure.pieces import MAGIC, sorted_pieces
from mpc.evidence.certificate import CERTIFICATE_MAX_BYTES, certificates_of, parse_certificate
from mpc.evidence.claims import Fact, Given, Shown
from mpc.evidence.event_log import is_event_log, parse_event_log
from mpc.evidence.format import Document
from mpc.evidence.intel import TdReport as TdBody
from mpc.evidence.intel import parse_quote
from mpc.evidence.json_fields import field_of, refuse_field
from mpc.evidence.loose_json import read_json
from mpc.evidence.snp import Report
from mpc.evidence.spellings import spelled
from mpc.evidence.tpm import BANK, TpmEvidence
from mpc.evidence.tpm import describe as describe_quote
from mpc.evidence.tpm_structures import BANK_NAMES, PCR_COUNT, Signature, parse_attest, parse_signature

MAX_BYTES = 128 << 10
_SPELLED_MAX_BYTES = 2 * REPORT_MAX_BYTES
_WHAT = "the evidence of an Azure VM"
_REPORT = ("hcl_report", "report")
_QUOTE = ("tpm_quote", "quote")
_TD_QUOTE = ("td_quote", "tdx_quote")
_CERTIFICATES = ("vcek_pem", "vcek", "ak_certificate", "ak_cert", "ak_certificate_der", "ak_intermediates")
_LONG_SEQUENCE, _LONG_HEADER_BYTES = b"\x30\x82", 4  # of 256 to 65535 bytes (X.690, 8.1.3.5)
_AK_SUBJECT = ".ConfidentialVM.Azure.windows.net"
_SIGNATURE_SCHEMES = (b"\x00\x14", b"\x00\x16")


def parse(raw: bytes) -> AzureEvidence:
    """Return the evidence that ``raw`` holds, JSON or the paravisor's report alone, or raise ``Malformed``."""
    raw = _spelled(raw)
    if raw.startswith(MAGIC):
        return AzureEvidence(parse_report_of_paravisor(raw), None, None, ())
    return _parse(raw, BANK)


def gather(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[AzureEvidence, tuple[bytes, ...]]:
    """Return the evidence, and the files beside it with the padding of certificates cut off.

    A log of the boot among them explains the registers.
    """
    raw, logs = _spelled(raw), [file for file in files if is_event_log(file)]
    evidence, others = _gather(raw, [file for file in files if file not in logs], given.bank or BANK)
    if logs and evidence.quote is not None:
        evidence = replace(evidence, quote=replace(evidence.quote, event_log=parse_event_log(logs[0])))
    return evidence, tuple(unpadded(file)[0] for file in others)


def _spelled(raw: bytes) -> bytes:
    """Return the paravisor's report where ``raw`` is one in hex or base64, and anything else as it is."""
    if len(raw) > _SPELLED_MAX_BYTES or raw.startswith((MAGIC, b"{")):
        return raw
    found = spelled(raw)
    return raw if found is None or not found.startswith(MAGIC) else found


def _gather(raw: bytes, files: Sequence[bytes], bank: str) -> tuple[AzureEvidence, Sequence[bytes]]:
    if not raw.startswith(MAGIC):
        return _parse(raw, bank), files
    pieces = sorted_pieces(files)
    report = parse_report_of_paravisor(raw)
    quote = None if pieces.quote is None else _quote(pieces.quote, report, bank)
    td_quote = None if pieces.td_quote is None else parse_quote(pieces.td_quote)
    return AzureEvidence(report, quote, td_quote, ()), pieces.endorsements


def is_azure(raw: bytes) -> bool:
    """Tell whether ``raw`` is such JSON, the paravisor's report, or the certificate of a vTPM's key."""
    try:
        if raw[:2] == _LONG_SEQUENCE:
            return parse_certificate(unpadded(raw)[0]).subject_text.endswith(_AK_SUBJECT)
        parse(raw)
    except Malformed:
        return False
    return True


def certificate_of(
    raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime
) -> Document | None:
    """Return what the certificate of a vTPM's key (NV index 0x01C101D0) says; None for anything else."""
    del files, given, roots, at
    if raw[:2] != _LONG_SEQUENCE:
        return None
    der, zeros = unpadded(raw)
    certificate = parse_certificate(der)
    facts: dict[str, Fact] = {
        "der_length": len(der), "trailing_zeros": zeros > 0, "subject": certificate.subject_text,
    }  # fmt: skip
    return Document("padded certificate" if zeros else "certificate", "parse", facts)


def unpadded(raw: bytes) -> tuple[bytes, int]:
    """Return a DER certificate without the zeros behind it, and how many they were; anything else as it is."""
    length = _LONG_HEADER_BYTES + int.from_bytes(raw[2:_LONG_HEADER_BYTES])
    if raw[:2] != _LONG_SEQUENCE or any(raw[length:]) or len(raw) > CERTIFICATE_MAX_BYTES:
        return raw, 0
    return raw[:length], max(len(raw) - length, 0)


def describe(evidence: AzureEvidence) -> tuple[Shown, ...]:
    """Return the fields of report and quote for a person to read; nothing of it is believed."""
    report, hardware = evidence.report, evidence.report.hardware
    settings = sorted(report.configuration.items())
    body = evidence.td_quote.body if evidence.td_quote else None
    return (
        Shown("tee", report.tee, "the processor's protection of the VM"),
        Shown("report_data", hardware.report_data.hex(), "what the hardware's report holds"),
        Shown("runtime data", report.bound.hex(), "hash of the runtime data: what it has to hold"),
        *(
            (Shown("measurement", hardware.measurement.hex(), "of the paravisor"),)
            if isinstance(hardware, Report)
            else ()
        ),
        *((Shown("mrtd", body.mrtd.hex(), "of the paravisor"),) if isinstance(body, TdBody) else ()),
        *(Shown(name.replace("-", "_"), str(value).lower(), "how the VM is configured") for name, value in settings),
        Shown("user_data", report.user_data, "bytes that the guest wrote to NV index 0x01400002"),
        *(describe_quote(evidence.quote) if evidence.quote else ()),
    )


def _parse(raw: bytes, bank: str) -> AzureEvidence:
    if raw.lstrip()[:1] != b"{":
        raise malformed("it is not JSON")
    fields = _without_envelope(read_json(raw, what=_WHAT, max_bytes=MAX_BYTES))
    report = parse_report_of_paravisor(_bytes(fields, _REPORT))
    name = _name(fields, _QUOTE)
    quote = _quote(field_of(fields, name, dict, _WHAT), report, bank)
    td_quote = parse_quote(_bytes(fields, _TD_QUOTE)) if any(fields.get(each) for each in _TD_QUOTE) else None
    brought = [der for each in _CERTIFICATES if fields.get(each) for der in _certificates(fields, each)]
    return AzureEvidence(report, quote, td_quote, tuple(brought))


def _without_envelope(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the evidence, also where it lies in an envelope that names the platform (``az-snp``, ``az-tdx``)."""
    inner = fields.get("evidence")
    return inner if isinstance(inner, dict) and not any(name in fields for name in _REPORT) else fields


def _quote(fields: Mapping[str, Any], report: HclReport, bank: str) -> TpmEvidence:
    attest = parse_attest(_bytes(fields, ("message",)))
    values = field_of(fields, "pcrs", list, _WHAT)
    if len(values) > PCR_COUNT:
        raise malformed("it gives more registers than there are", "pcrs")
    registers = {index: _decoded(value, "pcrs") for index, value in enumerate(values)}
    covered = {index for selection in attest.selections for index in selection.indices}
    if not set(bank.split()) <= set(BANK_NAMES.values()):
        raise malformed("there is no such bank of registers", "bank")
    return TpmEvidence(
        attest=attest,
        signature=_signature(_bytes(fields, ("signature",))),
        spki=report.ak,
        public=None,
        pcrs={index: value for index, value in registers.items() if index in covered},
        certificates=(),
        bank=bank,
    )


def _signature(raw: bytes) -> Signature:
    # Some keep TPMT_SIGNATURE, most its last field alone; the vTPM's key signs RSASSA with SHA-256 only.
    if raw[:2] in _SIGNATURE_SCHEMES and int.from_bytes(raw[4:6]) == len(raw) - 6:
        return parse_signature(raw)
    return Signature("rsassa_pkcs1v15", "sha256", raw)


def _certificates(fields: Mapping[str, Any], name: str) -> Sequence[bytes]:
    value = fields[name]
    if isinstance(value, str) and value.lstrip().startswith("-----BEGIN"):
        return certificates_of(value.strip().encode())
    if isinstance(value, list) and not all(isinstance(item, int) for item in value):
        return [der for index in range(len(value)) for der in _certificates({name: value[index]}, name)]
    return certificates_of(unpadded(_decoded(value, name))[0])


def _name(fields: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((name for name in names if name in fields), names[0])


def _bytes(fields: Mapping[str, Any], names: Sequence[str]) -> bytes:
    name = _name(fields, names)
    if name not in fields:
        refuse_field(_WHAT, "missing field", name, "bytes", "nothing")
    return _decoded(fields[name], name)


def _decoded(value: object, name: str) -> bytes:
    """Return the bytes that a value of JSON spells: hex if it can be, else base64 of either alphabet, or numbers."""
    try:
        if isinstance(value, list):
            return bytes(value)
        if isinstance(value, str):
            return _from_text(value)
    except (ValueError, TypeError, binascii.Error):
        pass
    return refuse_field(_WHAT, "malformed bytes", name, "hex, base64 or a list of numbers", type(value).__name__)


def _from_text(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
