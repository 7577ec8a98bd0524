"""What holds for every method: any split, order and batching gives one answer, and nothing makes it crash."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mpc.contract.terms import Rules
from mpc.disclosure import control
from mpc.engines.statistics import PLANS, run_statistics
from mpc.errors import Refusal
from mpc.questions.statistics import METHODS, check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.results import RawResult, check_shape, from_bytes, to_bytes
from mpc.table.schema import Dataset
from tests.statistics_examples import EXAMPLES, dataset, rows, tables

WHOLE = rows(700, seed=1)
STANDARD = Rules(
    profile="standard", threshold=10, coalition=1, zeros="withhold", complementary="suppress", significant_digits=6
)
RELATIVE = 1e-9
MOMENTS = frozenset({
    "summary", "totals", "crosstab", "quantiles", "histogram", "missing", "concentration", "standardised_rates",
    "correlation", "t_test", "anova", "mann_whitney", "risk", "roc",
})  # fmt: skip
"""Methods of counts, sums and moments: they agree to 1e-12."""


def ask(method: str, terms: Dataset, whole: pa.RecordBatch, size: int, threads: int = 1) -> RawResult:
    arguments = {name: tuple(values) for name, values in EXAMPLES[method].items()}
    question = StatisticsQuestion(kind="statistics", method=method, dataset="patients", arguments=arguments)
    checked = check_statistics("asked", question, {"patients": terms})
    return run_statistics(checked, {"patients": tables(terms, whole, size)}, threads=threads)


def cells(result: RawResult) -> dict[tuple[Any, ...], Any]:
    found = {}
    for table in result.tables:
        for i, line in enumerate(table.data.to_pylist()):
            key = tuple(line[name] for name in table.keys)
            for measure in table.measures:
                found[table.name, int(table.margins[i]), key, measure.name] = line[measure.name]
    return found


def test_every_method_has_a_plan_and_an_example() -> None:
    assert set(METHODS) == set(PLANS) == set(EXAMPLES)


@pytest.fixture(scope="module", params=sorted(METHODS))
def asked(request: pytest.FixtureRequest) -> tuple[str, RawResult]:
    return request.param, ask(request.param, dataset(("north",)), WHOLE, 1000)


def test_any_split_order_and_batching_gives_one_answer(asked: tuple[str, RawResult]) -> None:
    method, whole = asked
    expected = cells(whole)
    shuffled = WHOLE.take(np.random.default_rng(7).permutation(WHOLE.num_rows))
    for parties, size in ((2, 64), (7, 33), (100, 5)):
        owners = tuple(f"p{i:03}" for i in range(parties))
        found = cells(ask(method, dataset(owners), shuffled, size, threads=2))
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            relative = 1e-12 if method in MOMENTS else RELATIVE
            close = value if value is None else pytest.approx(value, rel=relative, abs=relative / 100)
            assert found[name] == close, name


def test_threads_change_no_bit(asked: tuple[str, RawResult]) -> None:
    method, _ = asked
    results = [to_bytes(ask(method, dataset(), WHOLE, 50, threads)) for threads in (1, 2, 3)]
    assert len(set(results)) == 1


def test_the_result_is_well_formed_and_disclosure_control_takes_it(asked: tuple[str, RawResult]) -> None:
    method, _ = asked
    result = ask(method, dataset(), WHOLE, 100)
    again = from_bytes(to_bytes(result), max_bytes=1 << 24)
    assert to_bytes(again) == to_bytes(result)
    for table in result.tables:
        check_shape(table)
    release = control(result, STANDARD)
    shown = sum(not hidden for table in release.tables for mask in table.masks for hidden in mask)
    assert shown > 0
    assert not any(one.rule == "coverage" for table in release.tables for one in table.withheld)


@pytest.mark.parametrize("identity", ["shared", "unknown"])
def test_every_cell_has_its_subjects_whatever_is_known_of_them(asked: tuple[str, RawResult], identity: str) -> None:
    method, _ = asked
    result = ask(method, dataset(identity=identity, rows="many"), WHOLE, 100)
    for table in result.tables:
        check_shape(table)
        for measure in table.measures:
            assert table.contributors[measure.name]
            for one in table.contributors[measure.name]:
                assert one.domain == "patient"
                assert set(one.without) <= {"north", "south"}


ROWS_AND_SUBJECTS = {"n": "subjects", "at_risk": "subjects", "present": "present_subjects"}
"""Numbers of rows, and what stands beside each; of a column in particular, ``age_n`` and ``age_subjects``."""


def test_beside_a_number_of_rows_stands_that_of_subjects(asked: tuple[str, RawResult]) -> None:
    """Everybody has two rows, so the two numbers differ."""
    method, _ = asked
    whole = WHOLE.set_column(0, WHOLE.schema.field(0), pa.array(np.arange(WHOLE.num_rows) // 2))
    found = 0
    for table in ask(method, dataset(("north",), identity="shared", rows="many"), whole, 100).tables:
        for name in (measure.name for measure in table.measures):
            beside = ROWS_AND_SUBJECTS.get(name) or f"{name.removesuffix('_n')}_subjects" * name.endswith("_n")
            if beside:
                found += 1
                subjects = table.data.column(beside).to_pylist()
                assert subjects == table.contributors[name][0].total.tolist()
                rows_of = table.data.column(name).to_pylist()
                assert all(one <= rows for one, rows in zip(subjects, rows_of, strict=True))
                assert subjects != rows_of or method == "concentration"  # there, n are the subjects
    assert found
    unknown = ask(method, dataset(identity="unknown", rows="many"), whole, 100)
    assert {one.name for table in unknown.tables for one in table.measures if one.name.endswith("subjects")}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_rows_are_an_answer_or_a_refusal_and_release_nothing(
    asked: tuple[str, RawResult], count: int
) -> None:
    method, _ = asked
    try:
        result = ask(method, dataset(), WHOLE.slice(0, count), 10)
    except Refusal:
        return
    release = control(result, STANDARD)
    for table in release.tables:
        for measure in table.measures:
            assert not any(table.data.column(measure.name).to_pylist()), (table.name, measure.name)


def test_columns_that_do_not_vary_are_an_answer_or_a_refusal(asked: tuple[str, RawResult]) -> None:
    method, _ = asked
    columns = ("age", "nodes", "marker", "cost", "visits")
    constant = WHOLE
    for name in columns:
        place = constant.schema.get_field_index(name)
        first = constant.column(name).drop_null()[0]
        constant = constant.set_column(
            place, constant.schema.field(name), pa.array([first.as_py()] * constant.num_rows, first.type)
        )
    try:
        result = ask(method, dataset(), constant, 100)
    except Refusal:
        return
    for value in cells(result).values():
        assert value is None or not isinstance(value, float) or np.isfinite(value)


@pytest.mark.parametrize("size", [1, 40, 1000])
def test_a_code_that_nobody_declared_is_a_group_of_its_own_and_moves_nobody(size: int) -> None:
    terms = dataset()
    place = WHOLE.schema.get_field_index("grade")
    grades = WHOLE.column("grade").to_pylist()
    forged = pa.array(["9" if i % 50 == 49 else grade for i, grade in enumerate(grades)])
    lying = WHOLE.set_column(place, WHOLE.schema.field("grade"), forged)
    asked = {"columns": ("age",), "by": ("grade", "treated")}
    question = StatisticsQuestion(kind="statistics", method="summary", dataset="patients", arguments=asked)
    checked = check_statistics("asked", question, {"patients": terms})
    result = run_statistics(checked, {"patients": tables(terms, lying, size)})
    counted = {(line["grade"], line["treated"]): line["age_n"] for line in result.tables[0].data.to_pylist()}
    pairs = list(zip(forged.to_pylist(), WHOLE.column("treated").to_pylist(), strict=True))
    assert counted == {pair: pairs.count(pair) for pair in set(pairs)}
