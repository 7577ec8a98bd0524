"""Attacks by magnitudes: sums and means that are nearly one subject's, with and without a party's own rows."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import pyarrow as pa
import pytest

from mpc.contract.terms import Rules
from mpc.disclosure import control
from mpc.engines.statistics import run_statistics
from mpc.questions.statistics import check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.results import RawResult
from mpc.table.schema import Dataset
from tests.statistics_examples import dataset, rows, tables

STANDARD = Rules(
    profile="standard", threshold=10, coalition=1, zeros="withhold", complementary="suppress", significant_digits=6
)
ROWS = 200
WHOLE = rows(ROWS, seed=3)
QUESTIONS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "totals": {"columns": ["cost"]},
    "summary": {"columns": ["cost"]},
    "t_test": {"column": ["cost"], "by": ["treated"], "levels": ["true", "false"], "confidence": ["0.95"]},
    "anova": {"column": ["cost"], "by": ["treated"]},
}


def costing(costs: Sequence[float], subjects: Sequence[int] | None = None) -> pa.RecordBatch:
    """Return the rows with other costs, all treated ones first, and other subjects if they are given."""
    columns = {
        "cost": [Decimal(f"{cost:.2f}") for cost in costs], "treated": [i < ROWS // 2 for i in range(ROWS)],
        "pid": subjects or range(ROWS),
    }  # fmt: skip
    whole = WHOLE
    for name, values in columns.items():
        field = whole.schema.field(name)
        whole = whole.set_column(whole.schema.get_field_index(name), field, pa.array(list(values), field.type))
    return whole


def run(method: str, terms: Dataset, whole: pa.RecordBatch) -> RawResult:
    asked = {name: tuple(values) for name, values in QUESTIONS[method].items()}
    question = StatisticsQuestion(kind="statistics", method=method, dataset="patients", arguments=asked)
    checked = check_statistics("asked", question, {"patients": terms})
    return run_statistics(checked, {"patients": tables(terms, whole, 30)})


def told(raw: RawResult, *kinds: str) -> tuple[list[object], set[str]]:
    """Return what leaves of measures of some kinds, and the rules that hold the rest."""
    release = control(raw, STANDARD)
    values = [
        value
        for table in release.tables
        for measure in table.measures
        if measure.kind in kinds
        for value in table.data.column(measure.name).to_pylist()
    ]
    return values, {one.rule for table in release.tables for one in table.withheld}


@pytest.mark.parametrize("method", sorted(QUESTIONS))
def test_a_magnitude_that_is_nearly_one_subjects_is_withheld(method: str) -> None:
    costs = [900_000.0 if i == 3 else 1.0 + i for i in range(ROWS)]
    values, rules = told(run(method, dataset(), costing(costs)), "sum", "mean", "spread", "test", "uncertainty")
    assert "dominance" in rules
    if method in {"totals", "summary"}:
        assert set(values) <= {None}
    else:
        # Of two groups, that of the others is told.
        assert len([value for value in values if value is not None]) == 2


@pytest.mark.parametrize("method", sorted(QUESTIONS))
def test_magnitudes_of_many_are_told(method: str) -> None:
    costs = [100.0 + i for i in range(ROWS)]
    values, rules = told(run(method, dataset(), costing(costs)), "sum", "mean", "spread")
    assert not rules
    assert None not in values


@pytest.mark.parametrize("method", ["totals", "summary"])
def test_a_party_that_takes_its_rows_away_meets_no_single_subject(method: str) -> None:
    """South's rows, the odd ones, are one expensive subject and trifles; north's are as expensive all."""
    costs = [90_000.0 if i % 2 == 0 or i == 3 else 1.0 for i in range(ROWS)]
    raw = run(method, dataset(), costing(costs))
    (largest,) = raw.tables[0].largest["cost_sum" if method == "totals" else "cost_mean"]
    assert largest.first[0] / largest.total[0] < 0.02
    values, rules = told(raw, "sum", "mean", "spread")
    assert rules - {"companions"} == {"dominance"}
    assert set(values) <= {None}


@pytest.mark.parametrize("identity", ["disjoint", "shared", "unknown"])
def test_rows_of_one_subject_count_together(identity: str) -> None:
    """Half of the rows are one subject's, each of which is as cheap as all others."""
    subjects = [1_000 if i % 4 < 2 and i > 3 else i for i in range(ROWS)]
    costs = [1.0 if i % 4 >= 2 else 50.0 for i in range(ROWS)]
    terms = dataset(rows="many", identity=identity)
    values, rules = told(run("totals", terms, costing(costs, subjects)), "sum")
    assert "dominance" in rules
    assert set(values) <= {None}
    assert "dominance" not in told(run("totals", terms, costing(costs)), "sum")[1]
