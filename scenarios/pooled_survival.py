"""Survival over everybody's rows in one place, by the textbook's formulas: what the joint answers must equal.

Nothing of the enclave's engines takes part: every risk set is added up from its rows, event time by event time, and
Newton's steps use the dense matrices. That is slow, and plain.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincc

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

STEPS = 6
"""Newton's steps from no effect at all; here the fifth changes nothing any more."""

HALF = 0.5
Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Step:
    """A curve just after ``time``."""

    time: float
    survival: float
    error: float
    lower: float | None
    upper: float | None


def kaplan_meier(rows: Sequence[Row], arguments: Mapping[str, Sequence[str]]) -> dict[str, list[Row]]:
    """Return the tables of a question without entry: ``survival`` and ``median``."""
    found: dict[str, list[Row]] = {"survival": [], "median": []}
    by = arguments.get("by", ())
    for key in sorted({tuple(row[name] for name in by) for row in rows}):
        own = [row for row in rows if tuple(row[name] for name in by) == key]
        time, event = _columns(own, arguments)
        group = dict(zip(by, key, strict=True))
        curve = _curve(time, event)
        for at in map(float, arguments["at"]):
            step = next(step for step in reversed(curve) if step.time <= at)
            found["survival"].append({
                **group, "time": at, "survival": step.survival, "standard_error": step.error, "lower": step.lower,
                "upper": step.upper, "at_risk": int((time >= at).sum()),
                "subjects": int((time >= at).sum()), "events": int(event[time <= at].sum()),
            })  # fmt: skip
        halves = {
            name: next((step.time for step in curve if (getattr(step, value) or np.inf) <= HALF), None)
            for name, value in (("median", "survival"), ("median_lower", "lower"), ("median_upper", "upper"))
        }
        found["median"].append({**group, "n": len(own), "subjects": len(own), **halves})
    return found


def _columns(rows: Sequence[Row], arguments: Mapping[str, Sequence[str]]) -> tuple[Floats, Mask]:
    time = np.array([float(row[arguments["time"][0]]) for row in rows])
    return time, np.array([row[arguments["event"][0]] == 1 for row in rows])


def _curve(time: Floats, event: Mask) -> list[Step]:
    """Return survival just after each event time: the time, survival, its error and its bounds."""
    survival, summed, steps = 1.0, 0.0, [Step(-np.inf, 1.0, 0.0, None, None)]
    for moment in np.unique(time[event]).tolist():
        died, at_risk = int((event & (time == moment)).sum()), int((time >= moment).sum())
        survival *= 1 - died / at_risk
        if survival == 0:
            steps.append(Step(moment, 0.0, 0.0, None, None))
            break
        summed += died / (at_risk * (at_risk - died))
        spread = float(Z * math.sqrt(summed) / abs(math.log(survival)))
        bounds = (survival ** float(np.exp(sign * spread)) for sign in (1, -1))
        steps.append(Step(moment, survival, float(survival * np.sqrt(summed)), *bounds))
    return steps


def log_rank(rows: Sequence[Row], arguments: Mapping[str, Sequence[str]]) -> Row:
    """Return the test between two groups."""
    (by,) = arguments["by"]
    one = max(row[by] for row in rows)
    strata = arguments.get("strata", ())
    apart = variance = 0.0
    for stratum in {tuple(row[name] for name in strata) for row in rows}:
        own = [row for row in rows if tuple(row[name] for name in strata) == stratum]
        time, event = _columns(own, arguments)
        inside = np.array([row[by] == one for row in own])
        for moment in np.unique(time[event]):
            at_risk, died = time >= moment, event & (time == moment)
            n, n1, d = int(at_risk.sum()), int((at_risk & inside).sum()), int(died.sum())
            apart += int((died & inside).sum()) - d * n1 / n
            variance += d * (n1 / n) * (1 - n1 / n) * (n - d) / (n - 1) if n > 1 else 0.0
    statistic = apart**2 / variance
    p_value = float(gammaincc(0.5, statistic / 2))
    counted = {"n": len(rows), "subjects": len(rows)}
    return {**counted, "chi_square": statistic, "degrees_of_freedom": 1, "p_value": p_value}


@dataclass(frozen=True)
class Data:
    """The rows of a model: covariates about their means, time, event and stratum."""

    x: Floats
    time: Floats
    event: Mask
    stratum: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Likelihood:
    """Efron's partial likelihood: its logarithm, gradient and information, these by weights of time 1, g and g²."""

    value: float
    score: Floats
    information: Floats


