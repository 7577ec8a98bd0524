"""What is packed comes back as it was; what nobody packs is refused; codes tell what they decode to."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc.errors import Forbidden, Malformed
from mpc.table.batches import BatchChecker, arrow_schema, loaded_table, packed_well, well_formed
from mpc.table.packing import (
    CODES_MAX,
    Packer,
    check_form,
    decoded,
    decoded_bytes,
    read_batches,
    unpacked,
    with_codes,
    write_batches,
)
from mpc.table.schema import Code, Column, Dataset, Freshness, Subject

INT64, DATE = pa.int64(), pa.date32()
MOMENT = pa.timestamp("us", tz="UTC")
KINDS: dict[str, pa.DataType] = {
    "number": INT64, "day": DATE, "moment": MOMENT, "text": pa.utf8(), "weight": pa.float64(),
    "well": pa.bool_(), "price": pa.decimal128(9, 2),
}  # fmt: skip
SCHEMA = pa.schema([pa.field(name, kind, nullable=name != "weight") for name, kind in KINDS.items()])


def through(batch: pa.RecordBatch, packer: Packer | None = None) -> pa.RecordBatch:
    """Send a batch and read it as a loader does."""
    sink = pa.BufferOutputStream()
    write_batches([(packer or Packer()).pack(batch)], sink)
    (read,) = read_batches(memoryview(sink.getvalue()))
    return opened(read, batch.schema)


def opened(sent: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    check_form(sent, schema)
    return unpacked(sent, with_codes(schema, [sent]))


def as_it_was(batch: pa.RecordBatch, schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    return pa.record_batch([decoded(column) for column in batch.columns], schema=schema)


def one(name: str, values: list[Any], *, nullable: bool = True) -> pa.RecordBatch:
    schema = pa.schema([pa.field(name, KINDS[name], nullable)])
    return pa.record_batch([pa.array(values, KINDS[name])], schema=schema)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.fixed_dictionaries({
    "number": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 300),
    "day": st.none() | st.dates(), "text": st.none() | st.text(max_size=3) | st.sampled_from("ab"),
    "moment": st.none() | st.datetimes(timezones=st.just(UTC)), "weight": st.floats(allow_nan=False),
    "well": st.none() | st.booleans(), "price": st.none() | st.decimals(-9999, 9999, places=2),
}), max_size=40))  # fmt: skip
def test_what_is_packed_comes_back_as_it_was(rows: list[dict[str, Any]]) -> None:
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    back = through(batch)
    well_formed(back, SCHEMA)
    assert as_it_was(back).equals(batch)


@pytest.mark.parametrize(
    ("low", "high", "width"),
    [
        (0, 0, pa.uint8()), (-100, 155, pa.uint8()), (-100, 156, pa.uint16()), (10**12, 10**12 + 65535, pa.uint16()),
        (0, 2**32 - 1, pa.uint32()), (0, 2**32, INT64), (-(2**63), -(2**63), pa.uint8()), (-(2**63), 2**63 - 1, INT64),
        (2**63 - 1, 2**63 - 1, INT64), (2**63 - 256, 2**63 - 1, pa.uint8()), (2**63 - 255, 2**63 - 1, INT64),
    ],
)  # fmt: skip
def test_whole_numbers_are_as_wide_as_they_differ(low: int, high: int, width: pa.DataType) -> None:
    batch = one("number", [high, None, low])
    assert Packer().pack(batch).schema.field("number").type == width
    assert through(batch).equals(batch)


def test_dates_and_times_are_whole_numbers() -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    moments = one("moment", [first, first + timedelta(milliseconds=60)])
    days = one("day", [date(1, 1, 1), None, date(1, 6, 1)])
    assert Packer().pack(moments).schema.field("moment").type == pa.uint16()
    assert Packer().pack(days).schema.field("day").type == pa.uint8()
    assert through(moments).equals(moments)
    assert through(days).equals(days)


@pytest.mark.parametrize(("texts", "rows", "coded"), [
    (1, 2, True), (CODES_MAX, 5000, True), (CODES_MAX + 1, 5000, False), (3000, 5000, False), (2, 2, False),
])  # fmt: skip
def test_few_texts_are_codes_and_many_are_themselves(texts: int, rows: int, coded: bool) -> None:
    batch = one("text", [f"text {i % texts}" for i in range(rows)])
    assert pa.types.is_dictionary(Packer().pack(batch).schema.field("text").type) is coded
    back = through(batch)
    assert as_it_was(back, batch.schema).equals(batch)
    assert batch.nbytes - 8 <= decoded_bytes(back) <= batch.nbytes


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(st.none() | st.sampled_from("abcdef"), max_size=12), max_size=6))
def test_batches_of_one_upload_come_back_as_they_were(texts: list[list[str | None]]) -> None:
    packer = Packer()
    for each in texts:
        batch = one("text", each)
        back = through(batch, packer)
        well_formed(back, batch.schema)
        assert as_it_was(back, batch.schema).equals(batch)


def test_texts_of_the_batch_before_are_used_again_where_they_are_all_that_there_are() -> None:
    packer = Packer()
    sent = [
        packer.pack(one("text", texts)).column("text") for texts in (["b", "a"] * 4, ["a", None] * 4, ["c", "a"] * 4)
    ]
    assert [each.dictionary.to_pylist() for each in sent] == [["b", "a"], ["b", "a"], ["c", "a"]]
    assert [each.to_pylist()[:2] for each in sent] == [["b", "a"], ["a", None], ["c", "a"]]


def test_texts_are_read_as_codes_only_where_every_batch_has_codes() -> None:
    few, many = one("text", ["a", None, "a", "b", "a", "b"]), one("text", [None, *(f"t{i}" for i in range(300))])
    for batches, coded in (((few, few), True), ((few, many), False), ((many, few), False), ((), True)):
        sent = [Packer().pack(batch) for batch in batches]
        schema = with_codes(few.schema, sent)
        assert pa.types.is_dictionary(schema.field("text").type) is coded
        assert with_codes(SCHEMA, sent).field("number").type == INT64
        rows = pa.Table.from_batches([unpacked(batch, schema) for batch in sent], schema)
        assert rows.to_pylist() == [row for batch in batches for row in batch.to_pylist()]


NARROW = pa.array([1, 2], pa.uint8())
WIDE = pa.field("number", INT64)


BASES = ("", "+1", "01", "-0", "1 ", "1\n", "1.5", str(2**63 - 255), str(-(2**63) - 1), "9" * 30)


@pytest.mark.parametrize(
    "field",
    [
        *(pa.field("number", pa.uint8(), metadata={"base": base}) for base in BASES),
        pa.field("number", pa.uint8()), pa.field("number", pa.uint8(), metadata={"base": "1", "more": "1"}),
        pa.field("number", pa.uint8(), nullable=False, metadata={"base": "1"}),
        pa.field("other", pa.uint8(), metadata={"base": "1"}), pa.field("number", pa.int8(), metadata={"base": "1"}),
        pa.field("number", pa.uint64(), metadata={"base": "1"}), pa.field("number", pa.float64()),
        pa.field("number", INT64, metadata={"base": "1"}), pa.field("number", pa.int32()),
    ],
)  # fmt: skip
def test_a_form_that_nobody_packs_is_refused(field: pa.Field) -> None:
    sent = pa.record_batch([NARROW.cast(field.type)], schema=pa.schema([field]))
    with pytest.raises(Malformed) as refused:
        packed_well(sent, pa.schema([WIDE]))
    assert refused.value.code == "table.schema"


def test_notes_on_the_whole_schema_and_codes_for_numbers_are_refused() -> None:
    field = pa.field("number", pa.uint8(), metadata={"base": "1"})
    noted = pa.record_batch([NARROW], schema=pa.schema([field], metadata={"a": "b"}))
    coded = pa.record_batch([pa.array([5, 5], INT64).dictionary_encode()], names=["number"])
    both = pa.record_batch([NARROW, NARROW], names=["number", "number"])
    for sent in (noted, coded, both):
        with pytest.raises(Malformed, match=r"table\.schema"):
            packed_well(sent, pa.schema([WIDE]))


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int16(), pa.utf8()), pa.dictionary(pa.uint8(), pa.large_utf8())])
def test_codes_are_of_one_kind(kind: pa.DataType) -> None:
    sent = pa.record_batch([pa.array(["a", "a"]).cast(kind)], names=["text"])
    with pytest.raises(Malformed, match=r"table\.schema"):
        packed_well(sent, pa.schema([pa.field("text", pa.utf8())]))


def test_a_narrow_column_that_is_longer_than_its_buffer_is_refused_before_it_is_read() -> None:
    rows, claimed = 1001, (2002).to_bytes(8, "little")
    field = pa.field("number", pa.uint16(), metadata={"base": "1"})
    sent = pa.record_batch([pa.array(range(rows), pa.uint16())], schema=pa.schema([field]))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, sent.schema) as stream:
        stream.write_batch(sent)
    written = sink.getvalue().to_pybytes()
    assert written.count(claimed) == 1
    with pa.ipc.open_stream(written.replace(claimed, (8).to_bytes(8, "little"))) as stream:
        broken = stream.read_next_batch()
    with pytest.raises(Malformed, match=r"table\.layout"):
        packed_well(broken, pa.schema([WIDE]))


def codes(codes: list[int | None], texts: list[str | None]) -> pa.RecordBatch:
    column = pa.DictionaryArray.from_arrays(pa.array(codes, pa.uint8()), pa.array(texts, pa.utf8()), safe=False)
    return pa.record_batch([column], names=["text"])


def test_a_code_of_no_text_and_a_text_that_is_missing_are_refused() -> None:
    schema = pa.schema([pa.field("text", pa.utf8())])
    for sent in (codes([0, 2], ["a", "b"]), codes([0, 1], ["a", None])):
        with pytest.raises(Malformed, match=r"table\.layout"):
            packed_well(sent, schema)
    packed_well(codes([0, None], ["a", "b"]), schema)


def test_few_codes_tell_how_much_text_they_stand_for() -> None:
    assert decoded_bytes(codes([0] * 1000, ["x" * 100_000])) == 4 * 1000 + 1000 * 100_000
    assert decoded_bytes(codes([1, None, 0], ["xx", "y"])) == 4 * 3 + 3


def patients() -> Dataset:
    plain: dict[str, Any] = {
        "precision": None, "scale": None, "unit": None, "nullable": False, "missing": (), "minimum": None,
        "maximum": None, "codes": (), "filterable": True, "identifier": False,
    }  # fmt: skip
    columns = (
        Column(name="pid", description="pid", type="text", **plain),
        Column(name="grade", description="g", type="category", **plain | {"codes": (Code(value="1", label="low"),)}),
    )
    subject = Subject(domain="person", column="pid", identity="shared", normalisation="exact", rows="one")
    return Dataset(
        name="patients", description="p", owners=("north",), columns=columns, subject=subject, keys=(),
        freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip


def test_rules_hold_for_codes_as_for_texts() -> None:
    terms = patients()
    schema = arrow_schema(terms)

    def sent(pids: list[str], grades: list[str]) -> pa.RecordBatch:
        columns = [pa.array(values).dictionary_encode() for values in (pids, grades)]
        eight = [pa.DictionaryArray.from_arrays(each.indices.cast(pa.uint8()), each.dictionary) for each in columns]
        fields = [field.with_type(column.type) for field, column in zip(schema, eight, strict=True)]
        return opened(pa.record_batch(eight, schema=pa.schema(fields)), schema)

    checker = BatchChecker(terms)
    checker.check(sent(["a", "b"], ["1", "1"]))
    checker.finish()
    with pytest.raises(Forbidden, match=r"table\.code"):
        BatchChecker(terms).check(sent(["a", "b"], ["1", "2"]))
    checker = BatchChecker(terms)
    checker.check(sent(["b", "a", "b"], ["1", "1", "1"]))
    with pytest.raises(Forbidden, match=r"table\.unique"):
        checker.finish()


def test_a_table_hands_on_the_texts_themselves_in_the_columns_that_are_asked_for() -> None:
    terms = patients()
    schema = arrow_schema(terms)
    rows = pa.record_batch([["a", "b", "c", "d"], ["1", "1", "1", "1"]], schema=schema)
    sent = Packer().pack(rows)
    assert pa.types.is_dictionary(sent.column("grade").type)
    resident = loaded_table(terms, "north", [sent])
    streamed = loaded_table(terms, "north", lambda: iter([sent]))
    for table in (resident, streamed):
        assert [batch.equals(rows) for batch in table.batches()] == [True]
        (only,) = table.batches(["grade"])
        assert only.equals(rows.select(["grade"]))
        (none,) = table.batches([])
        assert none.num_rows == 4
    for table, coded in ((resident, True), (streamed, False)):
        read = table.reader(["grade"]).read_all()
        assert pa.types.is_dictionary(read.schema.field("grade").type) is coded
        assert read.to_pylist() == rows.select(["grade"]).to_pylist()
