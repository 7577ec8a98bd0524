"""Wrappers as they are read: CBOR (array, tag, map), JSON (array, object), and the extension of a certificate."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from mpc.errors import Malformed
from mpc.evidence.cbor import CBORTag, read_cbor
from mpc.evidence.certificate import Certificate
from mpc.evidence.cmw.wrapper import (
    COLLECTION_TYPE,
    FORMAT_MAX,
    TAG_OF_FORMAT_0,
    Collection,
    Indicator,
    Record,
    Wrapper,
)
from mpc.evidence.der import OCTET_STRING, UTF8_STRING, read_element
from mpc.evidence.ear.jws import decoded
from mpc.evidence.loose_json import read_json

MAX_BYTES: Final = 64 << 10
MAX_ITEMS: Final = 256
EXTENSION: Final = "1.3.6.1.5.5.7.1.35"  # id-pe-cmw (draft-ietf-rats-msg-wrap, 6.1)
_WHAT = "the message wrapper"
_MEDIA_TYPE = re.compile(
    r"[A-Za-z0-9][\w.+!#$&^-]{0,126}/[A-Za-z0-9][\w.+!#$&^-]{0,126}(?:\s*;\s*[\x20-\x7e]+)?", re.ASCII
)
_ALL_INDICATORS = sum(Indicator)
_LIST = "list"
_TUNNELS: Final = {True: "#cmw-c2j-tunnel", False: "#cmw-j2c-tunnel"}  # in JSON, in CBOR

Serialization = Literal["cbor", "json"]


def parse_wrapper(raw: bytes) -> tuple[Wrapper, Serialization]:
    """Return the wrapper that ``raw`` spells and in which of the two ways, or raise ``Malformed``."""
    if raw.lstrip()[:1] in {b"[", b"{"}:
        return _wrapper(_read_json(raw), text=True), "json"
    return _wrapper(read_cbor(raw, max_bytes=MAX_BYTES, what=_WHAT), text=False), "cbor"


def wrapper_in(certificate: Certificate) -> tuple[Wrapper, Serialization, bool]:
    """Return the wrapper in a certificate, its spelling, and whether the extension is critical."""
    found = [(critical, value) for oid, critical, value in certificate.extensions if oid == EXTENSION]
    if len(found) != 1:
        raise malformed("the certificate holds no message wrapper")
    critical, value = found[0]
    try:
        element = read_element(value)
    except ValueError:
        raise malformed("its extension is not one element of DER") from None
    wrapper, spelled = parse_wrapper(element.content)
    if element.tag != {"cbor": OCTET_STRING, "json": UTF8_STRING}[spelled]:
        raise malformed("its extension holds CBOR in no OCTET STRING, or JSON in no UTF8String")
    return wrapper, spelled, critical


def malformed(why: str) -> Malformed:
    """Return the refusal of bytes that are no wrapper."""
    return Malformed(
        "evidence.wrapper", f"{_WHAT} is malformed", why=why,
        remedy="write it as draft-ietf-rats-msg-wrap has it: [type, value] or a collection of such",
    )  # fmt: skip


def _read_json(raw: bytes) -> object:
    # The reader takes objects alone: a list of the outermost level is given to it as the member of one.
    text = raw.strip()
    if text[:1] == b"{":
        return read_json(text, what=_WHAT, max_bytes=MAX_BYTES)
    inside = read_json(b'{"list":' + text + b"}", what=_WHAT, max_bytes=MAX_BYTES)
    if list(inside) != [_LIST]:
        raise malformed("it is not one JSON value")
    return inside[_LIST]


def _wrapper(value: object, *, text: bool) -> Wrapper:
    match value:
        case list():
            return _record(value, text=text)
        case CBORTag() if not text:
            return _tagged(value)
        case dict():
            return _collection(value, text=text)
        case _:
            raise malformed("it is neither a record nor a collection")


def _record(parts: list[Any], *, text: bool) -> Wrapper:
    match parts:
        case [type_, value, *rest] if len(rest) <= 1:
            pass
        case _:
            raise malformed("a record does not have two or three parts")
    if text and isinstance(value, str):
        value = decoded(value.encode(errors="replace"))
    if not isinstance(value, bytes):
        raise malformed("the value of a record is no text of bytes")
    if type_ == _TUNNELS[text] and not rest:
        return _tunnelled(value, text=not text)
    return Record(_type(type_), value, _indicator(rest[0]) if rest else None)


def _tunnelled(value: bytes, *, text: bool) -> Wrapper:
    """Return the wrapper of the other spelling that a record holds, so that one may mix both (earlier drafts)."""
    wrapper, spelled = parse_wrapper(value)
    if spelled != ("json" if text else "cbor"):
        raise malformed("a tunnel holds a wrapper of the spelling that it stands in")
    return wrapper


def _type(spelled: object) -> str | int:
    if isinstance(spelled, str) and _MEDIA_TYPE.fullmatch(spelled):
        return spelled
    if isinstance(spelled, int) and not isinstance(spelled, bool) and 0 <= spelled <= FORMAT_MAX:
        return spelled
    raise malformed("the type of a record is no media type, nor the number of a content format")


def _indicator(spelled: object) -> Indicator:
    if isinstance(spelled, bool) or not isinstance(spelled, int) or not 0 < spelled <= _ALL_INDICATORS:
        raise malformed("the indicator of a record names no conceptual message, or one that is not known")
    return Indicator(spelled)


def _tagged(tag: CBORTag) -> Record:
    number = tag.tag - TAG_OF_FORMAT_0
    if not 0 <= number <= FORMAT_MAX or not isinstance(tag.value, bytes):
        raise malformed("a tag is not that of a content format over bytes")
    return Record(number, tag.value)


def _collection(members: Mapping[Any, Any], *, text: bool) -> Collection:
    kind = members.get(COLLECTION_TYPE)
    items = {label: value for label, value in members.items() if label != COLLECTION_TYPE}
    if kind is not None and not (isinstance(kind, str) and kind):
        raise malformed("the type of a collection is no text")
    if not 0 < len(items) <= MAX_ITEMS or not all(isinstance(label, str | int) for label in items):
        raise malformed("a collection is empty, too long, or labelled by bytes")
    return Collection({label: _wrapper(value, text=text) for label, value in items.items()}, kind)
