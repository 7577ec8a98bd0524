"""Azure's evidence in files of its own: the paravisor's report as it lies in NVRAM, and beside it what the vTPM signed.

The quote lies in JSON of ``message``, ``signature``, ``pcrs``; or in what az-cvm-vtpm writes of the same (bincode:
each of the three begins with its length, u64, little-endian); or message and signature each in a file of their own,
then without registers. A quote of the TD is recognised by its first bytes. Whatever else lies there are endorsements.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mpc.evidence.azure.layout import malformed
from mpc.evidence.tpm_pieces import is_bare_quote

MAGIC = b"HCLA"
_TD_QUOTES = (b"\4\0\2\0\x81\0\0\0", b"\5\0\2\0\x81\0\0\0")  # version 4 or 5, ECDSA P-256, TDX
_RSA_SIGNATURES = (256, 262)  # of 2048 bits: alone, and as TPMT_SIGNATURE
_LENGTH_BYTES, _REGISTER_BYTES, _PARTS = 8, 32, 2


@dataclass(frozen=True)
class Pieces:
    """What lies beside a report, sorted; ``quote`` has the fields of the JSON form, None where there is no quote."""

    quote: dict[str, Any] | None
    td_quote: bytes | None
    endorsements: tuple[bytes, ...]


def sorted_pieces(files: Sequence[bytes]) -> Pieces:
    """Return the ``files`` beside a report by what they are, or raise ``Malformed``."""
    quotes: list[dict[str, Any]] = []
    parts: dict[str, list[int]] = {}
    td_quotes: list[bytes] = []
    others: list[bytes] = []
    for file in files:
        whole = _in_json(file) or _in_bincode(file)
        part = "message" if is_bare_quote(file) else "signature" if len(file) in _RSA_SIGNATURES else None
        if whole is not None:
            quotes.append(whole)
        elif part is not None:
            if part in parts:
                raise malformed(f"there is more than one {part} of a quote", part)
            parts[part] = list(file)
        else:
            (td_quotes if file[: len(_TD_QUOTES[0])] in _TD_QUOTES else others).append(file)
    if parts:
        quotes.append(parts | {"pcrs": []})
    if len(quotes) > 1 or len(td_quotes) > 1 or len(parts) % _PARTS:
        raise malformed("there is not one whole quote beside it", "quote")
    return Pieces(next(iter(quotes), None), next(iter(td_quotes), None), tuple(others))


def _in_json(file: bytes) -> dict[str, Any] | None:
    if file.lstrip()[:1] != b"{":
        return None
    try:
        found = json.loads(file)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and {"message", "signature", "pcrs"} <= found.keys() else None


def _in_bincode(file: bytes) -> dict[str, Any] | None:
    try:
        signature, message, registers = _bincode_parts(file)
    except ValueError:
        return None
    values = [list(registers[at : at + _REGISTER_BYTES]) for at in range(0, len(registers), _REGISTER_BYTES)]
    return {"signature": list(signature), "message": list(message), "pcrs": values} if is_bare_quote(message) else None


def _bincode_parts(file: bytes) -> Iterator[bytes]:
    at = 0
    for size in (1, 1, _REGISTER_BYTES):
        length = int.from_bytes(file[at : at + _LENGTH_BYTES], "little") * size
        at += _LENGTH_BYTES + length
        yield file[at - length : at]
    if at != len(file):
        raise ValueError("bytes follow it, or a part is longer than the file")
