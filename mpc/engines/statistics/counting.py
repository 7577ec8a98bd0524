"""Rows a group: the simplest keyed fold."""

import numpy as np
import pyarrow as pa

from mpc.engines.statistics.passes import Codes


class GroupRows:
    """Counts the rows of each group."""

    def __init__(self) -> None:
        self.counts: Codes = np.zeros(0, np.int64)

    def update(self, _batch: pa.RecordBatch, codes: Codes, groups: int) -> None:
        """Count the rows of the batch."""
        self.counts = added(self.counts, np.bincount(codes, minlength=groups))

    def merge(self, other: "GroupRows") -> None:
        """Add group by group."""
        self.counts = added(self.counts, other.counts)


class Nothing:
    """What a pass gathers that only counts subjects."""

    def update(self, _batch: pa.RecordBatch, _codes: Codes, _groups: int) -> None:
        """Add nothing."""

    def merge(self, _other: "Nothing") -> None:
        """Add nothing."""


def added(left: Codes, right: Codes) -> Codes:
    """Return the sum group by group; either may have fewer groups."""
    size = max(len(left), len(right))
    return np.pad(left, (0, size - len(left))) + np.pad(right, (0, size - len(right)))
