"""``missing`` computed: one keyed fold that counts values, and subjects with and without one."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpc.engines.statistics.counting import added
from mpc.engines.statistics.passes import Codes, Computed, Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import Behind, Cells, count, figure, key_columns, subjects, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.results import Contributors, RawResult


class _Values:
    """Rows of each group, and those with a value in each column."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.rows: Codes = np.zeros(0, np.int64)
        self.present = {name: np.zeros(0, np.int64) for name in columns}

    def update(self, batch: pa.RecordBatch, codes: Codes, groups: int) -> None:
        """Count the rows of the batch."""
        self.rows = added(self.rows, np.bincount(codes, minlength=groups))
        for name, counts in self.present.items():
            column = batch.column(name)
            valid = codes if column.null_count == 0 else codes[np.asarray(column.is_valid())]
            self.present[name] = added(counts, np.bincount(valid, minlength=groups))

    def merge(self, other: "_Values") -> None:
        """Add group by group."""
        self.rows = added(self.rows, other.rows)
        for name, counts in other.present.items():
            self.present[name] = added(self.present[name], counts)


class Missing:
    """The plan: one pass."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._dataset = checked.dataset
        self._columns = checked.arguments["columns"]
        self._by = checked.arguments["by"]

    def first(self) -> Pass:
        """Return the one pass."""
        computed = {_without(name): Computed((name,), _absent(name), pa.bool_()) for name in self._columns}
        return Pass(
            KeyedFold(self._by, lambda: _Values(self._columns)),
            columns=self._columns,
            counted=(*self._columns, *computed),
            computed=computed,
        )

    def next(self, folded: Folded) -> RawResult:
        """Return a row a group and column."""
        groups, columns = len(folded.groups), len(self._columns)
        group = np.repeat(np.arange(groups), columns)
        keys = key_columns(self._dataset, self._by, [folded.groups[i] for i in group])
        keys["column"] = pa.array(list(self._columns) * groups, pa.utf8())
        present = np.stack([folded.accumulator.present[name] for name in self._columns], axis=1).ravel()
        rows = folded.accumulator.rows[group]
        known = self._behind(folded, self._columns)
        unknown = self._behind(folded, tuple(map(_without, self._columns)))
        both = (*known, *unknown)
        with np.errstate(invalid="ignore"):
            share = (rows - present) / np.where(rows > 0, rows, np.nan)
        cells: list[Cells] = [
            # What is known and what is not determine each other beside the number of rows: one source.
            count("present", present, known, "values"),
            *subjects(known, "values", of="present"),
            count("missing", rows - present, unknown, "values"),
            *subjects(unknown, "values", of="missing"),
            figure("missing_share", "rate", share, both, source="values"),
        ]
        return RawResult((tidy("missing", keys, cells, folded),))

    def _behind(self, folded: Folded, columns: tuple[str, ...]) -> Behind:
        groups = len(folded.groups)
        each = [folded.tallies.contributors(name, np.arange(groups), groups) for name in columns]
        return tuple(
            Contributors(
                parts[0].domain,
                np.stack([one.total for one in parts], axis=1).ravel(),
                {party: np.stack([one.without[party] for one in parts], axis=1).ravel() for party in parts[0].without},
            )
            for parts in zip(*each, strict=True)
        )


def _without(column: str) -> str:
    return f"$without_{column}"


def _absent(column: str) -> Callable[[pa.RecordBatch], pa.Array]:
    def make(batch: pa.RecordBatch) -> pa.Array:
        """Return true where there is no value, and nothing elsewhere, so that only those subjects are counted."""
        absent = batch.column(column).is_null()
        return pc.if_else(absent, absent, pa.scalar(None, pa.bool_()))

    return make
