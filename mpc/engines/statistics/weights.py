"""How much the largest subject makes up of each group's magnitude: in all, and without each single owner."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.engines.statistics.numbers import Floats, Numbers
from mpc.results import Largest
from mpc.table.batches import normalised
from mpc.table.schema import Dataset

Codes = npt.NDArray[np.int64]
Parts = Mapping[str, pa.Table]
"""Of each owner: ``cell``, ``subject`` and ``weight``, each pair of the first two once."""

_PENDING_ROWS = 1 << 20


class Weights:
    """Adds up the absolute values of one column by subject, in numbered groups.

    Where a subject has one row and one owner, rows are subjects and the largest of each group is enough; else the
    weight of each pair of group and subject is kept.
    """

    def __init__(self, dataset: Dataset, column: str) -> None:
        self._numbers = Numbers.of(dataset, column)
        self._subject = dataset.subject
        self._owners = dataset.owners
        self._compared = dataset.subject.identity == "shared" and len(dataset.owners) > 1
        self._by_rows = dataset.subject.rows == "one" and not self._compared
        self._kept: dict[str, _Rows | _Subjects] = {
            owner: _Rows() if self._by_rows else _Subjects() for owner in dataset.owners
        }

    def update(self, owner: str, batch: pa.RecordBatch, codes: Codes) -> None:
        """Add the rows of ``batch``, which are ``owner``'s, to the groups that ``codes`` name."""
        values, _ = self._numbers.read(batch)
        subjects = batch.column(self._subject.column)
        if not self._by_rows:
            subjects = normalised(subjects, self._subject.normalisation)
        self._kept[owner].add(codes, np.abs(values), subjects)

    def largest(self, cells: Codes, size: int) -> Largest:
        """Return what the largest subject has of each of ``size`` cells; ``cells`` says to which each group belongs."""
        whole = self._weighed(self._owners, cells, size)
        if len(self._owners) == 1:
            return whole
        left = {owner: tuple(other for other in self._owners if other != owner) for owner in self._owners}
        without = {owner: self._weighed(others, cells, size) for owner, others in left.items()}
        return Largest("subject", whole.total, whole.first, whole.second, without)

    def _weighed(self, owners: Sequence[str], cells: Codes, size: int) -> Largest:
        if self._compared:
            parts = [self._kept[owner].by_subject(cells) for owner in owners]
            total, first = _weighed(_summed(pa.concat_tables(parts, promote_options="default")), size)
        else:
            each = [self._kept[owner].weighed(cells, size) for owner in owners]
            total = np.sum([one for one, _ in each], axis=0)
            # Of unknown owners' subjects the largest may be one person.
            together = np.sum if self._subject.identity == "unknown" else np.max
            first = together([one for _, one in each], axis=0)
        finite = np.isfinite(total) & np.isfinite(first)
        first = np.where(finite, self._numbers.shown(first), 1.0)
        return Largest("subject", np.where(finite, self._numbers.shown(total), 1.0), first, first)


class _Rows:
    """The sum and the largest of each group's rows."""

    def __init__(self) -> None:
        self._total: Floats = np.zeros(0)
        self._first: Floats = np.zeros(0)

    def add(self, codes: Codes, weights: Floats, _subjects: pa.Array) -> None:
        total, first = _by_cell(codes, weights, len(self._total))
        total[: len(self._total)] += self._total
        self._total, self._first = total, np.maximum(first, np.pad(self._first, (0, len(first) - len(self._first))))

    def weighed(self, cells: Codes, size: int) -> tuple[Floats, Floats]:
        """Return total and largest of each cell."""
        known = cells[: len(self._total)]
        inside = known >= 0
        total, _ = _by_cell(known[inside], self._total[inside], size)
        _, first = _by_cell(known[inside], self._first[inside], size)
        return total, first

    def by_subject(self, _cells: Codes) -> pa.Table:
        raise AssertionError  # identifiers that are compared are kept by subject


class _Subjects:
    """The weight of each pair of group and subject; pairs are added up whenever enough new rows have come."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._pending = 0

    def add(self, codes: Codes, weights: Floats, subjects: pa.Array) -> None:
        self._parts.append(_summed(pa.table({"cell": codes, "subject": subjects, "weight": weights})))
        self._pending += self._parts[-1].num_rows
        if self._pending > max(_PENDING_ROWS, self._parts[0].num_rows):
            self._parts, self._pending = [_summed(pa.concat_tables(self._parts))], 0

    def weighed(self, cells: Codes, size: int) -> tuple[Floats, Floats]:
        return _weighed(self.by_subject(cells), size)

    def by_subject(self, cells: Codes) -> pa.Table:
        """Return cell, subject and weight."""
        if not self._parts:
            return pa.table({"cell": np.zeros(0, np.int64), "subject": pa.nulls(0), "weight": np.zeros(0)})
        pairs = pa.concat_tables(self._parts)
        pairs = pairs.set_column(0, "cell", pa.array(cells[np.asarray(pairs.column("cell"))]))
        return _summed(pairs.filter(pc.greater_equal(pairs.column("cell"), 0)))


def _summed(pairs: pa.Table) -> pa.Table:
    summed = pairs.group_by(["cell", "subject"], use_threads=False).aggregate([("weight", "sum")])
    return summed.rename_columns({"weight_sum": "weight"})


def _weighed(pairs: pa.Table, size: int) -> tuple[Floats, Floats]:
    cell, weight = np.asarray(pairs.column("cell"), np.int64), np.asarray(pairs.column("weight"), np.float64)
    return _by_cell(cell, weight, size)


def _by_cell(cell: Codes, weight: Floats, size: int) -> tuple[Floats, Floats]:
    total = np.bincount(cell, weight, minlength=size).astype(np.float64)
    first = np.zeros(len(total))
    np.maximum.at(first, cell, weight)
    return total, first
