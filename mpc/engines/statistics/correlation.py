"""``correlation`` computed: Pearson's of values in one fold; Spearman's is Pearson's of their ranks, found before."""

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.comoments import Codes, CoMoments, Floats
from mpc.engines.statistics.distributions import normal_bound, t_p
from mpc.engines.statistics.numbers import Numbers
from mpc.engines.statistics.ordered import OrderedCounts, midranks
from mpc.engines.statistics.passes import Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import count, figure, key_columns, subjects, taken, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.results import RawResult

Ranks = list[list[tuple[Floats, Floats]]]
"""For each column and group, its distinct values and their ranks."""

_FISHER_Z_LEAST = 3
"""Rows that the interval needs more than."""


class _Distinct:
    """The distinct values of every column."""

    def __init__(self, columns: tuple[Numbers, ...]) -> None:
        self.columns = [OrderedCounts(numbers) for numbers in columns]

    def update(self, batch: pa.RecordBatch, codes: Codes, groups: int) -> None:
        """Add the batch to every column's values."""
        for column in self.columns:
            column.update(batch, codes, groups)

    def merge(self, other: "_Distinct") -> None:
        """Add column by column."""
        for column, theirs in zip(self.columns, other.columns, strict=True):
            column.merge(theirs)


class _Products:
    """Products of the deviations of all columns, or of their ranks."""

    def __init__(self, columns: tuple[Numbers, ...], ranks: Ranks | None) -> None:
        self._columns = columns
        self._ranks = ranks
        self.comoments = CoMoments(len(columns))

    def update(self, batch: pa.RecordBatch, codes: Codes, groups: int) -> None:
        """Add the rows of the batch."""
        values = [numbers.read(batch)[0] for numbers in self._columns]
        if self._ranks is not None:
            values = [_ranked(own, codes, each) for own, each in zip(values, self._ranks, strict=True)]
        self.comoments.add(np.stack(values), codes, groups)

    def merge(self, other: "_Products") -> None:
        """Add group by group."""
        self.comoments.merge(other.comoments)


def _ranked(values: Floats, codes: Codes, groups: list[tuple[Floats, Floats]]) -> Floats:
    ranks = np.zeros(len(values))
    for group in np.unique(codes):
        here = np.flatnonzero(codes == group)
        # In order, neighbours are looked up where the last one was found: ten times as fast among millions.
        here = here[np.argsort(values[here])]
        known, each = groups[group]
        ranks[here] = each[np.searchsorted(known, values[here])]
    return ranks


class Correlation:
    """The plan: one pass over values, or two over ranks."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._dataset = checked.dataset
        self._columns = checked.arguments["columns"]
        self._numbers = tuple(Numbers.of(checked.dataset, name) for name in self._columns)
        self._by = checked.arguments["by"]
        self._by_ranks = checked.arguments["coefficient"] == ("spearman",)
        self._confidence = float(checked.arguments["confidence"][0])

    def first(self) -> Pass:
        """Return the pass over distinct values, or the one over products."""
        if not self._by_ranks:
            return self._products(None)
        fold = KeyedFold(self._by, lambda: _Distinct(self._numbers))
        return Pass(fold, columns=self._columns, present=self._columns)

    def next(self, folded: Folded) -> Pass | RawResult:
        """Return the pass over products of ranks, or the table."""
        if isinstance(folded.accumulator, _Products):
            return self._table(folded, folded.accumulator.comoments)
        ranks = [
            [(values, midranks(counts)) for values, counts in column.by_group(len(folded.groups))]
            for column in folded.accumulator.columns
        ]
        return self._products(ranks)

    def _products(self, ranks: Ranks | None) -> Pass:
        fold = KeyedFold(self._by, lambda: _Products(self._numbers, ranks))
        return Pass(fold, columns=self._columns, present=self._columns, counted=(None,))

    def _table(self, folded: Folded, comoments: CoMoments) -> RawResult:
        pairs = list(combinations(range(len(self._columns)), 2))
        groups = len(folded.groups)
        group = np.repeat(np.arange(groups), len(pairs))
        keys = key_columns(self._dataset, self._by, [folded.groups[i] for i in group])
        for place, name in enumerate(("first", "second")):
            keys[name] = pa.array([self._columns[pair[place]] for pair in pairs] * groups, pa.utf8())
        behind = taken(folded.tallies.contributors(None, np.arange(groups), groups), group)
        rows = comoments.count[group]
        with np.errstate(divide="ignore", invalid="ignore"):
            shown = correlations(comoments.products, pairs).ravel()
            # Fisher's z: its standard error is 1 / sqrt(n - 3).
            reach = normal_bound(self._confidence) / np.sqrt(np.where(rows > _FISHER_Z_LEAST, rows - 3, np.nan))
            lower, upper = np.tanh(np.arctanh(shown) - reach), np.tanh(np.arctanh(shown) + reach)
            freedom = np.where(rows > 2, rows - 2.0, np.nan)  # noqa: PLR2004 - two means
            statistic = shown * np.sqrt(freedom / ((1 - shown) * (1 + shown)))
        source = " ".join(self._columns)
        cells = [
            count("n", rows, behind, source), *subjects(behind, source),
            figure("correlation", "association", shown, behind, source=source),
            figure("lower", "uncertainty", lower, behind, source=source),
            figure("upper", "uncertainty", upper, behind, source=source),
            figure("t", "test", statistic, behind, source=source),
            figure("degrees_of_freedom", "test", freedom, behind, source=source),
            figure("p_value", "test", t_p(statistic, freedom), behind, source=source),
        ]  # fmt: skip
        return RawResult((tidy("correlation", keys, cells, folded),))


def correlations(products: Floats, pairs: list[tuple[int, int]]) -> npt.NDArray[np.float64]:
    """Return the coefficients of each group's pairs, of shape (groups, pairs); NaN where a column is constant."""
    first, second = np.array(pairs, np.int64).T
    spreads = np.sqrt(np.diagonal(products, axis1=1, axis2=2))
    found = products[:, first, second] / spreads[:, first] / spreads[:, second]
    return np.clip(found, -1.0, 1.0)
