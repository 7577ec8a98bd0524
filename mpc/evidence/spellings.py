"""Bytes as text: hex, base64 of either alphabet, with or without line ends, lists of numbers; and what is around them.

Tools, proxies and clouds hand evidence over in JSON, CBOR or MessagePack, each under names of its own. What a text
spells is decided by its form alone; nothing here knows what the bytes mean, and nothing raises.
"""

import json
import re
from base64 import b64decode
from binascii import Error
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from mpc.canonical import JSON_MAX_DEPTH, json_depth
from mpc.errors import Malformed
from mpc.evidence.cbor import CBORTag, read_cbor
from mpc.evidence.loose_json import MARKS_MAX, read_json
from mpc.evidence.messagepack import is_messagepack, read_messagepack

WRAPPER_MAX_BYTES: Final = 128 << 10
_HEX: Final = re.compile(rb"(?:0[xX])?((?:[0-9A-Fa-f]{2})+)")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{64,}={0,2}")
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_PEM: Final = b"-----"
_BYTE_MAX: Final = 255
_CBOR_MAP: Final = range(0xA0, 0xC0)  # RFC 8949, 3.1: major type 5
_WRAPPER: Final = "the wrapper"


def spelled(text: bytes) -> bytes | None:
    """Return what ``text`` spells in hex (also behind ``0x``) or in base64, None where it spells nothing."""
    bare = b"".join(text.split())
    if (found := _HEX.fullmatch(bare)) is not None:
        return bytes.fromhex(found[1].decode())
    if bare.startswith(_PEM) or _BASE64.fullmatch(bare) is None:  # PEM without spaces can look like base64url
        return None
    bare = bare.rstrip(b"=").translate(_TO_STANDARD)
    try:
        return b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except Error:
        return None


def bytes_of(value: object) -> bytes | None:
    """Return the bytes that a value is or spells: a text in hex or base64, or a list of numbers below 256."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return spelled(value.encode("ascii", "replace"))
    if isinstance(value, list) and value and all(type(one) is int and 0 <= one <= _BYTE_MAX for one in value):
        return bytes(value)
    return None


@lru_cache(maxsize=8)
def named_in(raw: bytes, names: frozenset[str]) -> tuple[Any, ...]:
    """Return the values under one of ``names`` (small letters and digits) at any depth of ``raw``, in order.

    ``raw`` is JSON, or a map in CBOR or MessagePack. A value at the top that is a text or a list of JSON counts as
    named. Anything else holds none.
    """
    whole = _whole(raw)
    return () if whole is None else tuple(_named(whole, names)) if isinstance(whole, dict) else (whole,)


@lru_cache(maxsize=4)  # each format asks of the same file in turn
def _whole(raw: bytes) -> object:
    if len(raw) > WRAPPER_MAX_BYTES:
        return None
    try:
        if raw[:1] and raw[0] in _CBOR_MAP:
            return read_cbor(raw, max_bytes=WRAPPER_MAX_BYTES, what=_WRAPPER)
        if is_messagepack(raw):
            return read_messagepack(raw)
        match raw.lstrip()[:1]:
            case b"{":
                return read_json(raw, what=_WRAPPER, max_bytes=WRAPPER_MAX_BYTES)
            case b"[" | b'"':
                return _bare(raw)
    except Malformed:
        pass
    return None


def _bare(raw: bytes) -> object:
    if raw.count(b",") > MARKS_MAX or json_depth(raw) > JSON_MAX_DEPTH:
        return None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _named(holder: object, names: frozenset[str]) -> Iterator[Any]:
    # Depth is bounded by the readers; lists of numbers, which are long, are not gone through.
    if isinstance(holder, CBORTag):
        yield from _named(holder.value, names)
    elif isinstance(holder, dict):
        for name, value in holder.items():
            if isinstance(name, str) and plain_name(name) in names:
                yield value
            else:
                yield from _named(value, names)
    elif isinstance(holder, list) and holder and not isinstance(holder[0], int):
        for value in holder:
            yield from _named(value, names)


def plain_name(name: str) -> str:
    """Return ``name`` in small letters and without what separates words: ``tdx_quote`` and ``tdxQuote`` are one."""
    return "".join(filter(str.isalnum, name)).lower()


def joined_once(found: Sequence[bytes]) -> bytes | None:
    """Return the one value that ``found`` holds, however often; None where there is none, or another beside it."""
    return found[0] if found and all(one == found[0] for one in found) else None
