"""Each rule against the sentence that it guarantees."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc.contract.terms import Rules
from mpc.disclosure import Release, control
from mpc.disclosure.rules import RULES
from mpc.disclosure.rules.rule import Rule
from mpc.results import Contributors, Largest, Measure, RawResult, RawTable

Make = Callable[..., Any]
BY_NAME: dict[str, Rule] = {rule.name: rule for rule in RULES}


def guarantees(name: str, sentence: str) -> None:
    assert BY_NAME[name].guarantees == sentence


def released(release: Release, table: int = 0) -> dict[Any, Any]:
    """Return the measure ``n`` by the first key, of rows that are shown."""
    data = release.tables[table].data
    return dict(zip(data.column(0).to_pylist(), data.column("n").to_pylist(), strict=True))


def withheld(release: Release) -> dict[tuple[str, str], int]:
    return {(one.rule, one.measure): one.cells for table in release.tables for one in table.withheld}


def test_every_rule_says_what_it_guarantees_and_what_to_change() -> None:
    assert [rule.name for rule in RULES] == [
        "coverage", "quantiles", "steps", "models", "leverage", "dominance", "threshold", "coalition", "zeros",
        "complements", "companions", "complementary", "tests",
    ]  # fmt: skip
    assert all(rule.guarantees.endswith(".") and rule.remedy and rule.check for rule in RULES)


def test_threshold(rules: Make, counts: Make) -> None:
    guarantees(
        "threshold",
        "Every released cell has no subject, or at least the threshold of distinct subjects, in each domain.",
    )
    table = counts({"g": ["a", "b", "c", "d"]}, {"north": [9, 10, 0, 1]})
    release = control(RawResult((table,)), rules())
    assert released(release) == {"b": 10, "c": 0}
    assert withheld(release) == {("threshold", "n"): 2}


def test_threshold_counts_subjects_and_not_rows(rules: Make, counts: Make) -> None:
    table = counts({"g": ["a"]}, {"north": [3]})
    many_rows = replace(table, data=pa.table({"g": ["a"], "n": [5000]}))
    assert released(control(RawResult((many_rows,)), rules())) == {}


def test_threshold_holds_in_every_domain(rules: Make, counts: Make) -> None:
    table = counts({"g": ["a", "b"]}, {"north": [100, 100]})
    doctors = Contributors("doctor", np.array([9, 10]), {})
    both = replace(table, contributors={"n": (*table.contributors["n"], doctors)})
    assert released(control(RawResult((both,)), rules())) == {"b": 100}


def test_coalition(rules: Make, counts: Make) -> None:
    guarantees(
        "coalition", "Without any one party's subjects, a released cell still has none or at least the threshold."
    )
    table = counts({"g": ["a", "b", "c"]}, {"north": [50, 50, 50], "south": [9, 10, 0]})
    release = control(RawResult((table,)), rules())
    assert released(release) == {"b": 60, "c": 50}
    assert withheld(release) == {("coalition", "n"): 1}


def test_zeros(rules: Make, counts: Make) -> None:
    guarantees("zeros", "Where zeros are withheld, no released cell is empty, or empty without one party.")
    table = counts({"g": ["a", "b", "c"]}, {"north": [50, 0, 50], "south": [20, 0, 0]})
    assert released(control(RawResult((table,)), rules(zeros="release"))) == {"a": 70, "b": 0, "c": 50}
    release = control(RawResult((table,)), rules(zeros="withhold"))
    assert released(release) == {"a": 70}
    assert withheld(release) == {("zeros", "n"): 2}


def test_the_reason_does_not_tell_an_empty_cell_from_one_that_a_single_party_has(rules: Make, counts: Make) -> None:
    empty, alone = ({"north": [50, 0], "south": [20, 0]}, {"north": [50, 50], "south": [20, 0]})
    told = [
        control(RawResult((counts({"g": ["a", "b"]}, each),)), rules(zeros="withhold")).to_bytes()
        for each in (empty, alone)
    ]
    assert told[0] == told[1]
    assert "without one party" in BY_NAME["zeros"].check
    assert "every owner" in BY_NAME["zeros"].remedy


@pytest.mark.parametrize(
    "measure", [Measure("n", "quantile", "*", extensive=False), Measure("n", "count", "*", extensive=True)]
)
def test_coverage(rules: Make, counts: Make, measure: Measure) -> None:
    guarantees("coverage", "Nothing is released whose kind no rule covers, or whose contributors nobody counted.")
    table = counts({"g": ["a"]}, {"north": [100]})
    uncounted = {"n": ()} if measure.kind == "count" else table.contributors
    release = control(RawResult((replace(table, measures=(measure,), contributors=uncounted),)), rules())
    assert released(release) == {}
    assert withheld(release) == {("coverage", "n"): 1}


def test_public_data_need_no_contributors(rules: Make, counts: Make) -> None:
    table = replace(counts({"g": ["a"]}, {"north": [1]}), contributors={"n": ()}, public=True)
    assert released(control(RawResult((table,)), rules())) == {"a": 1}


def test_a_measure_that_is_no_number_is_withheld(rules: Make, counts: Make) -> None:
    table = replace(counts({"g": ["a"]}, {"north": [100]}), data=pa.table({"g": ["a"], "n": ["Ann Smith"]}))
    assert b"Smith" not in control(RawResult((table,)), rules()).to_bytes()


def with_measures(table: RawTable, **each: tuple[Measure, list[float], list[int]]) -> RawTable:
    data = table.data
    contributors = dict(table.contributors)
    for name, (_, values, subjects) in each.items():
        data = data.append_column(name, pa.array(values))
        contributors[name] = (Contributors("person", np.array(subjects), {}),)
    measures = (*table.measures, *(measure for measure, _, _ in each.values()))
    small = np.ones(table.data.num_rows)
    largest = {name: (Largest("subject", 100 * small, small, small),) for name in each}
    return replace(table, data=data, contributors=contributors, measures=measures, largest=largest)


def test_companions(rules: Make, counts: Make) -> None:
    guarantees("companions", "In a row, either all measures of one source are released or none is.")
    table = with_measures(
        counts({"g": ["a", "b"]}, {"north": [50, 50]}),
        total=(Measure("total", "sum", "age", extensive=True), [100.0, 200.0], [9, 40]),
        age=(Measure("age", "mean", "age", extensive=False), [2.0, 5.0], [50, 40]),
    )
    release = control(RawResult((table,)), rules())
    assert release.tables[0].data.to_pylist() == [
        {"g": "a", "n": 50, "total": None, "age": None}, {"g": "b", "n": 50, "total": 200.0, "age": 5.0},
    ]  # fmt: skip
    assert withheld(release) == {("threshold", "total"): 1, ("companions", "age"): 1}


@pytest.mark.parametrize(("smallest", "shown"), [(9, []), (10, [0.25])])
def test_hypothesis_tests(rules: Make, counts: Make, smallest: int, shown: list[float]) -> None:
    guarantees("tests", "No test statistic is released beside a table that it could complete.")
    table = counts({"g": ["a", "b"]}, {"north": [smallest, 50]})
    test = replace(
        counts({}, {"north": [50 + smallest]}), name="test", measures=(Measure("p", "test", "*", extensive=False),),
        data=pa.table({"p": [0.25]}), contributors={"p": (Contributors("person", np.array([50 + smallest]), {}),)},
    )  # fmt: skip
    release = control(RawResult((table, test)), rules())
    assert release.tables[1].data.column("p").to_pylist() == shown


def filtered(rules: Make, counts: Make, parts: dict[str, list[int]], **terms: Any) -> Release:
    """Release sums over all 100 subjects of each row and over parts of them."""
    table = with_measures(
        counts({"g": ["a", "b"]}, {"north": [100, 100]}),
        whole=(Measure("whole", "sum", "age", extensive=True), [1.0, 1.0], [100, 100]),
        **{
            name: (Measure(name, "sum", f"age FILTER (WHERE x = {name})", extensive=True), [2.0, 2.0], subjects)
            for name, subjects in parts.items()
        },
    )
    return control(RawResult((table,)), rules(**terms))


@pytest.mark.parametrize(
    ("parts", "zeros", "shown"),
    [
        ({"p": [95, 90]}, "release", {"p": "b"}), ({"p": [99, 91]}, "release", {"p": ""}),
        ({"p": [100, 50]}, "release", {"p": "ab"}), ({"p": [100, 50]}, "withhold", {"p": "b"}),
        ({"p": [40, 40], "q": [55, 50], "r": [5, 10]}, "release", {"p": "b", "q": "b", "r": "b"}),
    ],
)  # fmt: skip
def test_complements(rules: Make, counts: Make, parts: dict[str, list[int]], zeros: str, shown: dict[str, str]) -> None:
    guarantees(
        "complements",
        "Beside a measure over all rows, a filtered one leaves out nobody, or at least the threshold.",
    )
    rows = filtered(rules, counts, parts, zeros=zeros).tables[0].data.to_pylist()
    assert [row["whole"] for row in rows] == [1.0, 1.0]
    assert {name: "".join(row["g"] for row in rows if row[name] is not None) for name in parts} == shown


@pytest.mark.parametrize(("below", "shown"), [([9, 90], 0), ([10, 90], 1)])
def test_a_quantile_has_enough_subjects_on_each_side(rules: Make, counts: Make, below: list[int], shown: int) -> None:
    table = replace(
        counts({"g": ["a"]}, {"north": [99]}), measures=(Measure("n", "quantile", "age", extensive=False),),
        contributors={"n": tuple(Contributors("person", np.array([n]), {}) for n in (99, *below))},
    )  # fmt: skip
    assert len(released(control(RawResult((table,)), rules()))) == shown


# --- complementary suppression, against an adversary who solves linear systems


def crossed(cells: "np.ndarray[Any, Any]", counts: Make, *, sets: tuple[int, ...] = (0, 1, 2, 3)) -> RawTable:
    """Return a table of two keys with the grouping sets of ``sets``; one party."""
    rows: list[tuple[Any, Any, int, int]] = []
    for mask in sets:
        axes = tuple(i for i in (0, 1) if mask >> i & 1)
        summed = cells.sum(axis=axes, keepdims=True)
        for (i, j), value in np.ndenumerate(summed):
            rows.append((None if mask & 1 else f"r{i}", None if mask & 2 else f"c{j}", int(value), mask))
    r, c, n, margins = zip(*rows, strict=True)
    return counts({"r": r, "c": c}, {"north": n}, margins, complete=True)


def solvable(table: RawTable, release: Release, shape: tuple[int, int]) -> list[int]:
    """Return the values of withheld rows that the released ones determine, by least squares over the inner cells."""
    inner = {(f"r{i}", f"c{j}"): i * shape[1] + j for i in range(shape[0]) for j in range(shape[1])}

    def coefficients(r: str | None, c: str | None) -> "np.ndarray[Any, Any]":
        return np.array([float(r in {None, i} and c in {None, j}) for i, j in inner])

    shown = release.tables[0].data.to_pylist()
    known = np.array([coefficients(row["r"], row["c"]) for row in shown if row["n"] is not None])
    if not len(known):
        return []
    found = []
    for row, hidden in zip(shown, release.tables[0].masks[0], strict=True):
        target = coefficients(row["r"], row["c"])
        solution = np.linalg.lstsq(known.T, target, rcond=None)[0]
        if hidden and np.allclose(known.T @ solution, target, atol=1e-8):
            found.append(table.data.num_rows)
    return found


TABLES = st.tuples(st.integers(2, 5), st.integers(2, 5)).flatmap(
    lambda shape: st.lists(
        st.sampled_from([0, 3, 9, 10, 30, 100]), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]
    ).map(lambda cells: np.array(cells).reshape(shape))
)


@given(
    cells=TABLES, sets=st.sampled_from([(0, 1, 2, 3), (0, 3), (0, 1), (1, 2), (1, 2, 3), (0, 2, 3)]),
    zeros=st.sampled_from(["release", "withhold"]),
)  # fmt: skip
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_complementary(rules: Make, counts: Make, cells: Any, sets: tuple[int, ...], zeros: str) -> None:
    guarantees("complementary", "No linear combination of released cells and totals equals a withheld cell.")
    table = crossed(cells, counts, sets=sets)
    release = control(RawResult((table,)), rules(zeros=zeros))
    assert solvable(table, release, cells.shape) == []


def test_a_withheld_cell_between_two_closed_loops_does_not_follow(rules: Make, counts: Make) -> None:
    """Every total has no or two withheld parts here, and yet the bridge would follow from the totals."""
    cells = np.full((4, 4), 50)
    for loop in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (2, 3), (3, 2), (3, 3)):
        cells[loop] = 5
    cells[1, 2] = 7
    table = crossed(cells, counts)
    assert solvable(table, control(RawResult((table,)), rules()), (4, 4)) == []


@pytest.mark.parametrize(
    ("parts", "shown"),
    [([4, 5, 50, 60], 1), ([6, 7, 50, 60], 2), ([9, 9, 50, 60], 1), ([9, 8, 50, 60], 1), ([8, 8, 50, 60], 2)],
)
def test_the_sum_of_withheld_parts_is_of_no_small_group_and_pins_none_of_them(
    rules: Make, counts: Make, parts: list[int], shown: int
) -> None:
    table = counts(
        {"g": ["a", "b", "c", "d", None]}, {"north": [*parts, sum(parts)]}, [0, 0, 0, 0, 1], complete=True
    )  # fmt: skip
    values = control(RawResult((table,)), rules()).tables[0].data.column("n").to_pylist()
    inner = [value for value in values[:4] if value is not None]
    assert len(inner) == shown
    assert values[4] is not None
    assert values[4] - sum(inner) >= 10


def test_a_table_with_very_many_withheld_cells_loses_its_totals(rules: Make, counts: Make) -> None:
    cells = np.full((30, 30), 50)
    cells[:, ::2] = 5
    table = crossed(cells, counts)
    release = control(RawResult((table,)), rules())
    data = release.tables[0]
    assert all(hidden for hidden, margin in zip(data.masks[0], data.margins, strict=True) if margin)
    assert sum(not hidden for hidden in data.masks[0]) == 450


@given(
    cells=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=12),
    zeros=st.sampled_from(["release", "withhold"]),
    threshold=st.integers(2, 20),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_released_keeps_every_rule(
    rules: Make, counts: Make, cells: list[tuple[int, int]], zeros: str, threshold: int
) -> None:
    terms: Rules = rules(zeros=zeros, threshold=threshold)
    names = [f"g{i:02}" for i in range(len(cells))]
    table = counts({"g": names}, {"north": [own for own, _ in cells], "south": [own for _, own in cells]})
    shown = released(control(RawResult((table,)), terms))
    for name, (north, south) in zip(names, cells, strict=True):
        behind = (north + south, north, south)
        fine = all(n >= threshold or (n == 0 and zeros == "release") for n in behind)
        assert (name in shown) == fine
