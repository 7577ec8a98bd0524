"""Every byte of every accepted vector counts: flipped, cut off or added, it is refused, or nobody signs it.

What nobody signs is listed by name in ``UNCOVERED``, and a flip there changes no claim. What only has to parse
(settings, policies, a wrapper by itself) is under no signature at all, and is not looked at here.

Run whole, each byte and each length takes its turn: SEALROOM_EVERY_BYTE=1, some minutes a format. Otherwise a sample
does.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from mpc.evidence.formats import FORMATS
from mpc.evidence.spellings import plain_name
from tests.vectors import Entry, entries, judge, needs_vectors, read

WHOLE = bool(os.environ.get("SEALROOM_EVERY_BYTE"))
SAMPLE = 24
"""Flips of one piece of evidence; a step that is odd meets other bits and fields each time."""
CUTS = 8
LENGTH_DELIMITED = 2

Uncovered = Callable[[bytes, int], bool]


def _log_of_the_boot(raw: bytes, at: int) -> bool:
    """Tell whether the byte is of a firmware's event log, which only explains the registers."""
    return raw.find(b"Spec ID Event03") - 32 <= at < raw.find(b"\x30\x82\x05\x38")


def _zero_of_protobuf(raw: bytes, at: int) -> bool:
    """Tell whether a field is spelled that is zero, and may be left out as well."""
    return raw[at : at + 2] == b"\x08\x00"


def flipped(raw: bytes, at: int) -> int:
    """Return the byte that stands at ``at`` once one of its bits is flipped, each in its turn."""
    return raw[at] ^ 1 << at % 8


def _case_of_hex(raw: bytes, at: int) -> bool:
    """Tell whether only a letter of hex became a large one, or a small one."""
    return bytes([flipped(raw, at)]).lower() == raw[at : at + 1].lower() and raw[at : at + 1].lower() in b"abcdef"


def _spelling_of_a_name(raw: bytes, at: int) -> bool:
    """Tell whether the byte is of a field's name, which stays the same name: they are known in any case."""
    begin, end = raw.rfind(b'"', 0, at) + 1, raw.find(b'"', at)
    changed = raw[begin:at] + bytes([flipped(raw, at)]) + raw[at + 1 : end]
    is_name = raw[end + 1 : end + 2] == b":" and changed.isascii()
    return is_name and plain_name(changed.decode()) == plain_name(raw[begin:end].decode())


def _register_not_quoted(raw: bytes, at: int) -> bool:
    """Tell whether the byte is of a register in hex; of one that was quoted, no flip is accepted."""
    begin = raw.rfind(b'"', 0, at) + 1
    return re.match(rb'[0-9a-f]{64}"', raw[begin:]) is not None


def _repeated_certificate(raw: bytes, at: int) -> bool:
    """Tell whether the byte is of a certificate that stands in the same file a second time, or of a name for it."""
    named = raw.find(b'": "-----BEGIN CERTIFICATE', at, at + 64)  # the name may change: nobody misses this copy
    begin = named + 4 if named >= 0 else raw.rfind(b"-----BEGIN CERTIFICATE", 0, at + len(b"-----BEGIN"))
    end = raw.find(b"-----END CERTIFICATE-----", begin) + len(b"-----END CERTIFICATE-----")
    return begin >= 0 and at < end and raw.count(_letters(raw[begin:end])) > 1


def _letters(block: bytes) -> bytes:
    return max(re.findall(rb"[A-Za-z0-9+/=]{40,}", block), key=len, default=b"?")


def _under_the_processors_mac(raw: bytes, at: int) -> bool:
    """Tell whether the byte is of those in a TDREPORT that the quote beside it does not repeat.

    They are the structure with the processor's MAC, and the TEE's own TCB (Intel TDX module specification, TDREPORT).
    """
    begin = raw.index(b'"hcl_report": "') + len(b'"hcl_report": "')
    report = range(32, 32 + 1024)
    places = {*report[0:128], *report[192:512], *report[912:1024]}
    return (at - begin) * 3 // 4 in places or ((at - begin) * 3 + 3) // 4 in places


