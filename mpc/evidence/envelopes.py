"""Envelopes: what others put evidence of a known format into, with things around it that nobody has signed.

=========================  ===========================================================================================
dstack attestation         SCALE: version 0, kind of platform, its evidence as bytes (SNP: then its certificates), and
                           a log and settings that are left aside; alone, or in hex in JSON under ``attestation``
message wrapper            CBOR or JSON (``mpc.evidence.cmw``); also in base64 in JSON under ``cmw``, as ratsd answers
=========================  ===========================================================================================

Only the evidence is taken out, and what vouches for its key; it is then judged as if it had come alone.
Sources: dstack (Dstack-TEE/dstack, dstack-attest, ``VersionedAttestation``); ratsd (veraison/ratsd).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mpc.errors import Malformed
from mpc.evidence.cmw.reading import MAX_BYTES as WRAPPER_MAX_BYTES
from mpc.evidence.cmw.reading import parse_wrapper
from mpc.evidence.cmw.wrapper import Record, Wrapper
from mpc.evidence.loose_json import read_json
from mpc.evidence.spellings import bytes_of

MAX_BYTES: Final = 128 << 10
DSTACK, WRAPPER = "dstack attestation", "message wrapper"
_SNP: Final = 3
_PLATFORMS: Final = range(5)  # TDX, TDX of Google's cloud, Nitro, SNP, Nitro's TPM
_PARTS_MAX: Final = 16
_WRAPPER_STARTS: Final = bytes((*range(0x80, 0xC0), 0xDA)) + b"[{"  # CBOR's arrays, maps and tags; JSON


@dataclass(frozen=True)
class Held:
    """What an envelope of this ``kind`` holds: ``evidence``, and ``along`` it files that vouch for its key."""

    kind: str
    evidence: bytes
    along: tuple[bytes, ...] = ()


def held_in(raw: bytes) -> tuple[Held, ...]:
    """Return everything in ``raw`` that may be evidence; nothing where it is no envelope. Raises nothing."""
    if not raw or len(raw) > MAX_BYTES:
        return ()
    try:
        return tuple(_held(raw))
    except Malformed:
        return ()


def _held(raw: bytes) -> Iterator[Held]:
    if raw[0] == 0:
        yield _of_dstack(raw)
    elif (start := raw.lstrip()[:1]) == b"{" and (found := _answered(raw)) is not None:
        yield from _held(found)
    elif start and start in _WRAPPER_STARTS and len(raw) <= WRAPPER_MAX_BYTES:
        wrapper, _ = parse_wrapper(raw)
        yield from (Held(WRAPPER, record.value) for record in _records(wrapper))


def _answered(raw: bytes) -> bytes | None:
    """Return the envelope that stands in a JSON answer, None where there is none."""
    fields = read_json(raw, what="the answer", max_bytes=MAX_BYTES)
    inside = [value for name in ("attestation", "cmw") if (value := bytes_of(fields.get(name))) is not None]
    # Bounded in depth: an envelope in JSON holds none that is in JSON under one of these names again.
    return inside[0] if len(inside) == 1 and inside[0][:1] and b'"attestation"' not in inside[0][:64] else None


def _records(wrapper: Wrapper) -> Iterator[Record]:
    if isinstance(wrapper, Record):
        yield wrapper
        return
    for item in wrapper.items.values():
        yield from _records(item)


def _of_dstack(raw: bytes) -> Held:
    reader = _Scale(raw[1:])
    kind = reader.take(1)[0]
    if kind not in _PLATFORMS:
        raise _malformed("its platform is unknown")
    evidence = reader.bytes()
    return Held(DSTACK, evidence, tuple(_list(reader)) if kind == _SNP else ())


def _list(reader: "_Scale") -> Sequence[bytes]:
    count = reader.compact()
    if count > _PARTS_MAX:
        raise _malformed("it holds more certificates than any chain needs")
    return [reader.bytes() for _ in range(count)]


class _Scale:
    """Takes values in SCALE from the front (docs.polkadot.com, "Data Encoding"): numbers in short form, bytes."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    def take(self, count: int) -> bytes:
        taken = self._raw[self._at : self._at + count]
        if len(taken) < count:
            raise _malformed("it ends too early")
        self._at += count
        return taken

    def compact(self) -> int:
        mode = self.take(1)[0]
        more = {0: 0, 1: 1, 2: 3}.get(mode & 3)
        if more is None:
            raise _malformed("it counts more than such files hold")
        return (mode | int.from_bytes(self.take(more), "little") << 8) >> 2

    def bytes(self) -> bytes:
        return self.take(self.compact())


def _malformed(why: str) -> Malformed:
    return Malformed(
        "evidence.envelope", "the envelope is malformed", why=why, remedy="give the file as it came",
    )  # fmt: skip
