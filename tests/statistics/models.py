"""A dataset of plain columns, its rows split among parties and batches, and one model of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from mpc.engines.statistics import run_statistics
from mpc.questions.statistics import CheckedStatistics, check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.results import RawResult
from mpc.table.batches import Table, arrow_schema, loaded_table
from mpc.table.schema import Code, Column, Dataset, Freshness, Subject

Data = Mapping[str, Sequence[Any]]


def column(name: str, kind: Any = "float", *, codes: Sequence[str] = (), **terms: Any) -> Column:
    plain: dict[str, Any] = {
        "description": name, "precision": None, "scale": None, "unit": None, "nullable": True, "missing": (),
        "minimum": None, "maximum": None, "filterable": True, "identifier": False,
    }  # fmt: skip
    listed = tuple(Code(value=code, label=code) for code in codes)
    return Column(name=name, type=kind, codes=listed, **{**plain, **terms})


def dataset(columns: Sequence[Column], owners: Sequence[str] = ("north",), *, identity: str = "none") -> Dataset:
    """Return public data, or data of one person a row if ``identity`` says how persons are told apart."""
    subject = Subject(
        domain="person", column=None if identity == "none" else "pid", identity=identity, normalisation="exact",  # type: ignore[arg-type]
        rows="many" if identity in {"none", "shared"} else "one",
    )  # fmt: skip
    named = () if identity == "none" else (column("pid", "text", nullable=False, identifier=True),)
    return Dataset(
        name="rows", description="rows", owners=tuple(owners), columns=(*named, *columns), subject=subject, keys=(),
        freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip


def tables(terms: Dataset, data: Data, parts: Sequence[slice | Sequence[int]], *, batch: int = 0) -> tuple[Table, ...]:
    """Return one table an owner: the rows that its part names, in batches of so many rows (0 is one batch)."""
    schema = arrow_schema(terms)
    whole = pa.table({field.name: pa.array(data[field.name], field.type) for field in schema}, schema=schema)
    made = []
    for owner, part in zip(terms.owners, parts, strict=True):
        rows = whole.slice(part.start or 0, part.stop - (part.start or 0)) if isinstance(part, slice) else whole.take(
            pa.array(part, pa.int64())
        )  # fmt: skip
        made.append(loaded_table(terms, owner, _batches(rows, batch or max(rows.num_rows, 1))))
    return tuple(made)


def _batches(rows: pa.Table, size: int) -> Callable[[], Iterator[pa.RecordBatch]]:
    return lambda: iter(rows.combine_chunks().to_batches(max_chunksize=size))


def checked(terms: Dataset, method: str, **arguments: Any) -> CheckedStatistics:
    plain: dict[str, Any] = {"parties": "pooled", "confidence": "0.95", **arguments}
    plain = {"residuals": "none", **plain}
    if method == "linear":
        plain = {"errors": "classical", **plain}
    written = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in plain.items()}
    question = StatisticsQuestion(kind="statistics", method=method, dataset="rows", arguments=written)
    return check_statistics("fit", question, {"rows": terms})


def fit(terms: Dataset, data: Data, method: str, *, parts: Any = None, batch: int = 0, **arguments: Any) -> RawResult:
    """Return the result of one model; all rows are the first owner's unless ``parts`` says otherwise."""
    rows = len(next(iter(data.values())))
    own = parts if parts is not None else [slice(0, rows)]
    return run_statistics(checked(terms, method, **arguments), {"rows": tables(terms, data, own, batch=batch)})


def rows_of(result: RawResult, name: str, key: str = "term") -> dict[str, dict[str, Any]]:
    """Return the rows of one table by their key."""
    table = next(table for table in result.tables if table.name == name)
    return {row[key]: row for row in table.data.to_pylist()}


def model(result: RawResult, name: str = "(all)") -> dict[str, Any]:
    return rows_of(result, "models", "model")[name]
