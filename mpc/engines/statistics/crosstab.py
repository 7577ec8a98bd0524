"""``crosstab`` computed: one keyed fold that counts, then totals and tests of independence of every stratum."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import chdtrc

from mpc.engines.statistics.counting import GroupRows
from mpc.engines.statistics.fisher import fisher_exact
from mpc.engines.statistics.passes import Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import Cells, count, counted, key_columns, subjects, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.results import Contributors, Measure, RawResult, RawTable

Counts = npt.NDArray[np.int64]

_ROW, _COLUMN = 0, 1
_MARGINS = ((), (_COLUMN,), (_ROW,), (_ROW, _COLUMN))
"""What is totalled over: nothing, columns, rows, both."""


class Crosstab:
    """The plan: one pass over the rows that have all of the columns."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._dataset = checked.dataset
        self._by = checked.arguments["by"]
        self._fisher = "fisher" in checked.arguments["tests"]
        # The two columns come first, so that their bits of a margin are 0 and 1 however many strata there are.
        self._keys = (*checked.arguments["row"], *checked.arguments["column"], *self._by)

    def first(self) -> Pass:
        """Return the one pass."""
        return Pass(KeyedFold(self._keys, GroupRows), columns=(), present=self._keys, counted=(None,))

    def next(self, folded: Folded) -> RawResult:
        """Return the table with its totals, and the tests."""
        return RawResult((self._table(folded), self._tests(folded)))

    def _table(self, folded: Folded) -> RawTable:
        counts: list[Counts] = []
        groups: list[tuple[object, ...]] = []
        margins: list[int] = []
        behind: list[tuple[Contributors, ...]] = []
        for totalled in _MARGINS:
            cells, rows = _totalled(folded.groups, totalled)
            counts.append(np.bincount(cells, folded.accumulator.counts, minlength=len(rows)).astype(np.int64))
            groups += rows
            margins += [sum(1 << i for i in totalled)] * len(rows)
            behind.append(folded.tallies.contributors(None, cells, len(rows)))
        data = key_columns(self._dataset, self._keys, groups)
        everybody = _joined(behind)
        shown = [count("n", np.concatenate(counts), everybody), *subjects(everybody)]
        return replace(tidy("crosstab", data, shown, folded), margins=np.array(margins, np.int64))

    def _tests(self, folded: Folded) -> RawTable:
        strata, rows = _totalled(folded.groups, (_ROW, _COLUMN))
        shape = [len({group[i] for group in folded.groups}) for i in (_ROW, _COLUMN)]
        # Groups are numbered with the last key fastest: the two columns are the outer axes.
        counts = folded.accumulator.counts.reshape(*shape, len(rows))
        tests = [chi_square(counts[:, :, i]) for i in range(len(rows))]
        found = {
            "chi_square": pa.array([test[0] for test in tests], pa.float64()),
            "degrees_of_freedom": pa.array([test[1] for test in tests], pa.int64()),
            "p_value": pa.array([test[2] for test in tests], pa.float64()),
        }
        if self._fisher:
            exact = [fisher_exact(counts[:, :, i]) for i in range(len(rows))]
            found["fisher_p_value"] = pa.array(exact, pa.float64())
        behind = folded.tallies.contributors(None, strata, len(rows))
        cells = counted(counts.sum(axis=(0, 1)), behind, (), "chi_square")
        cells += [
            Cells(Measure(name, "test", "chi_square", extensive=False), values, behind)
            for name, values in found.items()
        ]
        return tidy("chi_square", key_columns(self._dataset, self._by, [row[2:] for row in rows]), cells, folded)


def chi_square(counts: Counts) -> tuple[float | None, int | None, float | None]:
    """Return Pearson's statistic without correction, its degrees of freedom and p-value, for counts of shape (r, c).

    Rows and columns that nobody is in take no part; Nones when fewer than two of either are left.
    """
    observed = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0].astype(np.float64)
    if min(observed.shape) <= 1:
        return None, None, None
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / observed.sum()
    statistic = float(((observed - expected) ** 2 / expected).sum())
    freedom = (observed.shape[0] - 1) * (observed.shape[1] - 1)
    return statistic, freedom, float(chdtrc(freedom, statistic))


def _totalled(
    groups: tuple[tuple[object, ...], ...], totalled: tuple[int, ...]
) -> tuple[npt.NDArray[np.int64], list[tuple[object, ...]]]:
    """Return, for each group, the number of its row once the keys ``totalled`` are None, and those rows."""
    numbers: dict[tuple[object, ...], int] = {}
    cells = []
    for group in groups:
        row = tuple(None if i in totalled else value for i, value in enumerate(group))
        cells.append(numbers.setdefault(row, len(numbers)))
    return np.array(cells, np.int64), list(numbers)


def _joined(parts: list[tuple[Contributors, ...]]) -> tuple[Contributors, ...]:
    """Return contributors of the rows of all parts, one after the other."""
    return tuple(
        Contributors(
            each[0].domain,
            np.concatenate([one.total for one in each]),
            {party: np.concatenate([one.without[party] for one in each]) for party in each[0].without},
        )
        for each in zip(*parts, strict=True)
    )
