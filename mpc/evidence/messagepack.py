"""MessagePack as others wrap evidence in it: a map of names, read whole or refused (msgpack.org, specification).

Only what a wrapper holds is read: maps, arrays, texts, bytes, whole numbers, true, false and nil. Floats and extension
types refuse. A dependency would be another package to measure into the enclave, for these lines.
"""

from collections.abc import Callable
from typing import Any, Final

from mpc.errors import Malformed

MAX_DEPTH: Final = 16
MAX_VALUES: Final = 16 << 10  # bytes come as arrays of numbers, each of them a value
_FIXED_MAPS, _FIXED_ARRAYS, _FIXED_TEXTS, _SMALL, _NEGATIVE = (
    range(0x80, 0x90), range(0x90, 0xA0), range(0xA0, 0xC0), range(0x80), range(0xE0, 0x100),
)  # fmt: skip
_MAPS: Final = {0xDE: 2, 0xDF: 4}  # first byte: how many bytes the count has
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_TEXTS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BYTES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_UNSIGNED: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_SIGNED: Final = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_CONSTANTS: Final = {0xC0: None, 0xC2: False, 0xC3: True}


def is_messagepack(raw: bytes) -> bool:
    """Tell whether ``raw`` begins as a map with a name does."""
    size = 1 + _MAPS.get(raw[0], 0) if raw else 0
    return bool(raw) and (raw[0] in _FIXED_MAPS or raw[0] in _MAPS) and _is_text(raw[size : size + 1])


def read_messagepack(raw: bytes) -> dict[str, Any]:
    """Return the map that ``raw`` spells, each name once and nothing after it, or raise ``Malformed``."""
    reader = _Reader(raw)
    found = reader.value(0)
    if not isinstance(found, dict) or reader.at != len(raw):
        raise _malformed("it is not one map and nothing else")
    return found


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self._raw, self.at, self._values = raw, 0, 0

    def value(self, depth: int) -> Any:  # noqa: ANN401 - any plain value
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            raise _malformed("it is nested too deeply, or holds more values than wrappers have")
        first = self._number(1)
        if first in _SMALL:
            return first
        if first in _NEGATIVE:
            return first - 0x100
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        return self._sized(first, depth)

    def _sized(self, first: int, depth: int) -> Any:  # noqa: ANN401
        readers: tuple[tuple[range, dict[int, int], Callable[[int], Any]], ...] = (
            (_FIXED_MAPS, _MAPS, lambda count: self._map(count, depth)),
            (_FIXED_ARRAYS, _ARRAYS, lambda count: [self.value(depth + 1) for _ in range(count)]),
            (_FIXED_TEXTS, _TEXTS, self._text),
            (range(0), _BYTES, self._take),
        )
        for fixed, sizes, read in readers:
            if first in fixed:
                return read(first - fixed.start)
            if first in sizes:
                return read(self._number(sizes[first]))
        if first in _UNSIGNED or first in _SIGNED:
            size = (_UNSIGNED | _SIGNED)[first]
            return int.from_bytes(self._take(size), signed=first in _SIGNED)
        raise _malformed("it holds a kind of value that no wrapper has")

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(count):
            name = self.value(depth + 1)
            if not isinstance(name, str) or name in found:
                raise _malformed("a name is no text, or stands twice")
            found[name] = self.value(depth + 1)
        return found

    def _text(self, count: int) -> str:
        try:
            return self._take(count).decode()
        except UnicodeDecodeError:
            raise _malformed("a text is not UTF-8") from None

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size))

    def _take(self, count: int) -> bytes:
        taken = self._raw[self.at : self.at + count]
        if len(taken) < count:
            raise _malformed("it ends too early")
        self.at += count
        return taken


def _is_text(first: bytes) -> bool:
    return bool(first) and (first[0] in _FIXED_TEXTS or first[0] in _TEXTS)


def _malformed(why: str) -> Malformed:
    return Malformed(
        "evidence.messagepack", "the wrapper is malformed", why=f"malformed MessagePack: {why}",
        remedy="give the file as it came",
    )  # fmt: skip
