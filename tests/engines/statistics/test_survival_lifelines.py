"""``kaplan_meier``, ``log_rank`` and ``cox`` against lifelines, on real data sets and on the cohorts of the scenarios.

lifelines stops its search for the maximum by measures of its own; ``UNTIL_STILL`` makes it go on until nothing moves.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test
from lifelines.utils import median_survival_times

from tests.engines.statistics.real_rows import Rows, answer, lines, real

UNTIL_STILL = {"precision": 1e-24, "r_precision": 0.0}
"""lifelines also stops at half its Newton decrement, a square: 1e-24 of it is 1e-12 of the estimates."""

COHORTS = Path(__file__).parents[3] / "scenarios" / "data"
PLAIN = {
    "time": ["time"], "ties": ["efron"], "baseline": ["joint"], "variance": ["model"], "transform": ["km"],
    "residuals": ["none"], "confidence": ["0.95"],
}  # fmt: skip


def cohort(name: str, time: str, event: str, *columns: str) -> Rows:
    """Return columns of a shipped cohort, whole numbers all; the time and event by those names."""
    with (COHORTS / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, list[Any]] = {each: [float(row[each]) for row in rows] for each in columns}
    return {"time": [float(row[time]) for row in rows], "event": [row[event] == "1" for row in rows], **found}


def lung() -> Rows:
    rows = dict(real("survival", "cancer", "time", "status", "age", "ph.karno", "sex", "inst"))
    return {
        "time": rows["time"], "event": [status == 2 for status in rows["status"]], "age": rows["age"],
        "karno": rows["ph.karno"], "sex": ["f" if sex == 2 else "m" for sex in rows["sex"]],
        "site": [None if site is None else f"s{site:.0f}" for site in rows["inst"]],
    }  # fmt: skip


def veteran() -> Rows:
    rows = real("survival", "veteran", "time", "status", "karno", "age", "celltype", "trt")
    return {
        **rows, "event": [status == 1 for status in rows["status"]],
        "cell": rows["celltype"], "arm": [f"t{arm}" for arm in rows["trt"]],
    }  # fmt: skip


def bladder() -> Rows:
    rows = real("survival", "bladder", "stop", "event", "rx", "number", "size", "enum", "id")
    return {
        "time": rows["stop"], "event": [event == 1 for event in rows["event"]], "number": rows["number"],
        "size": rows["size"], "arm": [f"a{arm}" for arm in rows["rx"]], "round": [f"r{each}" for each in rows["enum"]],
        "who": [f"p{each}" for each in rows["id"]],
    }  # fmt: skip


def transplant() -> Rows:
    rows = real("survival", "heart", "start", "stop", "event", "age", "year", "transplant")
    return {
        "time": rows["stop"], "entry": rows["start"], "event": [event == 1 for event in rows["event"]],
        "age": rows["age"], "year": rows["year"], "transplant": [f"x{each}" for each in rows["transplant"]],
    }  # fmt: skip


def graded(name: str, time: str, event: str) -> Rows:
    rows = dict(cohort(name, time, event, "age", "nodes", "grade"))
    return {**rows, "grade": [f"g{grade:.0f}" for grade in rows["grade"]]}


def untied(rows: Rows) -> Rows:
    """Return rows whose times differ by a little: lifelines' robust errors know no Efron ties, those of R do."""
    return {**rows, "time": [time + i / 1024 for i, time in enumerate(rows["time"])]}


CURVES = {
    "lung": (lung, "sex"), "veteran": (veteran, "cell"), "bladder": (bladder, "arm"),
    "rotterdam": (lambda: graded("rotterdam", "rtime", "recur"), "grade"),
    "gbsg": (lambda: graded("gbsg", "rfstime", "status"), "grade"),
}  # fmt: skip


def frame(rows: Rows, *names: str) -> pd.DataFrame:
    """Return the rows that have all of the columns ``names``."""
    return pd.DataFrame({name: rows[name] for name in names}).dropna().reset_index(drop=True)


def close(found: Sequence[float | None], expected: Sequence[float], rel: float = 1e-8) -> None:
    assert [None if value is None else pytest.approx(value, rel=rel, abs=1e-14) for value in found] == [
        None if not math.isfinite(value) else value for value in expected
    ]


