"""TPM quotes as they lie in files: this project's own form, bare pieces, JSON, and what go-tpm-tools writes.

===========================  =========================================================================================
a bare TPMS_ATTEST           with its other pieces in files beside it, or in Keylime's text with it
                             (``mpc.evidence.tpm_pieces``)
JSON                         ``{"ak_public": SPKI, "tpm_quote": {"message", "signature", "pcrs": [hex, ...]}}``, as
                             Confidential Containers' TPM attester writes it
protobuf ``Attestation``     of google/go-tpm-tools (proto/attest.proto, proto/tpm.proto): a quote a bank, the boot's
                             log, the key and its certificates
===========================  =========================================================================================

Beside each of them there may be certificates and a log of the boot.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from mpc.errors import Malformed
from mpc.evidence.certificate import certificates_of, parse_certificate
from mpc.evidence.chain import CHAIN_MAX_CERTIFICATES
from mpc.evidence.claims import Fact, Given
from mpc.evidence.event_log import is_event_log, parse_event_log
from mpc.evidence.format import Document
from mpc.evidence.json_fields import field_of
from mpc.evidence.loose_json import read_json
from mpc.evidence.tpm import BANK, TpmEvidence, parse
from mpc.evidence.tpm_pieces import parse_pieces, quote_in
from mpc.evidence.tpm_structures import (
    BANK_NAMES,
    PCR_COUNT,
    Attest,
    malformed,
    parse_attest,
    parse_public,
    parse_signature,
)

MAX_BYTES = 256 << 10
JSON_MAX_BYTES = 64 << 10
_MAX_FIELDS = 1024
_MAX_QUOTES = 8
_JSON = "the TPM evidence in JSON"
_PROTOBUF = "the TPM evidence of go-tpm-tools"
# Field numbers of Attestation, Quote, PCRs and of an entry of its map.
_AK_PUBLIC, _QUOTES, _EVENT_LOG, _AK_CERTIFICATE, _INTERMEDIATES = 1, 2, 3, 6, 7
_QUOTE, _RAW_SIGNATURE, _PCRS = 1, 2, 3
_BANK, _ENTRIES = 1, 2
_KEY, _VALUE = 1, 2

Field = int | bytes


def is_tpm(raw: bytes) -> bool:
    """Tell whether ``raw`` is a TPM quote in any of the forms, or the log of a boot."""
    if quote_in(raw) is not None or is_event_log(raw):
        return True
    try:
        _parse_whole(raw, Given())
    except Malformed:
        return False
    return True


def read_log(
    raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime
) -> Document | None:
    """Return what the log of a boot leads to, None for anything else. Nobody has signed it."""
    del files, given, roots, at
    if not is_event_log(raw):
        return None
    log = parse_event_log(raw)
    registers: dict[str, Fact] = {
        bank: {f"pcr{index}": value.hex() for index, value in sorted(log.replay(bank).items())} for bank in log.banks
    }
    return Document(
        "event log", "parse", {"form": log.form, "events": len(log.events), "leads_to": registers},
    )  # fmt: skip


def gather(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[TpmEvidence, tuple[bytes, ...]]:
    """Return the evidence that ``raw`` and the ``files`` beside it make, and the certificates that may bridge."""
    logs = [file for file in files if is_event_log(file)]
    others = [file for file in files if not is_event_log(file)]
    certificates: tuple[bytes, ...] = ()
    found = quote_in(raw)
    if found is not None:
        quote, along = found
        evidence = parse_pieces(quote, [*along, *others], bank=given.bank or BANK)
    else:
        evidence = _parse_whole(raw, given)
        certificates = tuple(der for file in others for der in certificates_of(file))
    if logs:
        evidence = replace(evidence, event_log=parse_event_log(logs[0]))
    return _with_leaf(evidence, certificates)


def _parse_whole(raw: bytes, given: Given) -> TpmEvidence:
    bank = given.bank or BANK
    if raw[:1] == b"{":
        return _parse_json(raw, bank)
    if raw[:1] == bytes([_AK_PUBLIC << 3 | _LENGTH_DELIMITED]):
        return _parse_protobuf(raw, bank)
    return replace(parse(raw), bank=bank)


def _with_leaf(evidence: TpmEvidence, certificates: tuple[bytes, ...]) -> tuple[TpmEvidence, tuple[bytes, ...]]:
    """Return evidence whose first certificate is the key's own, where one lies in a file beside it."""
    if evidence.certificates:
        return evidence, certificates
    for der in certificates:
        leaf = parse_certificate(der)
        if leaf.spki == evidence.spki:
            return replace(evidence, certificates=(leaf,)), tuple(other for other in certificates if other != der)
    return evidence, certificates


def _parse_json(raw: bytes, bank: str) -> TpmEvidence:
    fields = read_json(raw, what=_JSON, max_bytes=JSON_MAX_BYTES)
    quote = field_of(fields, "tpm_quote", dict, _JSON)
    attest = parse_attest(_decoded(quote, "message"))
    spki = _decoded(fields, "ak_public")
    try:
        spki = load_der_public_key(spki).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        raise malformed(_JSON, "its key does not parse", "ak_public") from None
    return TpmEvidence(
        attest=attest,
        signature=parse_signature(_decoded(quote, "signature")),
        spki=spki,
        public=None,
        pcrs=_covered(registers_of(field_of(quote, "pcrs", list, _JSON), _JSON), attest),
        certificates=(),
        bank=bank,
    )


