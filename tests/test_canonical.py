"""One value has one spelling; every other one is refused before anybody relies on it."""

import time as clock
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mpc.canonical import (
    CBOR_MAX_DEPTH,
    JSON_MAX_BYTES,
    JSON_MAX_DEPTH,
    Decimal,
    Term,
    Text,
    Timestamp,
    Whole,
    canonical_cbor,
    canonical_json,
    digest_of,
    format_time,
    json_depth,
    parse_cbor,
    parse_json,
    parse_time,
    sha256,
)
from mpc.errors import Malformed


class Sample(Term):
    name: Text
    number: int
    parts: tuple["Sample", ...]


SAMPLE = Sample(name="überall", number=3, parts=(Sample(name="b", number=-1, parts=()),))
RAW = canonical_json(SAMPLE)


def refused(raw: bytes, code: str) -> Malformed:
    with pytest.raises(Malformed) as refusal:
        parse_json(Sample, raw, what="the sample")
    assert refusal.value.code == code
    return refusal.value


samples = st.recursive(
    st.builds(Sample, name=st.text("aäb z\n", min_size=1, max_size=9), number=st.integers(-(2**53) + 1, 2**53 - 1),
              parts=st.just(())),
    lambda inner: st.builds(Sample, name=st.just("x"), number=st.just(0), parts=st.lists(inner, max_size=3).map(tuple)),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(sample=samples)
def test_what_parses_is_what_was_written(sample: Sample) -> None:
    raw = canonical_json(sample)
    assert parse_json(Sample, raw, what="the sample") == sample
    assert digest_of(sample) == sha256(raw)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (RAW + b" ", "json.not_canonical"),
        (b" " + RAW, "json.not_canonical"),
        (b'{"number":1,"name":"a","parts":[]}', "json.not_canonical"),
        (b'{"name":"\\u0061","number":1,"parts":[]}', "json.not_canonical"),
        (b'{"name":"a","number":-0,"parts":[]}', "json.not_canonical"),
        (b'{"name":"a","number":1.0,"parts":[]}', "json.field"),
        (b'{"name":"a","number":"1","parts":[]}', "json.field"),
        (b'{"name":"a","number":true,"parts":[]}', "json.field"),
        (b'{"name":"a","name":"a","number":1,"parts":[]}', "json.duplicate_field"),
        (b'{"name":"a","number":1,"parts":[{"name":"a","name":"b","number":1,"parts":[]}]}', "json.duplicate_field"),
        (b'{"name":"a","number":1}', "json.missing_field"),
        (b'{"extra":1,"name":"a","number":1,"parts":[]}', "json.unknown_field"),
        (b'{"name":"a\xcc\x88","number":1,"parts":[]}', "json.field"),  # not NFC
        (b'{"name":"","number":1,"parts":[]}', "json.field"),
        (b'{"name":"a","number":9007199254740993,"parts":[]}', "json.invalid"),
        (b'{"name":"a","number":NaN,"parts":[]}', "json.field"),
        (b'{"name":"a","number":' + b"9" * 5000 + b',"parts":[]}', "json.invalid"),
        (b'{"name":"\\ud800","number":1,"parts":[]}', "json.field"),
        (b'{"name":"\xff","number":1,"parts":[]}', "json.invalid"),
        (b"", "json.invalid"),
        (b"null", "json.field"),
        (RAW[:-1], "json.invalid"),
        (RAW.decode().encode("utf-16"), "json.field"),
        (b"\xef\xbb\xbf" + RAW, "json.field"),
        (b"[" * (JSON_MAX_DEPTH + 1) + b"]" * (JSON_MAX_DEPTH + 1), "json.depth"),
        (b"[" * 500_000, "json.depth"),
        (b"{" * 500_000, "json.depth"),
        (b'"' + b"x" * JSON_MAX_BYTES + b'"', "json.size"),
    ],
)
def test_every_other_spelling_refuses(raw: bytes, code: str) -> None:
    refused(raw, code)


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=80) | st.text('{}[]":,\\0aue', max_size=40).map(str.encode))
@example(b'{"name":"a","number":1,"parts":[]}\x00')
def test_any_bytes_are_a_term_or_malformed(raw: bytes) -> None:
    with suppress(Malformed):
        assert canonical_json(parse_json(Sample, raw, what="the sample")) == raw


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(RAW) - 1), flip=st.integers(1, 255))
def test_any_changed_byte_is_another_value_or_malformed(at: int, flip: int) -> None:
    changed = bytearray(RAW)
    changed[at] ^= flip
    with suppress(Malformed):
        assert parse_json(Sample, bytes(changed), what="the sample") != SAMPLE


def test_refusals_do_not_repeat_what_was_sent() -> None:
    refusal = refused(b'{"name":"a","number":"patient-4711","parts":[]}', "json.field")
    assert "4711" not in str(refusal)
    assert refusal.field == "number"


@pytest.mark.parametrize(
    ("raw", "depth"),
    [
        (b"", 0), (b"1", 0), (b"[]", 1), (b'{"a":[{}]}', 3), (b'"[[["', 0), (b'["\\"[[", {}]', 2), (b'"\\\\"[', 1),
        (b'"never closed [[[', 0), (b'"\\\n[" [', 1), (b"]][", 0),
    ],
)  # fmt: skip
def test_depth_counts_brackets_outside_strings(raw: bytes, depth: int) -> None:
    assert json_depth(raw) == max(depth, 0)


