"""An owner's rows, read where they are and streamed in the contract's columns, in bounded memory.

CSV, Parquet, JSON and Arrow files, DuckDB-readable databases and ADBC drivers all become one DuckDB SELECT
(``parties.mapping``) whose result is drawn as Arrow record batches of about 2 MB. Errors name column and rule. Engine
text stays here, for it may quote values.
"""

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pyarrow as pa

from mpc.errors import Forbidden, Misconfigured
from mpc.table.batches import arrow_schema
from mpc.table.schema import Dataset
from parties.config import AdbcSettings, DatasetSettings
from parties.mapping import MappedColumn, literal, map_columns, quoted, select_bases, select_mapped
from parties.unreadable import JSON_SUFFIXES, PARQUET, TEXT_SUFFIXES, cannot_open, ending

BATCH_BYTES = 2 << 20
_VECTOR_ROWS = 2048
_FIRST_BATCH_ROWS = 16 * _VECTOR_ROWS
_ARROW_MAGIC = b"ARROW1"
_DELIMITERS = frozenset(",;|\t")
_ARROW_SUFFIXES = frozenset({".arrow", ".arrows", ".ipc", ".feather"})


@dataclass(frozen=True)
class Relation:
    """SQL of the relation in FROM; ``described`` has the same columns and may be asked any number of times."""

    relation: str
    described: str


@dataclass(frozen=True)
class Opened:
    """A source that is open in ``connection``, with the mapped columns and the types of their expressions."""

    connection: duckdb.DuckDBPyConnection
    relation: str
    columns: tuple[MappedColumn, ...]
    types: tuple[str, ...]
    settings: DatasetSettings


@contextmanager
def opened(dataset: Dataset, settings: DatasetSettings) -> Iterator[Opened]:
    """Open the owner's source for ``dataset``; ``Misconfigured`` when it is absent or lacks a column."""
    columns = map_columns(dataset, settings)
    with closing(_connection()) as connection, _place(connection, settings, columns) as place:
        known = _column_names(connection, place.described, settings)
        for mapped in columns:
            _require_columns(dataset, mapped, known)
        types = _described(connection, select_bases(columns, place.described), dataset)
        yield Opened(connection, place.relation, columns, types, settings)


def batches(dataset: Dataset, settings: DatasetSettings) -> Iterator[pa.RecordBatch]:
    """Yield the owner's rows as batches of ``arrow_schema(dataset)``, about 2 MB each.

    Raises ``Misconfigured`` when the source or mapping does not fit and ``Forbidden`` ``source.rule`` naming the
    column and rule that a row broke. At least one batch comes, though it may have no rows.
    """
    schema = arrow_schema(dataset)
    with opened(dataset, settings) as source:
        query = select_mapped(source.columns, source.types, source.relation, settings)
        came = False
        try:
            reader = source.connection.sql(query).to_arrow_reader(_FIRST_BATCH_ROWS)
            for batch in reader:
                for piece in _pieces(batch):
                    came = True
                    yield piece.cast(schema)
        except (duckdb.Error, pa.ArrowException) as error:
            raise _broken(dataset, source.columns, error) from None
        if not came:
            yield pa.RecordBatch.from_pylist([], schema=schema)


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut ``batch`` (without copying) into pieces of about ``BATCH_BYTES``."""
    if batch.num_rows == 0:
        return
    rows = max(1, batch.num_rows * BATCH_BYTES // max(1, batch.nbytes))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={"autoinstall_known_extensions": "false", "memory_limit": "2GB", "TimeZone": "UTC"},
    )
    # The engine draws its bar on standard output, where results go, once a query takes two seconds.
    connection.execute("SET enable_progress_bar = false")
    return connection


def _broken(dataset: Dataset, columns: tuple[MappedColumn, ...], error: Exception) -> Forbidden | Misconfigured:
    marked = (
        re.search(r"\b(\d{1,4})\|([a-z_]{1,20})\b", str(error))
        if isinstance(error, duckdb.InvalidInputException)
        else None
    )
    if marked and int(marked[1]) < len(columns):
        name, rule = columns[int(marked[1])].column.name, marked[2]
        return Forbidden(
            "source.rule", f"a row of {dataset.name} breaks the rule `{rule}` in column {name}",
            why=RULES.get(rule, "its value does not fit the contract"),
            remedy="`sealroom party check` shows which values; correct them or the mapping", field=name,
        )  # fmt: skip
    return Misconfigured(
        "source.read", f"the rows of {dataset.name} cannot be read", why=type(error).__name__,
        remedy="`sealroom party check` reads the whole source and says where it fails", field=dataset.name,
    )  # fmt: skip


RULES = {
    "integer": "the value is not a 64-bit whole number",
    "whole": "the value has a fraction, and a whole number is agreed",
    "float": "the value is not a number",
    "decimal": "the value is not a number of the agreed precision",
    "scale": "the value has more decimals than agreed",
    "boolean": "the value is neither true nor false",
    "date": "the value is not a date",
    "time_of_day": "the value carries a time of day, and a date is agreed",
    "timestamp": "the value is not a time",
    "zone": "the time carries no zone, and nobody else knows which was meant",
    "nullable": "the value is missing, and the contract allows none to be",
    "minimum": "the value is below the agreed minimum",
    "maximum": "the value is above the agreed maximum",
    "codes": "the value is not in the codebook",
    "subject": "the subject is missing, and disclosure control protects subjects",
}
"""What it means that a row breaks a rule, by the rule's name."""


