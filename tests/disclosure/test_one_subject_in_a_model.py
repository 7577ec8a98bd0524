"""Attacks by regression: one subject is singled out by a number, a weight, an exposure or a combination of levels.

Beside each stands the same question about harmless rows, which is answered: the attack fails for its leverage alone.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mpc.contract.terms import Rules
from mpc.disclosure import Release, control
from mpc.engines.statistics import run_statistics
from mpc.questions.statistics import check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.results import RawResult
from mpc.table.schema import Dataset
from tests.statistics_examples import dataset, rows, tables

STANDARD = Rules(
    profile="standard", threshold=10, coalition=1, zeros="withhold", complementary="suppress", significant_digits=6
)
ROWS = 600
VICTIM = 7
WHOLE = rows(ROWS, seed=5)
PLAIN: Mapping[str, Sequence[str]] = {"residuals": ["none"], "parties": ["pooled"], "confidence": ["0.95"]}
LINEAR: Mapping[str, Sequence[str]] = {**PLAIN, "errors": ["classical"]}
COX: Mapping[str, Sequence[str]] = {
    "time": ["months"], "ties": ["efron"], "baseline": ["joint"], "variance": ["model"], "transform": ["km"],
    "residuals": ["none"], "confidence": ["0.95"],
}  # fmt: skip


def changed(whole: pa.RecordBatch = WHOLE, **columns: Any) -> pa.RecordBatch:
    """Return the rows with other values in some columns."""
    for name, values in columns.items():
        field = whole.schema.field(name)
        whole = whole.set_column(whole.schema.get_field_index(name), field, pa.array(list(values), field.type))
    return whole


def only(victim: float, others: float) -> list[float]:
    return [victim if i == VICTIM else others for i in range(ROWS)]


def run(method: str, terms: Dataset, whole: pa.RecordBatch, arguments: Mapping[str, Sequence[str]]) -> RawResult:
    asked = {name: tuple(values) for name, values in arguments.items()}
    question = StatisticsQuestion(kind="statistics", method=method, dataset="patients", arguments=asked)
    checked = check_statistics("asked", question, {"patients": terms})
    return run_statistics(checked, {"patients": tables(terms, whole, 100)})


def told(release: Release) -> list[Any]:
    return [
        value
        for table in release.tables
        for measure in table.measures
        for value in table.data.column(measure.name).to_pylist()
        if value is not None
    ]


def rules_of(release: Release) -> set[str]:
    return {one.rule for table in release.tables for one in table.withheld}


ATTACKS: Mapping[str, tuple[str, Mapping[str, Sequence[str]], pa.RecordBatch]] = {
    "a number that only one has": (
        "linear", {**LINEAR, "formula": ["marker ~ nodes"]}, changed(nodes=map(int, only(1, 0))),
    ),
    "a number far from all others, by a power": (
        "linear", {**LINEAR, "formula": ["marker ~ I(age^12)"]}, changed(age=map(int, only(110, 20))),
    ),
    "a weight beside which others vanish": (
        "linear", {**LINEAR, "formula": ["marker ~ 1"], "weights": ["weight"]}, changed(weight=only(1e9, 0.1)),
    ),
    "the only one at the reference of two factors": (
        "linear", {**LINEAR, "formula": ["marker ~ grade * treated"]},
        changed(
            grade=["1" if i == VICTIM else str(2 + i % 2) if i % 3 else "1" for i in range(ROWS)],
            treated=[i != VICTIM and (i % 3 == 0 or i % 4 == 0) for i in range(ROWS)],
        ),
    ),
    "a product that only one has": (
        "linear", {**LINEAR, "formula": ["marker ~ age + visits + age:visits:nodes"]},
        changed(nodes=map(int, only(3, 0))),
    ),
    "an exposure that only one has": (
        "poisson", {**PLAIN, "formula": ["visits ~ 1 + offset(log(years))"]},
        changed(years=only(1e6, 0.1), visits=[9 if i == VICTIM else int(i % 15 == 1) for i in range(ROWS)]),
    ),
    "a number that only one has, logistic": (
        "logistic", {**PLAIN, "formula": ["died ~ nodes"]}, changed(nodes=map(int, only(1, 0))),
    ),
    "a number that only one has, Poisson": (
        "poisson", {**PLAIN, "formula": ["visits ~ nodes"]}, changed(nodes=map(int, only(1, 0))),
    ),
    "a number that only one has, negative binomial": (
        "negative_binomial", {**PLAIN, "formula": ["nodes ~ visits"]},
        changed(visits=map(int, only(1, 0)), nodes=[(i * i) % 9 for i in range(ROWS)]),
    ),
    "a number that only one has, Cox": (
        "cox", {**COX, "formula": ["died ~ nodes"]}, changed(nodes=map(int, only(1, 0))),
    ),
    "a number that only one has within a stratum, Cox": (
        "cox", {**COX, "formula": ["died ~ nodes"], "strata": ["grade"]},
        changed(nodes=[3 * int(grade) + (i == VICTIM) for i, grade in enumerate(WHOLE.column("grade").to_pylist())]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_one_subject_is_not_singled_out(attack: str) -> None:
    method, arguments, whole = ATTACKS[attack]
    release = control(run(method, dataset(), whole, arguments), STANDARD)
    assert told(release) == []
    assert "leverage" in rules_of(release)


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_the_same_question_about_other_rows_is_answered(attack: str) -> None:
    method, arguments, _ = ATTACKS[attack]
    release = control(run(method, dataset(), WHOLE, arguments), STANDARD)
    assert release.tables[0].data.column("estimate").null_count == 0
    assert rules_of(release) == set()


def test_the_attack_would_have_told_the_response_to_all_digits() -> None:
    method, arguments, whole = ATTACKS["a number that only one has"]
    estimates = run(method, dataset(), whole, arguments).tables[0].data.column("estimate").to_pylist()
    assert sum(estimates) == pytest.approx(whole.column("marker")[VICTIM].as_py(), rel=1e-12)


def test_a_party_cannot_hide_one_subject_of_another_among_its_own_rows() -> None:
    """North's rows all have the number that one of south's has: without north, that one stands alone."""
    victim = 2 * VICTIM + 1  # rows are dealt in turns: odd ones are south's
    whole = changed(nodes=[int((i % 2 == 0 and i % 4 == 0) or i == victim) for i in range(ROWS)])
    raw = run("linear", dataset(), whole, {**LINEAR, "formula": ["marker ~ nodes"]})
    size = raw.tables[0].models[0]
    assert size.leverage is not None
    assert size.leverage < 0.1
    assert size.without["north"].leverage == pytest.approx(1.0)
    release = control(raw, STANDARD)
    assert told(release) == []
    assert "leverage" in rules_of(release)


@pytest.mark.parametrize("identity", ["disjoint", "shared", "unknown"])
@pytest.mark.parametrize(("method", "arguments"), [
    ("linear", {**LINEAR, "formula": ["marker ~ visits"]}), ("poisson", {**PLAIN, "formula": ["nodes ~ visits"]}),
    ("cox", {**COX, "formula": ["died ~ visits"]}),
])  # fmt: skip
def test_many_rows_of_one_subject_weigh_together(method: str, arguments: Any, identity: str) -> None:
    """Forty rows, none of which counts for much, are all of one person's visits."""
    own = [i < 80 and i % 2 == 0 for i in range(ROWS)]
    subjects = [0 if mine else i + 1 for i, mine in enumerate(own)]
    nodes = [(3 * i) % 7 for i in range(ROWS)]
    whole = changed(pid=subjects, visits=[int(mine) for mine in own], nodes=nodes)
    raw = run(method, dataset(rows="many", identity=identity), whole, arguments)
    release = control(raw, STANDARD)
    assert "leverage" in rules_of(release)
    assert told(release) == []
    apart = run(method, dataset(rows="many", identity=identity), changed(whole, pid=range(ROWS)), arguments)
    assert apart.tables[0].models[0].leverage < 0.5  # type: ignore[operator]


