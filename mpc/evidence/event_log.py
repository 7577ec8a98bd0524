"""Logs of a measured boot: the list of what was extended into which register, in the firmware's own words.

Two forms are read. The crypto-agile one (``TCG_PCR_EVENT2``) has a digest a bank; the confidential computing log of a
TD (CCEL) is one too, in which register 1 stands for RTMR 0 and so on. The older form (``TCG_PCR_EVENT``), of TPM 1.2
and of firmware that only has a SHA-1 bank, has one SHA-1 digest. Numbers are little-endian.

Nobody signs a log: it explains a register where playing it again gives the quoted value, and where it does not it
explains nothing. Even then an event's data is measured only if its digest is the event's.
Source: "TCG PC Client Platform Firmware Profile", 10.2 and 10.4.5; UEFI specification, 38.4.1 (CC measurement).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mpc.errors import Malformed
from mpc.evidence.claims import Fact

MAX_BYTES = 1 << 20
MAX_EVENTS = 1024
_BANKS: Final = {0x0004: "sha1", 0x000B: "sha256", 0x000C: "sha384", 0x000D: "sha512"}
_HEADER_SIGNATURE = b"Spec ID Event03\0"
_HEADER_DATA_AT = 32  # register, type, SHA-1 digest and size of the first event, which is in the older form
_SHA1_BYTES = 20
_REGISTERS = 24
_LOCALITY = b"StartupLocality\0"
_NO_ACTION = 0x3
_HCRTM = 0x80000010
_IPL = 0xD
_SHOWN_CHARACTERS = 120
_NAMES: Final = {
    0x0: "EV_PREBOOT_CERT", 0x1: "EV_POST_CODE", 0x3: "EV_NO_ACTION", 0x4: "EV_SEPARATOR", 0x5: "EV_ACTION",
    0x6: "EV_EVENT_TAG", 0x7: "EV_S_CRTM_CONTENTS", 0x8: "EV_S_CRTM_VERSION", 0x9: "EV_CPU_MICROCODE",
    0xA: "EV_PLATFORM_CONFIG_FLAGS", 0xB: "EV_TABLE_OF_DEVICES", 0xC: "EV_COMPACT_HASH", 0xD: "EV_IPL",
    0xE: "EV_IPL_PARTITION_DATA", 0xF: "EV_NONHOST_CODE", 0x10: "EV_NONHOST_CONFIG", 0x11: "EV_NONHOST_INFO",
    0x12: "EV_OMIT_BOOT_DEVICE_EVENTS", 0x80000001: "EV_EFI_VARIABLE_DRIVER_CONFIG", 0x80000002: "EV_EFI_VARIABLE_BOOT",
    0x80000003: "EV_EFI_BOOT_SERVICES_APPLICATION", 0x80000004: "EV_EFI_BOOT_SERVICES_DRIVER",
    0x80000005: "EV_EFI_RUNTIME_SERVICES_DRIVER", 0x80000006: "EV_EFI_GPT_EVENT", 0x80000007: "EV_EFI_ACTION",
    0x80000008: "EV_EFI_PLATFORM_FIRMWARE_BLOB", 0x80000009: "EV_EFI_HANDOFF_TABLES",
    0x8000000A: "EV_EFI_PLATFORM_FIRMWARE_BLOB2", 0x8000000B: "EV_EFI_HANDOFF_TABLES2",
    0x8000000C: "EV_EFI_VARIABLE_BOOT2", 0x80000010: "EV_EFI_HCRTM_EVENT",
    0x800000E0: "EV_EFI_VARIABLE_AUTHORITY", 0x800000E1: "EV_EFI_SPDM_FIRMWARE_BLOB",
}  # fmt: skip


@dataclass(frozen=True)
class Event:
    """One entry: ``register`` it was extended into, ``kind`` (TCG's event type), a digest a bank, and the data."""

    register: int
    kind: int
    digests: Mapping[str, bytes]
    data: bytes

    @property
    def name(self) -> str:
        """The name of the kind in TCG's words."""
        return _NAMES.get(self.kind, f"{self.kind:#x}")

    def is_measured(self, bank: str) -> bool:
        """Tell whether the data is what was extended; for a boot loader's text without its label and closing zero."""
        forms = [self.data]
        if self.kind == _IPL:
            text = self.data.rstrip(b"\0")
            forms += [text, text.partition(b": ")[2]]
        return any(hashlib.new(bank, form).digest() == self.digests.get(bank) for form in forms)

    def shown(self, bank: str) -> str:
        """Return the event in one line; data that was not measured is left out, for anybody can have written it."""
        if not self.is_measured(bank):
            return self.name
        text = self.data.decode("utf-16-le" if self.data[1:2] == b"\0" else "utf-8", errors="replace").rstrip("\0")
        plain = "".join(char if char.isprintable() else "." for char in text[:_SHOWN_CHARACTERS])
        return f"{self.name}: {plain}" if text.isprintable() else f"{self.name}: {len(self.data)} bytes"


@dataclass(frozen=True)
class EventLog:
    """A log, parsed and believed in nothing."""

    events: tuple[Event, ...]
    form: Literal["crypto-agile", "older"] = "crypto-agile"

    @property
    def banks(self) -> tuple[str, ...]:
        """The banks in which every measuring event has a digest."""
        measuring = [event.digests.keys() for event in self.events if event.kind != _NO_ACTION]
        return tuple(bank for bank in _BANKS.values() if measuring and all(bank in digests for digests in measuring))

    def replay(self, bank: str) -> dict[int, bytes]:
        """Return what the registers named in the log hold after all of its events (Part 1, 17.2)."""
        registers: dict[int, bytes] = {}
        size = hashlib.new(bank).digest_size
        start = self._startup_locality()
        for event in self.events:
            digest = event.digests.get(bank)
            if event.kind == _NO_ACTION or digest is None:
                continue
            first = bytes([start]) if event.register == 0 else b"\0"
            before = registers.get(event.register, bytes(size - 1) + first)
            registers[event.register] = hashlib.new(bank, before + digest).digest()
        return registers

    def explained(self, bank: str, quoted: Mapping[int, bytes]) -> dict[int, tuple[str, ...]]:
        """Return the events, in words, of every ``quoted`` register that this log leads to."""
        right = {index for index, value in self.replay(bank).items() if quoted.get(index) == value}
        return {
            index: tuple(
                event.shown(bank)
                for event in self.events
                if event.register == index and event.kind != _NO_ACTION and bank in event.digests
            )
            for index in sorted(right)
        }

    def explanation(
        self, bank: str, quoted: Mapping[int, bytes], *, name: str = "pcr", first: int = 0
    ) -> dict[str, Fact]:
        """Return which events lead to which register, and which registers hold something that no event leads to.

        A register is shown as ``name`` and its number, counted from ``first``.
        """
        explained = self.explained(bank, quoted)
        left = (index for index, value in quoted.items() if index not in explained and set(value) - {0, 0xFF})
        shown: dict[str, Fact] = {f"{name}{index - first}": events for index, events in explained.items()}
        return {**shown, "unexplained": tuple(str(index - first) for index in left)}

    def _startup_locality(self) -> int:
        for event in self.events:
            if event.kind == _NO_ACTION and event.data[:-1] == _LOCALITY:
                return event.data[-1]
            if event.kind == _HCRTM:
                return 4  # 10.2.2: firmware that the hardware measured starts register 0 from its locality
        return 0


def is_event_log(raw: bytes) -> bool:
    """Tell whether ``raw`` begins as every crypto-agile log does, or is a log in the older form to its end."""
    if _is_agile(raw):
        return True
    if int.from_bytes(raw[:4], "little") >= _REGISTERS or int.from_bytes(raw[4:8], "little") not in _NAMES:
        return False
    try:
        parse_event_log(raw)
    except Malformed:
        return False
    return True


def parse_event_log(raw: bytes) -> EventLog:
    """Return the log that ``raw`` spells, with nothing after it but padding, or raise ``Malformed``."""
    if len(raw) > MAX_BYTES:
        raise _malformed("it is over the limit of size")
    reader = _Reader(raw)
    if not _is_agile(raw):
        return EventLog(_events(reader, None), "older")
    reader.take(_HEADER_DATA_AT - 4)
    sizes = _bank_sizes(_Reader(reader.take(reader.number(4))))
    return EventLog(_events(reader, sizes))


def _is_agile(raw: bytes) -> bool:
    return raw[_HEADER_DATA_AT : _HEADER_DATA_AT + len(_HEADER_SIGNATURE)] == _HEADER_SIGNATURE


def _events(reader: "_Reader", sizes: Mapping[int, int] | None) -> tuple[Event, ...]:
    events: list[Event] = []
    while not reader.is_at_padding():
        if len(events) == MAX_EVENTS:
            raise _malformed("it holds more events than any boot has")
        events.append(_older_event(reader) if sizes is None else _event(reader, sizes))
    if sizes is None and not events:
        raise _malformed("it holds no events")
    return tuple(events)


def _older_event(reader: "_Reader") -> Event:
    register, kind = reader.number(4), reader.number(4)
    digests = {"sha1": reader.take(_SHA1_BYTES)}
    if register >= _REGISTERS and kind != _NO_ACTION:  # firmware leaves notes under register -1
        raise _malformed("an event is of a register that no TPM has")
    return Event(register, kind, digests, reader.take(reader.number(4)))


def _bank_sizes(header: "_Reader") -> dict[int, int]:
    header.take(len(_HEADER_SIGNATURE) + 8)  # platform class, version, errata, size of an integer
    count = header.number(4)
    if not 0 < count <= len(_BANKS) * 2:
        raise _malformed("it names no banks, or more than there are")
    sizes = {header.number(2): header.number(2) for _ in range(count)}
    if any(sizes[bank] != hashlib.new(name).digest_size for bank, name in _BANKS.items() if bank in sizes):
        raise _malformed("it gives a digest another size than it has")
    return sizes


def _event(reader: "_Reader", sizes: Mapping[int, int]) -> Event:
    register, kind, count = (reader.number(4) for _ in range(3))
    if count > len(sizes):
        raise _malformed("an event has more digests than the log has banks")
    digests: dict[str, bytes] = {}
    for _ in range(count):
        bank = reader.number(2)
        if bank not in sizes:
            raise _malformed("an event has a digest of a bank that the log does not name")
        digest = reader.take(sizes[bank])
        if bank in _BANKS:
            digests[_BANKS[bank]] = digest
    return Event(register, kind, digests, reader.take(reader.number(4)))


class _Reader:
    """Takes little-endian numbers and bytes from the front; ``Malformed`` when they run out."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0
        # Firmware hands over whole pages: what was never written is zeros or ones.
        self._written = min(len(raw.rstrip(b"\0")), len(raw.rstrip(b"\xff")))

    def take(self, count: int) -> bytes:
        taken = self._raw[self._at : self._at + count]
        if len(taken) < count:
            raise _malformed("it ends too early")
        self._at += count
        return taken

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def is_at_padding(self) -> bool:
        return self._at >= self._written


def _malformed(why: str) -> Malformed:
    return Malformed(
        "evidence.event_log", "the log of the boot is malformed", why=why,
        remedy="give the log as the firmware hands it over (binary_bios_measurements)",
    )  # fmt: skip
