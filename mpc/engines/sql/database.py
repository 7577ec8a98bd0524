"""A DuckDB that can do nothing but compute: in memory, without files, network, extensions, spill or a way back.

Its error texts quote values (``Could not convert string 'P0' to INT32``), so none leaves this module: whatever goes
wrong is one of three refusals, which hold no text of the engine, not even as the exception's context.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Self

import duckdb
import pyarrow as pa

from mpc.errors import Exhausted, Forbidden, Refusal
from mpc.table.batches import Table

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
    "temp_directory": "",
    "max_temp_directory_size": "0B",
    "threads": "1",  # a process that has several cannot be copied
    "async_threads": "0",  # they read files
}
_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET default_collation = ''",
    "SET preserve_insertion_order = false",
    "SET enable_progress_bar = false",
    "SET python_enable_replacements = false",
    "SET lock_configuration = true",  # last: it locks itself in
)
_READY: list[duckdb.DuckDBPyConnection] = []


def make_ready() -> None:
    """Open an engine for the first run of this process, or of each copy of it: opening one takes 20 milliseconds."""
    _READY.append(_opened())


def _opened() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config=_CONFIG)


class Database:
    """One locked engine for one run; use as a context manager."""

    def __init__(self, *, memory_bytes: int, threads: int) -> None:
        self._connection = _READY.pop() if _READY else _opened()
        bounds = (f"SET memory_limit = '{memory_bytes}B'", f"SET threads = {threads}")
        for setting in (*bounds, *_SETTINGS):
            self._connection.execute(setting)
        self._refused: list[Refusal] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def register(self, name: str, table: Table, columns: Sequence[str]) -> None:
        """Make ``columns`` of ``table`` readable, once, as the relation ``name``."""
        rows = table.reader(columns)
        self._connection.register(name, pa.RecordBatchReader.from_batches(rows.schema, self._batches(rows)))

    def hold(self, name: str, rows: pa.Table) -> None:
        """Make ``rows``, which an engine made itself, readable as the relation ``name``."""
        self._connection.register(name, rows)

    def _batches(self, rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            yield from rows
        except Refusal as refusal:
            # The engine would turn it into an error of its own; kept, and raised again when the query has ended.
            self._refused.append(refusal)
            raise

    def serialised(self, text: str) -> str:
        """Return ``text`` as DuckDB's own parser sees it, as JSON."""
        return str(
            self._attempt(lambda: self._select("SELECT json_serialize_sql($text)", {"text": text}))[0][0].as_py()
        )

    def answer(self, text: str, parameters: Mapping[str, object]) -> pa.Table:
        """Run ``text``, which was confirmed, and return its rows; ``Exhausted`` or ``Forbidden`` when it fails."""
        return self._attempt(lambda: self._select(text, parameters))

    def _select(self, text: str, parameters: Mapping[str, object]) -> pa.Table:
        relation = self._connection.sql(text, params=dict(parameters) if parameters else None)
        return relation.to_arrow_table()

    def _attempt(self, query: Callable[[], pa.Table]) -> pa.Table:
        try:
            return query()
        except duckdb.OutOfMemoryException:
            failure: Refusal = _out_of_memory()
        except duckdb.InterruptException:
            failure = _out_of_time()
        except (duckdb.Error, pa.ArrowInvalid, OverflowError):
            failure = self._refused[0] if self._refused else _failed()
        # Raised here and not above: an exception that is raised while another is handled carries it along.
        raise failure


def _out_of_memory() -> Exhausted:
    return Exhausted(
        "run.memory", "the run needs more memory than the contract allows", why="nothing is written to disk",
        remedy="group by fewer keys, or agree on a larger run_memory_mib",
    )  # fmt: skip


def _out_of_time() -> Exhausted:
    return Exhausted(
        "run.time", "the run takes longer than the contract allows", why="the limit is part of the contract",
        remedy="ask for less at once, or agree on a larger run_seconds",
    )  # fmt: skip


def _failed() -> Forbidden:
    return Forbidden(
        "run.failed", "the run failed", why="the engine's reasons speak of rows and are not told",
        remedy="try the question on rows of your own with a dry run",
    )  # fmt: skip
