"""Runs a plan of passes over the Arrow batches of tables; a cluster would be another module with this one function."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpc.engines.statistics.contributors import Tallies
from mpc.engines.statistics.groups import Grouper
from mpc.engines.statistics.passes import Accumulator, CarriedAccumulator, Folded, KeyedFold, Pass, Plan, SortedFold
from mpc.results import RawResult
from mpc.table.batches import Table, arrow_schema
from mpc.table.schema import Dataset

SORTED_ROWS = 1 << 16
"""How many rows a sorted fold is handed at a time, ties aside."""


def execute(plan: Plan, dataset: Dataset, tables: Sequence[Table]) -> RawResult:
    """Return the result of ``plan`` over ``tables``, the owners' parts of ``dataset``."""
    step: Pass | RawResult = plan.first()
    while isinstance(step, Pass):
        step = plan.next(_folded(step, dataset, tables))
    return step


def _folded(step: Pass, dataset: Dataset, tables: Sequence[Table]) -> Folded:
    if isinstance(step.fold, KeyedFold):
        return _keyed(step, step.fold, dataset, tables)
    tallies = Tallies(dataset, step.counted)
    accumulator: Accumulator | CarriedAccumulator = step.fold.start()
    rows = _counted(step, dataset, tables, tallies)
    for batch in _in_order(rows, step.fold, step, dataset) if isinstance(step.fold, SortedFold) else rows:
        accumulator.update(batch.select(step.columns))
    return Folded(accumulator, ((),), complete=True, tallies=tallies)


def _keyed(step: Pass, fold: KeyedFold, dataset: Dataset, tables: Sequence[Table]) -> Folded:
    grouper = Grouper(dataset, fold.keys, step.present)
    tallies = Tallies(dataset, step.counted)
    whole = fold.start()
    # An empty batch makes the slots of groups that nobody is in.
    whole.update(_no_rows(step, dataset), np.zeros(0, np.int64), grouper.count)
    for table in tables:
        part = fold.start()
        for batch in _rows(step, dataset, table):
            codes = grouper.codes(batch)
            tallies.update(table.owner, batch, codes)
            part.update(batch.select(step.columns), codes, grouper.count)
        whole.merge(part)
    return Folded(whole, grouper.groups, complete=grouper.complete, tallies=tallies)


def _no_rows(step: Pass, dataset: Dataset) -> pa.RecordBatch:
    schema = arrow_schema(dataset)
    fields = [schema.field(name) for name in step.columns]
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in fields], schema=pa.schema(fields))


def _counted(step: Pass, dataset: Dataset, tables: Sequence[Table], tallies: Tallies) -> Iterator[pa.RecordBatch]:
    for table in tables:
        for batch in _rows(step, dataset, table):
            tallies.update(table.owner, batch, np.zeros(batch.num_rows, np.int64))
            yield batch


def _rows(step: Pass, dataset: Dataset, table: Table) -> Iterator[pa.RecordBatch]:
    """Yield the rows of ``table`` that take part, in the columns that the pass, its groups and its counts need."""
    named = [*step.columns, *step.present, *(column for column in step.counted if column is not None)]
    named += step.fold.keys if isinstance(step.fold, KeyedFold) else ()
    named += step.fold.order if isinstance(step.fold, SortedFold) else ()
    named += () if dataset.subject.column is None else (dataset.subject.column,)
    for batch in table.batches():
        rows = batch.select(list(dict.fromkeys(named)))
        for column in step.present:
            if rows.column(column).null_count:
                rows = rows.filter(rows.column(column).is_valid())
        yield rows


def _in_order(
    batches: Iterator[pa.RecordBatch], fold: SortedFold, step: Pass, dataset: Dataset
) -> Iterator[pa.RecordBatch]:
    """Yield all rows ascending, in batches that end where a tie ends. A sort holds them in memory."""
    names = list(dict.fromkeys([*step.columns, *fold.order]))
    schema = arrow_schema(dataset)
    kept = [batch.select(names) for batch in batches]
    rows = pa.Table.from_batches(kept, pa.schema([schema.field(name) for name in names])).combine_chunks()
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
