"""Distinct values with their counts, and doubles as whole numbers of the same order.

What needs ranks needs every distinct value: memory grows with how many there are, never with rows that repeat them.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.numbers import Floats, Numbers

Codes = npt.NDArray[np.int64]
Images = npt.NDArray[np.uint64]

_SIGN = np.uint64(1 << 63)
_PENDING_VALUES = 1 << 20
_RADIX_BITS = 16  # numpy sorts whole numbers of so many bits digit by digit


def image(values: Floats) -> Images:
    """Return 64-bit numbers in the order of ``values``, equal for equal ones (both zeros are one value)."""
    bits = (values + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def value(images: Images) -> Floats:
    """Return the doubles that ``image`` turned into ``images``."""
    return np.where(images & _SIGN, images & ~_SIGN, ~images).view(np.float64)


class OrderedCounts:
    """For each group, its distinct values in order and how many rows have each; a NULL is no value."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._parts: list[tuple[Codes, Floats, Codes]] = []
        self._pending = 0

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Add the values of ``batch``."""
        values, present = self._numbers.read(batch)
        codes, values = codes[present], values[present]
        self._add(*_distinct(codes, values, np.ones(len(codes), np.int64)))

    def merge(self, other: "OrderedCounts") -> None:
        """Add value by value."""
        self._add(*other.distinct())

    def distinct(self) -> tuple[Codes, Floats, Codes]:
        """Return group, value and count of every distinct pair, ascending by group, then by value."""
        if not self._parts:
            return np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)
        if len(self._parts) > 1:
            self._parts = [_distinct(*(np.concatenate(each) for each in zip(*self._parts, strict=True)))]
        return self._parts[0]

    def by_group(self, groups: int) -> Iterator[tuple[Floats, Codes]]:
        """Yield values and counts of each of ``groups``, in their order."""
        codes, values, counts = self.distinct()
        ends = np.searchsorted(codes, np.arange(groups + 1))
        for group in range(groups):
            part = slice(ends[group], ends[group + 1])
            yield values[part], counts[part]

    def _add(self, codes: Codes, values: Floats, counts: Codes) -> None:
        self._parts.append((codes, values, counts))
        self._pending += len(codes)
        if self._pending > max(_PENDING_VALUES, len(self._parts[0][0])):
            self.distinct()
            self._pending = 0


def _distinct(codes: Codes, values: Floats, counts: Codes) -> tuple[Codes, Floats, Codes]:
    if len(codes) == 0:
        return codes, values, counts
    order = _in_order(codes, values)
    codes, values, counts = codes[order], values[order] + 0.0, counts[order]
    first = np.flatnonzero(np.concatenate([[True], (codes[1:] != codes[:-1]) | (values[1:] != values[:-1])]))
    return codes[first], values[first], np.add.reduceat(counts, first)


def _in_order(codes: Codes, values: Floats) -> Codes:
    """Return the order by group, then by value."""
    if int(codes.max()) >> _RADIX_BITS:
        return np.lexsort((values, codes))
    order = np.argsort(values)
    return np.asarray(order[np.argsort(codes[order].astype(np.uint16), kind="stable")], np.int64)


def midranks(counts: Codes) -> Floats:
    """Return the rank that each of ascending values has, from 1; tied rows share the mean of theirs."""
    ends = np.cumsum(counts)
    return np.asarray(ends - counts + (counts + 1) / 2, np.float64)
