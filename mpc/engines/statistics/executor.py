"""Runs a plan of passes over the Arrow batches of tables; a cluster would be another module with this one function.

Batches are dealt to a fixed number of lanes, each an accumulator of its own, and lanes are merged in their order. So a
result depends on the batches alone, however many threads run the lanes.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpc.engines.statistics.contributors import Tallies
from mpc.engines.statistics.groups import Grouper
from mpc.engines.statistics.passes import (
    PARTY,
    Accumulator,
    Codes,
    Folded,
    KeyedAccumulator,
    KeyedFold,
    Pass,
    Plan,
    SortedFold,
)
from mpc.results import RawResult
from mpc.table.batches import Table, arrow_schema
from mpc.table.schema import Dataset

SORTED_ROWS = 1 << 16
"""How many rows a sorted fold is handed at a time, ties aside."""

LANES = 4
"""How many accumulators a pass fills side by side; also how many batches wait at most."""


def execute(plan: Plan, dataset: Dataset, tables: Sequence[Table], *, threads: int = 1) -> RawResult:
    """Return the result of ``plan`` over ``tables``, the owners' parts of ``dataset``, on so many ``threads``."""
    with ThreadPoolExecutor(max(1, min(threads, LANES))) as pool:
        reading = _Reading(dataset, tables, pool if threads > 1 else None)
        step: Pass | RawResult = plan.first()
        while isinstance(step, Pass):
            step = plan.next(reading.folded(step))
    return step


@dataclass
class _Reading:
    """The rows of one run, and the numbering of groups, which passes with the same groups share."""

    dataset: Dataset
    tables: Sequence[Table]
    pool: ThreadPoolExecutor | None
    groupers: dict[Any, Grouper] = field(default_factory=dict)

    def folded(self, step: Pass) -> Folded:
        """Return what one pass comes to."""
        tallies = Tallies(self.dataset, step.counted, step.split, step.weighed)
        rows = dict.fromkeys(self.dataset.owners, 0)
        if isinstance(step.fold, SortedFold):
            carried = step.fold.start()
            for batch in _in_order(self._counted(step, tallies, rows), step.fold, step, self.dataset):
                carried.update(batch.select(step.columns))
            return Folded(carried, ((),), complete=True, tallies=tallies, rows=rows)
        if isinstance(step.fold, KeyedFold):
            return self._keyed(step, step.fold, tallies, rows)
        whole = step.fold.start()
        lanes = _Lanes(step.fold.start, self.pool)
        for batch in self._counted(step, tallies, rows):
            lanes.update(batch.select(step.columns))
        lanes.merge_into(whole)
        return Folded(whole, ((),), complete=True, tallies=tallies, rows=rows)

    def _keyed(self, step: Pass, fold: KeyedFold, tallies: Tallies, rows: dict[str, int]) -> Folded:
        grouper = self._grouper(step, fold)
        whole = fold.start()
        # An empty batch makes the slots of groups that nobody is in.
        whole.update(_no_rows(step, self.dataset), np.zeros(0, np.int64), grouper.count)
        lanes = _Lanes(fold.start, self.pool)
        for table in self.tables:
            for batch in _rows(step, self.dataset, table):
                codes = grouper.codes(batch, {PARTY: table.owner})
                tallies.update(table.owner, batch, codes)
                rows[table.owner] += batch.num_rows
                lanes.update(batch.select(step.columns), codes, grouper.count)
        lanes.merge_into(whole)
        return Folded(whole, grouper.groups, complete=grouper.complete, tallies=tallies, rows=rows)

    def _grouper(self, step: Pass, fold: KeyedFold) -> Grouper:
        made = tuple(step.computed.get(key) for key in fold.keys)
        known = {key: each.levels for key, each in zip(fold.keys, made, strict=True) if each is not None}
        name = (fold.keys, frozenset(step.present) & frozenset(fold.keys), made)
        if name not in self.groupers:
            known[PARTY] = self.dataset.owners
            self.groupers[name] = Grouper(self.dataset, fold.keys, step.present, known)
        return self.groupers[name]

    def _counted(self, step: Pass, tallies: Tallies, rows: dict[str, int]) -> Iterator[pa.RecordBatch]:
        for table in self.tables:
            for batch in _rows(step, self.dataset, table):
                tallies.update(table.owner, batch, np.zeros(batch.num_rows, np.int64))
                rows[table.owner] += batch.num_rows
                yield batch


