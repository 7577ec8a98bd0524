"""Means and sums of products of deviations of several columns, for each group, in one pass and stable.

As in ``moments``: every batch is centred on its own means, means are kept as a sum of two doubles, and two parts are
joined by the difference of their means.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class CoMoments:
    """A slot for each group: ``count`` of shape (slots,), means (slots, columns), ``products`` (slots, c, c)."""

    def __init__(self, columns: int) -> None:
        self.count: Codes = np.zeros(0, np.int64)
        self.origin: Floats = np.zeros((0, columns))
        self.shift: Floats = np.zeros((0, columns))
        self.products: Floats = np.zeros((0, columns, columns))

    def add(self, values: Floats, codes: Codes, slots: int) -> None:
        """Add each row of ``values``, of shape (columns, rows), to the slot that its code names."""
        self._grow(slots)
        counts = np.bincount(codes)
        touched = np.flatnonzero(counts)
        if len(touched) > 1:
            values = values[:, np.argsort(codes, kind="stable")]
        ends = np.cumsum(counts[touched]).tolist()
        for slot, start, end in zip(touched.tolist(), [0, *ends], ends, strict=False):
            self._join(slot, *_of(values[:, start:end]))

    def merge(self, other: "CoMoments") -> None:
        """Add slot by slot."""
        self._grow(len(other.count))
        for slot in np.flatnonzero(other.count).tolist():
            self._join(slot, int(other.count[slot]), other.origin[slot], other.shift[slot], other.products[slot])

    def _grow(self, slots: int) -> None:
        more = max(slots - len(self.count), 0)
        self.count = np.pad(self.count, (0, more))
        self.origin = np.pad(self.origin, ((0, more), (0, 0)))
        self.shift = np.pad(self.shift, ((0, more), (0, 0)))
        self.products = np.pad(self.products, ((0, more), (0, 0), (0, 0)))

    def _join(self, slot: int, count: int, origin: Floats, shift: Floats, products: Floats) -> None:
        mine = int(self.count[slot])
        if mine == 0:
            self.origin[slot], self.shift[slot] = origin, shift
        apart = (origin - self.origin[slot]) + (shift - self.shift[slot])
        part = count / (mine + count)
        self.shift[slot] += apart * part
        self.products[slot] += products + np.outer(apart, apart) * (mine * part)
        self.count[slot] += count


def _of(values: Floats) -> tuple[int, Floats, Floats, Floats]:
    count = values.shape[1]
    origin = values.mean(axis=1)
    deviations = values - origin[:, None]
    surplus = deviations.sum(axis=1)
    shift = surplus / count
    products = deviations @ deviations.T - np.outer(surplus, shift)
    return count, origin, shift, products
