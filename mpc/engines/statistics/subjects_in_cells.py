"""Counts subjects by levels of factors and by whether they have the event, in one pass without keys."""

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.engines.statistics.contributors import Split, Tallies
from mpc.engines.statistics.model_tables import joined
from mpc.engines.statistics.survival_times import EVENT
from mpc.engines.statistics.tables import Behind
from mpc.questions.statistics.layout import Cell, levels
from mpc.table.schema import Dataset

Codes = npt.NDArray[np.int64]


class SubjectsInCells:
    """The combinations of the factors' levels, with and without the event; numbered, the event fastest."""

    def __init__(self, factors: Sequence[str], dataset: Dataset, columns: tuple[str, ...]) -> None:
        self._levels = {name: levels(dataset, name) for name in dict.fromkeys(factors)}
        self._booleans = {column.name for column in dataset.columns if column.type == "boolean"}
        self._count = 2 * prod(map(len, self._levels.values()))
        self.split = Split(self._count, self._of, columns)

    def _of(self, batch: pa.RecordBatch, _codes: Codes) -> Codes:
        place = np.zeros(batch.num_rows, np.int64)
        for name, every in self._levels.items():
            values = pa.array([each == "true" for each in every] if name in self._booleans else every)
            place = place * len(every) + np.asarray(pc.index_in(batch.column(name), values)).astype(np.int64)
        event: Codes = np.asarray(batch.column(EVENT)).astype(np.int64)
        return place * 2 + event

    def behind(self, tallies: Tallies, cells: Sequence[Cell], *, events: bool = False) -> Behind:
        """Return the subjects in each of ``cells``; with ``events``, only those that have the event."""
        numbers = np.arange(self._count)
        found = []
        for cell in cells:
            inside = (numbers % 2 == 1) | (not events)
            for name, level in cell:
                inside &= self._level(numbers, name) == self._levels[name].index(level)
            found.append(tallies.contributors(None, np.where(inside, 0, -1), 1))
        return joined(found)

    def each_level(self) -> list[Cell]:
        """Return the cell of each level of each factor."""
        return [((name, level),) for name, every in self._levels.items() for level in every]

    def _level(self, numbers: Codes, name: str) -> Codes:
        place = numbers // 2
        for each in reversed(self._levels):
            rest, level = np.divmod(place, len(self._levels[each]))
            if each == name:
                return level
            place = rest
        raise KeyError(name)