class _Lanes:
    """The accumulators of one pass. Batches are dealt in turn; a lane takes its next when it is done with its last."""

    def __init__(self, start: Callable[[], Any], pool: ThreadPoolExecutor | None) -> None:
        self._start = start
        self._pool = pool
        self._lanes: list[Any] = []
        self._busy: list[Future[None] | None] = [None] * LANES
        self._dealt = 0

    def update(self, batch: pa.RecordBatch, *groups: Codes | int) -> None:
        turn = self._dealt % LANES
        self._dealt += 1
        if turn == len(self._lanes):
            self._lanes.append(self._start())
        if self._pool is None:
            self._lanes[turn].update(batch, *groups)
            return
        self._settle(turn)
        self._busy[turn] = self._pool.submit(self._lanes[turn].update, batch, *groups)

    def merge_into(self, whole: Accumulator | KeyedAccumulator) -> None:
        for turn, lane in enumerate(self._lanes):
            self._settle(turn)
            whole.merge(lane)

    def _settle(self, turn: int) -> None:
        busy = self._busy[turn]
        if busy is not None:
            busy.result()


def _no_rows(step: Pass, dataset: Dataset) -> pa.RecordBatch:
    schema = arrow_schema(dataset)
    kinds = {PARTY: pa.utf8(), **{name: each.type for name, each in step.computed.items()}}
    fields = [pa.field(name, kinds[name]) if name in kinds else schema.field(name) for name in step.columns]
    return pa.RecordBatch.from_arrays([pa.array([], each.type) for each in fields], schema=pa.schema(fields))


def _rows(step: Pass, dataset: Dataset, table: Table) -> Iterator[pa.RecordBatch]:
    """Yield the rows of ``table`` that take part, in the columns that the pass, its groups and its counts need."""
    named = _named(step, dataset)
    columns = [name for name in named if name != PARTY and name not in step.computed]
    plain = [name for name in step.present if name in columns]
    is_party_read = PARTY in _named(step, dataset, keys=False)
    for batch in table.batches(columns):
        rows = _with_values(batch, plain)
        if is_party_read:
            rows = rows.append_column(PARTY, pa.repeat(table.owner, rows.num_rows))
        for name, computed in step.computed.items():
            rows = rows.append_column(pa.field(name, computed.type), computed.make(rows))
        yield _with_values(rows, [name for name in step.present if name in step.computed])


def _named(step: Pass, dataset: Dataset, *, keys: bool = True) -> list[str]:
    """Return every column that one pass touches, if only as one of its ``keys``; computed ones and ``PARTY`` too."""
    named = [*step.columns, *step.present, *(column for column in step.counted if column is not None), *step.weighed]
    named += [name for computed in step.computed.values() for name in computed.of]
    named += [name for split in step.split.values() for name in split.columns]
    named += step.fold.keys if keys and isinstance(step.fold, KeyedFold) else ()
    named += step.fold.order if isinstance(step.fold, SortedFold) else ()
    named += () if dataset.subject.column is None else (dataset.subject.column,)
    return list(dict.fromkeys(named))


def _with_values(rows: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    for column in columns:
        if rows.column(column).null_count:
            rows = rows.filter(rows.column(column).is_valid())
    return rows


def _in_order(
    batches: Iterator[pa.RecordBatch], fold: SortedFold, step: Pass, dataset: Dataset
) -> Iterator[pa.RecordBatch]:
    """Yield all rows ascending, in batches that end where a tie ends. A sort holds them in memory."""
    names = list(dict.fromkeys([*step.columns, *fold.order]))
    kept = [batch.select(names) for batch in batches]
    schema = kept[0].schema if kept else _no_rows(Pass(fold, tuple(names), computed=step.computed), dataset).schema
    rows = pa.Table.from_batches(kept, schema).combine_chunks()
    rows = rows.sort_by([(name, "ascending") for name in fold.order])
    start = 0
    while start < rows.num_rows:
        end = _end_of_tie(rows, fold.order, min(start + SORTED_ROWS, rows.num_rows))
        yield from rows.slice(start, end - start).combine_chunks().to_batches()
        start = end


def _end_of_tie(rows: pa.Table, order: tuple[str, ...], end: int) -> int:
    """Return the first row at or after ``end`` that differs in ``order`` from the one before it."""
    last = rows.slice(end - 1, 1)
    while end < rows.num_rows:
        ahead = rows.slice(end, SORTED_ROWS)
        same = np.ones(ahead.num_rows, np.bool_)
        for name in order:
            same &= np.asarray(_equal(ahead.column(name), last.column(name)[0]))
        if not same.all():
            return end + int(same.argmin())
        end += ahead.num_rows
    return end


def _equal(column: pa.ChunkedArray, value: pa.Scalar) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(column, value), fill_value=False) if value.is_valid else column.is_null()
