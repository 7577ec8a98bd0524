"""Least squares from an exact Gram matrix, in decimal arithmetic that is wider than any condition number.

The sweep operator (Goodnight 1979) turns the Gram matrix of the columns and the response into coefficients, inverse and
residual sum of squares in place. With 100 digits nothing is lost on the way: what comes out is the exact solution for
the exact matrix, and is rounded once, at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction

DIGITS = 100
_TOLERANCE = Decimal(2) ** -100
"""A column is collinear when those before it leave of its square no more than this part: the rounding of its values."""

Row = list[Decimal]


@dataclass(frozen=True)
class Solution:
    """Least squares of a response on columns. ``kept`` are the columns that those before them do not determine.

    ``coefficients`` and ``inverse`` (of X'X) are of the kept ones, in order. ``total`` is the sum of squares about the
    mean if the first column is ``constant``, else about 0.
    """

    kept: tuple[int, ...]
    coefficients: tuple[Decimal, ...]
    inverse: tuple[tuple[Decimal, ...], ...]
    residual: Decimal
    total: Decimal
    condition: Decimal


def solve(gram: Sequence[Sequence[Fraction]], *, constant: bool) -> Solution:
    """Return the solution for X'X and X'y of shape (k + 1, k + 1), the response last."""
    with localcontext(Context(prec=DIGITS, Emax=999_999, Emin=-999_999)):
        matrix = [[decimal(value) for value in row] for row in gram]
        last = len(matrix) - 1
        sizes = [matrix[i][i] for i in range(last)]
        total = matrix[last][last]
        norms = [_norm(matrix[i], i, sizes) for i in range(last)]
        kept: list[int] = []
        for column in range(last):
            if matrix[column][column] > _TOLERANCE * sizes[column]:
                _sweep(matrix, column)
                kept.append(column)
            if column == 0 and constant:
                total = matrix[last][last]
        inverse = tuple(tuple(-matrix[i][j] for j in kept) for i in kept)
        scales = [sizes[i].sqrt() for i in kept]
        spread = max(
            (sum(abs(value) * scales[j] for j, value in enumerate(row)) * scales[i] for i, row in enumerate(inverse)),
            default=Decimal(0),
        )
        condition = (max((norms[i] for i in kept), default=Decimal(0)) * spread).sqrt()
        coefficients = tuple(matrix[i][last] for i in kept)
        return Solution(tuple(kept), coefficients, inverse, max(matrix[last][last], Decimal(0)), total, condition)


def decimal(value: Fraction) -> Decimal:
    """Return ``value`` at the context's precision."""
    return Decimal(value.numerator) / Decimal(value.denominator)


def _sweep(matrix: list[Row], pivot: int) -> None:
    divisor = matrix[pivot][pivot]
    top = [value / divisor for value in matrix[pivot]]
    for i, row in enumerate(matrix):
        factor = row[pivot]
        if i != pivot and factor:
            matrix[i] = [value - factor * above for value, above in zip(row, top, strict=True)]
            matrix[i][pivot] = factor / divisor
    matrix[pivot] = top
    matrix[pivot][pivot] = -1 / divisor


def _norm(row: Row, place: int, sizes: Row) -> Decimal:
    """Return the sum of a row of the Gram matrix of columns of unit length."""
    if not sizes[place]:
        return Decimal(0)
    cells = zip(row[: len(sizes)], sizes, strict=True)
    return sum((abs(value) / (sizes[place] * size).sqrt() for value, size in cells if size), Decimal(0))
