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
from mpc.engines.statistics.leverage import Owners, Weighed, one_row_a_subject, squared
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
_SMALL = 0.25
"""A leverage that is surely no larger needs no second look: far less than what disclosure control lets pass."""
_LEAST = 1e-9
"""An eigenvalue below is not known well enough to divide by."""


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


def weighed(study: Study, parties: Grams, owners: Iterable[Owners]) -> tuple[dict[Owners, float], list[Weighed]]:
    """Return, of models over the rows of each of ``owners``, bounds on leverages where they are small.

    The others have to be weighed row by row, with the response last: they come second.
    """
    bounds: dict[Owners, float] = {}
    models = []
    matrices = Matrices(study, parties)
    for each in owners:
        gram = matrices.over(each)
        own = [one for party, one in parties.items() if party in each]
        if one_row_a_subject(study.dataset) and (found := _bound(gram, own)) <= _SMALL / _owners_of_one(study):
            bounds[each] = found * _owners_of_one(study)
            continue
        solution = solve(gram, constant=study.formula.has_intercept)
        inverse = np.array(solution.inverse, np.float64).reshape(len(solution.kept), len(solution.kept))
        models.append(Weighed(each, partial(_leverages, list(solution.kept), root(inverse))))
    return bounds, models


def _owners_of_one(study: Study) -> int:
    """Return at how many owners one subject may be."""
    return len(study.dataset.owners) if study.dataset.subject.identity == "unknown" else 1


def _leverages(kept: Sequence[int], weights: Floats, rows: Floats) -> Floats:
    return squared(rows[:, kept], weights)


def _bound(gram: Rationals, parts: Sequence[Gram | RoundedGram]) -> float:
    """Return what no row's leverage exceeds; infinity where that is not known.

    About their means and of unit length, columns have a Gram matrix whose inverse is bounded by its least eigenvalue,
    and a row is no longer than its largest values together. The first column is the constant.
    """
    rounded = [each for each in parts if isinstance(each, RoundedGram)]
    if len(rounded) < len(parts) or not rounded or gram[0][0] <= 0 or not all(each.is_sound for each in rounded):
        return inf
    size = len(gram) - 1
    means = [gram[0][i] / gram[0][0] for i in range(size)]
    about = [[float(gram[i][j] - means[i] * gram[0][j]) for j in range(1, size)] for i in range(1, size)]
    extent = largest(rounded, np.array([0.0, *map(float, means[1:]), 0.0]))[:size]  # the response has no leverage
    constant = extent[0] ** 2 / float(gram[0][0])
    inner = np.array(about).reshape(size - 1, size - 1)
    spread = np.diag(inner)
    if not (spread > 0).all():
        return inf
    least = float(np.linalg.eigvalsh(inner / np.sqrt(np.outer(spread, spread))).min(initial=1.0))
    return inf if least < _LEAST else float(constant + (extent[1:] ** 2 / spread).sum() / least)


def added(grams: Sequence[Rationals], size: int, *, less: Rationals | None = None) -> Rationals:
    """Return the sum of square matrices of ``size``, ``less`` another."""
    total = [[Fraction(0)] * size for _ in range(size)]
    for gram in grams:
        total = [[a + b for a, b in zip(one, two, strict=True)] for one, two in zip(total, gram, strict=True)]
    if less is not None:
        total = [[a - b for a, b in zip(one, two, strict=True)] for one, two in zip(total, less, strict=True)]
    return total
