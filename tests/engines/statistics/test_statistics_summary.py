"""``summary`` against numpy and exact arithmetic, whoever owns which rows and however they come."""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.engines.statistics import run_statistics
from mpc.engines.statistics.moments import Moments
from mpc.errors import OutOfOrder
from mpc.questions.statistics import check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.results import RawTable
from mpc.table.batches import Table
from mpc.table.schema import Dataset

Make = Callable[..., Any]


def summary(terms: Dataset, tables: tuple[Table, ...], columns: tuple[str, ...], by: tuple[str, ...] = ()) -> RawTable:
    question = StatisticsQuestion(
        kind="statistics", method="summary", dataset="patients", arguments={"columns": columns, "by": by}
    )
    checked = check_statistics("s", question, {"patients": terms})
    (table,) = run_statistics(checked, {"patients": tables}).tables
    return table


def person(i: int, **values: Any) -> tuple[Any, ...]:
    row = {"pid": f"p{i}", "grade": None, "treated": None, "age": None, "price": None, "town": None, **values}
    return tuple(row.values())


def exact(values: list[float]) -> tuple[float, float]:
    """Return mean and sample standard deviation, rounded once."""
    fractions = [Fraction(value) for value in values]
    mean = sum(fractions) / len(fractions)
    variance = sum((value - mean) ** 2 for value in fractions) / (len(fractions) - 1)
    return float(mean), math.sqrt(float(variance))


def test_a_summary_by_groups_is_what_numpy_says(patients: Make, table: Make) -> None:
    terms = patients()
    draw = np.random.default_rng(7)
    rows = [
        person(i, grade=draw.choice(["1", "2", None]), age=draw.normal(60, 9), price=Decimal(i) / 4) for i in range(500)
    ]
    parts = (table(terms, "north", [rows[:100], rows[100:101]]), table(terms, "south", [rows[101:]]))
    found = summary(terms, parts, ("age", "price"), ("grade",))
    assert [(m.name, m.kind, m.unit) for m in found.measures] == [
        ("age_n", "count", None), ("age_subjects", "count", None),
        ("age_mean", "mean", "years"), ("age_sd", "spread", "years"),
        ("price_n", "count", None), ("price_subjects", "count", None),
        ("price_mean", "mean", "EUR"), ("price_sd", "spread", "EUR"),
    ]  # fmt: skip
    lines = {row["grade"]: row for row in found.data.to_pylist()}
    assert list(lines) == ["1", "2", "3", None]
    for grade in ("1", "2", None):
        ages = [row[3] for row in rows if row[1] == grade]
        prices = [float(row[4]) for row in rows if row[1] == grade]
        assert lines[grade]["age_n"] == len(ages)
        assert lines[grade]["age_mean"] == pytest.approx(np.mean(ages), rel=1e-12)
        assert lines[grade]["age_sd"] == pytest.approx(np.std(ages, ddof=1), rel=1e-12)
        assert lines[grade]["price_mean"] == pytest.approx(np.mean(prices), rel=1e-12)
        assert lines[grade]["price_sd"] == pytest.approx(np.std(prices, ddof=1), rel=1e-12)
    assert (lines["3"]["age_n"], lines["3"]["age_mean"], lines["3"]["age_sd"]) == (0, None, None)
    assert found.complete


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ([], (0, None, None)), ([None, None], (0, None, None)), ([5.5], (1, 5.5, None)), ([3.0] * 50, (50, 3.0, 0.0)),
        ([1.0, None, 3.0], (2, 2.0, math.sqrt(2))),
    ],
)  # fmt: skip
def test_no_rows_one_row_missing_values_and_constants(patients: Make, table: Make, ages: Any, expected: Any) -> None:
    terms = patients()
    rows = [person(i, age=age) for i, age in enumerate(ages)]
    (line,) = summary(terms, (table(terms, "north", [rows]), table(terms, "south", [])), ("age",)).data.to_pylist()
    assert (line["age_n"], line["age_mean"], line["age_sd"]) == expected


@pytest.mark.parametrize("owners", [("north",), ("north", "north"), ("north", "west")])
def test_a_run_waits_for_every_owners_rows(patients: Make, table: Make, owners: tuple[str, ...]) -> None:
    terms = patients()
    with pytest.raises(OutOfOrder, match=r"run\.rows_missing"):
        summary(terms, tuple(table(terms, owner, []) for owner in owners), ("age",))


def test_a_huge_offset_costs_no_digits(patients: Make, table: Make) -> None:
    terms = patients()
    draw = np.random.default_rng(3)
    ages = [1e9 + noise for noise in draw.normal(0, 1, 3000)]
    mean, deviation = exact(ages)
    for size in (3000, 100, 7):
        batches = [[person(j, age=ages[j]) for j in range(i, min(i + size, 3000))] for i in range(0, 3000, size)]
        (line,) = summary(terms, (table(terms, "north", batches), table(terms, "south", [])), ("age",)).data.to_pylist()
        assert line["age_mean"] == pytest.approx(mean, rel=1e-15)
        assert line["age_sd"] == pytest.approx(deviation, rel=1e-12)


VALUES = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))


def test_groups_far_apart_keep_the_digits_of_their_own_spread() -> None:
    moments = Moments()
    near = [1e9, 1e9 + 1.00001]
    moments.add(np.array([*near, 1e9 + 131072]), np.array([0, 0, 1]), 2)
    assert math.sqrt(moments.variance[0]) == pytest.approx(exact(near)[1], rel=1e-12)


@given(
    st.lists(st.tuples(VALUES, st.integers(0, 3)), min_size=2, max_size=60), st.sampled_from([0.0, 1e9, -1e12]),
    st.randoms(use_true_random=False), st.integers(1, 7), st.booleans(),
)  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_splits_orders_and_merges_in_any_tree_give_the_same(
    rows: list[tuple[float, int]], offset: float, random: Any, parts: int, balanced: bool
) -> None:
    rows = [(value + offset, code) for value, code in rows]
    shuffled = random.sample(rows, len(rows))
    leaves = []
    for i in range(parts):
        leaf = Moments()
        own = shuffled[i::parts]
        leaf.add(np.array([value for value, _ in own]), np.array([code for _, code in own], np.int64), 4)
        leaves.append(leaf)
    while len(leaves) > 1:
        taken = leaves.pop(random.randrange(len(leaves)) if not balanced else 0)
        leaves[-1].merge(taken)
    (whole,) = leaves
    for code in range(4):
        own = [value for value, each in rows if each == code]
        assert whole.count[code] == len(own)
        if len(own) > 1:
            mean, deviation = exact(own)
            scale = max(map(abs, own))
            assert whole.mean[code] == pytest.approx(mean, rel=1e-12, abs=1e-15 * scale)
            # Values carry eps * scale of rounding of their own; beyond that, 1e-12.
            assert math.sqrt(whole.variance[code]) == pytest.approx(deviation, rel=1e-12)


def test_many_groups_in_small_batches_are_the_same_groups(patients: Make, table: Make) -> None:
    terms = patients()
    rows = [person(i, age=float(i), town=f"t{i % 97}") for i in range(600)]
    batches = [rows[i : i + 5] for i in range(0, 600, 5)]
    found = summary(terms, (table(terms, "north", batches), table(terms, "south", [])), ("age",), ("town",))
    assert not found.complete
    lines = {row["town"]: row for row in found.data.to_pylist()}
    assert len(lines) == 97
    for town, line in lines.items():
        ages = [row[3] for row in rows if row[5] == town]
        assert (line["age_n"], line["age_mean"]) == (len(ages), pytest.approx(np.mean(ages), rel=1e-12))
