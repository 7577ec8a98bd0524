"""``roc`` computed: distinct scores with their counts for the area, then one more pass for agreed thresholds."""

import numpy as np
import pyarrow as pa

from mpc.engines.statistics.counting import GroupRows
from mpc.engines.statistics.distributions import normal_bound
from mpc.engines.statistics.histogram import intervals
from mpc.engines.statistics.levels import is_one_of
from mpc.engines.statistics.mann_whitney import alike
from mpc.engines.statistics.numbers import Numbers
from mpc.engines.statistics.ordered import Codes, OrderedCounts
from mpc.engines.statistics.passes import Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import Behind, count, counted, each_of, figure, subjects, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.results import Contributors, RawResult, RawTable

_EVENT, _INTERVAL = "$event", "$interval"


class Roc:
    """The plan: one pass, or two where thresholds are asked for."""

    def __init__(self, checked: CheckedStatistics) -> None:
        arguments = checked.arguments
        self._score = arguments["score"]
        self._thresholds = tuple(map(float, arguments["thresholds"]))
        self._confidence = float(arguments["confidence"][0])
        self._numbers = Numbers(self._score[0])
        self._computed = {_EVENT: is_one_of(checked.dataset, arguments["outcome"][0], arguments["event"])}
        self._area: RawTable | None = None

    def first(self) -> Pass:
        """Return the pass over distinct scores."""
        return Pass(
            KeyedFold((_EVENT,), lambda: OrderedCounts(self._numbers)),
            columns=self._score,
            present=(*self._score, _EVENT),
            counted=(None,),
            computed=self._computed,
        )

    def next(self, folded: Folded) -> Pass | RawResult:
        """Return the area, and the curve if it is asked for."""
        if self._area is not None:
            return RawResult((self._area, self._curve(folded)))
        self._area = self._areas(folded)
        if not self._thresholds:
            return RawResult((self._area,))
        edges = intervals(self._numbers, self._thresholds, closed=False)
        return Pass(
            KeyedFold((_EVENT, _INTERVAL), GroupRows),
            columns=(),
            present=(*self._score, _EVENT),
            counted=(None,),
            computed={**self._computed, _INTERVAL: edges},
        )

    def _areas(self, folded: Folded) -> RawTable:
        first, second, _ = alike(*folded.accumulator.by_group(2))
        area, error = area_under_curve(first, second)
        reach = normal_bound(self._confidence) * error
        behind = folded.tallies.contributors(None, np.arange(2), 2)
        both, events = each_of(behind, [0, 1]), each_of(behind, [0])
        source = self._score[0]
        every = folded.tallies.contributors(None, np.zeros(2, np.int64), 1)
        cells = [
            count("n", [first.sum() + second.sum()], (*every, *both), source),
            *subjects((*every, *both), source),
            count("events", [first.sum()], (*events, *both), source),
            figure("area", "association", [area], both, source=source),
            figure("standard_error", "uncertainty", [error], both, source=source),
            figure("lower", "uncertainty", [max(0.0, area - reach)], both, source=source),
            figure("upper", "uncertainty", [min(1.0, area + reach)], both, source=source),
        ]
        return tidy("area", {}, cells, folded, complete=True)

    def _curve(self, folded: Folded) -> RawTable:
        """Return how many have a score of the threshold or more, and which share of each class; none may be few."""
        many = len(self._thresholds)
        counts = folded.accumulator.counts.reshape(2, many + 1)
        above = counts[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = above / counts.sum(axis=1, keepdims=True)
        behind = self._sides(folded, many)
        source = f"{self._score[0]} thresholds"
        interval = np.arange(2 * (many + 1)) % (many + 1)
        reached = [folded.tallies.contributors(None, np.where(interval > i, 0, -1), 1) for i in range(many)]
        everybody = tuple(_stacked(list(parts)) for parts in zip(*reached, strict=True))
        cells = [
            *counted(above.sum(axis=0), everybody, behind, source),
            figure("true_positive_rate", "rate", shares[0], behind, source=source),
            figure("false_positive_rate", "rate", shares[1], behind, source=source),
        ]
        keys = {"threshold": pa.array(self._thresholds, pa.float64())}
        return tidy("roc", keys, cells, folded, complete=True)

    def _sides(self, folded: Folded, many: int) -> Behind:
        """Return who has the event and a score of each threshold or more, or less, and the same of the others.

        Two neighbouring points tell who lies between them, so those count by themselves as well.
        """
        found = np.arange(2 * (many + 1))
        event, interval = found // (many + 1), found % (many + 1)
        sides: list[Contributors] = []
        for wanted in (0, 1):
            for lies in (np.greater, np.less_equal, np.equal):
                each = [
                    folded.tallies.contributors(None, _chosen(event == wanted, lies(interval, i)), 1)
                    for i in range(many)
                ]
                sides += [_stacked(list(parts)) for parts in zip(*each, strict=True)]
        return tuple(sides)


def _chosen(*conditions: Codes) -> Codes:
    return np.where(np.logical_and.reduce(conditions), 0, -1)


def _stacked(parts: list[Contributors]) -> Contributors:
    return Contributors(
        parts[0].domain,
        np.concatenate([one.total for one in parts]),
        {party: np.concatenate([one.without[party] for one in parts]) for party in parts[0].without},
    )


def area_under_curve(events: Codes, others: Codes) -> tuple[float, float]:
    """Return the area and its standard error by DeLong, DeLong and Clarke-Pearson (1988).

    ``events`` and ``others`` are counts over the same ascending scores; NaN where one of them has too few.
    """
    m, n = float(events.sum()), float(others.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        below = (np.cumsum(others) - others / 2) / n
        above = (m - np.cumsum(events) + events / 2) / m
        area = float((events * below).sum() / m)
        of_events = (events * (below - area) ** 2).sum() / (m - 1)
        of_others = (others * (above - area) ** 2).sum() / (n - 1)
        error = np.sqrt(of_events / m + of_others / n)
    return area, float(error)
