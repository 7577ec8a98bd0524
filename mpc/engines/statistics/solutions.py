"""Least squares of every model of a study out of one Gram matrix a party, and what one subject has in them at most."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import inf

import numpy as np
import numpy.typing as npt

from mpc.engines.statistics.fits import Fit, Study
from mpc.engines.statistics.gram import Gram, Rationals
from mpc.engines.statistics.leverage import Owners, Weighed, bounded, known, squared
from mpc.engines.statistics.robust import root
from mpc.engines.statistics.rounded_gram import Reach, RoundedGram, largest, reach
from mpc.engines.statistics.sweep import Solution, solve

Floats = npt.NDArray[np.float64]
Grams = Mapping[str, Gram] | Mapping[str, RoundedGram]
"""The columns' Gram matrix, the response last, of each party's rows."""

_UNSEEN = Reach(estimates=5e-10, variances=1e-11)
"""What rounding may do to a result: half a billionth of a standard error, and a variance's eleventh digit."""
_CERTAIN = 2.0**-10
"""Rounding that moves an inverse by no more than this part of it hides no collinear column."""


@dataclass(frozen=True)
class Solved:
    """Least squares of one model, how many rows it rests on, and what rounding can do to it; None if it is exact."""

    solution: Solution
    rows: int
    reach: Reach | None

    @property
    def is_rounded(self) -> bool:
        """Whether the Gram matrix was in doubles."""
        return self.reach is not None

    @property
    def is_unseen(self) -> bool:
        """Whether rounding does not show in estimates and their errors."""
        found = self.reach
        return found is None or (found.estimates <= _UNSEEN.estimates and found.variances <= _UNSEEN.variances)

    @property
    def is_full_rank(self) -> bool:
        """Whether, rounding or not, no column is determined by others."""
        return self.reach is None or self.reach.inverse <= _CERTAIN


def solutions(study: Study, parties: Grams) -> dict[Fit, Solved]:
    """Return least squares of the last column on the others, for every model of a study."""
    matrices = Matrices(study, parties)
    found = {}
    for fit in study.fits:
        gram = matrices.over(fit.owners)
        solution = solve(gram, constant=study.formula.has_intercept)
        own = [each for party, each in parties.items() if party in fit.owners]
        rows = sum(each.rows for each in own)
        rounded_ones = [each for each in own if isinstance(each, RoundedGram)]
        found[fit] = Solved(solution, rows, reach(solution, gram, rounded_ones, rows) if rounded_ones else None)
    return found


class Matrices:
    """Gram matrices over any of a study's parties."""

    def __init__(self, study: Study, parties: Grams) -> None:
        self._size = len(study.columns) + 1
        self._of = {party: gram.matrix() for party, gram in parties.items()}
        self._whole = added([*self._of.values()], self._size)

    def over(self, owners: Iterable[str]) -> Rationals:
        """Return the matrix over all rows of ``owners``."""
        own = [self._of[party] for party in self._of if party in owners]
        others = [self._of[party] for party in self._of if party not in owners]
        if len(own) < len(others):
            return added(own, self._size)
        return added([self._whole], self._size, less=added(others, self._size)) if others else self._whole


def weighed(
    study: Study, parties: Grams, bounding: Grams, owners: Iterable[Owners]
) -> tuple[dict[Owners, float], list[Weighed]]:
    """Return, of models over the rows of each of ``owners``, bounds on leverages where they are small.

    The others have to be weighed row by row, with the response last: they come second. Extents are those of the
    ``bounding`` matrices, of the same rows, if they were in doubles.
    """
    bounds: dict[Owners, float] = {}
    models = []
    matrices = Matrices(study, parties)
    for each in owners:
        gram = matrices.over(each)
        found = known(study.dataset, _bound(gram, [one for party, one in bounding.items() if party in each]))
        if found is not None:
            bounds[each] = found
            continue
        solution = solve(gram, constant=study.formula.has_intercept)
        inverse = np.array(solution.inverse, np.float64).reshape(len(solution.kept), len(solution.kept))
        models.append(Weighed(each, partial(_leverages, list(solution.kept), root(inverse))))
    return bounds, models


def _leverages(kept: Sequence[int], weights: Floats, rows: Floats) -> Floats:
    return squared(rows[:, kept], weights)


def _bound(gram: Rationals, parts: Sequence[Gram | RoundedGram]) -> float:
    """Return what no row's leverage exceeds; infinity where that is not known. The first column is the constant."""
    sound = in_doubles(parts)
    if not sound or gram[0][0] <= 0:
        return inf
    size = len(gram) - 1
    means = [gram[0][i] / gram[0][0] for i in range(size)]
    about = [[float(gram[i][j] - means[i] * gram[0][j]) for j in range(1, size)] for i in range(1, size)]
    extents = largest(sound, np.array([0.0, *map(float, means[1:]), 0.0]))[:size]  # the response has no leverage
    return bounded(float(gram[0][0]), np.array(about).reshape(size - 1, size - 1), extents)


def in_doubles(parts: Sequence[Gram | RoundedGram]) -> list[RoundedGram]:
    """Return ``parts`` if all of them are sound sums in doubles, which tell how far values lie from a centre."""
    rounded = [each for each in parts if isinstance(each, RoundedGram) and each.is_sound]
    return rounded if len(rounded) == len(parts) else []


def added(grams: Sequence[Rationals], size: int, *, less: Rationals | None = None) -> Rationals:
    """Return the sum of square matrices of ``size``, ``less`` another."""
    total = [[Fraction(0)] * size for _ in range(size)]
    for gram in grams:
        total = [[a + b for a, b in zip(one, two, strict=True)] for one, two in zip(total, gram, strict=True)]
    if less is not None:
        total = [[a - b for a, b in zip(one, two, strict=True)] for one, two in zip(total, less, strict=True)]
    return total