def registers_of(values: Sequence[Any], what: str) -> dict[int, bytes]:
    """Return registers from a list of hex texts, the first of which is register 0, or raise ``Malformed``."""
    if len(values) > PCR_COUNT:
        raise malformed(what, "it gives more registers than there are", "pcrs")
    try:
        return {index: bytes.fromhex(value) for index, value in enumerate(values)}
    except (ValueError, TypeError):
        raise malformed(what, "its registers are not a list of hex texts", "pcrs") from None


def _covered(registers: Mapping[int, bytes], attest: Attest) -> dict[int, bytes]:
    indices = {index for selection in attest.selections for index in selection.indices}
    return {index: value for index, value in registers.items() if index in indices}


def _decoded(holder: Mapping[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(field_of(holder, name, str, _JSON), validate=True)
    except (binascii.Error, ValueError):
        raise malformed(_JSON, "a field is not base64", name) from None


def _parse_protobuf(raw: bytes, bank: str) -> TpmEvidence:
    if len(raw) > MAX_BYTES:
        raise malformed(_PROTOBUF, "it is over the limit of size")
    message = _Message(raw)
    public = parse_public(message.one(_AK_PUBLIC))
    given = [message.one(_AK_CERTIFICATE)] if message.has(_AK_CERTIFICATE) else []
    certificates = tuple(parse_certificate(der) for der in (*given, *message.all(_INTERMEDIATES)))
    quotes = [_quote_of(_Message(quote), public.spki) for quote in message.all(_QUOTES)]
    if not 0 < len(quotes) <= _MAX_QUOTES or len(certificates) > CHAIN_MAX_CERTIFICATES:
        raise malformed(_PROTOBUF, "it holds no quotes, or more quotes or certificates than there are banks or steps")
    chosen = next((quote for quote in quotes if quote.bank == bank), None)
    if chosen is None:
        raise malformed(_PROTOBUF, "no quote covers that bank", "bank", bank, " ".join(quote.bank for quote in quotes))
    log = message.one(_EVENT_LOG) if message.has(_EVENT_LOG) else b""
    return replace(
        chosen,
        public=public,
        certificates=certificates if given else (),
        also=tuple(replace(quote, public=public) for quote in quotes if quote is not chosen),
        event_log=parse_event_log(log) if is_event_log(log) else None,
    )


def _quote_of(message: "_Message", spki: bytes) -> TpmEvidence:
    attest = parse_attest(message.one(_QUOTE))
    pcrs = _Message(message.one(_PCRS))
    entries = [_Message(entry) for entry in pcrs.all(_ENTRIES)]
    bank = pcrs.number(_BANK)
    if bank not in BANK_NAMES:
        raise malformed(_PROTOBUF, "a quote is of an unknown bank", "bank", " or ".join(BANK_NAMES.values()), hex(bank))
    registers = {entry.number(_KEY): entry.one(_VALUE) for entry in entries}
    if len(registers) != len(entries):
        raise malformed(_PROTOBUF, "a register stands twice", "pcrs")
    return TpmEvidence(
        attest, parse_signature(message.one(_RAW_SIGNATURE)), spki, None, registers, (), bank=BANK_NAMES[bank]
    )


_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES: Final = {_FIXED64: 8, _FIXED32: 4}
_VARINT_MAX_BYTES = 10
_MORE = 0x80


@dataclass(frozen=True)
class _Message:
    """A protobuf message, read without its schema (protobuf.dev, "Encoding"); ``Malformed`` where it is none."""

    raw: bytes

    def all(self, number: int) -> list[bytes]:
        """Return every value of a field of bytes."""
        return [value for found, value in self._fields if found == number and isinstance(value, bytes)]

    def has(self, number: int) -> bool:
        return bool(self.all(number))

    def one(self, number: int) -> bytes:
        """Return the one value of a field of bytes."""
        values = self.all(number)
        if len(values) != 1:
            raise malformed(_PROTOBUF, f"field {number} does not stand in it once")
        return values[0]

    def number(self, field: int) -> int:
        """Return the last value of a field of numbers: zero is not written."""
        values = [value for found, value in self._fields if found == field and isinstance(value, int)]
        return values[-1] if values else 0

    @cached_property
    def _fields(self) -> tuple[tuple[int, Field], ...]:
        fields = tuple(islice(self._read(), _MAX_FIELDS + 1))
        if len(fields) > _MAX_FIELDS:
            raise malformed(_PROTOBUF, "it holds more fields than any quote needs")
        return fields

    def _read(self) -> Iterator[tuple[int, Field]]:
        at = 0
        while at < len(self.raw):
            key, at = self._varint(at)
            kind = key & 7
            if kind == _VARINT:
                value, at = self._varint(at)
                yield key >> 3, value
                continue
            length, at = self._varint(at) if kind == _LENGTH_DELIMITED else (_FIXED_BYTES.get(kind, -1), at)
            if length < 0 or at + length > len(self.raw):
                raise malformed(_PROTOBUF, "it does not parse as protobuf")
            yield key >> 3, self.raw[at : at + length]
            at += length

    def _varint(self, at: int) -> tuple[int, int]:
        value = 0
        for index, byte in enumerate(self.raw[at : at + _VARINT_MAX_BYTES]):
            value |= (byte & ~_MORE) << 7 * index
            if not byte & _MORE:
                return value, at + index + 1
        raise malformed(_PROTOBUF, "it does not parse as protobuf")
