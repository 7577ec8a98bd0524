"""Rows of the design matrix out of batches, and the numbering of groups that they share with the executor."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.centring import Centres, monomial_values, multiples
from mpc.questions.statistics.formula import Variable
from mpc.questions.statistics.layout import PARTY, Cell, DesignColumn, Monomial, levels
from mpc.table.schema import Dataset

Floats = npt.NDArray[np.float64]

CHUNK_ROWS = 1 << 13
"""Rows of a design that are made at a time: few enough to stay in a cache until they are used."""
Codes = npt.NDArray[np.int64]


class Groups:
    """The groups of a model's passes: every party with every combination of its factors' levels, the last one fastest.

    That is how the executor numbers them, as all values are declared.
    """

    def __init__(self, factors: Sequence[str], dataset: Dataset) -> None:
        self.parties = dataset.owners
        self._levels = {PARTY: dataset.owners, **{name: levels(dataset, name) for name in factors}}

    def codes(self, codes: Codes, name: str) -> Codes:
        """Return the place of each group's level among those of ``name``, a factor or ``PARTY``."""
        places = codes
        for each in reversed(self._levels):
            rest, place = np.divmod(places, len(self._levels[each]))
            if each == name:
                return place
            places = rest
        raise KeyError(name)

    def inside(self, codes: Codes, cell: Cell) -> npt.NDArray[np.bool_]:
        """Return which of the groups ``codes`` are in ``cell``."""
        if len(codes) > self.count:
            return self.inside(np.arange(self.count), cell)[codes]
        chosen = np.ones(len(codes), np.bool_)
        for name, level in cell:
            chosen &= self.codes(codes, name) == self._levels[name].index(level)
        return chosen

    @property
    def count(self) -> int:
        """How many groups there are."""
        return prod(map(len, self._levels.values()))

    def each_level(self) -> list[Cell]:
        """Return the cell of each level of each factor, parties aside."""
        return [((name, level),) for name, each in self._levels.items() if name != PARTY for level in each]


class Design:
    """A model's columns. Variables stand as ``centres`` say."""

    def __init__(self, columns: Sequence[DesignColumn], groups: Groups, centres: Centres) -> None:
        self._columns = tuple(columns)
        self._groups = groups
        self._centres = dict(centres)
        self._variables: tuple[Variable, ...] = tuple(
            dict.fromkeys(variable for column in columns for variable, _ in column.monomial)
        )

    def chunks(self, batch: pa.RecordBatch, codes: Codes) -> Iterator[tuple[slice, Floats]]:
        """Yield all rows of ``batch``, some at a time: which, and an array of shape (n, columns + 1).

        A column of it is contiguous; the last one is left for the response. The array is the caller's.
        """
        # Taking columns out of a batch costs as much as copying some thousand values, so it is done once.
        read = {each: multiples(batch, each) for each in self._variables}
        for start in range(0, batch.num_rows, CHUNK_ROWS):
            part = slice(start, min(start + CHUNK_ROWS, batch.num_rows))
            yield part, self._matrix({each: values[part] for each, values in read.items()}, codes[part])

    def _matrix(self, read: Mapping[Variable, Floats], codes: Codes) -> Floats:
        rows = len(codes)
        z = {each: self._centres[each].apply(values) for each, values in read.items()}
        made: dict[Monomial, Floats] = {}
        inside: dict[Cell, npt.NDArray[np.bool_]] = {}
        matrix = np.empty((rows, len(self._columns) + 1), order="F")
        for i, column in enumerate(self._columns):
            if column.monomial not in made:
                made[column.monomial] = monomial_values(column.monomial, z, rows)
            if not column.cell:
                matrix[:, i] = made[column.monomial]
                continue
            if column.cell not in inside:
                inside[column.cell] = self._groups.inside(codes, column.cell)
            if column.monomial:
                np.multiply(made[column.monomial], inside[column.cell], out=matrix[:, i])
            else:
                matrix[:, i] = inside[column.cell]
        return matrix
