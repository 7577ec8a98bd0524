"""The Gram matrix X'X of many rows in plain doubles, and how far its rounding can reach.

Rounding errors of one row in a hundred million drown in the noise of the others, so there the error-free matrix (see
``gram``) costs time and gives nothing back, provided that columns stand about their own middle. They do: each
accumulator takes the mean of the first rows that it meets from all of its rows, and the matrix is brought back to
columns as they were in exact rational arithmetic. Products are summed over 32 rows by BLAS, blocks in pairs, chunks
with compensation, so an entry is off by at most ``ROUNDING`` of the lengths of its two columns. ``reach`` says what
that can do to a solution; who asks then decides whether the rows have to be read again without rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, isfinite, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from mpc.engines.statistics.gram import Rationals
from mpc.engines.statistics.sweep import Solution

Floats = npt.NDArray[np.float64]

ROUNDING = 13 * 2.0**-53
"""32 equal products, all rounded the same way, are off by 8 units of 2^-53 at worst, differences from a centre by 3.

Of all data tried, a column of two values about 0 came nearest, with 12; products that differ err to both sides. Rows
made to do harm could exceed it four times.
"""

_BLOCK_ROWS = 32
"""Twice as many would save a tenth of a reading, and by their bound a hundred million rows are read again."""
_MANTISSA = 53
_SMALLEST, _LARGEST = 1e-200, 1e200
"""Sums of squares beyond these may have lost terms to underflow, or be about to overflow."""


class _Part:
    """The sums of products of rows about one centre."""

    def __init__(self, size: int) -> None:
        self.centre: Floats = np.zeros(size)
        self.sums: Floats = np.zeros((size, size))
        self.errors: Floats = np.zeros((size, size))
        self.largest: Floats = np.zeros(size)

    def plus(self, added: Floats) -> None:
        """Add to the sums; what rounding leaves out goes into the errors (Knuth's two-sum)."""
        sums = self.sums + added
        back = sums - self.sums
        self.errors += (self.sums - (sums - back)) + (added - back)
        self.sums = sums

    def raw(self) -> tuple[Any, int]:
        """Return the sums about 0 as whole multiples of a power of two, and its exponent."""
        sums, exponent = _aligned([_whole(self.sums), _whole(self.errors)])
        centre, finer = _aligned([_whole(self.centre), (np.zeros_like(self.centre, object), 0)])
        moved = np.outer(centre, sums[0])
        away = np.outer(centre, centre) * sums[0, 0]
        return _aligned([(sums, exponent), (moved + moved.T, exponent + finer), (away, exponent + 2 * finer)])


class RoundedGram:
    """Sums of products of ``size`` columns; the first is the constant, times what the others are weighted with.

    ``centred`` says that it is 1 in every row; only then are the others moved to their middle.
    """

    def __init__(self, size: int, *, centred: bool) -> None:
        self.rows = 0
        self._centred = centred
        self._size = size
        self._own = _Part(size)
        self._parts = [self._own]

    def add(self, columns: Floats) -> None:
        """Add rows of shape (n, size), a column contiguous; ``columns`` is overwritten."""
        # What overflows or is not finite is found in the sums.
        with np.errstate(over="ignore", invalid="ignore"):
            if self._centred:
                if self.rows == 0 and len(columns):
                    self._own.centre = columns.mean(axis=0)
                    self._own.centre[0] = 0.0
                columns -= self._own.centre
            if len(columns):
                self._own.largest = np.maximum.reduce([self._own.largest, columns.max(axis=0), -columns.min(axis=0)])
            whole = len(columns) - len(columns) % _BLOCK_ROWS
            rest = columns[whole:]
            self._own.plus(rest.T @ rest)
            if whole:
                blocks = columns[:whole].T.reshape(self._size, -1, _BLOCK_ROWS).transpose(1, 0, 2)
                self._own.plus(_summed(blocks @ blocks.transpose(0, 2, 1)))
        self.rows += len(columns)

    def merge(self, other: "RoundedGram") -> None:
        """Add the rows of ``other``."""
        self._parts += other._parts  # noqa: SLF001 - of the same class
        self.rows += other.rows

    def matrix(self) -> Rationals:
        """Return X'X of the columns as they were; zeros where sums are not sound."""
        nothing: tuple[Any, int] = (np.zeros((self._size, self._size), object), 0)
        total, exponent = _aligned([nothing, *(part.raw() for part in self._parts if self.is_sound)])
        return [[Fraction(value, 1 << -exponent) for value in row] for row in total.tolist()]

    @property
    def is_sound(self) -> bool:
        """Whether all sums are finite, and none of squares so small or large that some of it may be lost."""
        if not all(np.isfinite(part.sums + part.errors).all() for part in self._parts):
            return False
        squares = np.array([np.diag(part.sums) for part in self._parts])
        # Without squares, a column has to be its centre throughout: else they are too small to be told from 0.
        nothing = (squares == 0) & (np.array([part.sums[0] for part in self._parts]) == 0)
        return bool((nothing | ((squares > _SMALLEST) & (squares < _LARGEST))).all())

    def lengths(self, centre: Floats) -> Floats:
        """Return for each column the square of a length that its rounding errors are parts of, about ``centre``."""
        total = np.zeros(self._size)
        for part in self._parts:
            own = np.sqrt(np.diag(part.sums))
            total += (own + np.abs(part.centre - centre) * own[0]) ** 2
        return total


def largest(grams: Sequence[RoundedGram], centre: Floats) -> Floats:
    """Return for each column how far a value lies from ``centre`` at most, times what its row is weighted with."""
    every = [part for gram in grams for part in gram._parts]  # noqa: SLF001 - of this module
    found: Floats = np.max([part.largest + part.largest[0] * np.abs(part.centre - centre) for part in every], axis=0)
    return found


def _whole(values: Floats) -> tuple[Any, int]:
    """Return doubles as whole multiples of a power of two, and its exponent."""
    mantissas, exponents = np.frexp(values)
    least = int(exponents[values != 0].min(initial=_MANTISSA))
    whole: Any = np.ldexp(mantissas, _MANTISSA).astype(np.int64).astype(object)
    return whole << np.where(values == 0, 0, exponents - least).astype(object), least - _MANTISSA


def _aligned(terms: Sequence[tuple[Any, int]]) -> tuple[Any, int]:
    """Return the sum of whole multiples of powers of two, and the least exponent."""
    least = min(exponent for _, exponent in terms)
    return sum(whole << exponent - least for whole, exponent in terms), least


def _summed(each: Floats) -> Floats:
    """Return the sum along the first axis, in pairs; ``each`` is overwritten."""
    while len(each) > 1:
        half = (len(each) + 1) // 2
        each[: len(each) - half] += each[half:]
        each = each[:half]
    return np.asarray(each[0])


@dataclass(frozen=True)
class Reach:
    """How far rounding can move a solution, at most.

    ``estimates`` is in standard errors and holds for every linear combination of coefficients, ``variances`` is the
    part of their squares, ``inverse`` that of the diagonal of the inverse alone.
    """

    estimates: float = inf
    variances: float = inf
    inverse: float = inf


def reach(solution: Solution, gram: Rationals, parts: Sequence[RoundedGram], rows: int) -> Reach:
    """Return what rounding can do to ``solution`` of ``gram``, which is the sum of ``parts`` in the same columns.

    About their means and of unit length, columns have a Gram matrix with errors of at most ``ROUNDING`` an entry. Let
    L bound its inverse's norm, k count the columns, and T be the length of the response and of each column times its
    coefficient, together. Then the inverse is off by k L ``ROUNDING`` of itself, the residual sum of squares by T²
    ``ROUNDING``, and coefficients, measured by their own covariance, by T sqrt(k L) ``ROUNDING``.
    """
    size, kept = len(gram), solution.kept
    freedom, residual = rows - len(kept), float(solution.residual)
    if kept != tuple(range(size - 1)) or freedom <= 0 or not residual > 0 or not all(part.is_sound for part in parts):
        return Reach()
    # About their means, the constant has nothing to do with the others, and their part of the inverse stays the same.
    centre = np.array([0.0, *(float(each / gram[0][0]) for each in gram[0][1:])])
    lengths = np.sqrt(sum((part.lengths(centre) for part in parts), np.zeros(size)))
    slopes = np.array(solution.inverse, np.float64)[1:, 1:] * np.outer(lengths[1:-1], lengths[1:-1])
    norm = max(1.0, float(np.abs(slopes).sum(axis=1).max(initial=0.0)))
    coefficients = np.array(solution.coefficients[1:], np.float64)
    together = float(lengths[-1] + np.abs(coefficients) @ lengths[1:-1])
    inverse = ROUNDING * len(kept) * norm
    found = Reach(
        ROUNDING * together * sqrt(len(kept) * norm * freedom / residual),
        inverse + ROUNDING * together**2 / residual, inverse,
    )  # fmt: skip
    return found if isfinite(found.estimates) and isfinite(found.variances) else Reach()
