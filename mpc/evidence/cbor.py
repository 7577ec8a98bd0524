"""CBOR as vendors write it (RFC 8949): any valid encoding of a value, and still exactly one value.

This project's own values are deterministic and are read by ``mpc.canonical.parse_cbor``. Others' documents need not
be: their integers may be long, their containers of indefinite length, their maps in any order. What could be read in
two ways is refused all the same: a key that stands twice, keys that are no names or numbers, bytes after the value.
"""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import cbor2
from cbor2 import CBORTag

from mpc.errors import Malformed

__all__ = ["CBORTag", "read_cbor"]

MAX_DEPTH = 16

# The tags that cbor2 would decode by itself, some of them by running code on what they hold; here a tag is a tag.
_BUILT_IN = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)


def read_cbor(raw: bytes, *, max_bytes: int, what: str = "the CBOR document") -> Any:  # noqa: ANN401 - any plain value
    """Return the one value that ``raw`` spells, or raise ``Malformed``.

    Values are plain (None, bool, int, float, str, bytes, list, dict); a tag of any number is a ``CBORTag`` with
    ``tag`` and ``value``. Keys are int, str or bytes. At most ``MAX_DEPTH`` levels; nothing may follow the value.
    """
    if len(raw) > max_bytes:
        raise Malformed(
            "cbor.size", f"{what} is too long", why="it is over the limit of size",
            remedy="give the whole document, and nothing else", field="size",
            expected=f"at most {max_bytes} bytes", found=f"{len(raw)} bytes",
        )  # fmt: skip
    stream = BytesIO(raw)
    try:
        value = cbor2.load(
            stream, max_depth=MAX_DEPTH, allow_duplicate_keys=False, object_hook=_with_plain_keys,
            semantic_decoders=_LEFT_ALONE, tag_hook=_plainly_tagged,
        )  # fmt: skip
    except (cbor2.CBORError, ValueError, TypeError, RecursionError, OverflowError, MemoryError) as failure:
        raise _malformed(what, f"it does not parse ({type(failure).__name__})") from None
    if stream.read(1):
        raise _malformed(what, "bytes follow it")
    return value


def _with_plain_keys(pairs: Mapping[Any, Any], _immutable: object) -> Mapping[Any, Any]:
    # True equals 1 in Python and is another key in CBOR.
    if any(type(key) not in {int, str, bytes} for key in pairs):
        raise ValueError("a key is neither number nor name")
    return pairs


def _left_alone(number: int) -> Callable[[Any, object], CBORTag]:
    return lambda value, _immutable: CBORTag(number, _plain(value))


def _plainly_tagged(tag: CBORTag, _immutable: object) -> CBORTag:
    return CBORTag(tag.tag, _plain(tag.value))


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return lists and dicts for the immutable kinds that cbor2 makes below a tag."""
    match value:
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict() | cbor2.frozendict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value


_LEFT_ALONE = {number: _left_alone(number) for number in _BUILT_IN}


def _malformed(what: str, why: str) -> Malformed:
    return Malformed(
        "cbor.invalid", f"{what} is not one CBOR value", why=why, remedy="give the whole document, and nothing else"
    )
