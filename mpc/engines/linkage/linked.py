"""Linked rows as tables: each side's rows are read once, keys apart from what the method reads of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.linkage.matching import Matches, Rows, match
from mpc.engines.linkage.normalisation import compared
from mpc.errors import OutOfOrder
from mpc.questions.linkage import CheckedLinkage
from mpc.questions.terms import MatchedColumns
from mpc.table.batches import Table, arrow_schema, loaded_table
from mpc.table.schema import Dataset

_BATCH_ROWS = 1 << 16


@dataclass(frozen=True)
class Side:
    """One dataset's rows: for each pass the keys, the columns that are kept, and at which row each owner begins.

    ``subjects`` has the subject's column, if there is one, by its own name.
    """

    dataset: Dataset
    keys: tuple[pa.Table, ...]
    kept: pa.Table
    subjects: pa.Table
    owners: tuple[str, ...]
    begins: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Linked:
    """Both sides, their matches, and linked rows as tables of each view's owners."""

    sides: tuple[Side, Side]
    matches: Matches
    tables: tuple[tuple[Table, ...], tuple[Table, ...]]


def link_rows(
    checked: CheckedLinkage, tables: Mapping[str, tuple[Table, ...]], *, memory_bytes: int, threads: int
) -> Linked:
    """Return the linked rows of ``checked``; ``OutOfOrder`` unless every owner's rows of both datasets are there, once.

    Keys and what the method reads are held in memory.
    """
    sides = (_side(checked, 0, tables), _side(checked, 1, tables))
    matches = match(
        sides[0].keys, sides[1].keys, many=checked.link.left_rows == "many", memory_bytes=memory_bytes, threads=threads
    )
    chosen = (sides[0].kept.take(pa.array(matches.left)), sides[1].kept.take(pa.array(matches.right)))
    columns = {name: side.column(name) for side in chosen for name in side.column_names}
    views = tuple(
        _as_tables(view.dataset, columns, side, rows)
        for view, side, rows in zip(checked.views, sides, (matches.left, matches.right), strict=True)
    )
    return Linked(sides, matches, (views[0], views[1]))


def _side(checked: CheckedLinkage, place: int, tables: Mapping[str, tuple[Table, ...]]) -> Side:
    dataset = (checked.left, checked.right)[place]
    owned = sorted(tables.get(dataset.name, ()), key=lambda table: table.owner)
    if [table.owner for table in owned] != sorted(dataset.owners):
        raise OutOfOrder(
            "run.rows_missing", f"not every owner of {dataset.name} has its rows loaded, once",
            why="a dataset is the union of all its owners' rows", remedy="wait until every owner has uploaded",
        )  # fmt: skip
    schema = arrow_schema(dataset)
    passes = [[_Key(pair, place) for pair in each.columns] for each in checked.link.passes]
    names = {linked: column for linked, (of, column) in checked.columns.items() if of == dataset.name}
    subject = [dataset.subject.column] if dataset.subject.column is not None else []
    needed = list(dict.fromkeys([*names.values(), *subject, *(key.name for each in passes for key in each)]))
    sizes, batches = [], []
    for table in owned:
        own = list(table.batches(needed))
        sizes.append(sum(batch.num_rows for batch in own))
        batches += own
    keys = tuple(
        pa.table({
            f"k{i}": pa.chunked_array([key.of(batch) for batch in batches], key.type(schema))
            for i, key in enumerate(each)
        })
        for each in passes
    )  # fmt: skip
    rows = pa.Table.from_batches([batch.select([*names.values()]) for batch in batches], _of(schema, [*names.values()]))
    subjects = pa.Table.from_batches([batch.select(subject) for batch in batches], _of(schema, subject))
    return Side(
        dataset, keys, rows.rename_columns(list(names)).combine_chunks(), subjects,
        tuple(table.owner for table in owned), np.cumsum([0, *sizes]),
    )  # fmt: skip


def _of(schema: pa.Schema, names: list[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


@dataclass(frozen=True)
class _Key:
    """One part of a key on one side (0 left, 1 right)."""

    pair: MatchedColumns
    place: int

    @property
    def name(self) -> str:
        return self.pair.right if self.place else self.pair.left

    def of(self, batch: pa.RecordBatch) -> pa.Array:
        return compared(batch.column(self.name), self.pair)

    def type(self, schema: pa.Schema) -> pa.DataType:
        return schema.field(self.name).type if self.pair.normalisation == "exact" else pa.utf8()


def _as_tables(view: Dataset, columns: Mapping[str, pa.ChunkedArray], side: Side, rows: Rows) -> tuple[Table, ...]:
    """Return linked rows as the tables of ``side``'s owners, whose rows ``rows`` are."""
    schema = arrow_schema(view)
    whole = pa.table([columns[name] for name in schema.names], schema=schema)
    owner = np.searchsorted(side.begins, rows, side="right") - 1
    found = []
    for place, name in enumerate(side.owners):
        own = whole if len(side.owners) == 1 else whole.filter(pa.array(owner == place))
        batches = own.to_batches(max_chunksize=_BATCH_ROWS)
        found.append(loaded_table(view, name, batches))
    return tuple(found)