def test_leverages_are_those_of_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    raw = run(
        "linear", dataset(("north",)), WHOLE, {**LINEAR, "formula": ["marker ~ age + cost"], "weights": ["weight"]}
    )
    x = sm.add_constant(
        np.column_stack([np.asarray(WHOLE.column("age"), float), WHOLE.column("cost").cast(pa.float64())])
    )
    weights = np.asarray(WHOLE.column("weight"))
    weighed = sm.WLS(np.asarray(WHOLE.column("marker")), x, weights=weights).wexog
    hat = (weighed * np.linalg.pinv(weighed).T).sum(axis=1)
    assert raw.tables[0].models[0].leverage == pytest.approx(hat.max(), rel=1e-9)


BOUNDED: Mapping[str, tuple[str, Mapping[str, Sequence[str]]]] = {
    "plain": ("linear", {"formula": ["marker ~ age + grade * treated + years"]}),
    "weighted": ("linear", {"formula": ["marker ~ age + grade * treated + years"], "weights": ["weight"]}),
    "read without rounding": ("linear", {"formula": ["cost ~ age + marker"]}),
    "logistic": ("logistic", {"formula": ["treated ~ marker + grade * years"]}),
    "poisson": ("poisson", {"formula": ["visits ~ age * grade + offset(log(years))"]}),
    "negative_binomial": ("negative_binomial", {"formula": ["nodes ~ age + grade"]}),
}  # fmt: skip
MANY = 80_000
"""Beyond 65,536 rows a leverage is bounded by what the other passes find, unless somebody stands out."""


