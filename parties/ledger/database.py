"""The file of the ledger: one SQLite database, its tables, and transactions that are durable when they return."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpc.errors import Misconfigured

SCHEMA_VERSION = 1
_TABLES = """
CREATE TABLE contract (
  digest BLOB PRIMARY KEY, raw BLOB NOT NULL, supersedes BLOB, added TEXT NOT NULL, signed TEXT, withdrawn TEXT
) STRICT;
CREATE TABLE consent (
  contract BLOB NOT NULL REFERENCES contract, envelope BLOB NOT NULL, PRIMARY KEY (contract, envelope)
) STRICT;
CREATE TABLE appraisal (
  number INTEGER PRIMARY KEY, contract BLOB NOT NULL REFERENCES contract, instance BLOB NOT NULL,
  purpose TEXT NOT NULL, time TEXT NOT NULL, not_after TEXT NOT NULL, transcript BLOB NOT NULL, format TEXT NOT NULL,
  evidence BLOB NOT NULL, endorsements TEXT NOT NULL, checks TEXT NOT NULL
) STRICT;
CREATE TABLE activation (
  contract BLOB NOT NULL REFERENCES contract, number INTEGER NOT NULL, instance BLOB NOT NULL,
  receipt_key BLOB NOT NULL, envelope BLOB NOT NULL, time TEXT NOT NULL,
  PRIMARY KEY (contract, number), UNIQUE (contract, instance)
) STRICT;
CREATE TABLE leaf (
  contract BLOB NOT NULL REFERENCES contract, position INTEGER NOT NULL, leaf BLOB NOT NULL,
  PRIMARY KEY (contract, position)
) STRICT;
CREATE TABLE head (
  contract BLOB PRIMARY KEY REFERENCES contract, instance BLOB NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
  checkpoint BLOB NOT NULL
) STRICT;
CREATE TABLE upload (
  upload BLOB PRIMARY KEY, contract BLOB NOT NULL REFERENCES contract, dataset TEXT NOT NULL, header BLOB NOT NULL,
  data_key BLOB NOT NULL, commitment BLOB, loaded TEXT, time TEXT NOT NULL
) STRICT;
CREATE TABLE share (contract BLOB PRIMARY KEY REFERENCES contract, share BLOB NOT NULL) STRICT;
CREATE TABLE permit (
  contract BLOB NOT NULL REFERENCES contract, run INTEGER NOT NULL, instance BLOB NOT NULL, computation TEXT NOT NULL,
  parameters TEXT NOT NULL, unattended INTEGER NOT NULL, envelope BLOB NOT NULL, time TEXT NOT NULL,
  PRIMARY KEY (contract, run, instance)
) STRICT;
CREATE TABLE result (
  contract BLOB NOT NULL REFERENCES contract, run INTEGER NOT NULL, computation TEXT NOT NULL, receipt BLOB NOT NULL,
  release BLOB NOT NULL, time TEXT NOT NULL, shown TEXT, PRIMARY KEY (contract, run)
) STRICT;
CREATE TABLE withdrawal (
  contract BLOB PRIMARY KEY REFERENCES contract, envelope BLOB NOT NULL, delivered TEXT
) STRICT;
CREATE TABLE event (
  number INTEGER PRIMARY KEY, time TEXT NOT NULL, contract BLOB, kind TEXT NOT NULL, data TEXT NOT NULL
) STRICT;
"""


class Database:
    """The open file; one process at a time, any thread. ``changed`` wakes whoever waits for a transaction to end."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self.changed = threading.Condition()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            self._database.row_factory = sqlite3.Row
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise Misconfigured(
                "ledger.unusable", "the party's ledger cannot be used", why=type(error).__name__,
                remedy="check that the state folder can be written, has room, and belongs to this party",
                field=str(path),
            ) from None  # fmt: skip

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("PRAGMA foreign_keys = ON")
        self._database.execute("PRAGMA secure_delete = ON")  # a dropped key leaves no trace in a free page
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._database.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise Misconfigured(
                "ledger.version", "the ledger was written by another release", why="its form has another version",
                remedy="use the release that wrote it", expected=str(SCHEMA_VERSION), found=str(version),
            )  # fmt: skip

    def close(self) -> None:
        """Close the file; nothing may be asked afterwards."""
        with self._lock:
            self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is asked and written within one step that happens whole or not at all; may be nested."""
        with self._lock:
            if self._database.in_transaction:
                yield
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        with self.changed:
            self.changed.notify_all()

    def one(self, query: str, *values: object) -> sqlite3.Row | None:
        """Return the first row, or None."""
        with self._lock:
            row: sqlite3.Row | None = self._database.execute(query, values).fetchone()
            return row

    def all(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Return every row."""
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def write(self, statement: str, *values: object) -> None:
        """Change what is written, in the transaction at hand or in one of its own."""
        with self.transaction():
            self._database.execute(statement, values)

    def forget_past(self) -> None:
        """Empty the write-ahead log, which may still hold what was deleted."""
        with self._lock:
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
