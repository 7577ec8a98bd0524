"""``summary`` computed: one keyed fold of moments."""

from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.moments import Moments
from mpc.engines.statistics.numbers import Numbers
from mpc.engines.statistics.passes import Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import Cells, count, figure, key_columns, subjects, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.results import RawResult


class GroupMoments:
    """Moments of several columns; a NULL counts in none."""

    def __init__(self, columns: tuple[Numbers, ...]) -> None:
        self._columns = columns
        self.columns = {numbers.name: Moments() for numbers in columns}

    def update(self, batch: pa.RecordBatch, codes: npt.NDArray[np.int64], groups: int) -> None:
        """Add the values of every column to the slots of their rows."""
        for numbers in self._columns:
            self.columns[numbers.name].add(*numbers.known(batch, codes), groups)

    def merge(self, other: "GroupMoments") -> None:
        """Add column by column."""
        for name, moments in self.columns.items():
            moments.merge(other.columns[name])


class Summary:
    """The plan: one pass over everything."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._dataset = checked.dataset
        self._columns = checked.arguments["columns"]
        self._numbers = tuple(Numbers.of(checked.dataset, name) for name in self._columns)
        self._by = checked.arguments["by"]

    def first(self) -> Pass:
        """Return the one pass."""
        return Pass(
            fold=KeyedFold(self._by, lambda: GroupMoments(self._numbers)),
            columns=self._columns,
            counted=self._columns,
            weighed=self._columns,
        )

    def next(self, folded: Folded) -> RawResult:
        """Return count, subjects, mean and sample standard deviation of each column in each group."""
        size = len(folded.groups)
        cells: list[Cells] = []
        for numbers in self._numbers:
            name = numbers.name
            moments: Moments = folded.accumulator.columns[name]
            behind = folded.tallies.contributors(name, np.arange(size), size)
            weighed = folded.tallies.largest(name, np.arange(size), size)
            column = self._dataset.column(name)
            cells += [count(f"{name}_n", moments.count, behind, name), *subjects(behind, name, of=name)]
            shown = partial(
                figure, behind=behind, source=name, unit=None if column is None else column.unit, largest=weighed
            )
            cells.append(shown(f"{name}_mean", "mean", numbers.shown(moments.mean)))
            cells.append(shown(f"{name}_sd", "spread", numbers.shown(np.sqrt(moments.variance))))
        return RawResult((tidy("summary", key_columns(self._dataset, self._by, folded.groups), cells, folded),))