@pytest.mark.parametrize("kind", BOUNDED)
def test_of_many_rows_a_bound_is_told_that_no_leverage_exceeds(kind: str) -> None:
    method, changes = BOUNDED[kind]
    asked = {**(LINEAR if method == "linear" else PLAIN), **changes}
    whole = rows(MANY, seed=2)
    if kind == "read without rounding":  # next to no residual
        whole = changed(
            whole, cost=[Decimal(100 * age + (i == VICTIM)) / 100 for i, age in enumerate(whole["age"].to_pylist())]
        )
    bounded, exact = (run(method, dataset(rows=per), whole, asked).tables[0].models for per in ("one", "many"))
    pairs = list(zip(bounded, exact, strict=True))
    pairs += [(one.without[party], other.without[party]) for one, other in pairs for party in one.without]
    assert len(pairs) > len(bounded)
    for bound, leverage in ((one.leverage, other.leverage) for one, other in pairs):
        assert bound is not None
        assert leverage is not None
        assert leverage < bound < 0.25


@pytest.mark.parametrize("method", ["linear", "logistic", "poisson"])
def test_of_many_rows_one_that_stands_out_is_weighed(method: str) -> None:
    whole = changed(rows(MANY, seed=2), nodes=[1 if i == VICTIM else 0 for i in range(MANY)])
    # The one has an outcome that others have as well, or there would be no maximum.
    formula = {"linear": "marker ~ nodes", "logistic": "died ~ years + nodes", "poisson": "visits ~ nodes"}[method]
    asked = {**(LINEAR if method == "linear" else PLAIN), "formula": [formula]}
    (alone, *_) = run(method, dataset(), whole, asked).tables[0].models
    assert alone.leverage == pytest.approx(1.0, abs=1e-3)


def test_leverages_of_counts_are_those_of_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    asked = {**PLAIN, "formula": ["visits ~ age + offset(log(years))"]}
    raw = run("poisson", dataset(("north",)), WHOLE, asked)
    x = sm.add_constant(np.asarray(WHOLE.column("age"), float))
    offset = np.log(np.asarray(WHOLE.column("years")))
    fitted = sm.GLM(np.asarray(WHOLE.column("visits")), x, sm.families.Poisson(), offset=offset).fit(tol=1e-12)
    hat = fitted.get_hat_matrix_diag()
    assert raw.tables[0].models[0].leverage == pytest.approx(hat.max(), rel=1e-6)


def test_leverages_of_many_rows_are_bounded_without_another_look() -> None:
    whole = rows(70_000)
    found = run("linear", dataset(), whole, {**LINEAR, "formula": ["marker ~ age + months"]})
    (model, *_) = found.tables[0].models
    x = np.column_stack([np.ones(70_000), whole["age"].to_numpy(), whole["months"].to_numpy()])
    largest = float((x @ np.linalg.inv(x.T @ x) * x).sum(axis=1).max())
    assert model.leverage is not None
    assert largest <= model.leverage < 10 * largest
