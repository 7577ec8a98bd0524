"""The rules for what statistical methods return: models, quantiles, survival steps, magnitudes; each can fail."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest

from mpc.contract.explain import _MAGNITUDE_RULE, _METHOD_RULES
from mpc.disclosure import Release, control
from mpc.disclosure.release import STATBARNS
from mpc.disclosure.rules import RULES, dominance, leverage, models
from mpc.disclosure.rules.coverage import COVERED, SIZED, WEIGHED
from mpc.results import Contributors, Largest, Measure, MeasureKind, ModelSize, RawResult, RawTable

Make = Callable[..., Any]
BY_NAME = {rule.name: rule for rule in RULES}
BEHIND = Contributors("person", np.array([100]), {"north": np.array([50]), "south": np.array([50])})
REST = ModelSize(5, 100, 100, 95, 20, 30, 0.2)
LARGE = ModelSize(5, 200, 200, 195, 40, 60, 0.1, {"north": REST, "south": REST})
EVEN = Largest("subject", np.array([100.0]), np.array([20.0]), np.array([15.0]))


def table(kind: MeasureKind, **changes: Any) -> RawTable:
    plain = RawTable(
        "t", (), (Measure("x", kind, "x", extensive=False),), pa.table({"x": [1.5]}), {"x": (BEHIND,) * 3},
        np.array([0]), models=(LARGE,), largest={"x": (EVEN,)},
    )  # fmt: skip
    return replace(plain, **changes)


def rules_of(release: Release) -> set[str]:
    return {one.rule for each in release.tables for one in each.withheld}


def behind(total: int, **without: int) -> Contributors:
    return Contributors("person", np.array([total]), {party: np.array([left]) for party, left in without.items()})


def test_every_kind_has_a_statbarn_and_a_rule_that_knows_it() -> None:
    kinds = set(get_args(MeasureKind))
    assert set(STATBARNS) == set(COVERED) == kinds
    assert kinds >= SIZED | WEIGHED


@pytest.mark.parametrize("kind", get_args(MeasureKind))
def test_each_kind_is_released_when_all_that_its_rules_need_is_there_and_large(rules: Make, kind: MeasureKind) -> None:
    release = control(RawResult((table(kind),)), rules())
    assert rules_of(release) == set()
    assert release.tables[0].data.column("x").to_pylist() == [1.5]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("parameter", {"models": ()}), ("goodness", {"models": ()}), ("concentration", {"largest": {}}),
        ("inequality", {"largest": {}}), ("sum", {"largest": {}}), ("mean", {"largest": {}}),
        ("spread", {"largest": {}}), ("moment", {"largest": {}}), ("quantile", {"contributors": {"x": (BEHIND,)}}),
        ("survival", {"contributors": {"x": (BEHIND, BEHIND)}}), ("rate", {"contributors": {"x": ()}}),
        ("forecast", {}),
    ],
)  # fmt: skip
def test_an_output_without_what_its_rule_needs_is_withheld(rules: Make, kind: Any, changes: dict[str, Any]) -> None:
    made = table("rate", **changes)
    unknown = replace(made, measures=(replace(made.measures[0], kind=kind),))
    found = BY_NAME["coverage"].find(RawResult((unknown,)), rules(), {})
    assert found["t", "x"].tolist() == [True]


@pytest.mark.parametrize(
    "small",
    [
        {"freedom": 9}, {"parameters": 67, "freedom": 133}, {"smallest_level": 9}, {"events": 15},
        {"subjects": 9, "without": {}},
        {"without": {"north": replace(LARGE.without["north"], freedom=9)}},
        {"without": {"north": replace(LARGE.without["north"], smallest_level=0)}},
    ],
)  # fmt: skip
def test_models(rules: Make, small: dict[str, Any]) -> None:
    assert BY_NAME["models"].guarantees == (
        "A released model has at least 10 residual degrees of freedom and the threshold in each level."
    )
    made = table("parameter", models=(replace(LARGE, **small),))
    release = control(RawResult((made,)), rules())
    assert rules_of(release) == {"models"}
    assert release.tables[0].data.column("x").to_pylist() in ([None], [])


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"leverage": 0.9}, True), ({"leverage": 0.91}, False), ({"leverage": float("inf")}, False),
        ({"leverage": None}, False), ({"without": {"north": replace(REST, leverage=0.91)}}, False),
        ({"without": {"north": replace(REST, leverage=None)}}, False),
    ],
)  # fmt: skip
def test_leverage(rules: Make, change: dict[str, Any], shown: bool) -> None:
    assert BY_NAME["leverage"].guarantees == (
        "In no combination of a released model's coefficients has one subject more than 0.90 of the weight."
    )
    release = control(RawResult((table("parameter", models=(replace(LARGE, **change),)),)), rules())
    assert rules_of(release) == (set() if shown else {"leverage"})


def test_a_model_for_each_row_is_withheld_by_row(rules: Make) -> None:
    made = RawTable(
        "t", ("g",), (Measure("x", "parameter", "x", extensive=False),), pa.table({"g": ["a", "b"], "x": [1.0, 2.0]}),
        {"x": (Contributors("person", np.array([100, 100]), {}),)}, np.array([0, 0]), complete=True,
        models=(LARGE, replace(LARGE, freedom=3)),
    )  # fmt: skip
    assert control(RawResult((made,)), rules()).tables[0].data.column("x").to_pylist() == [1.0, None]


def test_quantiles(rules: Make) -> None:
    assert BY_NAME["quantiles"].guarantees == (
        "At or below and at or above a released quantile lie at least the threshold of subjects."
    )
    for sides, shown in (
        ((behind(100), behind(10), behind(95)), True),
        ((behind(100), behind(9), behind(95)), False),
        ((behind(100), behind(95), behind(0)), False),
        ((behind(100, north=50), behind(30, north=9), behind(75, north=41)), False),
    ):
        release = control(RawResult((table("quantile", contributors={"x": sides}),)), rules())
        assert rules_of(release) == (set() if shown else {"quantiles"})


def test_steps(rules: Make) -> None:
    assert BY_NAME["steps"].guarantees == (
        "At a released survival step, nobody or at least the threshold are at risk, have the event, and leave."
    )
    for sides, shown in (
        ((behind(100), behind(10), behind(12)), True),
        ((behind(100), behind(9), behind(12)), False),
        ((behind(100), behind(12), behind(3)), False),
        ((behind(100, north=60), behind(20, north=4), behind(30, north=20)), False),
    ):
        release = control(RawResult((table("survival", contributors={"x": sides}),)), rules())
        assert (rules_of(release) == set()) is shown


@pytest.mark.parametrize(
    ("total", "first", "second", "shown"),
    [(100, 20, 15, True), (100, 60, 35, False), (100, 89, 1, True), (100, 95, 0, False), (0, 0, 0, True)],
)
def test_dominance(rules: Make, total: float, first: float, second: float, shown: bool) -> None:
    assert BY_NAME["dominance"].guarantees == (
        "Where contributions are weighed, no two units make up more than 0.90 of a released cell."
    )
    largest = Largest("party", np.array([total * 1.0]), np.array([first * 1.0]), np.array([second * 1.0]))
    release = control(RawResult((table("concentration", largest={"x": (EVEN, largest)}),)), rules())
    assert rules_of(release) == (set() if shown else {"dominance"})
    if not shown:
        both = largest.first + largest.second
        assert float((total - both)[0]) < 0.1 * first or float(both[0]) > 0.9 * total


def test_the_numbers_of_the_rules_are_those_that_people_read() -> None:
    told = " ".join(_METHOD_RULES)
    assert f"at least {models.FREEDOM_MIN} residual degrees of freedom" in told
    assert f"at most {models.PARAMETERS_A_THOUSAND_MAX / 10:g} % of its rows" in told
    assert f"more than {100 * dominance.NK_MAX:g} % of the whole" in told
    assert f"no subject has more than {100 * leverage.LEVERAGE_MAX:g} % of the weight" in told
    half = np.array([0.45, 0.46])
    largest = Largest("subject", np.ones(2), half, half)  # the second is not looked for: it may be as large
    assert dominance.is_dominated(largest).tolist() == [False, True]
    assert "more than 45 % of it" in _MAGNITUDE_RULE


def test_public_data_have_nobody_to_protect(rules: Make) -> None:
    tiny = table("parameter", models=(ModelSize(3, 3, 3, 0),), contributors={"x": ()}, public=True)
    assert rules_of(control(RawResult((tiny,)), rules())) == set()
