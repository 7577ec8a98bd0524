"""How much estimates of several parties differ: Cochran's Q, I², and the random-effects mean.

The variance between parties, tau², is DerSimonian and Laird's (1986); I² is Higgins and Thompson's (2002).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np


@dataclass(frozen=True)
class Heterogeneity:
    """One coefficient over parties. ``i_squared`` is a share of 1; NaN where fewer than two parties have an estimate.

    ``common`` is the mean weighted by precision, ``random`` the mean of a distribution that parties are drawn from.
    """

    parties: int
    common: float = nan
    common_error: float = nan
    random: float = nan
    random_error: float = nan
    q: float = nan
    freedom: float = nan
    i_squared: float = nan
    tau_squared: float = nan


def heterogeneity(estimates: Sequence[float], errors: Sequence[float]) -> Heterogeneity:
    """Return how estimates with standard errors differ; those without a positive finite error take no part."""
    used = [(b, s) for b, s in zip(estimates, errors, strict=True) if isfinite(b) and isfinite(s) and s > 0]
    if len(used) <= 1:
        return Heterogeneity(len(used))
    b, s = (np.array(each) for each in zip(*used, strict=True))
    weight = 1 / s**2
    common = float((weight * b).sum() / weight.sum())
    q = float((weight * (b - common) ** 2).sum())
    freedom = len(used) - 1
    tau_squared = max(0.0, (q - freedom) / float(weight.sum() - (weight**2).sum() / weight.sum()))
    mixed = 1 / (s**2 + tau_squared)
    return Heterogeneity(
        len(used), common, 1 / sqrt(weight.sum()), float((mixed * b).sum() / mixed.sum()), 1 / sqrt(mixed.sum()),
        q, freedom, max(0.0, (q - freedom) / q) if q else 0.0, tau_squared,
    )  # fmt: skip
