"""What is wrapped, and how it is written (draft-ietf-rats-msg-wrap, 3).

A record is a value with its type: a media type, or a CoAP content format where one is registered. It may say which
kind of conceptual message it is (RFC 9334, 8). A collection holds records and collections under names or numbers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from mpc.canonical import canonical_cbor
from mpc.evidence.cbor import CBORTag
from mpc.evidence.ear.jws import encoded

TAG_OF_FORMAT_0: Final = 0x63740101
"""The CBOR tag of content format 0; those of the others follow it (RFC 9277, 4.3)."""

FORMAT_MAX: Final = 0xFFFF
COLLECTION_TYPE: Final = "__cmwc_t"


class Indicator(IntFlag):
    """Which conceptual messages a record holds (3.1)."""

    REFERENCE_VALUES = 1
    ENDORSEMENTS = 2
    EVIDENCE = 4
    ATTESTATION_RESULTS = 8
    APPRAISAL_POLICY = 16


@dataclass(frozen=True)
class Record:
    """A value and its type: a media type, or the number of a content format."""

    type: str | int
    value: bytes
    indicator: Indicator | None = None


@dataclass(frozen=True)
class Collection:
    """Records and collections by label; ``kind`` is a URI or OID that names the type of the collection."""

    items: "Mapping[str | int, Record | Collection]"
    kind: str | None = None


Wrapper = Record | Collection


def to_cbor(wrapper: Wrapper) -> bytes:
    """Return the wrapper as deterministic CBOR: records as arrays."""
    return canonical_cbor(_plain(wrapper, text=False))


def to_json(wrapper: Wrapper) -> bytes:
    """Return the wrapper as JSON; ``ValueError`` where a label of a collection is a number."""
    return json.dumps(_plain(wrapper, text=True), separators=(",", ":"), ensure_ascii=False).encode()


def to_tag(record: Record) -> bytes:
    """Return a record as one CBOR tag; ``ValueError`` unless its type is a content format and it has no indicator."""
    if not isinstance(record.type, int) or record.indicator is not None:
        raise ValueError("a tag says a content format and nothing else")
    return canonical_cbor(CBORTag(TAG_OF_FORMAT_0 + record.type, record.value))


def _plain(wrapper: Wrapper, *, text: bool) -> object:
    if isinstance(wrapper, Record):
        value = encoded(wrapper.value).decode() if text else wrapper.value
        return [wrapper.type, value] + ([] if wrapper.indicator is None else [int(wrapper.indicator)])
    if text and any(isinstance(label, int) for label in wrapper.items):
        raise ValueError("JSON knows no labels that are numbers")
    plain: dict[str | int, object] = {} if wrapper.kind is None else {COLLECTION_TYPE: wrapper.kind}
    return plain | {label: _plain(item, text=text) for label, item in wrapper.items.items()}
