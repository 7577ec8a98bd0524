"""JSON as others write it (RFC 8259): any spelling of an object, and still exactly one value.

This project's own JSON is canonical and is read by ``mpc.canonical.parse_json``. Others' has spaces, floats and any
order of names. What two readers could read differently is refused all the same: a name that stands twice, numbers
that are none, deep nesting.
"""

import json
from typing import Any, NoReturn

from mpc.canonical import JSON_MAX_DEPTH, json_depth
from mpc.errors import Malformed

MARKS_MAX = 12_000
_MARKS = (b"{", b"[", b",", b'"')
_NUMBER_MAX_DIGITS = 40


def read_json(raw: bytes, *, what: str, max_bytes: int) -> dict[str, Any]:
    """Return the object that ``raw`` spells in UTF-8, or raise ``Malformed``."""
    if len(raw) > max_bytes:
        raise Malformed(
            "json.size", f"{what} is too long", why="it is over the limit of size", remedy="give the right file",
            field="size", expected=f"at most {max_bytes} bytes", found=f"{len(raw)} bytes",
        )  # fmt: skip
    if sum(map(raw.count, _MARKS)) > MARKS_MAX:  # each value costs time, whatever its size
        raise _malformed(what, "it holds more values than such files have")
    if json_depth(raw) > JSON_MAX_DEPTH:
        raise _malformed(what, "it is nested too deeply")
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number, parse_int=_whole_number
        )
    except (ValueError, RecursionError):
        raise _malformed(what, "it is not JSON in which every name stands once") from None
    if not isinstance(value, dict):
        raise _malformed(what, "it is no JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _whole_number(text: str) -> int:
    if len(text) > _NUMBER_MAX_DIGITS:  # to read a long number takes the square of its length
        raise ValueError("a number is too long")
    return int(text)


def _malformed(what: str, why: str) -> Malformed:
    return Malformed(
        "json.invalid", f"{what} is not readable JSON", why=f"malformed JSON: {why}", remedy="give the file as it came"
    )
