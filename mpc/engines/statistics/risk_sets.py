"""Risk sets by number: the event times of every stratum in one row of slots, and what rows at risk there sum to.

No row has to be sorted. A row is at risk at a run of slots of its stratum, so sums over all rows at risk are running
sums, from the last slot backwards, of what rows add where their run ends, less what they add where it begins. What
slots in turn give to a row (its part of the cumulative hazard) are differences of running sums forwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpc.engines.statistics.survival_times import Times

Floats = npt.NDArray[np.float64]
Long = npt.NDArray[np.longdouble]
"""Running sums are kept in extended precision: differences of them lose digits."""
Slots = npt.NDArray[np.int64]

_TABLE = 1 << 20
"""Numbers in a table that answers instead of a search."""


class RiskSets:
    """The slots: (stratum, event time) in ascending order. Every stratum's slots stand together."""

    def __init__(self, strata: Mapping[int, Times]) -> None:
        happened = {stratum: times.events > 0 for stratum, times in sorted(strata.items())}
        chosen = [(strata[stratum], there) for stratum, there in happened.items()]
        self.time: Floats = np.concatenate([np.zeros(0), *(times.time[there] for times, there in chosen)])
        self.events: Slots = np.concatenate([np.zeros(0, np.int64), *(times.events[there] for times, there in chosen)])
        sizes = [int(there.sum()) for _, there in chosen]
        self._stratum = np.repeat(np.array(list(happened), np.int64), sizes)
        self._distinct = np.unique(self.time)
        self._width = len(self._distinct) + 1
        self._keys = self._stratum * self._width + np.searchsorted(self._distinct, self.time) + 1
        self._end = np.repeat(np.cumsum(np.array(sizes, np.int64)), sizes)
        self._rank = _Rank(self._distinct)
        # A table of all answers saves each row a search of its own, where it stays small.
        self._after = int(self._stratum[-1]) + 1 if len(self) else 0
        answers = (self._after + 1) * self._width
        self._answers = np.searchsorted(self._keys, np.arange(answers), side="right") if answers <= _TABLE else None

    def __len__(self) -> int:
        return len(self.time)

    def reached(self, strata: Slots, times: Floats | None) -> Slots:
        """Return, for rows at ``times``, the number of slots before and at them, those of earlier strata among them.

        ``times`` None is before all time. Where it stands minus one is the row's last slot, if it is of its stratum.
        """
        rank = 0 if times is None else self._rank.of(times)
        key = np.minimum(strata, self._after) * self._width + rank
        found = np.searchsorted(self._keys, key, side="right") if self._answers is None else self._answers[key]
        reached: Slots = found.astype(np.int64, copy=False)
        return reached

    def backwards(self, ends: Floats) -> Floats:
        """Return, for each slot, the sum of ``ends`` over it and all later slots of its stratum; shape (slots, …)."""
        sums = np.zeros((len(self) + 1, *ends.shape[1:]), np.longdouble)
        sums[:-1] = np.cumsum(ends[::-1], axis=0, dtype=np.longdouble)[::-1]
        return (sums[:-1] - sums[self._end]).astype(np.float64)


class _Rank:
    """How many of some ascending times are not after a row's; looked up where these are whole, as days are."""

    def __init__(self, distinct: Floats) -> None:
        self._distinct = distinct
        whole = len(distinct) > 0 and bool((distinct == np.floor(distinct)).all())
        self._last = distinct[-1] if whole and distinct[0] >= 0 and distinct[-1] < _TABLE else None
        if self._last is not None:
            self._table = np.searchsorted(distinct, np.arange(-1, self._last + 1), side="right")

    def of(self, times: Floats) -> Slots:
        """Return the numbers of times; those between two whole ones have the rank of the one before."""
        if self._last is None:
            return np.searchsorted(self._distinct, times, side="right")
        # Infinities fit the table too, and what is no number comes last, as in a search.
        rank: Slots = self._table[np.floor(np.fmax(np.fmin(times, self._last), -1)).astype(np.int64) + 1]
        return rank


def forwards(each: Floats) -> Long:
    """Return running sums before each slot and after the last; a row's part is a difference of two of them."""
    sums = np.zeros((len(each) + 1, *each.shape[1:]), np.longdouble)
    np.cumsum(each, axis=0, dtype=np.longdouble, out=sums[1:])
    return sums


def between(sums: Long, start: Slots, stop: Slots) -> Floats:
    """Return what slots from ``start`` up to, not including, ``stop`` sum to."""
    return (sums[stop] - sums[start]).astype(np.float64)


@dataclass(frozen=True)
class Ties:
    """For each slot, sums over its d events, the l-th of which leaves a risk set of ``s - f t``, f = l / d, where s is
    the sum of hazard ratios of all at risk and t of those with the event (Efron 1977; Breslow has f = 0).

    ``a1`` sums 1/(s - ft), ``b1`` f/(s - ft); ``a2``, ``b2``, ``c2`` sum 1, f, f² over (s - ft)²; ``logs`` log(s - ft).
    """  # noqa: D205

    a1: Floats
    b1: Floats
    a2: Floats
    b2: Floats
    c2: Floats
    logs: Floats

    @property
    def columns(self) -> tuple[Floats, ...]:
        """The sums that rows without the event, and those with it, weigh with."""
        return (self.a1, self.b1)


def ties(at_risk: Floats, tied: Floats, events: Slots, *, efron: bool) -> Ties:
    """Return the sums of every slot from the hazard ratios at risk and with the event, and the number of events."""
    slot = np.repeat(np.arange(len(events)), events)
    first = np.cumsum(events) - events
    fraction = (np.arange(len(slot)) - first[slot]) / events[slot] if efron else np.zeros(len(slot))
    left = at_risk[slot] - fraction * tied[slot]
    inverse = 1.0 / left

    def summed(values: Floats) -> Floats:
        return np.bincount(slot, values, minlength=len(events)).astype(np.float64)

    return Ties(
        summed(inverse), summed(fraction * inverse), summed(inverse**2), summed(fraction * inverse**2),
        summed((fraction * inverse) ** 2), summed(np.log(left)),
    )  # fmt: skip
