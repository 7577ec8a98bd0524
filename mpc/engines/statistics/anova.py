"""``anova`` computed: one keyed fold of moments, then sums of squares between and within groups."""

import numpy as np
import pyarrow as pa

from mpc.engines.statistics.distributions import f_p
from mpc.engines.statistics.means import GroupMeans
from mpc.engines.statistics.moments import Moments
from mpc.engines.statistics.passes import Folded, Pass
from mpc.engines.statistics.tables import Behind, counted, each_of, figure, taken, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.results import RawResult, RawTable


class Anova:
    """The plan: one pass."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._means = GroupMeans(checked)

    def first(self) -> Pass:
        """Return the one pass."""
        return self._means.reading()

    def next(self, folded: Folded) -> RawResult:
        """Return the groups, the table of the analysis, and how much the groups explain."""
        moments = self._means.moments(folded)
        between, within = sums_of_squares(moments)
        some = np.flatnonzero(moments.count > 0)
        freedom = np.array([len(some) - 1, moments.count.sum() - len(some)], np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            squares = np.where(freedom >= 0, [between, within], np.nan)
            mean_squares = squares / np.where(freedom > 0, freedom, np.nan)
            statistic = mean_squares[0] / mean_squares[1]
            explained = float(np.float64(between) / (between + within))
        behind = each_of(self._means.behind(folded), some)
        twice = tuple(one for each in behind for one in taken((each,), [0, 0]))
        p_value = f_p(statistic, *freedom)
        cells = [
            figure(name, "test", values, twice, source="anova")
            for name, values in (
                ("sum_of_squares", self._means.numbers.shown(squares, 2)), ("degrees_of_freedom", freedom),
                ("mean_square", self._means.numbers.shown(mean_squares, 2)),
                ("f", np.array([statistic, np.nan])), ("p_value", np.array([p_value, np.nan])),
            )
        ]  # fmt: skip
        keys = {"source": pa.array(["between", "within"], pa.utf8())}
        table = tidy("anova", keys, cells, folded, complete=True)
        return RawResult(
            (
                self._means.table(folded, list(range(len(folded.groups)))),
                table,
                self._fit(folded, behind, explained, float(mean_squares[1])),
            )
        )

    def _fit(self, folded: Folded, behind: Behind, explained: float, residual: float) -> RawTable:
        spread = self._means.numbers.shown(np.sqrt([residual]))
        everybody = folded.tallies.contributors(None, np.zeros(len(folded.groups), np.int64), 1)
        cells = [
            *counted([sum(folded.rows.values())], everybody, behind, "anova"),
            figure("r_squared", "test", [explained], behind, source="anova"),
            figure("residual_sd", "test", spread, behind, source="anova", unit=self._means.unit),
        ]
        return tidy("fit", {}, cells, folded, complete=True)


def sums_of_squares(moments: Moments) -> tuple[float, float]:
    """Return the sums of squares between and within slots; means are compared by their distances from one of them."""
    some = moments.count > 0
    if not some.any():
        return np.nan, np.nan
    count = moments.count[some].astype(np.float64)
    apart = (moments.origin[some] - moments.origin[some][0]) + moments.shift[some]
    centre = (count * apart).sum() / count.sum()
    return float((count * (apart - centre) ** 2).sum()), float(moments.squares[some].sum())
