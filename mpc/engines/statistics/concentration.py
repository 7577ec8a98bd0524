"""``concentration`` computed: totals of each subject in a keyed fold whose memory grows with the subjects."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.numbers import Floats, Numbers
from mpc.engines.statistics.passes import PARTY, Codes, Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import Cells, count, figure, key_columns, subjects, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.results import Largest, Measure, RawResult
from mpc.table.batches import normalised
from mpc.table.schema import Dataset

_PENDING_ROWS = 1 << 20

_OWNERS_THAT_HIDE_NOBODY = 2
"""With so many owners each knows the other's part of any total, and agreed to that; among more, none may dominate."""


class _Totals:
    """The total of each subject at each party, in each group; a row is a unit of its own where nobody has a second."""

    def __init__(self, numbers: Numbers, dataset: Dataset) -> None:
        self._numbers = numbers
        self._owners = dataset.owners
        self._subject = dataset.subject
        self._by_rows = not _units(dataset)
        self._parts: list[pa.Table] = []
        self._pending = 0

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Add the values of the batch, which are one party's, to their subjects' totals."""
        values, _ = self._numbers.read(batch)
        party = self._owners.index(batch.column(PARTY)[0].as_py()) if batch.num_rows else 0
        # Short numbers, as these rows stay: a million groups at most, and parties of one contract.
        columns = {"group": codes.astype(np.int32), "party": np.full(len(codes), party, np.int16), "value": values}
        if not self._by_rows:
            columns["subject"] = normalised(batch.column(self._subject.column), self._subject.normalisation)
        self._add(pa.table(columns))

    def merge(self, other: "_Totals") -> None:
        """Add subject by subject."""
        self._add(other.totals())

    def totals(self) -> pa.Table:
        """Return group, party, subject and value, one row each of the first three; without subjects, one each row."""
        if len(self._parts) > 1:
            self._parts = [self._summed(pa.concat_tables(self._parts))]
        return self._parts[0]

    def _add(self, rows: pa.Table) -> None:
        self._parts.append(self._summed(rows))
        self._pending += self._parts[-1].num_rows
        if self._pending > max(_PENDING_ROWS, self._parts[0].num_rows):
            self.totals()
            self._pending = 0

    def _summed(self, rows: pa.Table) -> pa.Table:
        if self._by_rows:
            return rows
        summed = rows.group_by(["group", "party", "subject"], use_threads=False).aggregate([("value", "sum")])
        return summed.rename_columns({"value_sum": "value"}).select(rows.column_names)


class Concentration:
    """The plan: one pass."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._dataset = checked.dataset
        self._column = checked.arguments["column"]
        self._numbers = Numbers.of(checked.dataset, self._column[0])
        self._by = checked.arguments["by"]

    def first(self) -> Pass:
        """Return the one pass."""
        subject = self._dataset.subject
        named = () if subject.column is None else (subject.column,)
        return Pass(
            KeyedFold(self._by, lambda: _Totals(self._numbers, self._dataset)),
            columns=(*self._column, *named, PARTY),
            present=self._column,
            counted=(None,),
        )

    def next(self, folded: Folded) -> RawResult:
        """Return number, total and indices of each group, with the largest contributions."""
        size = len(folded.groups)
        totals = folded.accumulator.totals()
        each = _by_group(totals, _units(self._dataset), size)
        behind = folded.tallies.contributors(None, np.arange(size), size)
        weighed = [_largest("subject", each)]
        if len(self._dataset.owners) > _OWNERS_THAT_HIDE_NOBODY:
            weighed.append(_largest("party", _by_group(totals, ["group", "party"], size)))
        column = self._dataset.column(self._column[0])
        unit = column.unit if column is not None else None
        total = self._numbers.shown(np.array([values.sum() for values in each]))
        source = self._column[0]
        cells = [
            count("n", [len(values) for values in each], behind, source),
            *subjects(behind, source),
            Cells(Measure("total", "sum", source, extensive=True, unit=unit), pa.array(total), behind, tuple(weighed)),
            figure("hhi", "concentration", list(map(hhi, each)), behind, source=source, largest=tuple(weighed)),
            figure("gini", "inequality", list(map(gini, each)), behind, source=source, largest=tuple(weighed)),
        ]
        keys = key_columns(self._dataset, self._by, folded.groups)
        return RawResult((tidy("concentration", keys, cells, folded),))


def hhi(values: Floats) -> float:
    """Return the sum of squared shares (1/n for equal ones, 1 for one that has all); NaN without a total."""
    total = float(values.sum())
    return float(((values / total) ** 2).sum()) if total > 0 else np.nan


def gini(values: Floats) -> float:
    """Return half the mean absolute difference relative to the mean (0 for equal ones); NaN without a total."""
    total, size = float(values.sum()), len(values)
    if total <= 0:
        return np.nan
    ranks = 2.0 * np.arange(1, size + 1) - size - 1
    return float((ranks * np.sort(values)).sum() / (size * total))


def _units(dataset: Dataset) -> list[str]:
    """Return what one unit's rows of totals agree in: an identifier, at one party unless it is shared.

    Nothing where each row is a unit: where nobody is protected, or a subject has one row and is at one party.
    """
    subject = dataset.subject
    if subject.column is None:
        return []
    if subject.identity == "shared" and len(dataset.owners) > 1:
        return ["group", "subject"]
    return [] if subject.rows == "one" else ["group", "party", "subject"]


def _by_group(totals: pa.Table, units: Sequence[str], size: int) -> list[Floats]:
    """Return the values of each group, those of one unit added."""
    if units:
        totals = totals.group_by(list(units), use_threads=False).aggregate([("value", "sum")])
    values = np.asarray(totals.column("value_sum" if units else "value"), np.float64)
    codes = np.asarray(totals.column("group"), np.int64)
    found = np.split(values[np.argsort(codes, kind="stable")], np.cumsum(np.bincount(codes, minlength=size))[:-1])
    # By value within the group: sums then depend on the values alone, not on the order that they came in.
    for own in found:
        own.sort()
    return found


def _largest(unit: str, each: Sequence[Floats]) -> Largest:
    top: npt.NDArray[np.float64] = np.array([[0.0, 0.0, *values[-2:]][-2:] for values in each]).reshape(-1, 2)
    total = np.array([values.sum() for values in each])
    return Largest("subject" if unit == "subject" else "party", total, first=top[:, 1], second=top[:, 0])
