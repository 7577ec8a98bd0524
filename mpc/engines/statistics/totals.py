"""``totals`` computed: one keyed fold of rows and sums."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.numbers import Numbers
from mpc.engines.statistics.passes import Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import count, figure, key_columns, subjects, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.results import RawResult

Codes = npt.NDArray[np.int64]
Long = npt.NDArray[np.longdouble]


class _Sums:
    """Rows, and for each column its sum, a group; sums are in extended precision."""

    def __init__(self, columns: tuple[Numbers, ...]) -> None:
        self._columns = columns
        self.rows: Codes = np.zeros(0, np.int64)
        self.sums: list[Long] = [np.zeros(0, np.longdouble) for _ in columns]

    def update(self, batch: pa.RecordBatch, codes: Codes, groups: int) -> None:
        """Add the rows of the batch."""
        self._grow(groups)
        self.rows += np.bincount(codes, minlength=groups)
        for sums, numbers in zip(self.sums, self._columns, strict=True):
            values, present = numbers.read(batch)
            np.add.at(sums, codes[present], values[present].astype(np.longdouble))

    def merge(self, other: "_Sums") -> None:
        """Add group by group."""
        self._grow(len(other.rows))
        self.rows[: len(other.rows)] += other.rows
        for mine, theirs in zip(self.sums, other.sums, strict=True):
            mine[: len(theirs)] += theirs

    def _grow(self, groups: int) -> None:
        more = (0, max(groups - len(self.rows), 0))
        self.rows = np.pad(self.rows, more)
        self.sums = [np.pad(sums, more) for sums in self.sums]


class Totals:
    """The plan: one pass over everything."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._dataset = checked.dataset
        self._by = checked.arguments["by"]
        self._columns = tuple(Numbers.of(checked.dataset, name) for name in checked.arguments["columns"])

    def first(self) -> Pass:
        """Return the one pass."""
        names = tuple(numbers.name for numbers in self._columns)
        return Pass(KeyedFold(self._by, lambda: _Sums(self._columns)), names, counted=(None, *names), weighed=names)

    def next(self, folded: Folded) -> RawResult:
        """Return the number of rows and subjects, and the sums."""
        size = len(folded.groups)
        everybody = folded.tallies.contributors(None, np.arange(size), size)
        cells = [count("n", folded.accumulator.rows, everybody), *subjects(everybody)]
        for numbers, sums in zip(self._columns, folded.accumulator.sums, strict=True):
            behind = folded.tallies.contributors(numbers.name, np.arange(size), size)
            column = self._dataset.column(numbers.name)
            values = numbers.shown(sums.astype(np.float64))
            unit = None if column is None else column.unit
            weighed = folded.tallies.largest(numbers.name, np.arange(size), size)
            cells.append(
                figure(
                    f"{numbers.name}_sum", "sum", values, behind, source=numbers.name, unit=unit, largest=weighed
                )
            )  # fmt: skip
        return RawResult((tidy("totals", key_columns(self._dataset, self._by, folded.groups), cells, folded),))
