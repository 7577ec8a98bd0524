"""How large a part one subject has in what a model tells: its leverage.

Every combination of a model's coefficients is a weighted sum of its rows' responses; at the maximum of a likelihood, of
their working responses. Of the squares of those weights, a row has at most the part h = w x' (X'WX)^-1 x, whatever the
combination (Cauchy and Schwarz), and the rows of one subject at most the sum of theirs. Who is told apart by a number
of their own, by a weight or exposure beside which all others vanish, or by a product of terms, has h near 1: the
coefficients then tell that subject's response.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.passes import Codes
from mpc.table.batches import normalised
from mpc.table.schema import Dataset

Floats = npt.NDArray[np.float64]
Owners = tuple[str, ...]

_PENDING_ROWS = 1 << 18
_NOTHING = 1e-13
"""A direction in which columns of unit length have no more than this is none."""
_LEAST = 1e-6
"""An eigenvalue below is not known well enough to divide by."""
_SMALL = 0.25
"""A leverage that is surely no larger needs no second look: far less than what disclosure control lets pass."""


@dataclass(frozen=True)
class Weighed:
    """One model over the rows of ``owners``: ``of`` gives the leverage of each row of what the fold reads."""

    owners: Owners
    of: Callable[[Any], Floats]


class Leverages:
    """The leverage of each subject in each model: a keyed fold, whose batches are of one owner each.

    Memory grows with subjects where one may have several rows.
    """

    def __init__(
        self,
        models: Sequence[Weighed],
        dataset: Dataset,
        read: Callable[[pa.RecordBatch, Codes], Iterator[Any]],
        owner: Callable[[pa.RecordBatch, Codes], str],
    ) -> None:
        self._models = tuple(models)
        self._dataset = dataset
        self._read = read
        self._owner = owner
        kind = _Rows if one_row_a_subject(dataset) else _Sums
        self._of: dict[str, _Rows | _Sums] = {each: kind(len(models)) for each in dataset.owners}

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Add the rows of ``batch``, which ``read`` gives some at a time."""
        if not batch.num_rows:
            return
        owner, subject = self._owner(batch, codes), self._dataset.subject
        subjects = normalised(batch.column(subject.column), subject.normalisation)
        mine = {place: model.of for place, model in enumerate(self._models) if owner in model.owners}
        start = 0
        for rows in self._read(batch, codes):
            found = {place: of(rows) for place, of in mine.items()}
            size = max(map(len, found.values()), default=0)
            self._of[owner].add(subjects.slice(start, size), found)
            start += size

    def merge(self, other: "Leverages") -> None:
        """Add owner by owner."""
        for owner, kept in other._of.items():  # noqa: SLF001 - of the same class
            self._of[owner].merge(kept)

    def largest(self) -> list[float]:
        """Return the largest leverage of one subject in each model; infinity where it is no number."""
        if self._dataset.subject.identity == "shared":
            together = _Sums(len(self._models))
            for kept in self._of.values():
                together.merge(kept)
            found = together.largest()
        else:
            each = np.array([kept.largest() for kept in self._of.values()])
            # Of unknown identities, the most influential at each owner may be one and the same.
            found = each.sum(axis=0) if self._dataset.subject.identity == "unknown" else each.max(axis=0)
        return [float(value) for value in np.nan_to_num(found, nan=np.inf, posinf=np.inf)]


def one_row_a_subject(dataset: Dataset) -> bool:
    """Tell whether each row of one owner is a subject of its own, and no other owner's."""
    subject = dataset.subject
    return subject.rows == "one" and (subject.identity != "shared" or len(dataset.owners) == 1)


class _Rows:
    """The largest leverage of a row."""

    def __init__(self, models: int) -> None:
        self._largest = np.zeros(models)

    def add(self, _subjects: pa.Array, found: Mapping[int, Floats]) -> None:
        for place, leverages in found.items():
            self._largest[place] = np.maximum(self._largest[place], leverages.max(initial=0.0))

    def merge(self, other: "_Rows | _Sums") -> None:
        self._largest = np.maximum(self._largest, other.largest())

    def largest(self) -> Floats:
        return self._largest


