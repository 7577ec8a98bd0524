"""Columns of batches as doubles, exactly where that is possible.

A decimal such as 1000000000000.4 has no double, and a variance of such rounded numbers is wrong in its fourth digit.
So decimals of few digits are read as whole multiples of their last place, which doubles hold exactly, and what was
computed of them is scaled back at the end.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.table.schema import Dataset

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

EXACT_DIGITS = 15
"""Whole numbers of so many decimal digits are doubles."""


@dataclass(frozen=True)
class Numbers:
    """How the column ``name`` is read: as multiples of 10 to the power of -``scale``."""

    name: str
    scale: int = 0

    @staticmethod
    def of(dataset: Dataset, name: str) -> "Numbers":
        """Return how ``name`` is read best."""
        column = dataset.column(name)
        exact = column is not None and column.type == "decimal" and (column.precision or EXACT_DIGITS + 1)
        return Numbers(name, (column.scale or 0) if column is not None and exact and exact <= EXACT_DIGITS else 0)

    def read(self, batch: pa.RecordBatch) -> tuple[Floats, Mask]:
        """Return the values of ``batch`` as multiples of the unit, and where there is one; 0.0 elsewhere."""
        column = batch.column(self.name)
        present: Mask = np.ones(len(column), np.bool_) if column.null_count == 0 else np.asarray(column.is_valid())
        if self.scale:
            # The low half of a decimal128 is the whole number, as long as it fits 64 bits.
            halves = np.frombuffer(column.buffers()[1], np.int64, 2 * len(column), 16 * column.offset)
            values = halves[::2].astype(np.float64)
        else:
            numbers = column if pa.types.is_floating(column.type) else column.cast(pa.float64(), safe=False)
            values = np.asarray(numbers.fill_null(0.0) if column.null_count else numbers, np.float64)
        return np.where(present, values, 0.0) if column.null_count else values, present

    def known(self, batch: pa.RecordBatch, codes: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Return the values that ``batch`` has, and the codes of their rows."""
        values, present = self.read(batch)
        return (values[present], codes[present]) if batch.column(self.name).null_count else (values, codes)

    def shown(self, values: Floats, power: int = 1) -> Floats:
        """Return multiples of the unit to the ``power`` as plain numbers."""
        return values / 10.0 ** (self.scale * power) if self.scale else values


def values_or_null(values: npt.ArrayLike) -> pa.Array:
    """Return doubles with NULL wherever there is no finite number."""
    numbers = np.asarray(values, np.float64)
    return pa.array(numbers, pa.float64(), mask=~np.isfinite(numbers))
