"""Descriptive methods against numpy and their own definitions, on real data and on drawn ones."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from mpc.contract.terms import Rules
from mpc.disclosure import control
from mpc.engines.statistics.concentration import gini, hhi
from mpc.engines.statistics.ordered import image, midranks, value
from mpc.errors import Forbidden
from mpc.results import RawResult
from tests.engines.statistics.real_rows import Rows, answer, lines, real

STANDARD = Rules(
    profile="standard", threshold=10, coalition=1, zeros="release", complementary="suppress", significant_digits=6
)


@pytest.fixture(scope="module")
def salaries() -> Rows:
    rows = real("carData", "Salaries", "rank", "discipline", "salary", "yrs.service", "sex")
    renamed = {**rows, "years": [float(each) for each in rows["yrs.service"]]}
    del renamed["yrs.service"]
    return {**renamed, "salary": [float(each) for each in rows["salary"]]}


@pytest.fixture(scope="module")
def air() -> Rows:
    rows = real("datasets", "airquality", "Ozone", "Solar.R", "Month")
    return {"ozone": rows["Ozone"], "solar": rows["Solar.R"], "month": [str(each) for each in rows["Month"]]}


def of(rows: Rows, name: str, **where: Any) -> np.ndarray:
    places = [i for i in range(len(rows[name])) if all(rows[by][i] == level for by, level in where.items())]
    return np.array([rows[name][i] for i in places if rows[name][i] is not None], float)


def test_quantiles_of_real_data(salaries: Rows) -> None:
    found = answer(salaries, "quantiles", columns=["salary", "years"], by=["rank"], at=["0.05", "0.5", "0.95"])
    shown = [line for line in lines(found["quantiles"]) if line["rank"] is not None]
    assert len(shown) == 9
    for line in shown:
        for name in ("salary", "years"):
            own = of(salaries, name, rank=line["rank"])
            assert line[name] == pytest.approx(np.quantile(own, line["quantile"]), rel=1e-13)
            assert line[f"{name}_n"] == len(own)


def test_histogram(air: Rows) -> None:
    edges = ["20", "40", "60", "97"]
    found = answer(air, "histogram", column=["ozone"], by=["month"], edges=edges)
    for month in map(str, range(5, 10)):
        own = of(air, "ozone", month=month)
        counts, _ = np.histogram(own, [float(edge) for edge in edges])  # the last interval is closed, as here
        expected = [int((own < 20).sum()), *counts.tolist(), int((own > 97).sum())]
        shown = [line for line in lines(found["histogram"]) if line["month"] == month]
        assert [line["n"] for line in shown] == expected
        assert [(line["from"], line["to"]) for line in shown] == [
            (None, 20.0), (20.0, 40.0), (40.0, 60.0), (60.0, 97.0), (97.0, None),
        ]  # fmt: skip


def test_missing(air: Rows) -> None:
    found = answer(air, "missing", columns=["ozone", "solar"], by=["month"])
    table = found["missing"]
    known, unknown = table.contributors["missing_share"]
    for i, line in enumerate(lines(table)):
        if line["month"] is None:
            continue
        rows = sum(month == line["month"] for month in air["month"])
        present = len(of(air, line["column"], month=line["month"]))
        assert (line["present"], line["missing"]) == (present, rows - present)
        assert line["missing_share"] == pytest.approx((rows - present) / rows, rel=1e-14)
        assert (known.total[i], unknown.total[i]) == (present, rows - present)


def test_concentration(salaries: Rows) -> None:
    found = answer(salaries, "concentration", column=["salary"], by=["discipline"])
    for line in lines(found["concentration"]):
        if line["discipline"] is None:
            continue
        own = of(salaries, "salary", discipline=line["discipline"])
        apart = np.abs(own[:, None] - own).sum() / (2 * len(own) ** 2 * own.mean())
        assert line["total"] == pytest.approx(own.sum(), rel=1e-13)
        assert line["hhi"] == pytest.approx(((own / own.sum()) ** 2).sum(), rel=1e-12)
        assert line["gini"] == pytest.approx(apart, rel=1e-12)


def test_a_total_that_two_have_nearly_alone_is_withheld() -> None:
    rows = {"revenue": [1e6, 8e5, *[1.0] * 98], "sector": ["a"] * 100}
    found = answer(rows, "concentration", column=["revenue"], by=["sector"])
    table = control(RawResult(tuple(found.values())), STANDARD).tables[0]
    (line,) = [line for line in table.data.to_pylist() if line["sector"] == "a"]
    assert (line["total"], line["hhi"], line["gini"]) == (None, None, None)
    assert {one.rule for one in table.withheld} >= {"dominance"}


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_indices_keep_their_bounds(values: list[float]) -> None:
    own = np.array(values)
    if own.sum() == 0:
        assert np.isnan(hhi(own))
        assert np.isnan(gini(own))
        return
    assert 1 / len(own) - 1e-12 <= hhi(own) <= 1 + 1e-12
    assert -1e-12 <= gini(own) <= 1 - 1 / len(own) + 1e-12


def rates(events: np.ndarray, exposure: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Fay and Feuer (1997), written down again from the paper."""
    w = weights / weights.sum() / exposure
    y, v, top = (w * events).sum(), (w**2 * events).sum(), w.max()
    low = v / (2 * y) * chi2.ppf(0.025, 2 * y**2 / v)
    high = (v + top**2) / (2 * (y + top)) * chi2.ppf(0.975, 2 * (y + top) ** 2 / (v + top**2))
    return y, low, high


