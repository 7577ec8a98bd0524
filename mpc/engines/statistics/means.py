"""Means of the groups of one column, as the tests that compare them start: one pass and one table."""

import numpy as np

from mpc.engines.statistics.moments import Moments
from mpc.engines.statistics.numbers import Numbers
from mpc.engines.statistics.passes import Folded, KeyedFold, Pass
from mpc.engines.statistics.summary import GroupMoments
from mpc.engines.statistics.tables import Behind, count, figure, key_columns, largest_at, subjects, taken, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.results import Largest, RawTable


class GroupMeans:
    """The values of argument ``column`` in the groups of argument ``by``."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._dataset = checked.dataset
        self._by = checked.arguments["by"]
        self.numbers = Numbers.of(checked.dataset, checked.arguments["column"][0])
        column = checked.dataset.column(self.numbers.name)
        self.unit = None if column is None else column.unit

    def reading(self) -> Pass:
        """Return the pass over the rows that have the value and the group."""
        name = self.numbers.name
        return Pass(
            KeyedFold(self._by, lambda: GroupMoments((self.numbers,))),
            columns=(name,),
            present=(name, *self._by),
            counted=(None,),
            weighed=(name,),
        )

    def moments(self, folded: Folded) -> Moments:
        """Return what the pass came to."""
        moments: Moments = folded.accumulator.columns[self.numbers.name]
        return moments

    def behind(self, folded: Folded) -> Behind:
        """Return who stands behind each group."""
        return folded.tallies.contributors(None, np.arange(len(folded.groups)), len(folded.groups))

    def largest(self, folded: Folded, groups: list[int]) -> tuple[Largest, ...]:
        """Return what the largest subject has of each of the ``groups``."""
        every = folded.tallies.largest(self.numbers.name, np.arange(len(folded.groups)), len(folded.groups))
        return largest_at(every, groups)

    def table(self, folded: Folded, groups: list[int]) -> RawTable:
        """Return number, mean and standard deviation of the ``groups``, by their numbers."""
        moments, behind = self.moments(folded), taken(self.behind(folded), groups)
        mean = self.numbers.shown(moments.mean)[groups]
        spread = self.numbers.shown(np.sqrt(moments.variance))[groups]
        source, weighed = self.numbers.name, self.largest(folded, groups)
        cells = [
            count("n", moments.count[groups], behind, source),
            *subjects(behind, source),
            figure("mean", "mean", mean, behind, source=source, unit=self.unit, largest=weighed),
            figure("sd", "spread", spread, behind, source=source, unit=self.unit, largest=weighed),
        ]
        keys = key_columns(self._dataset, self._by, [folded.groups[group] for group in groups])
        return tidy("groups", keys, cells, folded)
