"""``risk`` computed: one keyed fold that counts four cells, in each stratum; intervals on the logarithms."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.counting import GroupRows
from mpc.engines.statistics.distributions import normal_bound, normal_p
from mpc.engines.statistics.levels import is_one_of
from mpc.engines.statistics.passes import Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import (
    Behind,
    Cells,
    count,
    counted,
    each_of,
    figure,
    key_columns,
    subjects,
    taken,
    tidy,
)
from mpc.questions.statistics import CheckedStatistics
from mpc.results import RawResult, RawTable

Floats = npt.NDArray[np.float64]

_EXPOSED, _EVENT = "$exposed", "$event"
MEASURES = ("odds_ratio", "relative_risk", "risk_difference")
_CELLS = 4


class Risk:
    """The plan: one pass."""

    def __init__(self, checked: CheckedStatistics) -> None:
        arguments = checked.arguments
        self._dataset = checked.dataset
        self._by = arguments["by"]
        self._computed = {
            _EXPOSED: is_one_of(checked.dataset, arguments["exposure"][0], arguments["exposed"]),
            _EVENT: is_one_of(checked.dataset, arguments["outcome"][0], arguments["event"]),
        }
        self._outcome = arguments["outcome"][0]
        self._bound = normal_bound(float(arguments["confidence"][0]))

    def first(self) -> Pass:
        """Return the one pass."""
        keys = (*self._by, _EXPOSED, _EVENT)
        return Pass(KeyedFold(keys, GroupRows), columns=(), present=keys, counted=(None,), computed=self._computed)

    def next(self, folded: Folded) -> RawResult:
        """Return the risks with and without exposure, the comparisons, and over several strata the pooled one."""
        # Groups are numbered with the last key fastest: exposed with the event, exposed without, then the unexposed.
        counts = folded.accumulator.counts.reshape(-1, _CELLS).astype(np.float64)
        behind = folded.tallies.contributors(None, np.arange(counts.size), counts.size)
        tables = (self._risks(folded, counts, behind), self._comparisons(folded, counts, behind))
        return RawResult((*tables, self._pooled(folded, counts, behind)) if self._by else tables)

    def _risks(self, folded: Folded, counts: Floats, behind: Behind) -> RawTable:
        strata = [group[:-2] for group in folded.groups[::_CELLS]]
        arms = counts.reshape(-1, 2, 2)
        number, events = arms.sum(axis=2).ravel(), arms[:, :, 0].ravel()
        keys = key_columns(self._dataset, self._by, [stratum for stratum in strata for _ in range(2)])
        keys["exposed"] = pa.array([True, False] * len(strata), pa.bool_())
        cells = np.arange(counts.size) // 2
        every = folded.tallies.contributors(None, cells, len(number))
        sides = tuple(one for side in (0, 1) for one in taken(behind, np.arange(len(number)) * 2 + side))
        with np.errstate(invalid="ignore"):
            share = events / np.where(number > 0, number, np.nan)
        return tidy(
            "risks",
            keys,
            [
                count("n", number, every, self._outcome), *subjects(every, self._outcome),
                count("events", events, sides, self._outcome),
                figure("risk", "rate", share, sides, source=self._outcome),
            ],
            folded,
        )  # fmt: skip

    def _comparisons(self, folded: Folded, counts: Floats, behind: Behind) -> RawTable:
        strata = [group[:-2] for group in folded.groups[::_CELLS]]
        estimate, lower, upper, score = (each.ravel() for each in compared(counts, self._bound))
        keys = key_columns(self._dataset, self._by, [stratum for stratum in strata for _ in MEASURES])
        keys["measure"] = pa.array(list(MEASURES) * len(strata), pa.utf8())
        row = np.repeat(np.arange(len(strata)), len(MEASURES)) * _CELLS
        sides = tuple(one for cell in range(_CELLS) for one in taken(behind, row + cell))
        every = folded.tallies.contributors(None, np.arange(counts.size) // _CELLS, len(strata))
        number = counts.sum(axis=1).astype(np.int64)
        cells = counted(number[row // _CELLS], taken(every, row // _CELLS), sides, self._outcome)
        return tidy("comparison", keys, [*cells, *self._shown(estimate, lower, upper, score, sides)], folded)

    def _pooled(self, folded: Folded, counts: Floats, behind: Behind) -> RawTable:
        estimate, lower, upper, score = mantel_haenszel(counts, self._bound)
        some = np.flatnonzero(counts.sum(axis=1) > 0)
        sides = each_of(behind, (some[:, None] * _CELLS + np.arange(_CELLS)).ravel())
        keys = {"measure": pa.array(["odds_ratio"], pa.utf8())}
        every = folded.tallies.contributors(None, np.zeros(counts.size, np.int64), 1)
        cells = counted([int(counts.sum())], every, sides, self._outcome)
        cells += self._shown(np.array([estimate]), np.array([lower]), np.array([upper]), np.array([score]), sides)
        return tidy("pooled", keys, cells, folded, complete=True)

    def _shown(self, estimate: Floats, lower: Floats, upper: Floats, score: Floats, sides: Behind) -> list[Cells]:
        return [
            figure("estimate", "rate", estimate, sides, source=self._outcome),
            figure("lower", "uncertainty", lower, sides, source=self._outcome),
            figure("upper", "uncertainty", upper, sides, source=self._outcome),
            figure("p_value", "test", normal_p(score), sides, source=self._outcome),
        ]


def compared(counts: Floats, bound: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return estimates, lower and upper bounds and scores, each of shape (strata, measures), of counts (strata, 4).

    Wald intervals: on the logarithm for both ratios (Woolf; Katz), plain for the difference. Not finite where a cell
    that they divide by is empty.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b, c, d = counts.T
        exposed, others = a / (a + b), c / (c + d)
        logs = np.stack([np.log(a * d / (b * c)), np.log(exposed / others)], axis=1)
        errors = np.sqrt(np.stack([1 / a + 1 / b + 1 / c + 1 / d, 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)], axis=1))
        difference = exposed - others
        error = np.sqrt(exposed * (1 - exposed) / (a + b) + others * (1 - others) / (c + d))
        estimate = np.column_stack([np.exp(logs), difference])
        lower = np.column_stack([np.exp(logs - bound * errors), difference - bound * error])
        upper = np.column_stack([np.exp(logs + bound * errors), difference + bound * error])
        score = np.column_stack([logs / errors, difference / error])
    return estimate, lower, upper, score


def mantel_haenszel(counts: Floats, bound: float) -> tuple[float, float, float, float]:
    """Return the pooled odds ratio of counts (strata, 4), its bounds and score (Robins, Breslow and Greenland 1986)."""
    counts = counts[counts.sum(axis=1) > 0]
    a, b, c, d = counts.T
    with np.errstate(divide="ignore", invalid="ignore"):
        total = counts.sum(axis=1)
        p, q, r, s = (a + d) / total, (b + c) / total, a * d / total, b * c / total
        log = np.log(r.sum() / s.sum())
        variance = (p * r).sum() / (2 * r.sum() ** 2) + (p * s + q * r).sum() / (2 * r.sum() * s.sum())
        error = np.sqrt(variance + (q * s).sum() / (2 * s.sum() ** 2))
        bounds = np.exp(log - bound * error), np.exp(log + bound * error)
    return float(np.exp(log)), float(bounds[0]), float(bounds[1]), float(log / error)
