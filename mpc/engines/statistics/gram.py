"""The Gram matrix X'X of streamed columns without rounding.

Each column of a block of rows is cut into three slices of 20 bits (Ozaki, Ogita, Oishi and Rump 2012): products of
slices are whole numbers below 2**40, so that sums of 2**12 of them are exact in double precision whatever the order,
and one multiplication of matrices by BLAS gives them all. What is added up beyond a block is added in 64-bit integers,
then in whole multiples of a power of two that is smaller than any product. The result is that of values rounded to
2**-60 of the largest of their column, and nothing else: the same for any split of the rows into parties and batches,
down to bits that no double holds.
"""

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from mpc.errors import Malformed

Floats = npt.NDArray[np.float64]
Rationals = list[list[Fraction]]

_BLOCK_ROWS = 1 << 12
_SLICE_BITS = 20
_SLICES = 3
_BLOCKS_MAX = 1 << 10
"""Blocks whose sums of up to 2**52 stay in 64 bits."""
_LEAST_EXPONENT = -1074
_PLACES = 2 * (_SLICE_BITS * _SLICES - _LEAST_EXPONENT)
"""Binary places of the whole sums: products of the last bits of the smallest doubles have no more."""


class Gram:
    """Sums of products of ``size`` columns over all rows that are added."""

    def __init__(self, size: int) -> None:
        self.rows = 0
        self._size = size
        self._exponents = np.full(size, _LEAST_EXPONENT, np.int64)
        self._sums = np.zeros((_SLICES * size, _SLICES * size), np.int64)
        self._blocks = 0
        self._whole: Any = np.zeros((size, size), object)

    def add(self, columns: Floats) -> None:
        """Add rows of shape (n, size); ``Malformed`` if a value is not finite."""
        for start in range(0, len(columns), _BLOCK_ROWS):
            self._add_block(columns[start : start + _BLOCK_ROWS])
        self.rows += len(columns)

    def merge(self, other: "Gram") -> None:
        """Add the rows of ``other``."""
        self._settle()
        other._settle()  # noqa: SLF001 - of the same class
        self._whole = self._whole + other._whole  # noqa: SLF001 - likewise
        self.rows += other.rows

    def matrix(self) -> Rationals:
        """Return X'X."""
        self._settle()
        return [[Fraction(value, 1 << _PLACES) for value in row] for row in self._whole.tolist()]

    def _add_block(self, block: Floats) -> None:
        largest = np.abs(block).max(axis=0, initial=0.0)
        if not np.isfinite(largest).all():
            raise not_finite()
        exponents = np.maximum(np.frexp(largest)[1], self._exponents)
        if self._blocks == _BLOCKS_MAX or (exponents != self._exponents).any():
            self._settle()
            self._exponents = exponents
        slices = np.empty((len(block), _SLICES * self._size), order="F")
        # Two steps, as 2**-e is infinite where a column's largest value is subnormal.
        half = exponents // 2
        rest = block * np.ldexp(1.0, -half)
        rest *= np.ldexp(1.0, half - exponents + _SLICE_BITS)
        for place in range(_SLICES):
            cut = slices[:, place * self._size : (place + 1) * self._size]
            np.rint(rest, out=cut)
            rest -= cut
            rest *= 2.0**_SLICE_BITS
        used = np.flatnonzero(slices.any(axis=0))
        if len(used) < slices.shape[1]:
            slices = slices[:, used]
        self._sums[np.ix_(used, used)] += (slices.T @ slices).astype(np.int64)
        self._blocks += 1

    def _settle(self) -> None:
        """Move the sums of blocks into the whole."""
        if self._blocks == 0:
            return
        size = self._size
        sums: Any = self._sums.astype(object)
        total: Any = np.zeros((size, size), object)
        for left in range(_SLICES):
            for right in range(_SLICES):
                part = sums[left * size : (left + 1) * size, right * size : (right + 1) * size]
                total += part * (1 << _SLICE_BITS * (2 * _SLICES - 2 - left - right))
        shifts = [int(exponent) - _LEAST_EXPONENT for exponent in self._exponents]
        self._whole = self._whole + np.array(
            [[cell << (shifts[i] + shifts[j]) for j, cell in enumerate(row)] for i, row in enumerate(total.tolist())],
            object,
        ).reshape(size, size)
        self._sums[:] = 0
        self._blocks = 0


def not_finite() -> Malformed:
    """Return the refusal of a value that is not a finite number."""
    return Malformed(
        "statistics.finite", "a model meets a value that is not a finite number", why="it has no place on a scale",
        remedy="upload finite values; where log() or sqrt() is used, those that they are defined for",
    )  # fmt: skip
