"""MessagePack is read whole or refused, and never costs more than its size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.errors import Malformed
from mpc.evidence.messagepack import MAX_DEPTH, MAX_VALUES, is_messagepack, read_messagepack


def test_every_kind_of_value_is_read() -> None:
    raw = (
        b"\x8b\xa1a\x07\xa1b\xff\xa1c\xc0\xa1d\xc3\xa1e\xcd\x01\x00\xa1f\xd1\xff\x00"
        b"\xa1g\x92\x01\x02\xa1h\xc4\x02hi\xa1i\xd9\x01x\xa1j\xdc\x00\x01\xc2\xa1k\x81\xa1z\x00"
    )  # fmt: skip
    assert is_messagepack(raw)
    assert read_messagepack(raw) == {
        "a": 7, "b": -1, "c": None, "d": True, "e": 256, "f": -256, "g": [1, 2], "h": b"hi", "i": "x", "j": [False],
        "k": {"z": 0},
    }  # fmt: skip


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x81", b"\x81\xa1a", b"\x81\xa1a\x01\x00", b"\x93\x01\x02\x03", b"\x82\xa1a\x01\xa1a\x02",
        b"\x81\x01\x01",
        b"\x81\xa1a\xca\x00\x00\x00\x00", b"\x81\xa1a\xd4\x00\x00", b"\x81\xa1a\xc1", b"\x81\xa1\xff\x01",
        b"\x81\xa1a\xdd\xff\xff\xff\xff", b"\x81\xa1a" + b"\x91" * (MAX_DEPTH + 1) + b"\x00",
        b"\x81\xa1a\xdd" + (MAX_VALUES + 1).to_bytes(4) + b"\x00" * (MAX_VALUES + 1),
    ],
)  # fmt: skip
def test_what_is_not_one_map_of_known_values_refuses(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_messagepack(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_malformed(raw: bytes) -> None:
    for data in (raw, b"\x81\xa1a" + raw):
        is_messagepack(data)
        try:
            read_messagepack(data)
        except Malformed:
            continue
