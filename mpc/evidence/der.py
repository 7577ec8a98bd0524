"""DER, one element at a time (X.690, 8.1 and 10.1): for structures that no library knows, and to tell files apart.

Only what DER allows is read: definite lengths in their shortest form, tags below 31. So an element has one spelling.
"""

from functools import lru_cache
from typing import Final, NamedTuple

INTEGER, BIT_STRING, OCTET_STRING, OBJECT_IDENTIFIER, UTF8_STRING = 0x02, 0x03, 0x04, 0x06, 0x0C
BOOLEAN, SEQUENCE, SET, CONTEXT_0 = 0x01, 0x30, 0x31, 0xA0
"""Tags as the one byte with which the element begins."""

# Which character set each kind of string is in; T61String is read as everybody writes it.
_TEXTS: Final = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii", 0x14: "latin-1", 0x1E: "utf-16-be", 0x1C: "utf-32-be"}
_HIGH_TAG: Final = 0x1F
_LONG_LENGTH: Final = 0x80
_LENGTH_MAX_BYTES: Final = 4
_ELEMENTS_MAX: Final = 1024
_ARC_BITS, _ARC_MASK, _ARC_MAX_BITS = 7, 0x7F, 64


class Element(NamedTuple):
    """One element: its first byte (class, form and number), its content, and all of it.

    A tuple, since a certificate has a hundred of them and a frozen dataclass takes three times as long to make.
    """

    tag: int
    content: bytes
    whole: bytes

    def children(self, tag: int | None = None) -> tuple["Element", ...]:
        """Return the elements inside; ``ValueError`` where there are none to read, or ``tag`` is not this one's."""
        if tag is not None and tag != self.tag:
            raise ValueError(f"an element of tag {tag:#x} is expected, and {self.tag:#x} stands there")
        return _elements(self.content)


def read_element(der: bytes) -> Element:
    """Return the one element that ``der`` is; ``ValueError`` when it is none, or something follows it."""
    found = _elements(der, most=1)
    if not found:
        raise ValueError("there is no element")
    return found[0]


def integer_of(element: Element) -> int:
    """Return the number that an INTEGER is; ``ValueError`` where the element is none."""
    if element.tag != INTEGER or not element.content:
        raise ValueError("no integer")
    return int.from_bytes(element.content, "big", signed=True)


def text_of(element: Element) -> str:
    """Return the text that a string of any kind is; ``ValueError`` where the element is none."""
    if element.tag not in _TEXTS:
        raise ValueError("no text")
    return element.content.decode(_TEXTS[element.tag])


def dotted(element: Element) -> str:
    """Return an OBJECT IDENTIFIER in dotted decimal (X.690, 8.19); ``ValueError`` where the element is none."""
    if element.tag != OBJECT_IDENTIFIER:
        raise ValueError("no object identifier")
    return _identifier(element.content)


@lru_cache(maxsize=256)  # the same few stand in every certificate
def _identifier(content: bytes) -> str:
    numbers, number = [], 0
    for byte in content:
        number = number << _ARC_BITS | byte & _ARC_MASK
        if number >> _ARC_MAX_BITS:
            raise ValueError("an identifier with a number of absurd size")
        if byte <= _ARC_MASK:
            numbers.append(number)
            number = 0
    if not numbers or content[-1] > _ARC_MASK:
        raise ValueError("no object identifier")
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def sequence_of(*parts: bytes) -> bytes:
    """Return the SEQUENCE of elements that are DER already."""
    return encode(SEQUENCE, b"".join(parts))


def encode(tag: int, content: bytes) -> bytes:
    """Return one element."""
    size = len(content)
    if size < _LONG_LENGTH:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, _LONG_LENGTH | len(length)]) + length + content


def _elements(raw: bytes, most: int = _ELEMENTS_MAX) -> tuple[Element, ...]:
    found: list[Element] = []
    at, end = 0, len(raw)
    while at < end:
        start, tag, length, at = at, raw[at], raw[at + 1] if at + 1 < end else _LONG_LENGTH, at + 2
        if length >= _LONG_LENGTH or tag & _HIGH_TAG == _HIGH_TAG:  # most are short, and a call takes as long again
            length, at = _long_header(raw, start)
        if at + length > end or len(found) == most:
            raise ValueError("an element is longer than what holds it, or there are too many")
        found.append(Element(tag, raw[at : at + length], raw[start : at + length]))
        at += length
    return tuple(found)


def _long_header(raw: bytes, at: int) -> tuple[int, int]:
    """Return the length of the content, and where it begins, of an element whose length takes several bytes."""
    if raw[at] & _HIGH_TAG == _HIGH_TAG:
        raise ValueError("a tag of several bytes")
    size = raw[at + 1] & ~_LONG_LENGTH if at + 1 < len(raw) else 0
    spelled = raw[at + 2 : at + 2 + size]
    length = int.from_bytes(spelled, "big")
    if not 0 < size <= _LENGTH_MAX_BYTES or len(spelled) != size or spelled[0] == 0 or length < _LONG_LENGTH:
        raise ValueError("a length that is not in its shortest form")
    return length, at + 2 + size
