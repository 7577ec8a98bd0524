"""Log likelihoods of one row each, with what Newton's method needs of them.

Written in the linear predictor eta, and for the negative binomial also in tau, the logarithm of its dispersion alpha
(variance mu + alpha mu**2). Terms that hold no parameter are left to ``constant``.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, gammaln, logit, polygamma, xlogy

Floats = npt.NDArray[np.float64]

LEAST_TAU = -14.0
"""Where alpha is a millionth, counts vary as Poisson's, and the likelihood no longer tells alpha from 0."""


@dataclass(frozen=True)
class Point:
    """The likelihood of rows at one eta: its sum, and by row the first derivative and the negative second one.

    ``tau`` are sums of the first derivative and the negative second one by tau, ``cross`` the negative mixed one.
    """

    value: float
    gradient: Floats
    curvature: Floats
    tau: tuple[float, float] | None = None
    cross: Floats | None = None


class Likelihood(Protocol):
    """One family with its link."""

    @property
    def ratio(self) -> str:
        """What the exponential of a coefficient is."""

    @property
    def dispersed(self) -> bool:
        """Whether tau is a parameter."""

    @property
    def largest(self) -> float:
        """The largest response that there is; the least is 0."""

    def start(self, y: Floats) -> tuple[Floats, Point]:
        """Return an eta that each row alone suggests, and the likelihood there."""

    def point(self, y: Floats, eta: Floats, tau: float) -> Point:
        """Return the likelihood at ``eta``."""

    def constant(self, y: Floats) -> float:
        """Return what ``point`` leaves out."""

    def saturated(self, y: Floats) -> float:
        """Return the sum of the likelihood where each row is predicted as it is; NaN where deviances are not told."""

    def residuals(self, y: Floats, eta: Floats, tau: float) -> Floats:
        """Return the deviance residual of each row: the root of its deviance, with the sign of what it is off by."""

    def wrong(self, y: Floats, along: Floats) -> tuple[float, float]:
        """Return how far rows go, moved ``along``, towards their outcome for certain, and how far away from it."""


class Logistic:
    """Outcomes 0 and 1, log odds."""

    ratio = "odds_ratio"
    dispersed = False
    largest = 1.0

    def start(self, y: Floats) -> tuple[Floats, Point]:
        """Begin between the outcome and one half."""
        eta = logit((y + 0.5) / 2)
        return eta, self.point(y, eta, 0.0)

    def point(self, y: Floats, eta: Floats, _tau: float) -> Point:
        """Return the Bernoulli likelihood, in forms that lose no digits where a probability is near 0 or 1."""
        sign = 2 * y - 1
        towards = sign * eta
        # One exponential serves both: log(1 + e**-t) and 1 / (1 + e**t), neither of which may overflow.
        small = np.exp(-np.abs(towards))
        value = np.log1p(small) + np.maximum(-towards, 0.0)
        against = np.where(towards > 0, small, 1.0) / (1 + small)
        return Point(-float(value.sum()), sign * against, small / (1 + small) ** 2)

    def constant(self, _y: Floats) -> float:
        """Return 0: nothing is left out."""
        return 0.0

    def saturated(self, _y: Floats) -> float:
        """Return 0: every outcome is certain."""
        return 0.0

    def residuals(self, y: Floats, eta: Floats, _tau: float) -> Floats:
        """Return the root of twice what the outcome costs."""
        sign = 2 * y - 1
        return np.asarray(sign * np.sqrt(2 * np.logaddexp(0.0, -sign * eta)))

    def wrong(self, y: Floats, along: Floats) -> tuple[float, float]:
        """Return the farthest steps to the right and to the wrong side."""
        towards = (2 * y - 1) * along
        return float(towards.max(initial=0.0)), float((-towards).max(initial=0.0))


