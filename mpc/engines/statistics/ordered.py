"""Distinct values with their counts, and doubles as whole numbers of the same order.

What needs ranks needs every distinct value: memory grows with how many there are, never with rows that repeat them.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.numbers import Floats, Mask, Numbers

Codes = npt.NDArray[np.int64]
Images = npt.NDArray[np.uint64]

_SIGN_PLACE = 63
_SIGN = np.uint64(1 << _SIGN_PLACE)
_PENDING_VALUES = 1 << 20
_RADIX_BITS = 16  # numpy sorts whole numbers of so many bits digit by digit


def image(values: Floats) -> Images:
    """Return 64-bit numbers in the order of ``values``, equal for equal ones (both zeros are one value)."""
    bits = (values + 0.0).view(np.int64)
    # All bits of a negative number are turned around, of others only the sign's.
    turned: Images = (bits >> _SIGN_PLACE).view(np.uint64)
    turned |= _SIGN
    turned ^= bits.view(np.uint64)
    return turned


def value(images: Images) -> Floats:
    """Return the doubles that ``image`` turned into ``images``."""
    return np.where(images & _SIGN, images & ~_SIGN, ~images).view(np.float64)


class OrderedCounts:
    """For each group, its distinct values in order and how many rows have each; a NULL is no value."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._groups: dict[int, _Values] = {}
        self._pending = 0

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Add the values of ``batch``."""
        values, codes = self._numbers.known(batch, codes)
        for group, own in _apart(values, codes):
            self._group(group).add(own)
        self._pending += len(values)
        if self._pending > max(_PENDING_VALUES, sum(each.kept for each in self._groups.values())):
            for each in self._groups.values():
                each.settle()
            self._pending = 0

    def merge(self, other: "OrderedCounts") -> None:
        """Add value by value."""
        for group, values in other._groups.items():  # noqa: SLF001 - of the same class
            self._group(group).merge(values)

    def by_group(self, groups: int) -> Iterator[tuple[Floats, Codes]]:
        """Yield values and counts of each of ``groups``, in their order."""
        for group in range(groups):
            yield self.of(group)

    def of(self, group: int) -> tuple[Floats, Codes]:
        """Return the distinct values of one group, ascending, and their counts."""
        return self._group(group).distinct()

    def _group(self, group: int) -> "_Values":
        if group not in self._groups:
            self._groups[group] = _Values()
        return self._groups[group]


class _Values:
    """Sorted values of one group. Each is kept once with its count where that is less than to repeat it, else not."""

    def __init__(self) -> None:
        self._values: Floats = np.zeros(0)
        self._counts: Codes | None = None
        self._pending: list[Floats] = []

    @property
    def kept(self) -> int:
        """How many values are kept in order."""
        return len(self._values)

    def add(self, values: Floats) -> None:
        """Add values in any order; they wait for ``settle``. Both zeros are one value."""
        self._pending.append(values + 0.0)

    def merge(self, other: "_Values") -> None:
        """Add what another part of the rows has."""
        other.settle()
        if other._counts is None:  # noqa: SLF001 - of the same class
            self._pending.append(other._values)  # noqa: SLF001 - likewise
        else:
            self._join(*other.distinct())

    def settle(self) -> None:
        """Put what was added into its order."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        if self._counts is not None:
            self._join(*_runs(np.sort(np.concatenate(pending))))
            return
        self._values = np.concatenate([self._values, *pending])
        self._values.sort()
        if 2 * np.count_nonzero(_begins(self._values)) <= len(self._values):
            self._values, self._counts = _runs(self._values)

    def distinct(self) -> tuple[Floats, Codes]:
        """Return every value once, ascending, and how often it is there."""
        self.settle()
        return _runs(self._values) if self._counts is None else (self._values, self._counts)

    def _join(self, values: Floats, counts: Codes) -> None:
        own, many = self.distinct()
        values, counts = np.concatenate([own, values]), np.concatenate([many, counts])
        order = np.argsort(values, kind="stable")  # two ascending runs: they are merged, not sorted
        first = np.flatnonzero(_begins(values[order]))
        self._values, self._counts = values[order[first]], np.add.reduceat(counts[order], first)


def _apart(values: Floats, codes: Codes) -> Iterator[tuple[int, Floats]]:
    """Yield each group that has rows, and their values."""
    counts = np.bincount(codes)
    touched = np.flatnonzero(counts)
    if len(touched) > 1:
        short = codes.astype(np.uint16) if len(counts) <= 1 << _RADIX_BITS else codes
        values = values[np.argsort(short, kind="stable")]
    ends = np.cumsum(counts[touched]).tolist()
    for group, start, end in zip(touched.tolist(), [0, *ends], ends, strict=False):
        yield group, values[start:end]


def _begins(values: Floats) -> Mask:
    """Return where an ascending value differs from the one before it."""
    begins = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return begins


def _runs(values: Floats) -> tuple[Floats, Codes]:
    """Return ascending values once each, and how often they are repeated."""
    first = np.flatnonzero(_begins(values))
    return values[first], np.diff(first, append=len(values))


def midranks(counts: Codes) -> Floats:
    """Return the rank that each of ascending values has, from 1; tied rows share the mean of theirs."""
    ends = np.cumsum(counts)
    return np.asarray(ends - counts + (counts + 1) / 2, np.float64)
