"""``mann_whitney`` computed: distinct values with their counts in each group, then ranks; memory grows with them."""

import numpy as np

from mpc.engines.statistics.contributors import together
from mpc.engines.statistics.distributions import normal_p
from mpc.engines.statistics.numbers import Floats, Numbers
from mpc.engines.statistics.ordered import Codes, OrderedCounts, midranks
from mpc.engines.statistics.passes import Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import count, counted, each_of, figure, key_columns, subjects, taken, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.questions.statistics.method import level
from mpc.results import RawResult

_CONTINUITY = 0.5


class MannWhitney:
    """The plan: one pass."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._dataset = checked.dataset
        self._by = checked.arguments["by"]
        self._numbers = Numbers.of(checked.dataset, checked.arguments["column"][0])
        column = checked.dataset.column(self._by[0])
        assert column is not None  # noqa: S101 - the question was checked
        self._levels = [level(text, column) for text in checked.arguments["levels"]]

    def first(self) -> Pass:
        """Return the one pass."""
        name = self._numbers.name
        return Pass(
            KeyedFold(self._by, lambda: OrderedCounts(self._numbers)),
            columns=(name,),
            present=(name, *self._by),
            counted=(None,),
        )

    def next(self, folded: Folded) -> RawResult:
        """Return both groups with their mean ranks, and the test of the first against the second."""
        pair = [folded.groups.index((each,)) for each in self._levels]
        first, second, sizes = alike(*(folded.accumulator.of(group) for group in pair))
        numbers = np.array([first.sum(), second.sum()], np.float64)
        ranks = midranks(sizes)
        sums = np.array([(ranks * first).sum(), (ranks * second).sum()])
        statistic = sums[0] - numbers[0] * (numbers[0] + 1) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            score = u_score(statistic, numbers, sizes)
            probability = statistic / numbers.prod()
            mean_ranks = sums / numbers
        every = folded.tallies.contributors(None, np.arange(len(folded.groups)), len(folded.groups))
        behind, both = taken(every, pair), each_of(every, pair)
        source = self._numbers.name
        cells = [
            count("n", numbers, behind, source),
            *subjects(behind, source),
            figure("mean_rank", "association", mean_ranks, behind, source=source),
        ]
        everybody = folded.tallies.contributors(None, together(pair, len(folded.groups)), 1)
        tests = [
            *counted([numbers.sum()], everybody, both, "mann_whitney"),
            figure("u", "test", [statistic if numbers.all() else np.nan], both, source="mann_whitney"),
            figure("z", "test", [score], both, source="mann_whitney"),
            figure("p_value", "test", [normal_p(score)], both, source="mann_whitney"),
            figure("probability", "association", [probability], both, source=source),
        ]
        keys = key_columns(self._dataset, self._by, [folded.groups[group] for group in pair])
        return RawResult((tidy("groups", keys, cells, folded), tidy("mann_whitney", {}, tests, folded, complete=True)))


def u_score(statistic: float, numbers: Floats, sizes: Codes) -> float:
    """Return the standard normal score of U, corrected for ties (``sizes`` of tied groups) and for continuity."""
    total, product = numbers.sum(), numbers.prod()
    ties = ((sizes.astype(np.float64) ** 3 - sizes).sum()) / (total * (total - 1))
    spread = np.sqrt(product / 12 * (total + 1 - ties))
    apart = statistic - product / 2
    return float(np.sign(apart) * max(abs(apart) - _CONTINUITY, 0.0) / spread)


def alike(first: tuple[Floats, Codes], second: tuple[Floats, Codes]) -> tuple[Codes, Codes, Codes]:
    """Return the counts of both over the distinct values of either, ascending, and their sums."""
    values = np.concatenate([first[0], second[0]])
    order = np.argsort(values, kind="stable")  # two ascending runs: they are merged, not sorted
    values = values[order]
    places = np.cumsum(np.concatenate([[False], values[1:] != values[:-1]])[: len(values)])
    counts = np.zeros((2, int(places[-1]) + 1 if len(places) else 0), np.int64)
    is_first = order < len(first[0])
    counts[0, places[is_first]], counts[1, places[~is_first]] = first[1], second[1]
    return counts[0], counts[1], counts.sum(axis=0)