class _Sums:
    """The sum of leverages of each subject."""

    def __init__(self, models: int) -> None:
        self._names = [f"{i}" for i in range(models)]
        self._kept: list[pa.Table] = []
        self._pending = 0

    def add(self, subjects: pa.Array, found: Mapping[int, Floats]) -> None:
        none = np.zeros(len(subjects))
        columns = {name: found.get(place, none) for place, name in enumerate(self._names)}
        self._kept.append(_by_subject(pa.table({"subject": subjects, **columns})))
        self._pending += self._kept[-1].num_rows
        if self._pending > max(_PENDING_ROWS, self._kept[0].num_rows):
            self._compact()

    def merge(self, other: "_Rows | _Sums") -> None:
        if not isinstance(other, _Sums):
            raise AssertionError  # noqa: TRY004 - all of one fold are of one kind
        self._kept += other._kept  # noqa: SLF001 - of the same class
        self._pending += other._pending  # noqa: SLF001 - likewise

    def largest(self) -> Floats:
        self._compact()
        if not self._kept:
            return np.zeros(len(self._names))
        return np.array([np.asarray(column).max() for column in self._kept[0].select(self._names).columns])

    def _compact(self) -> None:
        if self._kept:
            self._kept, self._pending = [_by_subject(pa.concat_tables(self._kept, promote_options="default"))], 0


def _by_subject(rows: pa.Table) -> pa.Table:
    names = rows.column_names[1:]
    summed = rows.group_by(["subject"], use_threads=False).aggregate([(name, "sum") for name in names])
    return summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names]).select(rows.column_names)


def squared(rows: Floats, root: Floats) -> Floats:
    """Return x' R R' x of each row; rows whose columns are contiguous need no copy."""
    away = root.T @ rows.T
    away *= away
    return np.asarray(away.sum(axis=0))


def bounded(total: float, about: Floats, extent: Floats) -> float:
    """Return what no row's leverage exceeds in a model with a constant; infinity where that is not known.

    ``total`` is what all rows weigh, ``about`` the weighed products of the other columns about their weighed means, and
    ``extent`` how far a value lies from those at most, times the root of its row's weight; its first is that root
    alone. Columns of unit length have products whose inverse is bounded by their least eigenvalue, and a row is no
    longer than its largest values together.
    """
    spread = np.diag(about)
    if not (total > 0 and np.isfinite(about).all() and (spread > 0).all()):
        return inf
    least = float(np.linalg.eigvalsh(about / np.sqrt(np.outer(spread, spread))).min(initial=1.0))
    return inf if least < _LEAST else float(extent[0] ** 2 / total + (extent[1:] ** 2 / spread).sum() / least)


def known(dataset: Dataset, bound: float) -> float | None:
    """Return a bound on the leverage of a subject, of one on that of a row; None where rows have to be weighed."""
    owners = len(dataset.owners) if dataset.subject.identity == "unknown" else 1
    return owners * bound if one_row_a_subject(dataset) and owners * bound <= _SMALL else None


def root_of(gram: Floats) -> Floats:
    """Return R with R R' the inverse of ``gram``, or its pseudo-inverse where nobody is in some direction."""
    scale = np.sqrt(np.maximum(np.diag(gram), 0.0))
    used = np.flatnonzero(scale > 0)
    root = np.zeros((len(gram), len(used)))
    if not np.isfinite(gram).all():
        return np.full_like(root, np.nan)
    unit = gram[np.ix_(used, used)] / np.outer(scale[used], scale[used])
    values, vectors = np.linalg.eigh(unit)
    kept = values > _NOTHING * len(gram)
    root[used] = vectors * np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0) / scale[used, None]
    return root


def some_left_out(owners: Sequence[str]) -> list[Owners]:
    """Return all owners, and all but each; none at all is no model."""
    each = tuple(owners)
    return [each, *(tuple(one for one in each if one != left) for left in each if len(each) > 1)]


Told = Mapping[Owners, float]
"""The largest leverage of one subject in a model over the rows of some owners."""
