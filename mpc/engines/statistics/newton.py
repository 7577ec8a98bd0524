"""Newton's method over streamed rows: one fold a step, for several models in the same reading.

The length of a step in standard errors, the root of s' H^-1 s, tells how far the maximum is; the next error is about
its square. So a step that is shorter than 1e-8 is the last one. A step that lowers the likelihood is halved. Where
terms tell outcomes with certainty, the likelihood grows for ever: the step itself is then the direction in which every
row goes the right way or stays, and a fold that looks at it finds out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import exp, isfinite, nan, sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.fits import Fit
from mpc.engines.statistics.likelihoods import LEAST_TAU, Likelihood, Poisson
from mpc.engines.statistics.passes import Codes

Floats = npt.NDArray[np.float64]
Rows = Callable[[pa.RecordBatch, Codes], Iterator[tuple[Floats, Floats, Floats]]]
"""The design's rows, the response and the offset of a batch, some rows at a time."""

STEPS_MAX = 60
_CLOSE = 1e-8
_FLOOR = 1e-5
"""Below it a step that is hardly shorter than the one before is rounding."""
_BRANCH = 1e-2
"""Where Poisson's maximum is near enough to begin with the negative binomial."""
_HALVINGS_MAX = 20
_LOOK = 4
"""Steps after which rows are asked for separation."""
_FAR, _STILL = 0.5, 1e-6
"""A step goes the right way when some row goes so far, and none the wrong way by this part of it."""
_TAU_MAX = 2.0
"""How far the logarithm of a dispersion goes in one step."""


@dataclass
class Sums:
    """What one step gathers for one model; merged by adding. ``most`` is what a row weighs at most in the Hessian."""

    value: float
    gradient: Floats
    hessian: Floats
    tau: Floats
    cross: Floats
    moments: Floats
    right: float = 0.0
    wrong: float = 0.0
    most: float = 0.0

    @staticmethod
    def none(size: int) -> "Sums":
        """Return the sums of no rows."""
        return Sums(0.0, np.zeros(size), np.zeros((size, size)), np.zeros(2), np.zeros(size), np.zeros(2))

    def add(self, other: "Sums") -> None:
        """Add what was gathered over other rows."""
        self.value += other.value
        self.gradient += other.gradient
        self.hessian += other.hessian
        self.tau += other.tau
        self.cross += other.cross
        self.moments += other.moments
        self.right, self.wrong = max(self.right, other.right), max(self.wrong, other.wrong)
        self.most = max(self.most, other.most)


@dataclass(frozen=True)
class Place:
    """Where a model stands: coefficients of its ``columns``, tau, and the step that led there."""

    columns: tuple[int, ...]
    coefficients: Floats
    tau: float
    step: Floats | None
    likelihood: Likelihood

    def curvature(self, x: Floats, y: Floats, offset: Floats) -> Floats:
        """Return what each row weighs in the information of the coefficients."""
        x = x if len(self.columns) == x.shape[1] else x[:, list(self.columns)]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return self.likelihood.point(y, x @ self.coefficients + offset, self.tau).curvature

    def residuals(self, x: Floats, y: Floats, offset: Floats) -> Floats:
        """Return each row's deviance residual."""
        return self.likelihood.residuals(y, x[:, list(self.columns)] @ self.coefficients + offset, self.tau)

    def gathered(self, x: Floats, y: Floats, offset: Floats) -> Sums:
        """Return the sums of rows."""
        x = x if len(self.columns) == x.shape[1] else x[:, list(self.columns)]
        sums = Sums.none(len(self.columns))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            eta = x @ self.coefficients + offset
            point = self.likelihood.point(y, eta, self.tau)
            sums.value = point.value
            sums.gradient = x.T @ point.gradient
            sums.hessian = x.T @ (x * point.curvature[:, None])
            sums.most = float(point.curvature.max(initial=0.0))
            if point.tau is not None and point.cross is not None:
                sums.tau, sums.cross = np.array(point.tau), x.T @ point.cross
            elif type(self.likelihood) is Poisson:
                mean = np.exp(eta)
                sums.moments = np.array([((y - mean) ** 2 - y).sum(), (mean**2).sum()])
        if self.step is not None:
            sums.right, sums.wrong = self.likelihood.wrong(y, x @ self.step[: len(self.columns)])
        return sums


