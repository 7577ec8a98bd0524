"""Who stands behind each group of rows: distinct subjects, in all and without each single owner, and their weights."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.engines.statistics.weights import Weights
from mpc.results import Contributors, Counts, Largest
from mpc.table.batches import normalised
from mpc.table.schema import Dataset

Cells = npt.NDArray[np.int64]
"""For each group, the cell of the output that it belongs to; -1 for none."""

_PENDING_ROWS = 1 << 20


@dataclass(frozen=True)
class Split:
    """Cuts each group into ``parts`` for counting: row by row, ``of(batch, codes)`` gives a number below ``parts``.

    Part ``p`` of group ``g`` is then number ``g * parts + p``.
    """

    parts: int
    of: Callable[[pa.RecordBatch, npt.NDArray[np.int64]], npt.NDArray[np.int64]]
    columns: tuple[str, ...]


def together(groups: Sequence[int], size: int) -> Cells:
    """Return the one cell of all the ``groups``, out of ``size``."""
    cells = np.full(size, -1)
    cells[list(groups)] = 0
    return cells


class Tallies:
    """Counts the subjects of one dataset in numbered groups, for each ``counted`` column, and weighs the ``weighed``.

    How owners' counts come together is the dataset's ``identity``: ``shared`` identifiers are compared, ``disjoint``
    counts add up, of ``unknown`` ones the largest single owner's holds. Where a subject has one row and identifiers
    need no comparison, rows are counted; else the distinct pairs of group and subject are kept. A column with a
    ``split`` is counted in the split's parts.
    """

    def __init__(
        self,
        dataset: Dataset,
        counted: tuple[str | None, ...],
        split: Mapping[str | None, Split] | None = None,
        weighed: tuple[str, ...] = (),
    ) -> None:
        self._split = split or {}
        self._subject = dataset.subject
        self._owners = dataset.owners
        self._counted = counted
        self._compared = dataset.subject.identity == "shared" and len(dataset.owners) > 1
        self._by_rows = dataset.subject.rows == "one" and not self._compared
        kind = _Rows if self._by_rows else _Pairs
        self._kept: dict[tuple[str | None, str], _Rows | _Pairs] = {
            (column, owner): kind() for column in counted for owner in dataset.owners
        }
        self._weights = {column: Weights(dataset, column) for column in weighed}

    @property
    def is_public(self) -> bool:
        """Whether the dataset has nobody to protect."""
        return self._subject.column is None

    def update(self, owner: str, batch: pa.RecordBatch, codes: npt.NDArray[np.int64]) -> None:
        """Count the rows of ``batch``, which are ``owner``'s, in the groups that ``codes`` name."""
        if self.is_public:
            return
        for weights in self._weights.values():
            weights.update(owner, batch, codes)
        subjects = batch.column(self._subject.column)
        if not self._by_rows:
            subjects = normalised(subjects, self._subject.normalisation)
        for column in self._counted:
            cut = self._split.get(column)
            numbers = codes if cut is None else codes * cut.parts + cut.of(batch, codes)
            # A row without a subject counts for nobody; uploads refuse it, and here it does no harm either.
            needed = [subjects] if column is None else [subjects, batch.column(column)]
            absent = [each for each in needed if each.null_count]
            if not absent:
                self._kept[column, owner].add(numbers, subjects)
                continue
            valid = reduce(pc.and_, (each.is_valid() for each in absent))
            self._kept[column, owner].add(numbers[np.asarray(valid)], subjects.filter(valid))

    def contributors(self, column: str | None, cells: Cells, size: int) -> tuple[Contributors, ...]:
        """Return the distinct subjects in each of ``size`` cells; none at all when the dataset is public."""
        if self.is_public:
            return ()
        if self._compared:
            return (self._compare(column, cells, size),)
        each = {owner: self._kept[column, owner].counts(cells, size) for owner in self._owners}
        together = _largest if self._subject.identity == "unknown" else _added
        without = {
            left: together((counts for owner, counts in each.items() if owner != left), size)
            for left in self._owners
            if len(self._owners) > 1
        }
        return (Contributors(self._subject.domain, together(each.values(), size), without),)

    def largest(self, column: str, cells: Cells, size: int) -> tuple[Largest, ...]:
        """Return what the largest subject has of the column in each of ``size`` cells; nothing when it is public."""
        return () if self.is_public else (self._weights[column].largest(cells, size),)

    def _compare(self, column: str | None, cells: Cells, size: int) -> Contributors:
        """Return counts in which a subject that several owners know is one; it stays when one of them goes."""
        parts = [self._kept[column, owner].distinct(cells) for owner in self._owners]
        tagged = [part.append_column("owner", pa.array(np.full(part.num_rows, i))) for i, part in enumerate(parts)]
        pairs = pa.concat_tables(tagged, promote_options="default").group_by(["cell", "subject"], use_threads=False)
        met = pairs.aggregate([("owner", "min"), ("owner", "max")])
        cell, first, last = (np.asarray(met.column(name)) for name in ("cell", "owner_min", "owner_max"))
        total = np.bincount(cell, minlength=size)
        without = {
            owner: total - np.bincount(cell[(first == i) & (last == i)], minlength=size)
            for i, owner in enumerate(self._owners)
        }
        return Contributors(self._subject.domain, total, without)