def test_depth_of_an_unclosed_string_of_quotes_takes_linear_time() -> None:
    # With a scan that starts anew at each quote this takes minutes; it is asked before anybody is authenticated.
    raw = b'"' + b'\\"' * (JSON_MAX_BYTES // 2 - 1)
    started = clock.process_time()
    assert json_depth(raw) == 0
    assert clock.process_time() - started < 5


def valid(kind: Any, text: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(text, strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("text", ["0", "1", "-1", "10", "0.5", "-0.5", "12.25", "1" * 38])
def test_a_decimal(text: str) -> None:
    assert valid(Decimal, text)


@pytest.mark.parametrize(
    "text", ["-0", "00", "01", "1.0", "0.50", ".5", "5.", "+1", "1e3", "-0.0", "", "1\n", "1" * 39]
)
def test_a_number_has_one_spelling(text: str) -> None:
    assert not valid(Decimal, text)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("0", True), (str(2**63 - 1), True), (str(-(2**63)), True), (str(2**63), False), (str(-(2**63) - 1), False),
        ("-0", False), ("01", False), ("1_000", False), ("\u0661", False), (" 1", False),
    ],
)  # fmt: skip
def test_a_whole_number_fits_64_bits(text: str, good: bool) -> None:
    assert valid(Whole, text) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("2026-02-28T23:59:59Z", True), ("2026-02-29T00:00:00Z", False), ("2026-02-28T23:59:60Z", False),
        ("2026-02-28T24:00:00Z", False), ("2026-02-28T23:59:59+00:00", False), ("0000-01-01T00:00:00Z", False),
        ("2026-02-28 23:59:59Z", False), ("2026-02-28T23:59:59Z\n", False),
    ],
)  # fmt: skip
def test_a_timestamp_is_a_real_time(text: str, good: bool) -> None:
    assert valid(Timestamp, text) is good


@settings(max_examples=100, deadline=None)
@given(time=st.datetimes(timezones=st.just(UTC)), hours=st.integers(-12, 12))
@example(time=datetime(7, 1, 1, tzinfo=UTC), hours=0)
def test_a_time_survives_its_spelling(time: datetime, hours: int) -> None:
    text = format_time(time)
    assert valid(Timestamp, text)
    assert parse_time(text) == time.replace(microsecond=0)
    if 1000 < time.year < 9000:
        assert format_time(time.astimezone(timezone(timedelta(hours=hours)))) == text


def test_a_time_without_a_zone_is_no_time() -> None:
    with pytest.raises(ValueError, match="zone"):
        format_time(datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is refused


@pytest.mark.parametrize(
    "text",
    ["a\u202eb", "a\u2066b", "a\u200bb", "a\x00b", "a\x1b[31m", "a\rb", "a\u2028b", "\ue000", "e\u0301", "\u212b"],
)
def test_text_hides_nothing(text: str) -> None:
    assert not valid(Text, text)


def test_text_may_have_lines_and_letters() -> None:
    assert valid(Text, "größer\n日本語 ≥ 10")


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=20) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def cbor(raw: bytes) -> Any:
    return parse_cbor(raw, what="the sample", max_bytes=1 << 16)


@settings(max_examples=100, deadline=None)
@given(value=plain)
def test_cbor_survives_its_spelling(value: Any) -> None:
    assert cbor(canonical_cbor(value)) == value


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=60))
def test_any_bytes_are_one_value_or_malformed(raw: bytes) -> None:
    with suppress(Malformed):
        assert canonical_cbor(cbor(raw)) == raw


@pytest.mark.parametrize(
    "raw",
    [
        "", "00 00", "18 01", "19 0001", "5f 41 61 ff", "9f ff", "bf ff", "a2 61 62 00 61 61 00", "a2 00 00 00 00",
        "5b ffffffffffffffff", "9b ffffffffffffffff", "7b 7fffffffffffffff", "62 c3 28", "ff", "1c",
        "fb 3ff0000000000000",
    ],
)  # fmt: skip
def test_every_other_cbor_refuses(raw: str) -> None:
    with pytest.raises(Malformed) as refusal:
        cbor(bytes.fromhex(raw))
    assert refusal.value.code == "cbor.invalid"


def test_no_tag_is_decoded() -> None:
    # Among the tags that a library decodes are regular expressions, messages, numbers of any size and references.
    inside = [
        canonical_cbor(value) for value in (0, "2026-01-01T00:00:00Z", "a", b"a", bytes(16), [], [0, 1], [1, "a"], {})
    ]
    refused_tags = 0
    for tag in [*range(1100), 43000, 55799, 65535]:
        head = (
            bytes([0xC0 | tag]) if tag < 24 else bytes([0xD8, tag]) if tag < 256 else b"\xd9" + tag.to_bytes(2, "big")
        )
        for value in inside:
            with pytest.raises(Malformed):
                cbor(head + value)
        refused_tags += 1
    assert refused_tags == 1103


def test_deep_and_long_cbor_refuses() -> None:
    with pytest.raises(Malformed) as refusal:
        cbor(b"\x81" * (CBOR_MAX_DEPTH + 2) + b"\x00")
    assert refusal.value.code == "cbor.invalid"
    with pytest.raises(Malformed):
        cbor(b"\x81" * 60_000)
    with pytest.raises(Malformed) as refusal:
        cbor(bytes(1 << 17))
    assert refusal.value.code == "cbor.size"
