"""Why a source cannot be opened, in its owner's words: looked up in the file itself, never taken from an engine's text.

An engine's message may quote rows, and a refusal may stand in a log. So this looks at the first bytes of a file, at its
ending, and at the names of a database's tables, and says what to write into ``party.toml``.
"""

from pathlib import Path

import duckdb

from mpc.errors import Misconfigured
from parties.config import DatasetSettings

LOOKED_AT_BYTES = 1 << 20
TEXT_SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
JSON_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
PACKED_SUFFIXES = frozenset({".gz", ".zst"})
PARQUET, PARQUET_MAGIC = ".parquet", b"PAR1"
READ_ENDINGS = ".csv .tsv .txt .parquet .json .jsonl .arrow .feather, and .csv.gz"

Reason = tuple[str, str]
"""Why, and what to do."""


def ending(path: Path) -> str:
    """Return the ending of a file's name that tells its kind, in lower case: ``.csv`` of ``rows.CSV.gz``."""
    return (path.with_suffix("").suffix if path.suffix in PACKED_SUFFIXES else path.suffix).lower()


def cannot_open(connection: duckdb.DuckDBPyConnection, settings: DatasetSettings, error: duckdb.Error) -> Misconfigured:
    """Return the refusal of a source that the engine did not open, with ``error`` for its kind alone."""
    if settings.source is not None:
        why, remedy = _of_file(settings.source, settings) or _unknown(error)
    else:
        why, remedy = _of_database(connection, settings, error) or _unknown(error)
    return Misconfigured(
        "source.unreadable", "the source cannot be opened", why=why, remedy=remedy,
        field=str(settings.source or settings.database or "adbc"),
    )  # fmt: skip


def _unknown(error: duckdb.Error) -> Reason:
    return type(error).__name__, "check the path, the table's name and the read settings in party.toml"


def _of_file(path: Path, settings: DatasetSettings) -> Reason | None:
    kind, begins = ending(path), _first_bytes(path)
    if kind == PARQUET and not begins.startswith(PARQUET_MAGIC):
        return "it is not a Parquet file, whatever its name says", "give a Parquet file, or correct the name's ending"
    if kind not in TEXT_SUFFIXES | JSON_SUFFIXES | {PARQUET}:
        return f"its name ends in {kind or 'nothing'}, which tells no kind of file", f"use one of {READ_ENDINGS}"
    is_plain_text = kind in TEXT_SUFFIXES and path.suffix not in PACKED_SUFFIXES
    if is_plain_text and settings.read.encoding is None and _is_no_utf8(begins):
        return "it is not UTF-8 text", 'say how it is written: encoding = "latin-1" in the dataset\'s `read` section'
    if kind in JSON_SUFFIXES:
        return "it does not parse as JSON", "give a list of objects, or one object a line"
    return None


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LOOKED_AT_BYTES)
    except OSError:
        return b""


def _is_no_utf8(begins: bytes) -> bool:
    try:
        begins.decode()
    except UnicodeDecodeError as problem:
        return problem.end < len(begins)  # else the last character is only cut
    return False


def _of_database(
    connection: duckdb.DuckDBPyConnection, settings: DatasetSettings, error: duckdb.Error
) -> Reason | None:
    if isinstance(error, duckdb.ParserException):
        return "the query does not parse", "write one SELECT in DuckDB's dialect"
    if isinstance(error, duckdb.CatalogException) and settings.database is not None:
        tables = ", ".join(str(row[0]) for row in connection.execute("SHOW TABLES").fetchall())[:300]
        return "it has no such table, or a function of the query is unknown", f"its tables are: {tables or 'none'}"
    if isinstance(error, duckdb.BinderException):
        return "the query names a column that is not there", "correct the query"
    return None