def _column_names(connection: duckdb.DuckDBPyConnection, relation: str, settings: DatasetSettings) -> tuple[str, ...]:
    try:
        return tuple(connection.sql(f"SELECT * FROM {relation} LIMIT 0").columns)  # noqa: S608
    except duckdb.Error as error:
        raise cannot_open(connection, settings, error) from None


def _require_columns(dataset: Dataset, mapped: MappedColumn, known: tuple[str, ...]) -> None:
    folded = {name.casefold() for name in known}
    for name in sorted(mapped.reads or ()):
        if name.casefold() not in folded:
            near = get_close_matches(name, known, n=1)
            if len(known) == 1 and set(known[0]) & _DELIMITERS:
                raise _one_column(dataset)
            raise Misconfigured(
                "mapping.source_column", f"the source of {dataset.name} has no column {name}",
                why=f"the contract's column {mapped.column.name} is read from it",
                remedy=f"did you mean `{near[0]}`? write it in `from` or `expression`" if near
                else f"map it with `from` or `expression`; the source has: {', '.join(known)[:300]}",
                field=f"datasets.{dataset.name}.columns.{mapped.column.name}",
            )  # fmt: skip


def _one_column(dataset: Dataset) -> Misconfigured:
    return Misconfigured(
        "source.one_column", f"the source of {dataset.name} was read as a single column",
        why="it has another delimiter than it was read with, or some line has more or fewer fields than the header",
        remedy="set `delimiter` in the dataset's `read` section, or correct the lines",
        field=f"datasets.{dataset.name}.read",
    )  # fmt: skip


def _described(connection: duckdb.DuckDBPyConnection, query: str, dataset: Dataset) -> tuple[str, ...]:
    try:
        return tuple(str(kind) for kind in connection.sql(query).types)
    except duckdb.Error as error:
        raise Misconfigured(
            "mapping.expression", f"the mapping of {dataset.name} does not fit its source", why=type(error).__name__,
            remedy="check each `expression`: it may use the source's own columns and DuckDB's functions",
            field=f"datasets.{dataset.name}.columns",
        ) from None  # fmt: skip


@contextmanager
def _place(
    connection: duckdb.DuckDBPyConnection, settings: DatasetSettings, columns: tuple[MappedColumn, ...]
) -> Iterator[Relation]:
    if settings.adbc is not None:
        with _adbc_reader(settings.adbc, settings.query or "") as reader:
            yield _drawn(connection, reader)
    elif settings.database is not None:
        yield _attached(connection, settings)
    else:
        path = _present(settings.source)
        if path.stat().st_size == 0:
            raise Misconfigured(
                "source.empty", "the source is empty", why="the file holds not one byte",
                remedy="give the file that holds the rows", field=str(path),
            )  # fmt: skip
        suffix = ending(path)
        if suffix in _ARROW_SUFFIXES:
            with _arrow_reader(path) as reader:
                yield _drawn(connection, reader)
        else:
            yield _file(connection, path, suffix, settings, columns)


def _present(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise Misconfigured(
            "source.absent", "the source does not exist", why="there is no such file",
            remedy="correct the path in party.toml; it is relative to that file", field=str(path),
        )  # fmt: skip
    return path


def _file(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    suffix: str,
    settings: DatasetSettings,
    columns: tuple[MappedColumn, ...],
) -> Relation:
    if suffix in TEXT_SUFFIXES:
        relation = _read_csv(connection, path, settings, columns)
    elif suffix in JSON_SUFFIXES:
        relation = f"read_json({literal(str(path))})"
    else:
        relation = f"read_parquet({literal(str(path))})" if suffix == PARQUET else literal(str(path))
    return Relation(relation, relation)


def _read_csv(
    connection: duckdb.DuckDBPyConnection, path: Path, settings: DatasetSettings, columns: tuple[MappedColumn, ...]
) -> str:
    """Return ``read_csv(…)`` that takes the columns mapped as they are as text, so that no detection rewrites them.

    Columns that an owner's expression mentions keep the detected type, unless the contract wants them as text.
    """
    read = settings.read
    options = {
        "delim": read.delimiter, "quote": read.quote, "encoding": read.encoding, "dateformat": read.date_format,
        "timestampformat": read.timestamp_format, "decimal_separator": read.decimal_separator,
    }  # fmt: skip
    spelled = [f"{name} = {literal(value)}" for name, value in options.items() if value is not None]
    if read.header is not None:
        spelled.append(f"header = {str(read.header).lower()}")
    if read.skip is not None:
        spelled.append(f"skip = {read.skip}")
    plain = ", ".join([literal(str(path)), *spelled])
    known = {name.casefold(): name for name in _column_names(connection, f"read_csv({plain})", settings)}
    in_expressions = {name.casefold() for mapped in columns if not mapped.is_plain for name in mapped.reads or ()}
    as_text = sorted(
        {
            known[name]
            for mapped in columns
            if mapped.is_plain
            for name in (source.casefold() for source in mapped.reads or ())
            if name in known and (name not in in_expressions or mapped.column.type in {"text", "category"})
        }
    )
    if not as_text:
        return f"read_csv({plain})"
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in as_text)
    return f"read_csv({plain}, types = {{{types}}})"


