"""``log_rank`` computed: one keyed fold of times, then observed less expected events at each, within each stratum."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import chdtrc

from mpc.engines.statistics.passes import Folded, KeyedFold, Pass
from mpc.engines.statistics.survival_times import TIME, Times, TimeTable, computed
from mpc.engines.statistics.tables import Cells, count, figure, subjects, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.questions.statistics.survival import event_column
from mpc.results import Measure, RawResult, RawTable

Floats = npt.NDArray[np.float64]


class LogRank:
    """The plan: one pass over the rows that have all of the columns."""

    def __init__(self, checked: CheckedStatistics) -> None:
        arguments = checked.arguments
        self._entry = arguments["entry"][0] if arguments["entry"] else None
        self._computed = computed(arguments["time"][0], event_column(arguments, checked.dataset), self._entry)
        self._by = arguments["by"]
        self._keys = (*self._by, *arguments["strata"])
        self._present = (*self._keys, *arguments["time"], *arguments["event"], *arguments["entry"], TIME)

    def first(self) -> Pass:
        """Return the one pass."""
        return Pass(
            KeyedFold(self._keys, lambda: TimeTable(entry=self._entry is not None)), tuple(self._computed),
            self._present, counted=(None,), computed=self._computed,
        )  # fmt: skip

    def next(self, folded: Folded) -> RawResult:
        """Return the test."""
        groups = [group[: len(self._by)] for group in folded.groups]
        strata = [group[len(self._by) :] for group in folded.groups]
        compared = sorted(set(groups), key=groups.index)
        times = folded.accumulator.groups(np.arange(len(groups)))
        met: dict[tuple[object, ...], dict[int, Times]] = {}
        for number, each in times.items():
            met.setdefault(strata[number], {})[compared.index(groups[number])] = each
        statistic, freedom, p_value = log_rank(list(met.values()), len(compared))
        cells = np.array([compared.index(group) for group in groups], np.int64)
        return RawResult((self._table(folded, cells, len(compared), (statistic, freedom, p_value)),))

    def _table(
        self, folded: Folded, cells: npt.NDArray[np.int64], size: int, test: tuple[float | None, int, float | None]
    ) -> RawTable:
        each = [folded.tallies.contributors(None, np.where(cells == group, 0, -1), 1) for group in range(size)]
        # Groups that nobody is in take no part in the test; of the others, the smallest has to be large enough.
        met = [one for counted in each for one in counted if one.total[0] > 0]
        behind = (*folded.tallies.contributors(None, np.zeros(len(cells), np.int64), 1), *met)
        statistic, freedom, p_value = test
        shown = [
            count("n", [sum(folded.rows.values())], behind),
            *subjects(behind),
            figure("chi_square", "test", [np.nan if statistic is None else statistic], behind, source="log_rank"),
            Cells(Measure("degrees_of_freedom", "test", "log_rank", extensive=False), pa.array([freedom]), behind),
            figure("p_value", "test", [np.nan if p_value is None else p_value], behind, source="log_rank"),
        ]
        return tidy("log_rank", {}, shown, folded, complete=True)


def log_rank(strata: list[Mapping[int, Times]], groups: int) -> tuple[float | None, int, float | None]:
    """Return the statistic, its degrees of freedom and p-value, for the times of each group in each stratum.

    Groups in which no event was to be expected take no part; Nones when fewer than two are left. The covariance is
    the hypergeometric one at each time (Mantel 1966).
    """
    apart, expected, spread = np.zeros(groups), np.zeros(groups), np.zeros((groups, groups))
    for stratum in strata:
        observed, at_risk = _counts(stratum, groups)
        events, everybody = observed.sum(axis=0), at_risk.sum(axis=0)
        share = at_risk / everybody
        expected += share @ events
        apart += (observed - share * events).sum(axis=1)
        weight = events * (everybody - events) / np.maximum(everybody - 1, 1)
        spread += np.diag(share @ weight) - (share * weight) @ share.T
    there = expected > 0
    freedom = int(there.sum()) - 1
    if freedom < 1:
        return None, max(freedom, 0), None
    # One of the groups follows from the others.
    kept = np.flatnonzero(there)[:-1]
    inner = spread[np.ix_(kept, kept)]
    if np.linalg.matrix_rank(inner, hermitian=True) < freedom:
        return None, freedom, None
    statistic = float(apart[kept] @ np.linalg.solve(inner, apart[kept]))
    return statistic, freedom, float(chdtrc(freedom, statistic))


def _counts(stratum: Mapping[int, Times], groups: int) -> tuple[Floats, Floats]:
    """Return events and rows at risk of each group at each event time of the stratum; shapes (groups, times)."""
    happened = [each.time[each.events > 0] for each in stratum.values()]
    time = np.unique(np.concatenate([np.zeros(0), *happened]))
    observed, at_risk = np.zeros((groups, len(time))), np.zeros((groups, len(time)))
    for group, each in stratum.items():
        observed[group, np.searchsorted(time, each.time[each.events > 0])] = each.events[each.events > 0]
        at_risk[group] = each.at_risk(time)
    return observed, at_risk
