"""The data of Veracruz's examples, as its generators write them: tables as text, pairs of numbers in postcard."""

import math
import struct
from collections.abc import Iterable

from mpc.errors import Malformed
from mpc.evidence.claims import Fact

DATA_MAX_BYTES = 512 << 10
LINES_MAX = 20_000
_PAIR_BYTES = 16  # two f64, little-endian
_CONTINUED = 0x80
_LENGTH_MAX_BYTES = 5  # of a varint below 2^32


def text_of(raw: bytes) -> str | None:
    """Return ``raw`` as text, None when it is none: UTF-8 without control characters but those between lines."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    # Reading character by character would take longer than the rest; a translation table does not.
    return text if text.isascii() and text.replace("\r\n", "\n").replace("\n", "").isprintable() else None


def describe_table(text: str) -> dict[str, Fact]:
    """Return lines and columns of a text whose fields are apart by commas; ``Malformed`` when lines differ."""
    if text.count("\n") > LINES_MAX:
        raise _malformed(f"more than {LINES_MAX} lines")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    widths = {line.count(",") + 1 for line in lines}
    if len(widths) != 1:
        raise _malformed("ragged table" if lines else "empty table")
    return {"lines": len(lines), "columns": widths.pop()}


def is_pairs(raw: bytes) -> bool:
    """Tell whether ``raw`` is a postcard list of pairs of finite numbers: a varint, and so many times 16 bytes."""
    length, start = _varint(raw)
    return length > 0 and len(raw) == start + _PAIR_BYTES * length and all(map(math.isfinite, _numbers(raw, start)))


def describe_pairs(raw: bytes) -> dict[str, Fact]:
    """Return the rows of such a list, and the line of least squares as Veracruz's example computes it, to the bit.

    Plain sums from left to right: a better way to add would give other bits.
    """
    _, start = _varint(raw)
    numbers = _numbers(raw, start)
    x, y = numbers[::2], numbers[1::2]
    middle_x, middle_y = _added(x) / len(x), _added(y) / len(y)
    spread = _added((value - middle_x) * (value - middle_x) for value in x)
    facts: dict[str, Fact] = {"rows": len(x)}
    if spread > 0:
        together = _added((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True))
        facts["gradient"] = together / spread
        facts["intercept"] = middle_y - together / spread * middle_x
    return facts


def _numbers(raw: bytes, start: int) -> tuple[float, ...]:
    return struct.unpack_from(f"<{(len(raw) - start) // 8}d", raw, start)


def _added(values: Iterable[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def _varint(raw: bytes) -> tuple[int, int]:
    """Return a LEB128 number and where it ends; 0 when there is none."""
    number = 0
    for place, byte in enumerate(raw[:_LENGTH_MAX_BYTES]):
        number |= (byte & ~_CONTINUED) << 7 * place
        if not byte & _CONTINUED:
            return number, place + 1
    return 0, 0


def _malformed(why: str) -> Malformed:
    return Malformed(
        "evidence.data", "the data are malformed", why=why, remedy="give the table as its generator wrote it"
    )