UNCOVERED: Final[dict[str, dict[str, Uncovered]]] = {
    "tpm": {
        "log of the boot": _log_of_the_boot, "zero that need not be written": _zero_of_protobuf,
        "register that was not quoted": _register_not_quoted,
    },
    "dcap-collateral": {
        "certificate that stands there twice": _repeated_certificate, "case of hex": _case_of_hex,
        "spelling of a name": _spelling_of_a_name,
    },
    "azure-vtpm": {"what only the processor's MAC protects": _under_the_processors_mac, "case of hex": _case_of_hex},
}  # fmt: skip
SIGNED: Final = {
    "tpm": 6, "tdx": 17, "dcap-collateral": 20, "sev-snp": 28, "nitro": 3, "azure-vtpm": 6, "enarx": 2, "ear": 3,
}  # fmt: skip


def padded(entry: Entry, raw: bytes) -> tuple[bytes, bytes]:
    """Return a piece of evidence without what may be left out at its end, and which bytes may stand there."""
    if entry["format"] == "tdx":
        return raw.rstrip(b"\0"), b"\0"  # with which attesters pad quotes
    return (raw.rstrip(), b" \n") if raw.isascii() else (raw, b"")  # white space of texts


def signed(name: str) -> list[Entry]:
    """Return the accepted vectors of a format that something was signed in."""
    found = (entry for entry in entries(name) if entry["expect"]["verdict"] == "accept")
    return [entry for entry in found if entry["expect"]["stage"] != "parse" and not _bare(entry)]


def _bare(entry: Entry) -> bool:
    """Tell whether it is a claims set without the token around it."""
    return bool(entry["format"] == "ear" and read(entry["file"]).lstrip().startswith(b"{"))


@needs_vectors
def test_every_accepted_vector_that_is_signed_is_tried() -> None:
    assert Counter({name: len(signed(name)) for name in FORMATS if signed(name)}) == SIGNED


def flips(entry: Entry, raw: bytes) -> Iterator[tuple[int, bytes]]:
    step = 1 if WHOLE else max(1, len(raw) // SAMPLE) | 1
    for at in range(0 if WHOLE else len(entry["id"]) % step, len(raw), step):
        yield at, raw[:at] + bytes([flipped(raw, at)]) + raw[at + 1 :]


@needs_vectors
@pytest.mark.timeout(7200 if WHOLE else 600)
@pytest.mark.parametrize("name", SIGNED)
def test_a_flipped_byte_is_refused_or_is_one_that_nobody_signs(name: str) -> None:
    tried = 0
    for entry in signed(name):
        raw = read(entry["file"])
        right = judge(entry).as_data()["claims"]
        for at, changed in flips(entry, raw):
            verdict = judge(entry, raw=changed)
            tried += 1
            if verdict.accepted:
                named = [what for what, covers in UNCOVERED.get(name, {}).items() if covers(raw, at)]
                assert named, (entry["id"], at)
                assert _without_log(verdict.as_data()["claims"]) == _without_log(right), (entry["id"], at, named)
    assert tried >= SIGNED[name] * SAMPLE


def _without_log(claims: object) -> object:
    """Return claims without the explanation that a log gives."""
    assert isinstance(claims, dict)
    return claims | {"facts": {key: value for key, value in claims["facts"].items() if key != "event_log"}}


def between_fields(raw: bytes) -> set[int]:
    """Return where the top fields of a protobuf message end: cut there, it is a shorter message (its specification)."""
    ends, at = set(), 0
    while at < len(raw) and raw[at] & 7 == LENGTH_DELIMITED:
        size, shift, at = 0, 0, at + 1
        while True:
            size, shift, at = size | (raw[at] & 0x7F) << shift, shift + 7, at + 1
            if raw[at - 1] < 0x80:
                break
        at += size
        ends.add(at)
    return ends


@needs_vectors
@pytest.mark.timeout(7200 if WHOLE else 600)
@pytest.mark.parametrize("name", SIGNED)
def test_nothing_may_be_cut_off_or_added(name: str) -> None:
    for entry in signed(name):
        raw = read(entry["file"])
        bare, free = padded(entry, raw)
        step = 1 if WHOLE else max(1, len(bare) // CUTS)
        right, ends = judge(entry).as_data()["claims"], between_fields(raw) if name == "tpm" else set()
        for length in sorted({*range(0, len(bare), step), len(bare) - 1, *ends} - {len(bare)}):
            verdict = judge(entry, raw=raw[:length])
            if verdict.accepted:  # other banks' quotes, or the log that explains, are left out
                assert length in ends, (entry["id"], length)
                assert _without_log(verdict.as_data()["claims"]) == _without_log(right), (entry["id"], length)
        for more in (b"\0", b"\n", b" ", b"\1", raw):
            if not free or more.strip(free):
                assert not judge(entry, raw=raw + more).accepted, (entry["id"], more[:1])
