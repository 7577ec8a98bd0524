"""Covariances of coefficients that hold when the residuals' variance differs from row to row.

White's sandwich as MacKinnon and White (1985) correct it: HC1 by n / (n - k), HC3 by leverage, each residual over
1 - h. Its middle needs residuals, and so a pass of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.fits import Fit
from mpc.engines.statistics.passes import Codes
from mpc.engines.statistics.sweep import Solution

Floats = npt.NDArray[np.float64]

_ALONE = 1e-10
"""A row whose leverage is within this of 1 decides a coefficient alone."""


@dataclass(frozen=True)
class Meat:
    """What one model's residuals are computed with: its columns, coefficients and inverse, in doubles."""

    columns: tuple[int, ...]
    solution: Solution
    leverage: bool
    coefficients: Floats = field(init=False)
    root: Floats = field(init=False)

    def __post_init__(self) -> None:
        inverse = np.array(self.solution.inverse, np.float64).reshape(len(self.columns), len(self.columns))
        object.__setattr__(self, "coefficients", np.array(self.solution.coefficients, np.float64))
        object.__setattr__(self, "root", root(inverse))

    def middle(self, rows: Floats) -> Floats:
        """Return the sum of x x' e² over ``rows`` of the design with the response last; e² over (1 - h)² for HC3."""
        x = rows[:, list(self.columns)]
        residuals = rows[:, -1] - x @ self.coefficients
        if self.leverage:
            left = 1 - ((x @ self.root) ** 2).sum(axis=1)
            residuals = np.where(left > _ALONE, residuals / np.maximum(left, _ALONE), np.nan)
        scores = x * residuals[:, None]
        return np.asarray(scores.T @ scores)


class Meats:
    """The middle of each model's sandwich: a fold."""

    def __init__(
        self,
        rows: Callable[[pa.RecordBatch, Codes], Iterator[Floats]],
        party: Callable[[Codes], str],
        models: Mapping[Fit, Meat],
    ) -> None:
        self._rows = rows
        self._party = party
        self._models = models
        self.of: dict[Fit, Floats] = {
            fit: np.zeros((len(model.columns), len(model.columns))) for fit, model in models.items()
        }

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Add the rows of ``batch``, all of one party, to the models that they are in."""
        for rows in self._rows(batch, codes):
            party = self._party(codes)
            for fit, model in self._models.items():
                if party in fit.owners:
                    self.of[fit] += model.middle(rows)

    def merge(self, other: "Meats") -> None:
        """Add model by model."""
        for fit, middle in other.of.items():
            self.of[fit] += middle


def sandwich(solution: Solution, middle: Floats) -> list[list[Fraction]]:
    """Return (X'X)^-1 ``middle`` (X'X)^-1."""
    size = len(solution.kept)
    inverse = np.array(solution.inverse, np.float64).reshape(size, size)
    return [[Fraction(value) for value in row] for row in (inverse @ middle @ inverse).tolist()]


def root(inverse: Floats) -> Floats:
    """Return R with R R' = ``inverse``."""
    scale = np.sqrt(np.diag(inverse))
    safe = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(inverse / np.outer(safe, safe))
    return np.asarray(safe[:, None] * vectors * np.sqrt(np.maximum(values, 0.0)))