@pytest.mark.parametrize("name", CURVES)
def test_curves_intervals_and_medians_are_those_of_lifelines(name: str) -> None:
    rows, by = CURVES[name][0](), CURVES[name][1]
    seen = frame(rows, "time", "event", by)
    at = np.unique(np.quantile(seen["time"], [0.1, 0.3, 0.5, 0.7, 0.85])).astype(int)
    found = answer(rows, "kaplan_meier", time=["time"], event=["event"], by=[by], at=[str(each) for each in at])
    for level, own in seen.groupby(by):
        fitted = KaplanMeierFitter().fit(own["time"], own["event"])
        shown = [row for row in lines(found["survival"]) if row[by] == level and row["survival"] is not None]
        times = [row["time"] for row in shown]
        assert times == [each for each in at if each <= own["time"].max()]
        close([row["survival"] for row in shown], fitted.survival_function_at_times(times).tolist())
        bounds = fitted.confidence_interval_.loc[fitted.confidence_interval_.index.to_numpy() >= 0]
        place = bounds.index.searchsorted(times, side="right") - 1
        for column, bound in (("lower", 0), ("upper", 1)):
            # Before any event and once nobody is left, lifelines tells 1 and 0 for bounds that there are not.
            both = [(row[column], limit) for row, limit in zip(shown, bounds.iloc[place, bound], strict=True)]
            told = [pair for pair in both if pair[0] is not None]
            assert told
            close([pair[0] for pair in told], [pair[1] for pair in told])
        (medians,) = (row for row in lines(found["median"]) if row[by] == level)
        limits = median_survival_times(fitted.confidence_interval_).to_numpy().ravel()
        expected = [fitted.median_survival_time_, *limits]
        close([medians[each] for each in ("median", "median_lower", "median_upper")], expected)


@pytest.mark.parametrize("name", CURVES)
def test_the_log_rank_test_is_that_of_lifelines(name: str) -> None:
    rows, by = CURVES[name][0](), CURVES[name][1]
    seen = frame(rows, "time", "event", by)
    expected = multivariate_logrank_test(seen["time"], seen[by], seen["event"])
    (row,) = lines(answer(rows, "log_rank", time=["time"], event=["event"], by=[by])["log_rank"])
    assert row["degrees_of_freedom"] == seen[by].nunique() - 1 == expected.degrees_of_freedom
    close([row["chi_square"]], [expected.test_statistic])
    close([row["p_value"]], [expected.p_value], 1e-7)


MODELS: dict[str, tuple[Any, str, dict[str, list[str]]]] = {
    "lung": (lung, "age + karno + sex", {}),
    "veteran": (veteran, "karno + age + arm + cell", {}),
    "bladder": (bladder, "number + size + arm", {}),
    "rotterdam": (lambda: graded("rotterdam", "rtime", "recur"), "age + nodes + grade", {}),
    "gbsg": (lambda: graded("gbsg", "rfstime", "status"), "age + nodes + grade", {}),
    "veteran, strata": (veteran, "karno + age + arm", {"strata": ["cell"]}),
    "bladder, strata": (bladder, "number + size + arm", {"strata": ["round"]}),
    "heart, left truncation": (transplant, "age + year + transplant", {"entry": ["entry"]}),
    "lung, clusters": (lambda: untied(lung()), "age + karno + sex", {"cluster": ["site"]}),
    "bladder, clusters": (lambda: untied(bladder()), "number + size + arm", {"cluster": ["who"]}),
    "bladder, strata and clusters": (
        lambda: untied(bladder()),
        "number + size + arm",
        {"strata": ["round"], "cluster": ["who"]},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_cox_models_are_those_of_lifelines(name: str) -> None:
    make, terms, given = MODELS[name]
    rows = make()
    cluster = given.get("cluster", [])
    variance = ["robust" if cluster else "model"]
    found = answer(rows, "cox", **{**PLAIN, "variance": variance, "formula": [f"event ~ {terms}"], **given})
    expected = _fitted(rows, terms.split(" + "), **given)
    table = {row["term"]: row for row in lines(found["coefficients"])}
    assert len(table) == len(expected.params_)
    (model,) = lines(found["models"])
    close([model["log_likelihood"]], [expected.log_likelihood_])
    for term, estimate in expected.params_.items():
        close([table[term]["estimate"]], [estimate])
        close([table[term]["standard_error"]], [expected.standard_errors_[term]])


def _fitted(rows: Rows, terms: list[str], **given: list[str]) -> CoxPHFitter:
    """Return lifelines' model, its columns named as ours are."""
    more = [column for columns in given.values() for column in columns]
    seen = frame(rows, "time", "event", *terms, *more)
    if "entry" in given:
        seen = seen[seen["time"] > seen["entry"]]
    for term in terms:
        if seen[term].dtype == object:
            for level in sorted(seen[term].unique())[1:]:
                seen[f"{term}[{level}]"] = (seen[term] == level).astype(float)
            seen = seen.drop(columns=term)
    asked = {f"{name}_col": columns[0] for name, columns in given.items() if name != "strata"}
    return CoxPHFitter().fit(seen, "time", "event", strata=given.get("strata"), fit_options=UNTIL_STILL, **asked)