def cox(
    rows: Sequence[Row], covariates: Mapping[str, Floats], stratum: Sequence[object], *, time: str, event: str
) -> dict[str, list[Row]]:
    """Return the tables of a model of ``covariates``; of a level, such as ``grade[2]``, a covariate is 0 or 1."""
    x = np.column_stack(list(covariates.values()))
    columns = _columns(rows, {"time": [time], "event": [event]})
    data = Data(x - x.mean(axis=0), *columns, np.unique(np.array(stratum), return_inverse=True)[1])
    beta, ones = np.zeros(x.shape[1]), np.ones(len(rows))
    null = here = _likelihood(beta, data, ones)
    for _ in range(STEPS):
        beta = beta + np.linalg.solve(here.information[0], here.score[0])
        here = _likelihood(beta, data, ones)
    error = np.sqrt(np.diag(np.linalg.inv(here.information[0])))
    found = zip(covariates.items(), beta.tolist(), error.tolist(), strict=True)
    return {
        "coefficients": [
            {"term": name, "subjects": int(values.sum()) if "[" in name else len(rows), **_inference(b, se)}
            for (name, values), b, se in found
        ],
        "models": [
            {"n": len(rows), "subjects": len(rows), "events": int(data.event.sum()), **_figures(beta, null, here)}
        ],
        "proportional_hazards": _proportional(list(covariates), _likelihood(beta, data, _moment(data)), len(rows)),
    }


def _inference(b: float, se: float) -> Row:
    lower, upper = b - Z * se, b + Z * se
    return {
        "estimate": b, "standard_error": se, "statistic": b / se, "p_value": math.erfc(abs(b / se) / math.sqrt(2)),
        "lower": lower, "upper": upper, "hazard_ratio": math.exp(b), "ratio_lower": math.exp(lower),
        "ratio_upper": math.exp(upper),
    }  # fmt: skip


def _figures(beta: Floats, null: Likelihood, here: Likelihood) -> Row:
    tests = {
        "likelihood_ratio": 2 * (here.value - null.value),
        "wald": float(beta @ here.information[0] @ beta),
        "score": float(null.score[0] @ np.linalg.solve(null.information[0], null.score[0])),
    }
    return {
        "model": "(all)", "degrees_of_freedom": float(len(beta)), "log_likelihood": here.value,
        "null_log_likelihood": null.value, **tests,
        **{f"{name}_p": float(gammaincc(len(beta) / 2, value / 2)) for name, value in tests.items()},
    }  # fmt: skip


def _moment(data: Data) -> Floats:
    """Return, for each row, one less the survival of everybody just before its time, about its mean over events."""
    curve = _curve(data.time, data.event)
    at = np.searchsorted([step.time for step in curve], data.time) - 1
    told = 1 - np.array([step.survival for step in curve])[at]
    return np.asarray(told - told[data.event].mean(), np.float64)


def _likelihood(beta: Floats, data: Data, g: Floats) -> Likelihood:
    ratio = np.exp(data.x @ beta)
    value, score, found = 0.0, np.zeros((3, len(beta))), np.zeros((3, len(beta), len(beta)))
    for stratum in np.unique(data.stratum):
        own = np.flatnonzero(data.stratum == stratum)
        own = own[np.argsort(data.time[own], kind="stable")]
        x, time, event, w = data.x[own], data.time[own], data.event[own], ratio[own]
        for moment in np.unique(time[event]):
            first, end = np.searchsorted(time, moment), np.searchsorted(time, moment, side="right")
            tied = first + np.flatnonzero(event[first:end])
            weights = g[own[first]] ** np.arange(3)
            value += float((x[tied] @ beta).sum())
            score += np.outer(weights, x[tied].sum(axis=0))
            sums = [_moments(x[first:], w[first:]), _moments(x[tied], w[tied])]
            for lot in range(len(tied)):
                s0, s1, s2 = (whole - lot / len(tied) * part for whole, part in zip(*sums, strict=True))
                value -= float(np.log(s0))
                score -= np.outer(weights, s1 / s0)
                found += weights[:, None, None] * (s2 / s0 - np.outer(s1 / s0, s1 / s0))
    return Likelihood(value, score, found)


def _moments(x: Floats, ratio: Floats) -> tuple[Any, Floats, Floats]:
    return ratio.sum(), ratio @ x, (x * ratio[:, None]).T @ x


def _proportional(names: Sequence[str], weighed: Likelihood, count: int) -> list[Row]:
    plain, crossed, squared = weighed.information
    whole = np.block([[plain, crossed], [crossed, squared]])
    size = len(plain)
    terms: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        terms.setdefault(name.partition("[")[0], []).append(place)
    found = []
    for term, chosen in {**terms, "(global)": list(range(size))}.items():
        rows = [*range(size), *(size + place for place in chosen)]
        gradient = np.concatenate([np.zeros(size), weighed.score[1][chosen]])
        statistic = float(gradient @ np.linalg.solve(whole[np.ix_(rows, rows)], gradient))
        p_value = float(gammaincc(len(chosen) / 2, statistic / 2))
        found.append({
            "term": term, "n": count, "subjects": count, "chi_square": statistic,
            "degrees_of_freedom": float(len(chosen)), "p_value": p_value,
        })  # fmt: skip
    return found
