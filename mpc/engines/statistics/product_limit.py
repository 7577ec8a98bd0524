"""The product-limit estimate of Kaplan and Meier (1958), its log-log interval and quantiles."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpc.engines.statistics.survival_times import Times

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

Z = 1.959963984540054
"""The 0.975 quantile of the normal distribution: intervals are of 95%."""

_HALF = 0.5
_SAME = 1e-9
"""How far from one half a survival still counts as one half: it is a product of rounded factors."""


@dataclass(frozen=True)
class Curve:
    """Survival just after each event time, with its variance by Greenwood and interval; arrays over event times.

    ``lower`` and ``upper`` bound on the scale of log(-log S), which keeps them between 0 and 1; they are NaN where
    survival is 0 or 1. ``error`` is the standard error of the survival itself.
    """

    time: Floats
    survival: Floats
    error: Floats
    lower: Floats
    upper: Floats

    def at(self, times: Floats) -> Floats:
        """Return survival, error, lower and upper at ``times``, shape (4, times); before any event survival is 1."""
        reached = np.searchsorted(self.time, times, side="right")
        first = (1.0, 0.0, np.nan, np.nan)
        each = (self.survival, self.error, self.lower, self.upper)
        return np.array([np.append(one, values)[reached] for one, values in zip(first, each, strict=True)])


def product_limit(times: Times) -> Curve:
    """Return the curve of one group."""
    time = times.time[times.events > 0]
    died, at_risk = times.events[times.events > 0].astype(np.float64), times.at_risk(time).astype(np.float64)
    left = at_risk - died
    with np.errstate(divide="ignore", invalid="ignore"):
        # Survival is a product over times, its variance a sum; once nobody is left both have come to their end.
        survival: Floats = np.cumprod(left / at_risk).astype(np.float64)
        summed = np.cumsum(np.where(left > 0, died / (at_risk * left), np.inf))
        log = np.log(survival)
        spread = Z * np.sqrt(summed) / -log
        error: Floats = np.where(survival > 0, survival * np.sqrt(summed), 0.0)
        bounds = [np.exp(log * np.exp(sign * spread)) for sign in (1, -1)]
    told = (survival > 0) & (survival < 1)
    lower, upper = (np.where(told, bound, np.nan) for bound in bounds)
    return Curve(time, survival, error, lower, upper)


def medians(curve: Curve) -> tuple[float, float, float]:
    """Return the median time and the bounds of its interval (Brookmeyer and Crowley 1982); NaN where none is reached.

    A bound is where the other bound of survival falls to one half. Where a curve stays at exactly one half for a
    while, the middle of that while is meant, as R has it.
    """
    return (
        _falls_to_half(curve.time, curve.survival),
        _falls_to_half(curve.time, curve.lower),
        _falls_to_half(curve.time, np.where(curve.survival > 0, curve.upper, np.nan)),
    )


def _falls_to_half(time: Floats, values: Floats) -> float:
    known = np.isfinite(values)
    time, values = time[known], values[known]
    below = np.flatnonzero(values <= _HALF + _SAME)
    if len(below) == 0:
        return float("nan")
    first = below[0]
    if values[first] >= _HALF - _SAME:
        under = np.flatnonzero(values < _HALF - _SAME)
        if len(under):
            return float((time[first] + time[under[0]]) / 2)
    return float(time[first])