class Poisson:
    """Counts, logarithm of the mean."""

    ratio = "rate_ratio"
    dispersed = False
    largest = float("inf")

    def start(self, y: Floats) -> tuple[Floats, Point]:
        """Begin a little above the count."""
        eta = np.log(y + 0.1)
        return eta, Poisson.point(self, y, eta, 0.0)

    def point(self, y: Floats, eta: Floats, _tau: float) -> Point:
        """Return the Poisson likelihood."""
        mean = np.exp(eta)
        return Point(float((y * eta - mean).sum()), y - mean, mean)

    def constant(self, y: Floats) -> float:
        """Return the sum of -log(y!)."""
        return -float(gammaln(y + 1).sum())

    def saturated(self, y: Floats) -> float:
        """Return the sum of y log y - y."""
        return float((xlogy(y, y) - y).sum())

    def residuals(self, y: Floats, eta: Floats, _tau: float) -> Floats:
        """Return the root of 2 (y log(y / mean) - (y - mean))."""
        mean = np.exp(eta)
        return _signed(y - mean, xlogy(y, y / mean) - (y - mean))

    def wrong(self, y: Floats, along: Floats) -> tuple[float, float]:
        """Rows that count nothing may go down for ever; others must stay where they are."""
        nothing = along[y == 0]
        others = np.abs(along[y > 0]).max(initial=0.0)
        return float((-nothing).max(initial=0.0)), float(max(nothing.max(initial=0.0), others))


class NegativeBinomial(Poisson):
    """Counts with variance mu + alpha mu**2 (NB2), logarithm of the mean."""

    dispersed = True

    def point(self, y: Floats, eta: Floats, tau: float) -> Point:
        """Return the likelihood with r = 1 / alpha, by the chain rule r' = -r where tau is meant."""
        mean, r = np.exp(eta), float(np.exp(-tau))
        both = r + mean
        gammas, once, twice = _gammas(y, r)
        scaled = np.log1p(mean / r)
        value = gammas - r * scaled + y * (eta - np.log(both))
        by_r = once - scaled + (mean - y) / both
        by_r_twice = twice + mean / (r * both) - (mean - y) / both**2
        first, second = -r * float(by_r.sum()), r * r * float(by_r_twice.sum()) + r * float(by_r.sum())
        return Point(
            float(value.sum()), (y - mean) * r / both, mean * r * (r + y) / both**2,
            (first, -second), (y - mean) * mean * r / both**2,
        )  # fmt: skip

    def residuals(self, y: Floats, eta: Floats, tau: float) -> Floats:
        """Return the root of 2 (y log(y / mean) - (y + r) log((y + r) / (mean + r)))."""
        mean, r = np.exp(eta), float(np.exp(-tau))
        return _signed(y - mean, xlogy(y, y / mean) - (y + r) * np.log((y + r) / (mean + r)))

    def saturated(self, _y: Floats) -> float:
        """Return NaN: a deviance would depend on alpha."""
        return float("nan")


def _signed(off: Floats, half: Floats) -> Floats:
    """Return the root of a deviance, which rounding may make a little less than 0."""
    return np.asarray(np.sign(off) * np.sqrt(2 * np.maximum(half, 0.0)))


def _gammas(y: Floats, r: float) -> tuple[Floats, Floats, Floats]:
    """Return how far log gamma and its first two derivatives rise from ``r`` to each ``y + r``."""
    if len(y) and y.max() < len(y) and (y == np.floor(y)).all():
        # Counts repeat, and these functions cost more than all others together.
        risen = _gammas_of(np.arange(y.max() + 1, dtype=np.float64) + r, r)
        at = y.astype(np.int64)
        return risen[0][at], risen[1][at], risen[2][at]
    return _gammas_of(y + r, r)


def _gammas_of(raised: Floats, r: float) -> tuple[Floats, Floats, Floats]:
    return gammaln(raised) - gammaln(r), digamma(raised) - digamma(r), polygamma(1, raised) - polygamma(1, r)
