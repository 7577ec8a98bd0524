"""``histogram`` computed: one keyed fold that counts, with the interval as a key."""

import numpy as np
import pyarrow as pa

from mpc.engines.statistics.counting import GroupRows
from mpc.engines.statistics.numbers import Numbers
from mpc.engines.statistics.passes import Computed, Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import count, key_columns, subjects, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.results import RawResult

_BIN = "$interval"


class Histogram:
    """The plan: one pass."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._dataset = checked.dataset
        self._column = checked.arguments["column"]
        self._by = checked.arguments["by"]
        self._edges = tuple(map(float, checked.arguments["edges"]))

    def first(self) -> Pass:
        """Return the one pass."""
        return Pass(
            KeyedFold((*self._by, _BIN), GroupRows),
            columns=(),
            present=self._column,
            counted=(None,),
            computed={_BIN: intervals(Numbers(self._column[0]), self._edges)},
        )

    def next(self, folded: Folded) -> RawResult:
        """Return the counts of each interval; the one below has no ``from``, the one above no ``to``."""
        size = len(folded.groups)
        behind = folded.tallies.contributors(None, np.arange(size), size)
        lower, upper = (None, *self._edges), (*self._edges, None)
        keys = key_columns(self._dataset, self._by, folded.groups)
        keys["from"] = pa.array([lower[group[-1]] for group in folded.groups], pa.float64())
        keys["to"] = pa.array([upper[group[-1]] for group in folded.groups], pa.float64())
        cells = [count("n", folded.accumulator.counts, behind), *subjects(behind)]
        return RawResult((tidy("histogram", keys, cells, folded),))


def intervals(numbers: Numbers, edges: tuple[float, ...], *, closed: bool = True) -> Computed:
    """Return the column that numbers the interval of each value: 0 below the first edge, the last above all.

    An interval holds its lower edge and not its upper one; the last between two edges, if ``closed``, holds both.
    """
    ends = np.array(edges)

    def make(batch: pa.RecordBatch) -> pa.Array:
        values, present = numbers.read(batch)
        found = np.searchsorted(ends, values, side="right")
        if closed:
            found = np.where(values == ends[-1], len(ends) - 1, found)
        return pa.array(found, pa.int64(), mask=~present)

    return Computed((numbers.name,), make, pa.int64(), tuple(range(len(edges) + 1)))
