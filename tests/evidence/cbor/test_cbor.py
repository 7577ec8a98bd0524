import contextlib
import struct
import time

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.errors import Malformed
from mpc.evidence.cbor import MAX_DEPTH, CBORTag, read_cbor

LIMIT = 64 << 10

_scalars = st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20)
_keys = st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8) | st.binary(max_size=8)
_values = st.recursive(_scalars, lambda inner: st.lists(inner) | st.dictionaries(_keys, inner), max_leaves=20)


@given(_values)
def test_what_was_written_is_read(value: object):
    assert read_cbor(cbor2.dumps(value), max_bytes=LIMIT) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_malformed(raw: bytes):
    with contextlib.suppress(Malformed):
        read_cbor(raw, max_bytes=LIMIT)


@given(_values, st.binary(min_size=1, max_size=3))
def test_what_follows_the_value_is_refused(value: object, tail: bytes):
    with pytest.raises(Malformed):
        read_cbor(cbor2.dumps(value) + tail, max_bytes=LIMIT)


@pytest.mark.parametrize(
    ("spelled", "value"),
    [
        ("1817", 23),
        ("9f0102ff", [1, 2]),
        ("bf616101ff", {"a": 1}),
        ("5f41014102ff", b"\x01\x02"),
        ("a2020a010b", {2: 10, 1: 11}),
    ],
    ids=["long integer", "indefinite list", "indefinite map", "chunked bytes", "unsorted map"],
)
def test_other_spellings_are_understood(spelled: str, value: object):
    assert read_cbor(bytes.fromhex(spelled), max_bytes=LIMIT) == value


@pytest.mark.parametrize("number", [0, 1, 2, 3, 18, 24, 28, 29, 35, 258, 55799, 60000])
def test_a_tag_stays_a_tag(number: int):
    value = [b"x", {1: [{2: CBORTag(number, [3])}]}]
    read = read_cbor(cbor2.dumps(CBORTag(number, value)), max_bytes=LIMIT)
    assert (read.tag, read.value) == (number, value)


@pytest.mark.parametrize(
    "spelled",
    ["a201010102", "a2616101616102", "bf01010102ff", "a1f501", "a1f93c0001", "a1f601", "a1810101", "a1c10001"],
    ids=["number", "name", "indefinite", "true", "float", "null", "list", "tag"],
)  # fmt: skip
def test_keys_are_plain_and_stand_once(spelled: str):
    with pytest.raises(Malformed):
        read_cbor(bytes.fromhex(spelled), max_bytes=LIMIT)


@pytest.mark.parametrize(
    "opening", [b"\x81", b"\x9f", b"\xa1\x01", b"\xbf\x01", b"\xc1", b"\xd8\x18"],
    ids=["list", "indefinite list", "map", "indefinite map", "tag", "long tag"],
)  # fmt: skip
def test_nesting_is_bounded(opening: bytes):
    with pytest.raises(Malformed):
        read_cbor(opening * 20_000, max_bytes=LIMIT)
    with pytest.raises(Malformed):
        read_cbor(opening * (MAX_DEPTH + 8) + b"\0" + b"\xff" * (MAX_DEPTH + 8), max_bytes=LIMIT)


@pytest.mark.parametrize("major", [0x40, 0x60, 0x80, 0xA0])
def test_a_length_is_not_believed(major: int):
    started = time.monotonic()
    with pytest.raises(Malformed):
        read_cbor(bytes([major | 27]) + struct.pack(">Q", 2**62) + b"x", max_bytes=LIMIT)
    with pytest.raises(Malformed):
        read_cbor(bytes([major | 26]) + struct.pack(">I", 2**31) + b"x", max_bytes=LIMIT)
    assert time.monotonic() - started < 0.5


def test_size_is_bounded():
    assert read_cbor(b"\x43abc", max_bytes=4) == b"abc"
    with pytest.raises(Malformed) as refused:
        read_cbor(b"\x43abc", max_bytes=3)
    assert refused.value.code == "cbor.size"


def test_truncations_are_refused():
    whole = cbor2.dumps({"a": [1, b"bytes", {2: CBORTag(18, ["x", None])}]})
    for end in range(len(whole)):
        with pytest.raises(Malformed):
            read_cbor(whole[:end], max_bytes=LIMIT)
