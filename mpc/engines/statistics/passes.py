"""Plans of passes: what a method asks of the rows, without knowing who holds them or how they are read.

A method starts a ``Plan``: ``first`` gives a ``Pass``, ``next`` takes what it came to and gives another, or the
result. A pass reads every row once, in one of three ways:

    Fold        one accumulator over all rows
    KeyedFold   an accumulator with one slot for each group of rows with equal keys
    SortedFold  one accumulator that the rows pass in order, equal ones together

The first two may run over parts of the rows anywhere, in any order, and be merged in any tree; accumulators of one pass
run on several threads, so what they share they only read. On a cluster they are a map with a reduce, a group-by, and a
range partition with a sort.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.contributors import Split, Tallies
from mpc.results import RawResult

Codes = npt.NDArray[np.int64]
"""For each row of a batch, the number of its group."""

PARTY = "$party"
"""The column that every pass may name: whose row it is. No column of a contract has such a name."""


class Accumulator(Protocol):
    """What a fold gathers."""

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of ``batch``."""

    def merge(self, other: Self) -> None:
        """Add everything that ``other`` gathered over other rows."""


class KeyedAccumulator(Protocol):
    """What a keyed fold gathers: a slot a group. Groups are numbered by the executor and only ever added."""

    def update(self, batch: pa.RecordBatch, codes: Codes, groups: int) -> None:
        """Add each row of ``batch`` to the slot that its code names, out of ``groups`` so far."""

    def merge(self, other: Self) -> None:
        """Add slot by slot; ``other`` has the same numbering and may have fewer slots or more."""


class CarriedAccumulator(Protocol):
    """What a sorted fold carries along."""

    def update(self, batch: pa.RecordBatch) -> None:
        """Add ``batch``: in order, after all rows before, sharing no tie with another batch."""


@dataclass(frozen=True)
class Fold:
    """One accumulator over all rows."""

    start: Callable[[], Accumulator]


@dataclass(frozen=True)
class KeyedFold:
    """One slot for each group of rows that agree in ``keys``."""

    keys: tuple[str, ...]
    start: Callable[[], KeyedAccumulator]


@dataclass(frozen=True)
class SortedFold:
    """Rows ascending by ``order``; ties never span two batches."""

    order: tuple[str, ...]
    start: Callable[[], CarriedAccumulator]


@dataclass(frozen=True)
class Computed:
    """A column that a pass makes, row by row, of the columns ``of``; its name begins with ``$``.

    ``make`` gets a batch with those columns and returns an array of ``type``, as long as the batch. ``levels`` are all
    the values that it can have, where they are known beforehand: then groups by it are numbered in their order.
    """

    of: tuple[str, ...]
    make: Callable[[pa.RecordBatch], pa.Array]
    type: pa.DataType
    levels: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class Pass:
    """One reading of the rows.

    The fold is handed ``columns``; rows with a NULL among ``present`` take no part. ``counted`` declares whose
    subjects are counted in each group: for a column those with a value in it, for None those of every row that takes
    part; a ``split`` of the same name counts them in finer cells than the groups. ``weighed`` are columns of whose
    magnitudes in each group the largest subject's part has to be known: their sums, means and spreads are released.

    ``columns``, ``present`` and the fold's keys may also name ``computed`` columns and ``PARTY``.
    """

    fold: Fold | KeyedFold | SortedFold
    columns: tuple[str, ...]
    present: tuple[str, ...] = ()
    counted: tuple[str | None, ...] = ()
    computed: Mapping[str, Computed] = field(default_factory=lambda: MappingProxyType({}))
    split: Mapping[str | None, Split] = field(default_factory=lambda: MappingProxyType({}))
    weighed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Folded:
    """What a pass came to: the fold's accumulator, the groups by number, and who stands behind each.

    A group is the tuple of its keys' values; a pass without keys has the one group ``()``. ``complete`` says that the
    groups are all combinations of the values that the contract declares. ``rows`` is how many rows of each owner took
    part. In passes with the same keys, ``present`` and computed keys, groups have the same numbers.
    """

    accumulator: Any
    groups: tuple[tuple[Any, ...], ...]
    complete: bool
    tallies: Tallies
    rows: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


class Plan(Protocol):
    """One run of a method."""

    def first(self) -> Pass:
        """Return the first pass."""

    def next(self, folded: Folded) -> "Pass | RawResult":
        """Return what to do with what the last pass came to."""
