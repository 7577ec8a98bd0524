"""Batches against their dataset: what breaks a promise is refused by column and rule, and says nothing of values."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import Exhausted, Forbidden, Malformed, Refusal
from mpc.table import batches as module
from mpc.table.batches import (
    BatchChecker,
    arrow_schema,
    checked_table,
    loaded_table,
    normalised,
    schema_digest,
    well_formed,
)
from mpc.table.schema import Code, Column, Dataset, Freshness, Key, Subject

SECRET = "Zanzibar-4711"


def column(name: str, kind: Any, **terms: Any) -> Column:
    plain = {
        "description": name, "precision": None, "scale": None, "unit": None, "nullable": False, "missing": (),
        "minimum": None, "maximum": None, "codes": (), "filterable": True, "identifier": False,
    }  # fmt: skip
    return Column(name=name, type=kind, **{**plain, **terms})


def dataset(
    *columns: Column, subject: str | None = "pid", rows: Any = "many", normalisation: Any = "exact", keys: Any = ()
) -> Dataset:
    return Dataset(
        name="visits", description="visits", owners=("north", "south"),
        columns=(column("pid", "text", identifier=True), *columns),
        subject=Subject(
            domain="person", column=subject, identity="none" if subject is None else "shared",
            normalisation=normalisation, rows=rows,
        ),
        keys=keys, freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip


def batch(terms: Dataset, **columns: Any) -> pa.RecordBatch:
    schema = arrow_schema(terms)
    rows = len(next(iter(columns.values())))
    columns.setdefault("pid", [f"p{i}" for i in range(rows)])
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


EVERYTHING = dataset(
    column("age", "integer", minimum="0", maximum="120"),
    column("dose", "float", minimum="0.5"),
    column("price", "decimal", precision=8, scale=2, maximum="99.5"),
    column("treated", "boolean", nullable=True),
    column("grade", "category", codes=(Code(value="1", label="low"), Code(value="2", label="high"))),
    column("seen", "date", minimum="2020-01-01"),
    column("taken", "timestamp", maximum="2030-01-01T00:00:00Z"),
)
GOOD = {
    "age": [0, 120], "dose": [0.5, 1e300], "price": [Decimal("99.50"), Decimal("-1.25")], "treated": [None, True],
    "grade": ["1", "2"], "seen": [date(2020, 1, 1), date(2024, 2, 29)],
    "taken": [datetime(2030, 1, 1, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC)],
}  # fmt: skip


def test_rows_within_the_terms_pass_unchanged() -> None:
    rows = batch(EVERYTHING, **GOOD)
    checker = BatchChecker(EVERYTHING)
    assert checker.check(rows) is rows
    checker.finish()


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("age", -1, "range"), ("age", 121, "range"), ("dose", 0.49999, "range"), ("dose", float("nan"), "finite"),
        ("dose", float("inf"), "finite"), ("price", Decimal("99.51"), "range"), ("grade", SECRET, "code"),
        ("seen", date(2019, 12, 31), "range"), ("taken", datetime(2030, 1, 1, 0, 0, 0, 1, tzinfo=UTC), "range"),
    ],
)  # fmt: skip
def test_a_value_outside_of_the_terms_refuses_by_column_and_rule(name: str, value: Any, rule: str) -> None:
    with pytest.raises(Forbidden) as refused:
        BatchChecker(EVERYTHING).check(batch(EVERYTHING, **{**GOOD, name: [GOOD[name][0], value]}))
    assert (refused.value.code, refused.value.field) == (f"table.{rule}", name)
    assert str(value) not in str(refused.value)


def test_null_refuses_in_a_column_that_is_not_nullable() -> None:
    with pytest.raises(Forbidden, match=r"table\.null"):
        BatchChecker(EVERYTHING).check(batch(EVERYTHING, **{**GOOD, "age": [None, 3]}))


def test_a_null_subject_refuses_even_in_a_nullable_column() -> None:
    terms = dataset().model_copy(update={"columns": (column("pid", "text", identifier=True, nullable=True),)})
    with pytest.raises(Forbidden) as refused:
        BatchChecker(terms).check(batch(terms, pid=["a", None]))
    assert refused.value.code == "table.subject"


def test_values_under_null_are_not_held_against_the_range() -> None:
    terms = dataset(column("age", "integer", minimum="0", nullable=True), column("dose", "float", nullable=True))
    hidden = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([5, -9]))], null_count=1
    )
    lurking = pa.Array.from_buffers(
        pa.float64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([5.0, np.nan]))], null_count=1
    )
    rows = pa.record_batch([pa.array(["a", "b"]), hidden, lurking], schema=arrow_schema(terms))
    BatchChecker(terms).check(rows)


@pytest.mark.parametrize("terms", [column("x", "text", minimum="1"), column("x", "integer", maximum="1.5")])
def test_a_bound_that_the_type_has_no_meaning_for_refuses(terms: Column) -> None:
    with pytest.raises(Malformed, match=r"dataset\.bound"):
        BatchChecker(dataset(terms))


def test_a_naive_time_is_no_bound() -> None:
    with pytest.raises(Malformed, match=r"dataset\.bound"):
        BatchChecker(dataset(column("x", "timestamp", minimum="2020-01-01T00:00:00")))


def test_another_schema_refuses_and_names_the_column() -> None:
    terms = dataset(column("age", "integer"))
    rows = pa.record_batch([pa.array(["a"]), pa.array([1.0])], names=["pid", "age"])
    with pytest.raises(Malformed) as refused:
        BatchChecker(terms).check(rows)
    assert (refused.value.code, refused.value.field) == ("table.schema", "pid")


@pytest.mark.parametrize("change", ["fewer", "more", "order"])
def test_columns_more_less_or_elsewhere_refuse(change: str) -> None:
    terms = dataset(column("age", "integer"))
    rows = batch(terms, age=[1])
    changed = {
        "fewer": rows.select(["pid"]),
        "more": rows.append_column("spare", pa.array([1])),
        "order": rows.select(["age", "pid"]),
    }[change]
    with pytest.raises(Malformed, match=r"table\.schema"):
        BatchChecker(terms).check(changed)


def malformed_text() -> pa.Array:
    """Return a text column whose first value ends far outside of its buffer."""
    offsets = pa.py_buffer(np.array([0, 1 << 30, 2], np.int32))
    return pa.Array.from_buffers(pa.utf8(), 2, [None, offsets, pa.py_buffer(b"ab")])


def test_offsets_out_of_range_refuse_before_anything_reads_them() -> None:
    terms = dataset()
    rows = pa.RecordBatch.from_arrays([malformed_text()], schema=arrow_schema(terms))
    rows.validate()  # Arrow's cheap check does not see it, which is why the full one is used
    with pytest.raises(Malformed, match=r"table\.layout"):
        BatchChecker(terms).check(rows)
    with pytest.raises(Malformed, match=r"table\.layout"):
        loaded_table(terms, "north", [rows])
    with pytest.raises(Malformed, match=r"table\.layout"):
        list(loaded_table(terms, "north", lambda: [rows]).batches())


@given(
    offsets=st.lists(st.integers(-3, 12), min_size=2, max_size=6),
    data=st.one_of(st.binary(max_size=10), st.text(alphabet="ab", max_size=10).map(str.encode)),
    start=st.integers(0, 2),
    validity=st.one_of(st.none(), st.just(b"\xff"), st.binary(min_size=1, max_size=1)),
    nulls=st.integers(-1, 2),  # -1: they are counted
)
def test_text_passes_exactly_where_full_validation_passes_it(
    offsets: list[int], data: bytes, start: int, validity: bytes | None, nulls: int
) -> None:
    length = max(len(offsets) - 1 - start, 0)
    buffers = [
        None if validity is None else pa.py_buffer(validity),
        pa.py_buffer(np.array(offsets, np.int32)),
        pa.py_buffer(data),
    ]
    try:
        texts = pa.Array.from_buffers(pa.utf8(), length, buffers, nulls, min(start, len(offsets) - 1))
        batch = pa.record_batch([texts], names=["word"])
    except pa.ArrowInvalid:
        return
    try:
        batch.validate(full=True)
        valid = True
    except (pa.ArrowInvalid, pa.ArrowIndexError):
        valid = False
    try:
        well_formed(batch, batch.schema)
        assert valid
    except Malformed:
        assert not valid


def test_text_with_another_count_of_missing_values_than_its_bits_refuses() -> None:
    buffers = [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"ab")]
    text = pa.Array.from_buffers(pa.utf8(), 2, buffers, null_count=2)
    batch = pa.record_batch([text], names=["word"])
    with pytest.raises(Malformed, match=r"table\.layout"):
        well_formed(batch, batch.schema)


def test_text_that_is_not_utf8_refuses() -> None:
    terms = dataset()
    text = pa.Array.from_buffers(
        pa.utf8(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe")]
    )
    with pytest.raises(Malformed, match=r"table\.layout"):
        well_formed(pa.RecordBatch.from_arrays([text], schema=arrow_schema(terms)), arrow_schema(terms))


@given(st.lists(st.lists(st.integers(0, 60), max_size=6), max_size=6))
@settings(max_examples=150, deadline=None)
def test_repeats_are_found_in_any_order_and_any_batches(parts: list[list[int]]) -> None:
    terms = dataset(column("key", "integer"), keys=(Key(columns=("key",), unique=True),))
    everything = [key for part in parts for key in part]
    checker = BatchChecker(terms)

    def run() -> None:
        for part in parts:
            checker.check(batch(terms, key=part))
        checker.finish()

    if len(set(everything)) == len(everything):
        run()
    else:
        with pytest.raises(Forbidden, match=r"table\.unique"):
            run()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3) | st.none()), max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_key_of_two_columns_repeats_only_as_a_pair_and_null_never(
    pairs: list[tuple[str, int | None]],
) -> None:
    terms = dataset(
        column("ward", "text"),
        column("bed", "integer", nullable=True),
        keys=(Key(columns=("ward", "bed"), unique=True),),
    )
    checker = BatchChecker(terms)
    checker.check(batch(terms, ward=[ward for ward, _ in pairs], bed=[bed for _, bed in pairs], pid=["x"] * len(pairs)))
    whole = [pair for pair in pairs if pair[1] is not None]
    if len(set(whole)) == len(whole):
        checker.finish()
    else:
        with pytest.raises(Forbidden) as refused:
            checker.finish()
        assert refused.value.field == "ward, bed"


def test_a_subject_with_one_row_is_compared_as_it_is_normalised() -> None:
    terms = dataset(rows="one", normalisation="trim_casefold")
    checker = BatchChecker(terms)
    checker.check(batch(terms, pid=["Ann", "ben"]))
    checker.check(batch(terms, pid=[" ANN "]))
    with pytest.raises(Forbidden, match=r"table\.unique") as refused:
        checker.finish()
    assert "Ann" not in str(refused.value)


def test_many_rows_of_a_subject_are_allowed_where_the_contract_says_so() -> None:
    terms = dataset(rows="many")
    checker = BatchChecker(terms)
    checker.check(batch(terms, pid=["a", "a"]))
    checker.finish()


def test_unordered_keys_keep_no_more_than_their_bytes() -> None:
    terms = dataset(column("key", "integer"), keys=(Key(columns=("key",), unique=True),))
    checker = BatchChecker(terms, unique_max_bytes=1000)
    checker.check(batch(terms, key=list(range(100, 200))))
    with pytest.raises(Exhausted, match=r"table\.unique\.order"):
        checker.check(batch(terms, key=list(range(100))))


def test_ordered_keys_are_not_kept_and_a_late_break_of_order_refuses() -> None:
    terms = dataset(column("key", "integer"), keys=(Key(columns=("key",), unique=True),), subject=None)
    step = module.KEPT_WHILE_ORDERED // 2
    schema = arrow_schema(terms)

    def rows(start: int) -> pa.RecordBatch:
        return pa.record_batch([pa.array([""] * step), pa.array(np.arange(start, start + step))], schema=schema)

    checker = BatchChecker(terms)
    for i in range(3):
        checker.check(rows(i * step))
    assert checker._distinct[0]._kept == []
    with pytest.raises(Exhausted, match=r"table\.unique\.order"):
        checker.check(rows(0))


def test_the_digest_of_a_schema_names_columns_subject_and_keys_and_no_owner() -> None:
    terms = dataset(column("age", "integer"))
    assert schema_digest(terms) == schema_digest(terms.model_copy(update={"owners": ("north",)}))
    others = [
        dataset(column("age", "float")), dataset(column("age", "integer", unit="years")),
        dataset(column("age", "integer"), rows="one"),
        dataset(column("age", "integer"), keys=(Key(columns=("age",), unique=False),)),
    ]  # fmt: skip
    assert len({schema_digest(terms), *map(schema_digest, others)}) == 5


def test_a_streamed_table_opens_its_batches_anew_for_every_pass() -> None:
    terms = dataset(column("age", "integer"))
    rows = batch(terms, age=[1, 2])
    opened = []

    def source() -> list[pa.RecordBatch]:
        opened.append(1)
        return [rows]

    table = loaded_table(terms, "north", source)
    assert table.resident is None
    assert [list(table.batches()), list(table.batches())] == [[rows], [rows]]
    assert len(opened) == 2


def test_a_checked_table_has_been_through_the_whole_check() -> None:
    terms = dataset(column("age", "integer", minimum="0"), rows="one")
    table = checked_table(terms, "north", [batch(terms, age=[1, 2])])
    assert table.whole().num_rows == 2
    with pytest.raises(Refusal):
        checked_table(terms, "north", [batch(terms, age=[-1])])
    with pytest.raises(Refusal):
        checked_table(terms, "north", [batch(terms, age=[1, 2], pid=["a", "a"])])


def test_normalisation_trims_and_lowers_text_only() -> None:
    assert normalised(pa.array([" Ünal ", "ab"]), "trim_casefold").to_pylist() == ["ünal", "ab"]
    assert normalised(pa.array([" A "]), "exact").to_pylist() == [" A "]
    assert normalised(pa.array([1]), "trim_casefold").to_pylist() == [1]