def test_standardised_rates(salaries: Rows) -> None:
    rows = {
        "events": [float(int(each) % 3) for each in salaries["salary"]], "years": [y + 1 for y in salaries["years"]],
        "rank": salaries["rank"], "sex": salaries["sex"],
    }  # fmt: skip
    weights = ["3", "2", "5.5"]
    found = answer(
        rows, "standardised_rates", events=["events"], exposure=["years"], strata=["rank"], standard=weights,
        by=["sex"], per=["1000"], confidence=["0.95"],
    )  # fmt: skip
    ranks = sorted(set(rows["rank"]))
    for line in lines(found["standardised_rates"]):
        if line["sex"] is None:
            continue
        events = np.array([of(rows, "events", sex=line["sex"], rank=rank).sum() for rank in ranks])
        exposure = np.array([of(rows, "years", sex=line["sex"], rank=rank).sum() for rank in ranks])
        expected = rates(events, exposure, np.array([float(weight) for weight in weights]))
        assert (line["rate"], line["lower"], line["upper"]) == tuple(
            pytest.approx(1000 * each, rel=1e-10) for each in expected
        )
        assert line["crude_rate"] == pytest.approx(1000 * events.sum() / exposure.sum(), rel=1e-12)


def test_a_stratum_without_weight_needs_no_exposure_and_one_with_weight_does() -> None:
    rows = {"events": [1.0, 0.0, 2.0] * 20, "stratum": ["a", "b", "a"] * 20}
    asked = {"events": ["events"], "strata": ["stratum"], "per": ["1"], "confidence": ["0.95"]}
    both = {**rows, "stratum": [*rows["stratum"][:-1], "c"]}
    (some,) = lines(answer(both, "standardised_rates", standard=["1", "1", "0"], **asked)["standardised_rates"])
    assert some["rate"] == pytest.approx((1.0 * (20 + 19 * 2) / 39) / 2)
    none = {"events": [1.0] * 30, "stratum": ["a"] * 29 + ["b"], "by": ["x"] * 29 + ["y"]}
    shown = lines(answer(none, "standardised_rates", standard=["1", "1"], by=["by"], **asked)["standardised_rates"])
    assert [line["rate"] for line in shown] == [None] * 2


@pytest.mark.parametrize(
    ("method", "arguments", "code"),
    [
        ("quantiles", {"columns": ["salary"], "at": ["0.01"]}, "number"),
        ("quantiles", {"columns": ["salary"], "at": ["0.5", "0.25"]}, "number"),
        ("quantiles", {"columns": ["salary"], "at": ["0.5", "0.5"]}, "number"),
        ("histogram", {"column": ["salary"], "edges": ["1"]}, "number"),
        ("histogram", {"column": ["salary"], "edges": ["0", "1e3"]}, "number"),
        ("histogram", {"column": ["rank"], "edges": ["0", "1"]}, "type"),
        ("concentration", {"column": ["change"]}, "sign"),
        (
            "standardised_rates",
            {
                "events": ["salary"], "strata": ["rank"], "standard": ["1", "1"], "per": ["1"], "confidence": ["0.9"],
            },
            "standard",
        ),
        (
            "standardised_rates",
            {
                "events": ["salary"], "strata": ["rank"], "standard": ["0", "0", "0"], "per": ["1"],
                "confidence": ["0.9"],
            },
            "standard",
        ),
    ],
)  # fmt: skip
def test_what_a_method_does_not_take_is_refused(salaries: Rows, method: str, arguments: Any, code: str) -> None:
    rows = {**salaries, "change": [-1.0 if i % 2 else 1.0 for i in range(len(salaries["salary"]))]}
    with pytest.raises(Forbidden) as refused:
        answer(rows, method, **arguments)
    assert refused.value.code == f"statistics.{code}"


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_images_have_the_order_of_the_doubles(values: list[float]) -> None:
    own = np.array(values)
    images = image(own)
    assert (np.argsort(images, kind="stable") == np.argsort(own, kind="stable")).all()
    assert (value(images) == own).all()


def test_midranks() -> None:
    assert midranks(np.array([1, 3, 2])).tolist() == [1.0, 3.0, 5.5]
