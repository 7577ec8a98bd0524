"""Tail probabilities and bounds, two-sided unless they say otherwise; NaN in, NaN out."""

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, fdtrc, ndtr, ndtri, stdtr, stdtrit

Floats = npt.NDArray[np.float64]


def normal_p(statistic: npt.ArrayLike) -> Floats:
    """Return the probability of a standard normal at least as far from 0."""
    return np.asarray(2 * ndtr(-np.abs(statistic)), np.float64)


def t_p(statistic: npt.ArrayLike, freedom: npt.ArrayLike) -> Floats:
    """Return the probability of Student's t at least as far from 0."""
    return np.asarray(2 * stdtr(freedom, -np.abs(statistic)), np.float64)


def f_p(statistic: npt.ArrayLike, above: npt.ArrayLike, below: npt.ArrayLike) -> Floats:
    """Return the upper tail of F with ``above`` and ``below`` degrees of freedom."""
    return np.asarray(fdtrc(above, below, statistic), np.float64)


def chi_square_p(statistic: npt.ArrayLike, freedom: npt.ArrayLike) -> Floats:
    """Return the upper tail of chi-square."""
    return np.asarray(chdtrc(freedom, statistic), np.float64)


def normal_bound(confidence: float) -> float:
    """Return how many standard errors an interval reaches to either side."""
    return float(ndtri((1 + confidence) / 2))


def t_bound(confidence: float, freedom: npt.ArrayLike) -> Floats:
    """Return how many standard errors an interval of Student's t reaches to either side."""
    return np.asarray(stdtrit(freedom, (1 + confidence) / 2), np.float64)
