"""``summary`` computed: one keyed fold of moments."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.moments import Moments
from mpc.engines.statistics.numbers import Numbers, values_or_null
from mpc.engines.statistics.passes import Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import key_columns
from mpc.questions.statistics import CheckedStatistics
from mpc.results import Measure, RawResult, RawTable
from mpc.table.schema import Column


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
        """Return count, mean and sample standard deviation of each column in each group."""
        size = len(folded.groups)
        data = key_columns(self._dataset, self._by, folded.groups)
        measures: list[Measure] = []
        contributors, largest = {}, {}
        for numbers in self._numbers:
            name = numbers.name
            moments: Moments = folded.accumulator.columns[name]
            behind = folded.tallies.contributors(name, np.arange(size), size)
            described = _measures(name, self._dataset.column(name))
            values = (
                pa.array(moments.count),
                values_or_null(numbers.shown(moments.mean)),
                values_or_null(numbers.shown(np.sqrt(moments.variance))),
            )
            weighed = folded.tallies.largest(name, np.arange(size), size)
            for measure, cells in zip(described, values, strict=True):
                measures.append(measure)
                data[measure.name] = cells
                contributors[measure.name] = behind
                if measure.kind != "count":
                    largest[measure.name] = weighed
        table = RawTable(
            "summary", self._by, tuple(measures), pa.table(data), contributors, np.zeros(size, np.int64),
            public=folded.tallies.is_public, complete=folded.complete, largest=largest,
        )  # fmt: skip
        return RawResult((table,))


def _measures(name: str, column: Column | None) -> tuple[Measure, Measure, Measure]:
    unit = None if column is None else column.unit
    return (
        Measure(f"{name}_n", "count", name, extensive=True),
        Measure(f"{name}_mean", "mean", name, extensive=False, unit=unit),
        Measure(f"{name}_sd", "spread", name, extensive=False, unit=unit),
    )