class _Rows:
    """Rows a group, where a subject has one row."""

    def __init__(self) -> None:
        self._counts: Counts = np.zeros(0, np.int64)

    def add(self, codes: npt.NDArray[np.int64], _subjects: pa.Array) -> None:
        fresh = np.bincount(codes, minlength=len(self._counts)).astype(np.int64)
        fresh[: len(self._counts)] += self._counts
        self._counts = fresh

    def counts(self, cells: Cells, size: int) -> Counts:
        counted = cells[: len(self._counts)]
        return np.bincount(counted[counted >= 0], self._counts[counted >= 0], minlength=size).astype(np.int64)

    def distinct(self, _cells: Cells) -> pa.Table:
        raise AssertionError  # identifiers that are compared are kept as pairs


class _Pairs:
    """Distinct pairs of group and subject; repeated ones are dropped whenever enough new rows have come."""

    def __init__(self) -> None:
        self._pairs: list[pa.Table] = []
        self._pending = 0

    def add(self, codes: npt.NDArray[np.int64], subjects: pa.Array) -> None:
        self._pairs.append(_distinct(pa.table({"cell": codes, "subject": subjects})))
        self._pending += self._pairs[-1].num_rows
        if self._pending > max(_PENDING_ROWS, self._pairs[0].num_rows):
            self._pairs, self._pending = [_distinct(pa.concat_tables(self._pairs))], 0

    def counts(self, cells: Cells, size: int) -> Counts:
        return np.bincount(np.asarray(self.distinct(cells).column("cell")), minlength=size)

    def distinct(self, cells: Cells) -> pa.Table:
        """Return the distinct pairs of cell and subject."""
        if not self._pairs:
            return pa.table({"cell": np.zeros(0, np.int64), "subject": pa.nulls(0)})
        pairs = pa.concat_tables(self._pairs)
        pairs = pairs.set_column(0, "cell", pa.array(cells[np.asarray(pairs.column("cell"))]))
        return _distinct(pairs.filter(pc.greater_equal(pairs.column("cell"), 0)))


def _distinct(pairs: pa.Table) -> pa.Table:
    return pairs.group_by(["cell", "subject"], use_threads=False).aggregate([])


def _added(each: Iterable[Counts], size: int) -> Counts:
    counts: Counts = np.sum([np.zeros(size, np.int64), *each], axis=0)
    return counts


def _largest(each: Iterable[Counts], size: int) -> Counts:
    counts: Counts = np.max([np.zeros(size, np.int64), *each], axis=0)
    return counts
