"""A report that was taken apart into named fields, put together again.

The Rust library ``sev`` (virtee), and Confidential Containers with it, writes a report as a structure in JSON: one
name a field, numbers, lists of numbers, a TCB by its parts. The signature covers the bytes that these fields make, so
a field that is wrong, or that an older spelling leaves out, makes a report that nobody has signed.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from mpc.evidence.snp.layout import REPORT_BYTES, SCALAR_BYTES, SIGNED_BYTES, product_of, tcb_bytes
from mpc.evidence.spellings import bytes_of

_MARKS: Final = frozenset({"version", "policy", "measurement", "report_data", "signature"})
_NUMBERS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType({
    "version": (0x00, 4), "guest_svn": (0x04, 4), "policy": (0x08, 8), "vmpl": (0x30, 4), "sig_algo": (0x34, 4),
    "plat_info": (0x40, 8), "key_info": (0x48, 4), "cpuid_fam_id": (0x188, 1), "cpuid_mod_id": (0x189, 1),
    "cpuid_step": (0x18A, 1), "current_build": (0x1E8, 1), "current_minor": (0x1E9, 1), "current_major": (0x1EA, 1),
    "committed_build": (0x1EC, 1), "committed_minor": (0x1ED, 1), "committed_major": (0x1EE, 1),
    "launch_mit_vector": (0x1F8, 8), "current_mit_vector": (0x200, 8),
})  # fmt: skip
_BYTES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType({
    "family_id": (0x10, 16), "image_id": (0x20, 16), "report_data": (0x50, 64), "measurement": (0x90, 48),
    "host_data": (0xC0, 32), "id_key_digest": (0xE0, 48), "author_key_digest": (0x110, 48), "report_id": (0x140, 32),
    "report_id_ma": (0x160, 32), "chip_id": (0x1A0, 64),
})  # fmt: skip
_TCBS: Final[Mapping[str, int]] = MappingProxyType({
    "current_tcb": 0x38, "reported_tcb": 0x180, "committed_tcb": 0x1E0, "launch_tcb": 0x1F0,
})  # fmt: skip
_PARTS: Final = {"fmc": "fmc", "bootloader": "bl", "tee": "tee", "snp": "snp", "microcode": "ucode"}
_OLDER: Final = {"_author_key_en": "key_info", "author_key_en": "key_info"}  # before version 4 of the library
_VERSIONS: Final = ("current", "committed")


def put_together(fields: object) -> bytes | None:
    """Return the 1184 bytes of the report that ``fields`` are of; None where they are of none."""
    if not isinstance(fields, dict) or not fields.keys() >= _MARKS:
        return None
    named = {_OLDER.get(name, name): value for name, value in _with_versions(fields).items()}
    raw = bytearray(REPORT_BYTES)
    try:
        _write(raw, named, _NUMBERS, lambda value, size: int(value).to_bytes(size, "little"))
        _write(raw, named, _BYTES, _exactly)
        for name, at in _TCBS.items():
            raw[at : at + 8] = _tcb(named, name)
        for index, scalar in enumerate("rs"):
            start = SIGNED_BYTES + index * SCALAR_BYTES
            raw[start : start + SCALAR_BYTES] = _exactly(named["signature"][scalar], SCALAR_BYTES)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        return None
    return bytes(raw)


def _with_versions(fields: Mapping[str, Any]) -> dict[str, Any]:
    parts = {
        f"{name}_{part}": value
        for name in _VERSIONS
        if isinstance(fields.get(name), dict)
        for part, value in fields[name].items()
    }
    return {**fields, **parts}


def _write(
    raw: bytearray, named: Mapping[str, Any], places: Mapping[str, tuple[int, int]], spell: Callable[[Any, int], bytes]
) -> None:
    for name, (at, size) in places.items():
        if named.get(name) is not None:
            raw[at : at + size] = spell(named[name], size)


def _exactly(value: object, size: int) -> bytes:
    found = bytes_of(value)
    if found is None or len(found) != size:
        raise ValueError("a field of another size")
    return found


def _tcb(named: Mapping[str, Any], name: str) -> bytes:
    """Return the eight bytes of a TCB; which byte is which part, the processor decides, or that there is a part FMC."""
    given: Mapping[str, Any] = named[name]
    parts = {short: int(given[part]) for part, short in _PARTS.items() if given.get(part) is not None}
    product = product_of(int(named.get("cpuid_fam_id") or 0), int(named.get("cpuid_mod_id") or 0))
    return tcb_bytes(parts, product or ("Turin" if "fmc" in parts else "Milan"))
