"""``t_test`` computed: one keyed fold of moments, then Welch's statistic."""

import numpy as np

from mpc.engines.statistics.contributors import together
from mpc.engines.statistics.distributions import t_bound, t_p
from mpc.engines.statistics.means import GroupMeans
from mpc.engines.statistics.passes import Folded, Pass
from mpc.engines.statistics.tables import counted, each_of, figure, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.questions.statistics.method import level
from mpc.results import RawResult


class TTest:
    """The plan: one pass."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._means = GroupMeans(checked)
        column = checked.dataset.column(checked.arguments["by"][0])
        assert column is not None  # noqa: S101 - the question was checked
        self._levels = [level(text, column) for text in checked.arguments["levels"]]
        self._confidence = float(checked.arguments["confidence"][0])

    def first(self) -> Pass:
        """Return the one pass."""
        return self._means.reading()

    def next(self, folded: Folded) -> RawResult:
        """Return both groups, and the difference of the first's mean less the second's."""
        pair = [folded.groups.index((each,)) for each in self._levels]
        moments = self._means.moments(folded)
        # Origins first: of two large means the difference is small.
        origin, shift = moments.origin[pair], moments.shift[pair]
        apart = (origin[0] - origin[1]) + (shift[0] - shift[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = moments.variance[pair] / moments.count[pair]
            error = np.sqrt(parts.sum())
            freedom = parts.sum() ** 2 / (parts**2 / (moments.count[pair] - 1)).sum()
            statistic = apart / error
        reach = t_bound(self._confidence, freedom) * error
        behind = each_of(self._means.behind(folded), pair)
        weighed = sum((self._means.largest(folded, [group]) for group in pair), ())
        source, unit = self._means.numbers.name, self._means.unit
        known = bool(np.isfinite(error))
        bounds = {"difference": apart if known else np.nan, "standard_error": error}
        bounds |= {"lower": apart - reach, "upper": apart + reach}
        shown = dict(zip(bounds, self._means.numbers.shown(np.array(list(bounds.values()))).tolist(), strict=True))
        everybody = folded.tallies.contributors(None, together(pair, len(folded.groups)), 1)
        cells = [
            *counted([moments.count[pair].sum()], everybody, behind, "t_test"),
            figure("difference", "mean", [shown["difference"]], behind, source=source, unit=unit, largest=weighed),
            *(
                figure(name, "uncertainty", [shown[name]], behind, source=source, unit=unit)
                for name in ("standard_error", "lower", "upper")
            ),
            figure("t", "test", [statistic], behind, source="t_test"),
            figure("degrees_of_freedom", "test", [freedom], behind, source="t_test"),
            figure("p_value", "test", [t_p(statistic, freedom)], behind, source="t_test"),
        ]
        return RawResult((self._means.table(folded, pair), tidy("t_test", {}, cells, folded, complete=True)))
