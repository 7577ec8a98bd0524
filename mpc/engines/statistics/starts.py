"""Where Newton's method begins: one step from what each row alone suggests, the same for all models of a reading."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.fits import Fit
from mpc.engines.statistics.likelihoods import Likelihood, NegativeBinomial, Poisson
from mpc.engines.statistics.newton import Climb, Place, Rows, newton_step
from mpc.engines.statistics.passes import Codes

Floats = npt.NDArray[np.float64]


@dataclass
class PartySums:
    """What one party's rows come to before the first step: the start's Hessian and gradient, and plain sums."""

    hessian: Floats
    gradient: Floats
    plain: Floats

    @staticmethod
    def none(size: int) -> "PartySums":
        """Return the sums of no rows."""
        return PartySums(np.zeros((size, size)), np.zeros(size), np.zeros(len(PLAIN)))

    def add(self, other: "PartySums") -> None:
        """Add what was gathered over other rows."""
        self.hessian += other.hessian
        self.gradient += other.gradient
        self.plain += other.plain


PLAIN = ("rows", "y", "positive", "y_offset", "exp_offset", "constant", "saturated")


class Starts:
    """The first step from what each row alone suggests: a fold. It is the same for all models."""

    def __init__(self, rows: Rows, party: Callable[[Codes], str], likelihood: Likelihood, size: int) -> None:
        self._rows = rows
        self._party = party
        self._likelihood = likelihood
        self._size = size
        self.of: dict[str, PartySums] = {}

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Add the rows of ``batch``, all of one party."""
        for x, y, offset in self._rows(batch, codes):
            eta, point = self._likelihood.start(y)
            target = point.curvature * (eta - offset) + point.gradient
            with np.errstate(over="ignore"):
                plain = [
                    len(y), y.sum(), (y > 0).sum(), y @ offset, np.exp(offset).sum(),
                    self._likelihood.constant(y), self._likelihood.saturated(y),
                ]  # fmt: skip
            hessian = x.T @ (x * point.curvature[:, None])
            self._sums(self._party(codes)).add(PartySums(hessian, x.T @ target, np.array(plain, np.float64)))

    def merge(self, other: "Starts") -> None:
        """Add party by party."""
        for party, sums in other.of.items():
            self._sums(party).add(sums)

    def over(self, fit: Fit) -> PartySums:
        """Return the sums over all rows of a model."""
        whole = PartySums.none(self._size)
        for party in fit.owners:
            whole.add(self._sums(party))
        return whole

    def _sums(self, party: str) -> PartySums:
        return self.of.setdefault(party, PartySums.none(self._size))


def started(sums: PartySums, columns: tuple[int, ...], likelihood: Likelihood) -> Climb:
    """Return a model at its first place."""
    chosen = list(columns)
    step = newton_step(sums.hessian[np.ix_(chosen, chosen)], sums.gradient[chosen])
    first: Likelihood = Poisson() if isinstance(likelihood, NegativeBinomial) else likelihood
    change = np.zeros(len(chosen)) if step is None else step.change
    climb = Climb(Place(columns, change, 0.0, None, first), likelihood)
    if step is None:
        climb.end = "lost"
    return climb
