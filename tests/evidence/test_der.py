"""DER has one spelling: whatever else begins like an element is refused, and never a crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.evidence.der import INTEGER, SEQUENCE, encode, read_element, sequence_of


@given(st.binary(max_size=300), st.sampled_from([0x02, 0x04, 0x30, 0x31, 0xA0]))
def test_what_is_encoded_reads_back(content: bytes, tag: int) -> None:
    read = read_element(encode(tag, content))
    assert (read.tag, read.content, read.whole) == (tag, content, encode(tag, content))


@given(st.binary(max_size=64))
def test_any_bytes_read_as_themselves_or_are_no_element(raw: bytes) -> None:
    try:
        element = read_element(raw)
    except ValueError:
        return
    assert element.whole == raw == encode(element.tag, element.content)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x30", b"\x30\x01", b"\x30\x80\x00\x00", b"\x30\x81\x01\x00", b"\x30\x82\x00\x81" + bytes(0x81),
        b"\x30\x85\x00\x00\x00\x00\x01\x00", b"\x1f\x01\x00", b"\x30\x00\x30\x00", b"\x30\x84\xff\xff\xff\xff",
    ],
)  # fmt: skip
def test_other_spellings_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"element|shortest|tag"):
        read_element(raw)


def test_children_are_of_the_element_that_was_asked_for() -> None:
    number = encode(INTEGER, b"\x01")
    outer = read_element(sequence_of(number, number))
    assert [child.whole for child in outer.children(SEQUENCE)] == [number, number]
    with pytest.raises(ValueError, match="tag"):
        outer.children(INTEGER)


def test_a_crowd_of_elements_is_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        read_element(encode(SEQUENCE, bytes(2) * 2000)).children()
