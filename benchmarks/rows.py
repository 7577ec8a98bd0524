"""The rows of ``benchmarks/methods.py``: drawn, written as Arrow streams of two parties, and read again."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mpc.table.batches import Table, arrow_schema, loaded_table
from mpc.table.schema import Code, Column, ColumnType, Dataset, Freshness, Subject

PARTIES = ("north", "south")
BATCH_ROWS = 65_536
PREDICTORS = tuple(f"x{i}" for i in range(1, 21))
GROUPS = ("a", "b", "c", "d")


def column(name: str) -> Column:
    """Return a column of the rows that ``drawn`` makes."""
    kinds: dict[str, ColumnType] = {"g": "category", "event": "boolean", "n": "integer", "days": "integer"}
    kind = kinds.get(name, "float")
    return Column(
        name=name, description=name, type=kind, precision=None, scale=None, unit=None, nullable=False, missing=(),
        minimum={"n": "0", "w": "0.1", "days": "1"}.get(name), maximum=None, filterable=True, identifier=False,
        codes=tuple(Code(value=code, label=code) for code in GROUPS) if kind == "category" else (),
    )  # fmt: skip


def dataset(columns: tuple[str, ...]) -> Dataset:
    """Return the terms of rows with these columns: one row a person, nobody at two parties."""
    person = column("pid").model_copy(update={"type": "integer", "identifier": True})
    return Dataset(
        name="rows", description="rows", owners=PARTIES, columns=(person, *map(column, columns)),
        subject=Subject(domain="person", column="pid", identity="disjoint", normalisation="exact", rows="one"),
        keys=(), freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip


def drawn(rows: int, seed: int, columns: tuple[str, ...]) -> pa.RecordBatch:
    """Return rows in which every column has something to do with the others."""
    draw = np.random.default_rng(seed)
    x = {name: draw.normal(i, 1.0 + i / 10, rows) for i, name in enumerate(PREDICTORS) if name in columns}
    group = draw.integers(0, len(GROUPS), rows)
    signal = 0.3 * group + sum((0.1 * (values - values.mean()) for values in x.values()), np.zeros(rows))
    made: dict[str, Any] = {"pid": np.arange(rows) + seed * 10**9, **x, "g": np.array(GROUPS)[group]}
    hazard, mean = np.exp(np.clip(0.2 * signal, -4, 4)), np.exp(np.clip(0.3 * signal, -4, 4))
    outcomes: dict[str, Callable[[], Any]] = {
        "y": lambda: signal + draw.normal(0, 1, rows),
        "w": lambda: draw.uniform(0.5, 2.0, rows),
        "event": lambda: draw.random(rows) < 1 / (1 + np.exp(-signal)),
        "n": lambda: draw.poisson(mean * draw.gamma(2, 0.5, rows)),
        "days": lambda: np.ceil(draw.exponential(600 / hazard)).clip(1, 3650).astype(int),
    }
    made |= {name: make() for name, make in outcomes.items() if name in columns}
    schema = arrow_schema(dataset(columns))
    return pa.record_batch([pa.array(made[field.name], field.type) for field in schema], schema=schema)


def write(columns: tuple[str, ...], rows: int, folder: Path) -> None:
    """Write each party's rows as an Arrow stream."""
    schema = arrow_schema(dataset(columns))
    for party, name in enumerate(PARTIES):
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
            for start in range(0, rows // len(PARTIES), BATCH_ROWS):
                count = min(BATCH_ROWS, rows // len(PARTIES) - start)
                stream.write_batch(drawn(count, party * 100_000 + start // BATCH_ROWS, columns))


def streamed(rows: int, party: int) -> Iterator[pa.RecordBatch]:
    """Yield a party's part of ``rows`` rows as they are drawn: 20 columns, and a response that they explain in part."""
    schema = arrow_schema(dataset(("y", *PREDICTORS)))
    draw = np.random.default_rng(party)
    for start in range(0, rows // len(PARTIES), BATCH_ROWS):
        count = min(BATCH_ROWS, rows // len(PARTIES) - start)
        columns = draw.standard_normal((len(PREDICTORS) + 1, count))
        columns[-1] += 0.1 * columns[:-1].sum(axis=0)
        made = {"pid": np.arange(start, start + count), **dict(zip((*PREDICTORS, "y"), columns, strict=True))}
        yield pa.record_batch([pa.array(made[field.name], field.type) for field in schema], schema=schema)


def read(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of one party; none stays in memory."""
    with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as stream:
        yield from stream


def tables(columns: tuple[str, ...], folder: Path) -> tuple[Table, ...]:
    """Return the parties' tables as a run that streams them has them: every batch is held against the schema."""
    terms = dataset(columns)
    return tuple(loaded_table(terms, name, lambda name=name: read(folder / name)) for name in PARTIES)


def touch(folder: Path) -> None:
    """Read the files where they are mapped: every buffer of every batch, and nothing else."""
    for name in PARTIES:
        with pa.memory_map(str(folder / name)) as source, pa.ipc.open_stream(source) as stream:
            for batch in stream:
                for buffer in (each for column in batch.columns for each in column.buffers() if each is not None):
                    np.frombuffer(buffer, np.int64, buffer.size // 8).sum()
