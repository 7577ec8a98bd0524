"""``quantiles`` against numpy, digit by digit, and who lies on each side."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc.engines.statistics import run_statistics
from mpc.errors import Exhausted
from mpc.questions.statistics import check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.results import RawTable, check_shape, from_bytes, to_bytes
from mpc.table.batches import Table
from mpc.table.schema import Dataset

Make = Callable[..., Any]
AT = ("0.05", "0.25", "0.5", "0.9")


def quantiles(terms: Dataset, tables: tuple[Table, ...], **arguments: tuple[str, ...]) -> RawTable:
    question = StatisticsQuestion(kind="statistics", method="quantiles", dataset="patients", arguments=arguments)
    result = run_statistics(check_statistics("q", question, {"patients": terms}), {"patients": tables}, threads=2)
    assert to_bytes(from_bytes(to_bytes(result), max_bytes=1 << 24)) == to_bytes(result)
    check_shape(result.tables[0])
    return result.tables[0]


def row(i: int, grade: str | None, age: float | None, town: str = "x") -> tuple[Any, ...]:
    return (f"p{i}", grade, None, age, None, town)


@given(
    values=st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.5]),
                    max_size=60),
    split=st.integers(0, 60), size=st.integers(1, 20), town=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_quantiles_are_numpys_in_every_group(
    patients: Make, table: Make, *, values: list[float | None], split: int, size: int, town: bool
) -> None:
    terms = patients()
    rows = [row(i, "12"[i % 2], value, "xy"[i % 2]) for i, value in enumerate(values)]
    parts = (rows[:split], rows[split:])
    tables = tuple(
        table(terms, owner, [part[i : i + size] for i in range(0, len(part), size)])
        for owner, part in zip(("north", "south"), parts, strict=True)
    )
    key = "town" if town else "grade"
    found = quantiles(terms, tables, columns=("age",), by=(key,), at=AT)
    for line in found.data.to_pylist():
        own = [v for v, r in zip(values, rows, strict=True) if v is not None and r[5 if town else 1] == line[key]]
        assert line["age_n"] == len(own)
        if not own:
            assert line["age"] is None
            continue
        with np.errstate(all="ignore"):
            expected = float(np.quantile(np.array(own), line["quantile"]))
        assert line["age"] is None or line["age"] == pytest.approx(expected, rel=1e-12, abs=1e-300)


def test_subjects_are_counted_on_each_side(patients: Make, table: Make) -> None:
    terms = patients(identity="shared", rows="many")
    rows = [row(i % 30, "1", float(i // 2)) for i in range(100)]
    found = quantiles(
        terms, (table(terms, "north", [rows[:50]]), table(terms, "south", [rows[50:]])), columns=("age",), at=AT
    )
    cell, below, above = found.contributors["age"]
    for line, each, under, over in zip(found.data.to_pylist(), cell.total, below.total, above.total, strict=True):
        assert each == 30
        assert under == len({r[0] for r in rows if r[3] <= line["age"]})
        assert over == len({r[0] for r in rows if r[3] >= line["age"]})
    for i, line in enumerate(found.data.to_pylist()):
        assert below.without["south"][i] == len({r[0] for r in rows[:50] if r[3] <= line["age"]})


def test_a_huge_offset_costs_no_digit(patients: Make, table: Make) -> None:
    terms = patients()
    values = 1e15 + np.random.default_rng(1).permutation(4001)
    rows = [row(i, "1", float(value)) for i, value in enumerate(values)]
    found = quantiles(
        terms, (table(terms, "north", [rows[:7], rows[7:]]), table(terms, "south", [])), columns=("age",), at=AT
    )
    assert found.data.column("age").to_pylist() == [1e15 + 200, 1e15 + 1000, 1e15 + 2000, 1e15 + 3600]


def test_too_many_groups_refuse_from_whatever_thread(patients: Make, table: Make) -> None:
    terms = patients()
    rows = [row(i, "1", 1.0, f"town {i}") for i in range(34_000)]
    with pytest.raises(Exhausted, match=r"statistics\.quantiles"):
        quantiles(
            terms, (table(terms, "north", [rows[:20_000], rows[20_000:]]), table(terms, "south", [])),
            columns=("age",), by=("town",), at=AT,
        )  # fmt: skip
