"""Variables about a centre near their middle, on a scale near 1, and coefficients brought back exactly.

Rounding x**k to a double costs the digits that a polynomial needs; z = (x - centre) / scale is small, its powers are
far from collinear, and centre and scale are doubles of few bits, so that z of whole numbers is exact. Raw coefficients
come back in rationals: z**k = sum of C(k, i) (-centre)**(k - i) x**i / scale**k. Decimals of few digits are read as
whole multiples of their last place, their unit, which doubles hold exactly.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from math import comb, frexp, isfinite, ldexp

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.engines.statistics.gram import not_finite
from mpc.engines.statistics.numbers import EXACT_DIGITS, Numbers
from mpc.questions.statistics.formula import Variable
from mpc.questions.statistics.layout import DesignColumn, Monomial
from mpc.table.schema import Dataset

Floats = npt.NDArray[np.float64]

_CENTRE_BITS = 8
"""A centre is this many bits finer than the scale."""


@dataclass(frozen=True)
class Centre:
    """How z stands to x: x = ``unit`` (centre + scale z); the scale is a power of two."""

    unit: Fraction = Fraction(1)
    centre: float = 0.0
    scale: float = 1.0

    def apply(self, multiples: Floats) -> Floats:
        """Return z of every multiple of the unit."""
        if (self.centre, self.scale) == (0.0, 1.0):
            return multiples
        z = multiples - self.centre
        z *= 1 / self.scale  # a power of two: nothing is rounded
        return z


Centres = Mapping[Variable, Centre]


def uncentred(variables: Iterable[Variable], dataset: Dataset) -> dict[Variable, Centre]:
    """Return how multiples of units stand to variables as they are."""
    return {
        each: Centre(Fraction(1, 10 ** Numbers.of(dataset, each.column).scale if each.transform == "identity" else 1))
        for each in variables
    }


def values(batch: pa.RecordBatch, variable: Variable) -> Floats:
    """Return the variable's values in ``batch``, which has none missing, as doubles."""
    column = batch.column(variable.column)
    numbers: Floats = np.asarray(
        column if pa.types.is_float64(column.type) else pc.cast(column, pa.float64(), safe=False)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        if variable.transform == "log":
            return np.log(numbers)
        return np.sqrt(numbers) if variable.transform == "sqrt" else numbers


def multiples(batch: pa.RecordBatch, variable: Variable) -> Floats:
    """Return the variable's values as multiples of its unit."""
    kind = batch.schema.field(variable.column).type
    if variable.transform == "identity" and pa.types.is_decimal(kind) and kind.precision <= EXACT_DIGITS:
        return Numbers(variable.column, kind.scale).read(batch)[0]
    return values(batch, variable)


class Extents:
    """The least and the largest multiple of each variable: a fold."""

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.least = dict.fromkeys(variables, float("inf"))
        self.largest = dict.fromkeys(variables, float("-inf"))

    def update(self, batch: pa.RecordBatch) -> None:
        """Take in the rows of ``batch``; ``Malformed`` if a value is not finite."""
        for variable in self.least:
            numbers = multiples(batch, variable)
            if len(numbers):
                # Minimum and maximum hand NaN and infinity on.
                least, largest = float(numbers.min()), float(numbers.max())
                if not (isfinite(least) and isfinite(largest)):
                    raise not_finite()
                self.least[variable] = min(self.least[variable], least)
                self.largest[variable] = max(self.largest[variable], largest)

    def merge(self, other: "Extents") -> None:
        """Take in what ``other`` met."""
        for variable in self.least:
            self.least[variable] = min(self.least[variable], other.least[variable])
            self.largest[variable] = max(self.largest[variable], other.largest[variable])

    def centre(self, variable: Variable, raw: Centre, *, movable: bool) -> Centre:
        """Return ``raw`` with the extent's middle and half width, rounded; the centre is 0 unless ``movable``."""
        least, largest = self.least[variable], self.largest[variable]
        if least > largest:
            return raw
        if not movable:
            return replace(raw, scale=_power_of_two(max(abs(least), abs(largest))))
        scale = _power_of_two(largest / 2 - least / 2)
        step = scale / (1 << _CENTRE_BITS)
        middle = least / 2 + largest / 2
        # A constant far from 0 has no width: it is its own centre.
        centre = middle if least == largest or not isfinite(middle / step) else round(middle / step) * step
        return replace(raw, centre=centre, scale=scale)


def _power_of_two(width: float) -> float:
    """Return the least power of two that is at least ``width``, 1 for 0, kept in the middle of the doubles' range."""
    if width == 0:
        return 1.0
    mantissa, exponent = frexp(width)
    return ldexp(1.0, min(max(exponent - (mantissa == 0.5), -1000), 1000))  # noqa: PLR2004 - half is a power itself


def movable(columns: Sequence[DesignColumn]) -> frozenset[Variable]:
    """Return the variables that may be centred: with each of their terms, the model has all of its lower orders.

    Otherwise z spans other columns than x does, and the model would be another one.
    """
    known = {(column.monomial, column.cell) for column in columns}
    variables = {variable for column in columns for variable, _ in column.monomial}
    fixed = {
        variable
        for column in columns
        for variable, _ in column.monomial
        if (_lowered(column.monomial, variable), column.cell) not in known
    }
    return frozenset(variables - fixed)


def _lowered(monomial: Monomial, variable: Variable) -> Monomial:
    lowered = ((each, exponent - (each == variable)) for each, exponent in monomial)
    return tuple((each, exponent) for each, exponent in lowered if exponent)


Expansion = list[dict[int, Fraction]]
"""For each column in z, its weights on raw columns by their numbers."""


def expansion(columns: Sequence[DesignColumn], centres: Centres) -> Expansion:
    """Return each column in z as a combination of columns in x."""
    numbers = {(column.monomial, column.cell): i for i, column in enumerate(columns)}
    expanded: Expansion = []
    for column in columns:
        parts: dict[Monomial, Fraction] = {(): Fraction(1)}
        for variable, exponent in column.monomial:
            parts = {
                (*monomial, (variable, power)) if power else monomial: weight * part
                for monomial, weight in parts.items()
                for power, part in _binomial(centres[variable], exponent).items()
            }
        expanded.append({numbers[monomial, column.cell]: weight for monomial, weight in parts.items()})
    return expanded


def _binomial(centre: Centre, exponent: int) -> dict[int, Fraction]:
    """Return the weights of z**k on the powers of x."""
    away, width = -Fraction(centre.centre), Fraction(centre.scale)
    if not away:
        return {exponent: 1 / (centre.unit * width) ** exponent}
    return {
        power: comb(exponent, power) * away ** (exponent - power) / (centre.unit**power * width**exponent)
        for power in range(exponent + 1)
    }


def monomial_values(monomial: Monomial, z: Mapping[Variable, Floats], rows: int) -> Floats:
    """Return the product of powers for each of ``rows`` rows."""
    if not monomial:
        return np.ones(rows)
    return reduce(np.multiply, (z[each] if exponent == 1 else z[each] ** exponent for each, exponent in monomial))