def _attached(connection: duckdb.DuckDBPyConnection, settings: DatasetSettings) -> Relation:
    path = _present(settings.database)
    kind = ", TYPE sqlite" if path.suffix in {".sqlite", ".sqlite3"} else ""
    try:
        connection.execute(f"ATTACH {literal(str(path))} AS owned (READ_ONLY{kind})")
        connection.execute("USE owned")
    except duckdb.Error as error:
        raise Misconfigured(
            "source.database", "the database cannot be opened", why=type(error).__name__,
            remedy="check that it is a DuckDB file (or that DuckDB's extension for it is installed) and not in use",
            field=str(path),
        ) from None  # fmt: skip
    table = f"({settings.query})" if settings.query else ".".join(map(quoted, (settings.table or "").split(".")))
    return Relation(table, table)


def _drawn(connection: duckdb.DuckDBPyConnection, reader: pa.RecordBatchReader) -> Relation:
    connection.register("described", reader.schema.empty_table())
    connection.register("drawn", reader)
    return Relation("drawn", "described")


@contextmanager
def _arrow_reader(path: Path) -> Iterator[pa.RecordBatchReader]:
    """Read an Arrow IPC file or stream batch by batch; not memory-mapped, so that resident memory stays bounded."""
    with pa.OSFile(str(path)) as file:
        try:
            is_file = file.read(len(_ARROW_MAGIC)) == _ARROW_MAGIC
            file.seek(0)
            if is_file:
                content = pa.ipc.open_file(file)
                drawn = (content.get_batch(index) for index in range(content.num_record_batches))
                reader = pa.RecordBatchReader.from_batches(content.schema, drawn)
            else:
                reader = pa.ipc.open_stream(file)
        except pa.ArrowException as error:
            raise Misconfigured(
                "source.unreadable", "the source cannot be opened", why=type(error).__name__,
                remedy="give an Arrow IPC file or stream", field=str(path),
            ) from None  # fmt: skip
        yield reader


@contextmanager
def _adbc_reader(settings: AdbcSettings, query: str) -> Iterator[pa.RecordBatchReader]:
    connect, failure = _adbc_connect(settings)
    try:
        with closing(connect()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(query)
            yield cursor.fetch_record_batch()
    except failure as error:
        raise Misconfigured(
            "source.adbc", "the database did not answer", why=type(error).__name__,
            remedy="check driver, uri, options and query of the dataset's `adbc`", field="adbc",
        ) from None  # fmt: skip


def _adbc_connect(settings: AdbcSettings) -> tuple[Callable[[], Any], type[Exception]]:
    """Return how to connect, and what its driver raises."""
    try:
        manager: ModuleType = importlib.import_module("adbc_driver_manager.dbapi")
    except ImportError:
        raise Misconfigured(
            "source.adbc.extra", "ADBC is not installed", why="the dataset's source is a database behind ADBC",
            remedy="pip install 'sealroom[adbc]' and the driver", field="adbc",
        ) from None  # fmt: skip
    options = dict(settings.options) | ({"uri": settings.uri} if settings.uri else {})
    driver = _adbc_library(settings.driver)
    return (
        lambda: manager.connect(driver=driver, entrypoint=settings.entrypoint, db_kwargs=options),
        manager.Error,
    )


def _adbc_library(driver: str) -> str:
    """Return the shared library of a driver that is a Python package: the packages' own ``connect`` differ in form."""
    if not re.fullmatch(r"adbc_driver_[a-z0-9_]+", driver):
        return driver
    package = importlib.util.find_spec(driver)
    if package is None or package.origin is None:
        raise Misconfigured(
            "source.adbc.driver", "the ADBC driver is not installed", why=f"there is no package {driver}",
            remedy=f"pip install {driver.replace('_', '-')}", field="adbc.driver",
        )  # fmt: skip
    bundled = Path(package.origin).with_name(f"lib{driver}.so")  # of this name on every platform
    return str(bundled) if bundled.is_file() else driver
