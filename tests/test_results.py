"""Raw results cross a process boundary: what is written reads back, anything else is malformed."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import cbor2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.canonical import canonical_cbor
from mpc.errors import Malformed
from mpc.results import (
    Contributors,
    Largest,
    Measure,
    ModelSize,
    Presentation,
    RawResult,
    RawTable,
    from_bytes,
    to_bytes,
)

MAX = 1 << 20
MODEL = ModelSize(1, 5, 5, 1)


def raw_table(**changes: Any) -> RawTable:
    behind = (Contributors("person", np.array([12, 30]), {"north": np.array([5, 20]), "south": np.array([7, 10])}),)
    return replace(
        RawTable(
            name="answer",
            keys=("grade",),
            measures=(
                Measure("n", "count", "*", extensive=True),
                Measure("age", "mean", "age", extensive=False, unit="a"),
            ),
            data=pa.table({"grade": ["1", None], "n": [12, 30], "age": pa.array([50.25, None], pa.float64())}),
            contributors={"n": behind, "age": behind},
            margins=np.array([0, 1]),
            models=(ModelSize(3, 42, 42, 39, 12, None, 0.25, {"north": ModelSize(3, 20, 20, 17, 5)}),),
            largest={"age": (Largest("subject", np.array([9.0, 8.0]), np.array([2.0, 3.0]), np.array([1.0, 0.5])),)},
        ),
        **changes,
    )


RESULT = RawResult((raw_table(),), Presentation("n > 3", (("n", True), ("grade", False)), 10))


def test_what_is_written_reads_back_and_equal_results_have_equal_bytes() -> None:
    raw = to_bytes(RESULT)
    again = from_bytes(raw, max_bytes=MAX)
    assert to_bytes(again) == raw
    assert again.presentation == RESULT.presentation
    assert again.tables[0].data.equals(RESULT.tables[0].data)
    assert again.tables[0].measures == RESULT.tables[0].measures
    assert again.tables[0].contributors["n"][0].without["south"].tolist() == [7, 10]
    assert again.tables[0].models == RESULT.tables[0].models
    assert again.tables[0].largest["age"][0].second.tolist() == [1.0, 0.5]


def test_bytes_depend_on_values_only_and_not_on_what_lies_under_a_null_or_on_chunks() -> None:
    secret = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([12, 4711]))], null_count=1
    )
    shown = pa.array([12, None], pa.int64())
    tables = [
        raw_table(data=pa.table({"grade": ["1", None], "n": pa.chunked_array(chunks), "age": [1.0, 2.0]}))
        for chunks in ([secret], [shown], [shown.slice(0, 1), shown.slice(1)])
    ]
    assert len({to_bytes(RawResult((table,))) for table in tables}) == 1
    assert b"4711" not in to_bytes(RawResult((tables[0],)))


def test_every_type_that_a_result_may_have_survives() -> None:
    data = pa.table({
        "grade": pa.array(["a", None], pa.large_string()),
        "day": pa.array([date(2024, 2, 29), date(1950, 1, 1)]),
        "at": pa.array([datetime(1960, 1, 1, tzinfo=UTC), None], pa.timestamp("ms", "UTC")),
        "flag": [True, False],
        "n": pa.array([1, 2], pa.int32()),
        "age": pa.array([Decimal("12.50"), None], pa.decimal128(9, 2)),
    })  # fmt: skip
    keys = ("grade", "day", "at", "flag")
    table = raw_table(data=data, keys=keys, margins=np.array([0, 0]))
    again = from_bytes(to_bytes(RawResult((table,))), max_bytes=MAX).tables[0].data
    assert again.to_pylist() == data.to_pylist()
    assert [str(kind) for kind in again.schema.types] == [
        "string", "date32[day]", "timestamp[us, tz=UTC]", "bool", "int64", "decimal128(9, 2)",
    ]  # fmt: skip


def test_a_type_that_results_cannot_have_refuses_at_the_writer() -> None:
    data = pa.table({"grade": ["1", None], "n": [[1], [2]], "age": [1.0, 2.0]})
    with pytest.raises(Malformed, match=r"result\.type"):
        to_bytes(RawResult((raw_table(data=data),)))


@pytest.mark.parametrize(
    "changes",
    [
        {"keys": ("grade", "n")},
        {"keys": ()},
        {"measures": (Measure("n", "count", "*", extensive=True),)},
        {"contributors": {"n": ()}},
        {"contributors": {"n": (), "age": (), "more": ()}},
        {"contributors": {"n": (Contributors("person", np.array([1]), {}),), "age": ()}},
        {"contributors": {"n": (Contributors("person", np.array([-1, 5]), {}),), "age": ()}},
        {"contributors": {"n": (Contributors("person", np.array([5, 5]), {"north": np.array([6, 1])}),), "age": ()}},
        {"margins": np.array([0])},
        {"margins": np.array([0, 2])},
        {"margins": np.array([0, -1])},
        {"margins": np.array([1, 1])},  # a total that still shows a key
        {"models": (ModelSize(1, 1, 1, 1),) * 3},
        {"models": (ModelSize(1, -1, 1, 1),)},
        {"models": (ModelSize(1, 5, 5, 1, leverage=-0.1),)},
        {"models": (ModelSize(1, 5, 5, 1, leverage=float("nan")),)},
        {"models": (ModelSize(1, 5, 5, 1, without={"north": ModelSize(1, 6, 5, 1)}),)},
        {"models": (ModelSize(1, 5, 5, 1, without={"a": ModelSize(1, 5, 5, 1, without={"b": MODEL})}),)},
        {"largest": {"more": ()}},
        {"largest": {"n": (Largest("subject", np.array([1.0]), np.array([1.0]), np.array([1.0])),)}},
        {"largest": {"n": (Largest("party", np.array([1.0, 1]), np.array([1.0, 1]), np.array([2.0, 0])),)}},
        {"largest": {"n": (Largest("party", np.array([np.nan, 1]), np.array([1.0, 1]), np.array([0.0, 0])),)}},
    ],
)
def test_parts_that_do_not_fit_each_other_are_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        from_bytes(to_bytes(RawResult((raw_table(**changes),))), max_bytes=MAX)


def test_two_tables_of_one_name_are_malformed() -> None:
    with pytest.raises(Malformed):
        from_bytes(to_bytes(RawResult((raw_table(), raw_table()))), max_bytes=MAX)


def test_more_than_the_limit_is_not_parsed() -> None:
    with pytest.raises(Malformed, match=r"cbor\.size"):
        from_bytes(to_bytes(RESULT), max_bytes=100)


PLAIN = cbor2.loads(to_bytes(RESULT))
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.binary(max_size=16),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    return [at, *(path for key, each in inner for path in paths(each, (*at, key)))]


def changed(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    items = dict(enumerate(value)) if isinstance(value, list) else dict(value)
    items[path[0]] = changed(items[path[0]], path[1:], junk)
    return list(items.values()) if isinstance(value, list) else items


@given(st.sampled_from(paths(PLAIN)), JUNK)
@settings(max_examples=600, deadline=None)
def test_a_child_that_was_taken_over_gets_a_result_or_a_refusal_and_never_a_crash(path: Any, junk: Any) -> None:
    raw = canonical_cbor(changed(PLAIN, path, junk))
    try:
        result = from_bytes(raw, max_bytes=MAX)
    except Malformed:
        return
    from_bytes(to_bytes(result), max_bytes=MAX)


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        from_bytes(raw, max_bytes=MAX)