class Steps:
    """One step of every model that is under way, party by party: a fold."""

    def __init__(self, rows: Rows, party: Callable[[Codes], str], places: Mapping[Fit, Place]) -> None:
        self._rows = rows
        self._party = party
        self._places = places
        self.of: dict[Fit, dict[str, Sums]] = {fit: {} for fit in places}

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Add the rows of ``batch``, all of one party, to the models that they are in."""
        for x, y, offset in self._rows(batch, codes):
            party = self._party(codes)
            for fit, place in self._places.items():
                if party in fit.owners:
                    self._sums(fit, party).add(place.gathered(x, y, offset))

    def merge(self, other: "Steps") -> None:
        """Add model by model and party by party."""
        for fit, parties in other.of.items():
            for party, sums in parties.items():
                self._sums(fit, party).add(sums)

    def _sums(self, fit: Fit, party: str) -> Sums:
        return self.of[fit].setdefault(party, Sums.none(len(self._places[fit].columns)))


End = Literal["maximum", "separated", "lost", "poisson"]


@dataclass
class Climb:
    """One model on its way. ``end`` says how it ended, None while it goes on.

    ``inverse`` is the inverse of the negative Hessian at the maximum, tau last if it is a parameter. ``parties`` is
    what each party's rows came to at the last place before.
    """

    place: Place
    target: Likelihood
    end: End | None = None
    value: float = -np.inf
    inverse: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    steps: int = 0
    halvings: int = 0
    length: float = np.inf
    parties: Mapping[str, Sums] = field(default_factory=dict)

    def advance(self, parties: Mapping[str, Sums]) -> None:
        """Take one step, or end, by what each party's rows came to at this place."""
        self.parties = parties
        sums = Sums.none(len(self.place.columns))
        for party in sorted(parties):
            sums.add(parties[party])
        self.steps += 1
        if not self._rises(sums.value):
            self._halve()
            return
        self.value, self.halvings = sums.value, 0
        if self.steps > _LOOK and sums.right > _FAR and sums.wrong <= _STILL * sums.right:
            self.end = "separated"
            return
        dispersed = self.place.likelihood.dispersed
        step = newton_step(*_joint(sums) if dispersed else (sums.hessian, sums.gradient))
        if step is None or self.steps >= STEPS_MAX:
            self.end = "lost"
            return
        self._go(step, sums)

    def _rises(self, value: float) -> bool:
        return isfinite(value) and (self.steps == 1 or value >= self.value - 1e-9 * (abs(self.value) + 1))

    def _halve(self) -> None:
        step = self.place.step
        self.halvings += 1
        if step is None or self.halvings > _HALVINGS_MAX:
            self.end = "lost"
            return
        back = replace(self.place, step=step / 2)
        self.place = _moved(back, -step / 2)

    def _go(self, step: "Step", sums: Sums) -> None:
        is_floor = step.length < _FLOOR and step.length > self.length / 3
        if self.target.dispersed and not self.place.likelihood.dispersed:
            if step.length < _BRANCH:
                self._branch(sums)
                return
        elif step.length < _CLOSE or is_floor:
            self.inverse = step.inverse
            self.place = _moved(self.place, step.change)
            self.end = "maximum"
            return
        self.length = step.length
        change = step.change.copy()
        change[len(self.place.columns) :] = np.clip(change[len(self.place.columns) :], -_TAU_MAX, _TAU_MAX)
        self.place = _moved(replace(self.place, step=change), change)
        if self.place.likelihood.dispersed and self.place.tau < LEAST_TAU:
            self.end = "poisson"

    def _branch(self, sums: Sums) -> None:
        """Go over from Poisson to the negative binomial, with alpha as the second moments have it."""
        excess, squares = sums.moments
        if excess <= 0:
            self.end = "poisson"
            return
        tau = float(np.log(excess / squares))
        self.place = replace(self.place, likelihood=self.target, tau=max(tau, LEAST_TAU + 1), step=None)
        self.steps, self.value, self.length = 0, -np.inf, np.inf


@dataclass(frozen=True)
class Step:
    """A Newton step, its length in standard errors, and the inverse that it was taken with."""

    change: Floats
    length: float
    inverse: Floats


def newton_step(hessian: Floats, gradient: Floats) -> Step | None:
    """Return the step of ``hessian`` (negative, positive definite) and ``gradient``; None if it is not so."""
    diagonal = np.diag(hessian)
    if not (np.isfinite(hessian).all() and np.isfinite(gradient).all() and (diagonal > 0).all()):
        return None
    scale = 1 / np.sqrt(diagonal)
    try:
        np.linalg.cholesky(hessian * np.outer(scale, scale))
        inverse = np.linalg.inv(hessian * np.outer(scale, scale)) * np.outer(scale, scale)
    except np.linalg.LinAlgError:
        return None
    change = inverse @ gradient
    return Step(change, sqrt(max(float(gradient @ change), 0.0)), inverse)


def _joint(sums: Sums) -> tuple[Floats, Floats]:
    """Return Hessian and gradient with tau last, uncoupled where the likelihood bends up, far from its maximum."""
    gradient = np.append(sums.gradient, sums.tau[0])
    hessian = np.block([[sums.hessian, sums.cross[:, None]], [sums.cross[None, :], np.array([[sums.tau[1]]])]])
    if newton_step(hessian, gradient) is None:
        hessian[-1, :-1] = hessian[:-1, -1] = 0.0
        hessian[-1, -1] = max(abs(sums.tau[1]), abs(sums.tau[0]))
    return hessian, gradient


def _moved(place: Place, change: Floats) -> Place:
    size = len(place.columns)
    tau = place.tau + float(change[size]) if len(change) > size else place.tau
    return replace(place, coefficients=place.coefficients + change[:size], tau=tau)


def dispersion(climb: Climb) -> tuple[float, float]:
    """Return alpha and its standard error."""
    alpha = exp(climb.place.tau)
    return alpha, alpha * sqrt(climb.inverse[-1, -1]) if climb.inverse[-1, -1] > 0 else nan
