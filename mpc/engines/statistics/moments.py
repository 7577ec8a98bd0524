"""Count, mean and sum of squared deviations of groups of numbers, in one pass and stable.

Welford's update in Chan, Golub and LeVeque's pairwise form (1983), with the mean kept as a sum of two doubles,
``origin + shift``: of numbers such as 1e9 + noise, one double holds the mean to no better than 1e-7, and squared
deviations taken from such a mean are as wrong. Differences of origins are exact where it matters, so merges keep
relative 1e-12 whatever the order and the splits.

Deviations are taken from a number of few bits near the mean: those of whole numbers of ordinary size are then exact,
and so are their squares and the sums of these.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_ORIGIN_BITS = 8
"""An origin is this many bits finer than the range of the values, or than their spread in its slot."""


class Moments:
    """A slot for each group; every array has one entry a slot."""

    def __init__(self, slots: int = 0) -> None:
        self.count: Codes = np.zeros(slots, np.int64)
        self.origin: Floats = np.zeros(slots)
        self.shift: Floats = np.zeros(slots)
        self.squares: Floats = np.zeros(slots)

    @property
    def mean(self) -> Floats:
        """The mean of each slot, NaN where it is empty."""
        return np.where(self.count > 0, self.origin + self.shift, np.nan)

    @property
    def variance(self) -> Floats:
        """The sample variance (divisor n - 1) of each slot, NaN below two values."""
        return np.where(self.count > 1, self.squares / np.maximum(self.count - 1, 1), np.nan)

    def add(self, values: Floats, codes: Codes, slots: int) -> None:
        """Add each value to the slot that its code names; there are ``slots`` of them now."""
        self._grow(slots)
        with np.errstate(over="ignore", invalid="ignore"):
            # Slots that no value names are left out when they outnumber the values.
            if slots > len(codes):
                touched, codes = np.unique(codes, return_inverse=True)
            else:
                touched = np.arange(slots)
            self._join(touched, _moments(values, codes, len(touched)))

    def merge(self, other: "Moments") -> None:
        """Add slot by slot."""
        self._grow(len(other.count))
        with np.errstate(over="ignore", invalid="ignore"):
            self._join(np.arange(len(other.count)), other)

    def _grow(self, slots: int) -> None:
        more = (0, max(slots - len(self.count), 0))
        self.count = np.pad(self.count, more)
        self.origin = np.pad(self.origin, more)
        self.shift = np.pad(self.shift, more)
        self.squares = np.pad(self.squares, more)

    def _join(self, slots: Codes, other: "Moments") -> None:
        mine = self.count[slots]
        both = np.maximum(mine + other.count, 1)
        fresh = mine == 0
        origin = np.where(fresh, other.origin, self.origin[slots])
        shift = np.where(fresh, other.shift, self.shift[slots])
        apart = np.where(other.count > 0, (other.origin - origin) + (other.shift - shift), 0.0)
        self.origin[slots] = origin
        self.shift[slots] = shift + apart * (other.count / both)
        self.squares[slots] += other.squares + apart * apart * (mine * (other.count / both))
        self.count[slots] += other.count


def _moments(values: Floats, codes: Codes, slots: int) -> Moments:
    count = np.bincount(codes, minlength=slots).astype(np.int64)
    means = np.bincount(codes, values, minlength=slots) / np.maximum(count, 1)
    width = values.max(initial=-np.inf) - values.min(initial=np.inf)
    found = _about(_near(means, np.full(slots, width)), count, values, codes)
    # Of groups that lie far apart beside their own spread, the range of all is none to measure by.
    far = found.shift**2 * count > found.squares
    if far.any():
        spread = np.sqrt(found.squares / np.maximum(count, 1))
        found = _about(np.where(far, _near(found.origin + found.shift, spread), found.origin), count, values, codes)
    return found


def _about(origin: Floats, count: Codes, values: Floats, codes: Codes) -> Moments:
    """Return the moments by deviations from the ``origin`` of each slot."""
    found = Moments(len(count))
    found.count, found.origin = count, origin
    deviations = values - origin[codes]
    surplus = np.bincount(codes, deviations, minlength=len(count))
    found.shift = surplus / np.maximum(count, 1)
    squares = np.bincount(codes, deviations * deviations, minlength=len(count))
    found.squares = np.maximum(squares - surplus * found.shift, 0.0)
    return found


def _near(means: Floats, width: Floats) -> Floats:
    """Return ``means`` rounded to few bits beside a ``width`` each; as they are if there is no such width."""
    step = np.ldexp(1.0, np.frexp(np.where(np.isfinite(width), width, 0.0))[1] - _ORIGIN_BITS)
    near = np.rint(means / step) * step
    return np.where(np.isfinite(near) & np.isfinite(width) & (width > 0), near, means)
