"""``crosstab`` against scipy, with totals that are sums and strata that are tables of their own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from mpc.engines.statistics import run_statistics
from mpc.engines.statistics.crosstab import chi_square
from mpc.questions.statistics import check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.results import RawResult, check_shape, from_bytes, to_bytes
from mpc.table.batches import Table
from mpc.table.schema import Dataset

Make = Callable[..., Any]


def crosstab(terms: Dataset, tables: tuple[Table, ...], **arguments: tuple[str, ...]) -> RawResult:
    question = StatisticsQuestion(kind="statistics", method="crosstab", dataset="patients", arguments=arguments)
    return run_statistics(check_statistics("c", question, {"patients": terms}), {"patients": tables})


def drawn(rows: int, seed: int) -> list[tuple[Any, ...]]:
    draw = np.random.default_rng(seed)
    grades, treated = draw.choice(["1", "2", "3", None], rows), draw.choice([True, False, None], rows)
    return [(f"p{seed}-{i}", grades[i], treated[i], None, None, None) for i in range(rows)]


def test_counts_totals_contributors_and_test(patients: Make, table: Make) -> None:
    terms = patients()
    north, south = drawn(200, 1), drawn(150, 2)
    result = crosstab(
        terms, (table(terms, "north", [north[:9], north[9:]]), table(terms, "south", [south])),
        row=("grade",), column=("treated",),
    )  # fmt: skip
    cells, test = result.tables
    assert cells.keys == ("grade", "treated")
    assert cells.data.num_rows == 3 * 2 + 3 + 2 + 1
    whole = [row for row in north + south if row[1] is not None and row[2] is not None]
    (behind,) = cells.contributors["n"]
    for i, line in enumerate(cells.data.to_pylist()):
        totalled = [name for bit, name in enumerate(cells.keys) if cells.margins[i] >> bit & 1]
        assert [name for name in cells.keys if line[name] is None] == totalled

        def matches(row: Any, line: Any = line) -> bool:
            return line["grade"] in {None, row[1]} and line["treated"] in {None, row[2]}

        own = sum(matches(row) for row in whole if row in north)
        assert (line["n"], behind.total[i]) == (sum(map(matches, whole)),) * 2
        assert {"north": line["n"] - own, "south": own} == {p: left[i] for p, left in behind.without.items()}
    observed = [[sum(row[1:3] == (g, t) for row in whole) for t in (False, True)] for g in "123"]
    expected = chi2_contingency(observed, correction=False)
    (line,) = test.data.to_pylist()
    assert line["chi_square"] == pytest.approx(expected.statistic, rel=1e-12)
    assert (line["degrees_of_freedom"], line["p_value"]) == (2, pytest.approx(expected.pvalue, rel=1e-10))
    assert {measure.source for measure in test.measures} == {"chi_square"}
    assert test.contributors["p_value"][0].total.tolist() == [len(whole)]


def test_each_stratum_is_a_table_of_its_own(patients: Make, table: Make) -> None:
    terms = patients()
    rows = [(f"p{i}", "123"[i % 3], i % 2 == 0, float(i), None, None) for i in range(90)]
    grade = terms.columns[1]
    site = grade.model_copy(update={"name": "site", "codes": grade.codes[:2]})
    strata = terms.model_copy(update={"columns": (*terms.columns[:5], site)})
    placed = [(*row[:5], "1" if i < 30 else "2") for i, row in enumerate(rows)]
    result = crosstab(
        strata,
        (table(strata, "north", [placed]), table(strata, "south", [])),
        row=("grade",),
        column=("treated",),
        by=("site",),
    )
    cells, test = result.tables
    totals = {
        line["site"]: line["n"]
        for line, margin in zip(cells.data.to_pylist(), cells.margins, strict=True)
        if margin == 3
    }
    assert totals == {"1": 30, "2": 60}
    assert test.data.column("site").to_pylist() == ["1", "2"]
    for site in ("1", "2"):
        observed = [
            [sum(row[1:3] == (g, t) and row[5] == site for row in placed) for t in (False, True)] for g in "123"
        ]
        line = next(line for line in test.data.to_pylist() if line["site"] == site)
        assert line["chi_square"] == pytest.approx(chi2_contingency(observed, correction=False).statistic, rel=1e-12)


def test_codes_that_nobody_has_take_no_degree_of_freedom(patients: Make, table: Make) -> None:
    terms = patients()
    rows = [(f"p{i}", "12"[i % 2], i % 3 == 0, None, None, None) for i in range(60)]
    cells, test = crosstab(
        terms, (table(terms, "north", [rows]), table(terms, "south", [])), row=("grade",), column=("treated",)
    ).tables
    assert cells.complete
    assert sum(line["grade"] == "3" and line["n"] == 0 for line in cells.data.to_pylist()) == 3
    assert test.data.column("degrees_of_freedom").to_pylist() == [1]


def test_no_rows_at_all(patients: Make, table: Make) -> None:
    terms = patients()
    result = crosstab(
        terms, (table(terms, "north", []), table(terms, "south", [])), row=("grade",), column=("treated",)
    )
    assert set(result.tables[0].data.column("n").to_pylist()) == {0}
    assert result.tables[1].data.to_pylist() == [
        {"n": 0, "subjects": 0, "chi_square": None, "degrees_of_freedom": None, "p_value": None}
    ]


@pytest.mark.parametrize("identity", ["shared", "disjoint", "unknown"])
def test_the_result_crosses_a_process_boundary(patients: Make, table: Make, identity: str) -> None:
    terms = patients(identity=identity, rows="many")
    tables = (table(terms, "north", [drawn(50, 1)]), table(terms, "south", [drawn(50, 2)]))
    result = crosstab(terms, tables, row=("grade",), column=("treated",))
    for each in result.tables:
        check_shape(each)
    assert to_bytes(from_bytes(to_bytes(result), max_bytes=1 << 20)) == to_bytes(result)


@given(st.integers(2, 5), st.integers(2, 5), st.randoms(use_true_random=False))
def test_chi_square_is_scipys(rows: int, columns: int, random: Any) -> None:
    counts = np.array([[random.randrange(1, 500) for _ in range(columns)] for _ in range(rows)])
    expected = chi2_contingency(counts, correction=False)
    statistic, freedom, p_value = chi_square(counts)
    assert statistic == pytest.approx(expected.statistic, rel=1e-10, abs=1e-12)
    assert (freedom, p_value) == (expected.dof, pytest.approx(expected.pvalue, rel=1e-8, abs=1e-300))
