"""A party's own record, in one SQLite file: what it agreed to, whom it appraised, what it signed, what it received.

The ledger remembers and compares; it does not decide. Two comparisons are made here, as they are about what was
written before: a log must go on where it last stood (``extend``), and an instance that was replaced never comes back
(``parties.signatory``). What has been written is durable when a method returns (WAL, ``synchronous=FULL``).
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from mpc.canonical import format_time, parse_time, sha256
from mpc.contract.document import parse_contract
from mpc.contract.statements import Checkpoint
from mpc.contract.terms import Contract
from mpc.errors import Misconfigured, OutOfOrder, Untrusted
from mpc.receipts.log import EMPTY_ROOT, Log, verify_checkpoint, verify_consistency
from mpc.signing import VerifyingKey

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


@dataclass(frozen=True)
class Agreed:
    """A contract as the ledger holds it; ``signed`` and ``withdrawn`` are when this party did either."""

    contract: Contract
    raw: bytes
    digest: bytes
    signed: datetime | None
    withdrawn: datetime | None


@dataclass(frozen=True)
class Head:
    """The last state of an instance's log that this party saw signed and held against its own copy."""

    instance: bytes
    size: int
    root: bytes
    checkpoint: bytes


@dataclass(frozen=True)
class Activated:
    """The instance that this party chose, its receipt key, and the envelope it signed."""

    instance: bytes
    receipt_key: VerifyingKey
    envelope: bytes


@dataclass(frozen=True)
class Uploaded:
    """An upload this party began; ``commitment`` is None until its last chunk was sealed."""

    upload: bytes
    dataset: str
    header: bytes
    data_key: bytes = field(repr=False)
    commitment: bytes | None
    loaded: bool


@dataclass(frozen=True)
class Permitted:
    """A permit this party signed."""

    run: int
    instance: bytes
    computation: str
    parameters: Mapping[str, str]
    unattended: bool
    envelope: bytes


@dataclass(frozen=True)
class Result:
    """A result this party opened, with its receipt; ``shown`` is the time that others vouch for in it, if any."""

    run: int
    computation: str
    receipt: bytes
    release: bytes
    time: datetime
    shown: datetime | None = None


@dataclass(frozen=True)
class Event:
    """Something that happened, for people: a kind and plain data, never a value of anybody's rows."""

    number: int
    time: datetime
    contract: bytes | None
    kind: str
    data: Mapping[str, object]


class Ledger:
    """The record of one party; one process at a time, any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._changed = threading.Condition()
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
        with self._changed:
            self._changed.notify_all()

    # --- contracts -----------------------------------------------------------------------------------------------

    def add_contract(self, raw: bytes, *, at: datetime) -> Agreed:
        """Remember a contract, whose bytes were parsed; the same bytes again change nothing."""
        contract = parse_contract(raw)
        supersedes = None if contract.supersedes is None else bytes.fromhex(contract.supersedes)
        self._write(
            "INSERT OR IGNORE INTO contract VALUES (?, ?, ?, ?, NULL, NULL)",
            sha256(raw), raw, supersedes, format_time(at),
        )  # fmt: skip
        return self.contract(sha256(raw))

    def contract(self, digest: bytes) -> Agreed:
        """Return a contract by digest, or raise ``OutOfOrder``."""
        row = self._one("SELECT * FROM contract WHERE digest = ?", digest)
        if row is None:
            raise OutOfOrder(
                "ledger.contract.unknown", "this party does not hold that contract", why="it was never added",
                remedy="add it with `sealroom contract add FILE`", field="contract", found=digest.hex(),
            )  # fmt: skip
        return _agreed(row)

    def contracts(self) -> tuple[Agreed, ...]:
        """Return every contract, latest added last."""
        return tuple(_agreed(row) for row in self._all("SELECT * FROM contract ORDER BY rowid"))

    def successor(self, digest: bytes) -> Agreed | None:
        """Return a contract that this party signed and that supersedes ``digest``, or None."""
        row = self._one("SELECT * FROM contract WHERE supersedes = ? AND signed IS NOT NULL", digest)
        return None if row is None else _agreed(row)

    def mark_signed(self, digest: bytes, *, at: datetime) -> None:
        """Note that this party signed the contract."""
        self._write("UPDATE contract SET signed = ? WHERE digest = ? AND signed IS NULL", format_time(at), digest)

    def add_consents(self, digest: bytes, envelopes: Iterable[bytes]) -> None:
        """Keep consents of parties, which were verified."""
        with self.transaction():
            for envelope in envelopes:
                self._write("INSERT OR IGNORE INTO consent VALUES (?, ?)", digest, envelope)

    def consents(self, digest: bytes) -> tuple[bytes, ...]:
        """Return the consents held for a contract."""
        return tuple(row["envelope"] for row in self._all("SELECT envelope FROM consent WHERE contract = ?", digest))

    def add_withdrawal(self, digest: bytes, envelope: bytes, *, at: datetime) -> None:
        """Note that this party withdrew; from now on it signs nothing under the contract."""
        with self.transaction():
            self._write("INSERT OR IGNORE INTO withdrawal VALUES (?, ?, NULL)", digest, envelope)
            self._write("UPDATE contract SET withdrawn = ? WHERE digest = ?", format_time(at), digest)

    def undelivered_withdrawal(self, digest: bytes) -> bytes | None:
        """Return the withdrawal that the coordinator has not taken yet, or None."""
        row = self._one("SELECT envelope FROM withdrawal WHERE contract = ? AND delivered IS NULL", digest)
        return None if row is None else bytes(row["envelope"])

    def withdrawal_delivered(self, digest: bytes, *, at: datetime) -> None:
        """Note that the coordinator took the withdrawal."""
        self._write("UPDATE withdrawal SET delivered = ? WHERE contract = ?", format_time(at), digest)

    # --- instances and their log ---------------------------------------------------------------------------------

    def add_appraisal(
        self, digest: bytes, *, instance: bytes, purpose: str, at: datetime, not_after: datetime, transcript: bytes,
        format: str, evidence: bytes, endorsements: Iterable[bytes], checks: Iterable[Mapping[str, object]],  # noqa: A002 - the evidence's own word
    ) -> None:  # fmt: skip
        """Keep an appraisal that passed, with the evidence, so that it can be verified again."""
        self._write(
            "INSERT INTO appraisal VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            digest, instance, purpose, format_time(at), format_time(not_after), transcript, format, evidence,
            json.dumps([endorsement.hex() for endorsement in endorsements]), json.dumps(list(checks)),
        )  # fmt: skip

    def appraisals(self, digest: bytes) -> tuple[Mapping[str, object], ...]:
        """Return the appraisals under a contract as plain data, latest last, without the raw evidence."""
        columns = "instance, purpose, time, not_after, format, checks"
        rows = self._all(f"SELECT {columns} FROM appraisal WHERE contract = ? ORDER BY number", digest)  # noqa: S608
        return tuple(
            {**dict(row), "instance": row["instance"].hex(), "checks": json.loads(row["checks"])} for row in rows
        )

    def activation(self, digest: bytes) -> Activated | None:
        """Return the one instance that is active for a contract, or None."""
        row = self._one("SELECT * FROM activation WHERE contract = ? ORDER BY number DESC LIMIT 1", digest)
        return None if row is None else Activated(row["instance"], VerifyingKey(row["receipt_key"]), row["envelope"])

    def was_active(self, digest: bytes, instance: bytes) -> bool:
        """Tell whether the instance is or was this party's choice."""
        return self._one("SELECT 1 FROM activation WHERE contract = ? AND instance = ?", digest, instance) is not None

    def add_activation(self, digest: bytes, activated: Activated, *, at: datetime) -> None:
        """Note a choice of instance; it replaces the one before."""
        self._write(
            "INSERT INTO activation SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM activation"
            " WHERE contract = ?1",
            digest, activated.instance, activated.receipt_key.raw, activated.envelope, format_time(at),
        )  # fmt: skip

    def head(self, digest: bytes) -> Head | None:
        """Return the last state of the contract's log that this party saw, or None."""
        row = self._one("SELECT * FROM head WHERE contract = ?", digest)
        return None if row is None else Head(row["instance"], row["size"], row["root"], row["checkpoint"])

    def leaves(self, digest: bytes) -> tuple[bytes, ...]:
        """Return this party's own copy of the contract's log."""
        return tuple(
            row["leaf"] for row in self._all("SELECT leaf FROM leaf WHERE contract = ? ORDER BY position", digest)
        )

    def extend(
        self, digest: bytes, receipt_key: VerifyingKey, *, leaves: tuple[bytes, ...], proof: tuple[bytes, ...],
        checkpoint: bytes,
    ) -> Head:  # fmt: skip
        """Take the log's news, from the size of the last head on, and return the new head.

        ``Untrusted`` unless the checkpoint is by the instance of ``receipt_key``, the consistency proof holds from
        the last head, and the leaves make exactly that root.
        """
        instance = sha256(receipt_key.raw)
        with self.transaction():
            known = self.head(digest)
            old = (known.size, known.root) if known else (0, EMPTY_ROOT)
            signed = verify_checkpoint(
                checkpoint, contract=digest.hex(), instance=instance.hex(), keys=(receipt_key,)
            ).checkpoint
            root = bytes.fromhex(signed.root)
            _require_extension(old, signed)
            verify_consistency(old[0], old[1], signed.size, root, proof)
            log = Log((*self.leaves(digest), *leaves))
            if log.size != signed.size or log.root() != root:
                raise _rewritten("its leaves do not make the root that it signed")
            for position, leaf in enumerate(leaves, start=old[0]):
                self._write("INSERT INTO leaf VALUES (?, ?, ?)", digest, position, leaf)
            self._write(
                "INSERT OR REPLACE INTO head VALUES (?, ?, ?, ?, ?)", digest, instance, signed.size, root, checkpoint
            )
        return Head(instance, signed.size, root, checkpoint)

    # --- uploads and shares --------------------------------------------------------------------------------------

    def add_upload(self, digest: bytes, upload: Uploaded, *, at: datetime) -> None:
        """Keep the header and data key of an upload before its first chunk leaves."""
        self._write(
            "INSERT INTO upload VALUES (?, ?, ?, ?, ?, NULL, NULL, ?)",
            upload.upload, digest, upload.dataset, upload.header, upload.data_key, format_time(at),
        )  # fmt: skip

    def commit_upload(self, upload: bytes, commitment: bytes) -> None:
        """Keep the commitment that this party signed for an upload."""
        self._write("UPDATE upload SET commitment = ? WHERE upload = ?", commitment, upload)

    def upload_loaded(self, upload: bytes, *, at: datetime) -> None:
        """Note that the enclave holds the rows of an upload."""
        self._write("UPDATE upload SET loaded = ? WHERE upload = ? AND loaded IS NULL", format_time(at), upload)

    def upload(self, upload: bytes) -> Uploaded | None:
        """Return an upload by its id, or None."""
        row = self._one("SELECT * FROM upload WHERE upload = ?", upload)
        return None if row is None else _uploaded(row)

    def uploads(self, digest: bytes) -> tuple[Uploaded, ...]:
        """Return this party's uploads under a contract, latest last."""
        return tuple(
            _uploaded(row) for row in self._all("SELECT * FROM upload WHERE contract = ? ORDER BY rowid", digest)
        )

    def drop_keys(self, digest: bytes) -> None:
        """Forget the data keys and the share of a contract that has ended; the ciphertext stays closed for good."""
        with self.transaction():
            self._write("UPDATE upload SET data_key = x'' WHERE contract = ?", digest)
            self._write("DELETE FROM share WHERE contract = ?", digest)
        with self._lock:
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def add_share(self, digest: bytes, share: bytes) -> None:
        """Keep this party's share of the state key."""
        self._write("INSERT OR REPLACE INTO share VALUES (?, ?)", digest, share)

    def share(self, digest: bytes) -> bytes | None:
        """Return this party's share of the state key, or None."""
        row = self._one("SELECT share FROM share WHERE contract = ?", digest)
        return None if row is None else bytes(row["share"])

    # --- permits and results -------------------------------------------------------------------------------------

    def add_permit(self, digest: bytes, permit: Permitted, *, at: datetime) -> None:
        """Note a permit before it leaves."""
        self._write(
            "INSERT INTO permit VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            digest, permit.run, permit.instance, permit.computation,
            json.dumps(dict(permit.parameters), sort_keys=True),
            int(permit.unattended), permit.envelope, format_time(at),
        )  # fmt: skip

    def permits(self, digest: bytes) -> tuple[Permitted, ...]:
        """Return every permit under a contract, latest last."""
        rows = self._all("SELECT * FROM permit WHERE contract = ? ORDER BY rowid", digest)
        return tuple(
            Permitted(
                row["run"], row["instance"], row["computation"], json.loads(row["parameters"]), bool(row["unattended"]),
                row["envelope"],
            )
            for row in rows
        )  # fmt: skip

    def add_result(self, digest: bytes, result: Result) -> None:
        """Keep an opened result with its receipt."""
        self._write(
            "INSERT OR IGNORE INTO result VALUES (?, ?, ?, ?, ?, ?, ?)",
            digest, result.run, result.computation, result.receipt, result.release, format_time(result.time),
            None if result.shown is None else format_time(result.shown),
        )  # fmt: skip

    def renew_receipt(self, digest: bytes, run: int, receipt: bytes, *, shown: datetime) -> None:
        """Keep the receipt of a result that shows a time, in the place of one that shows none."""
        self._write(
            "UPDATE result SET receipt = ?, shown = ? WHERE contract = ? AND run = ? AND shown IS NULL",
            receipt, format_time(shown), digest, run,
        )  # fmt: skip

    def results(self, digest: bytes) -> tuple[Result, ...]:
        """Return the results received under a contract, by run."""
        rows = self._all("SELECT * FROM result WHERE contract = ? ORDER BY run", digest)
        return tuple(
            Result(
                row["run"],
                row["computation"],
                row["receipt"],
                row["release"],
                parse_time(row["time"]),
                None if row["shown"] is None else parse_time(row["shown"]),
            )
            for row in rows
        )

    # --- events --------------------------------------------------------------------------------------------------

    def record(self, kind: str, *, at: datetime, contract: bytes | None = None, **data: object) -> None:
        """Write an event for people to read."""
        self._write(
            "INSERT INTO event VALUES (NULL, ?, ?, ?, ?)",
            format_time(at),
            contract,
            kind,
            json.dumps(data, sort_keys=True),
        )

    def events(self, after: int = 0, *, limit: int = 1000, wait_seconds: float = 0) -> tuple[Event, ...]:
        """Return events later than number ``after``, waiting up to ``wait_seconds`` for the first."""
        query = "SELECT * FROM event WHERE number > ? ORDER BY number LIMIT ?"
        with self._changed:
            rows = self._all(query, after, limit)
            if not rows and wait_seconds > 0 and self._changed.wait(wait_seconds):
                rows = self._all(query, after, limit)
        return tuple(
            Event(row["number"], parse_time(row["time"]), row["contract"], row["kind"], json.loads(row["data"]))
            for row in rows
        )

    # --- the file ------------------------------------------------------------------------------------------------

    def _one(self, query: str, *values: object) -> sqlite3.Row | None:
        with self._lock:
            row: sqlite3.Row | None = self._database.execute(query, values).fetchone()
            return row

    def _all(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def _write(self, statement: str, *values: object) -> None:
        with self.transaction():
            self._database.execute(statement, values)


def _agreed(row: sqlite3.Row) -> Agreed:
    signed, withdrawn = (None if row[name] is None else parse_time(row[name]) for name in ("signed", "withdrawn"))
    return Agreed(_parsed(row["raw"]), row["raw"], row["digest"], signed, withdrawn)


@lru_cache(maxsize=16)
def _parsed(raw: bytes) -> Contract:
    """Parse a contract once: it is looked at in every step, and its questions take long to read."""
    return parse_contract(raw)


def _uploaded(row: sqlite3.Row) -> Uploaded:
    return Uploaded(
        row["upload"], row["dataset"], row["header"], row["data_key"], row["commitment"], row["loaded"] is not None
    )


def _require_extension(old: tuple[int, bytes], signed: Checkpoint) -> None:
    if signed.size < old[0]:
        raise Untrusted(
            "log.rolled_back", "the coordinator's log is shorter than it was", why="its folder was set back",
            remedy="permit nothing; ask who runs it for the folder as it last was", field="size",
            expected=f"at least {old[0]}", found=str(signed.size),
        )  # fmt: skip


def _rewritten(why: str) -> Untrusted:
    return Untrusted(
        "log.rewritten", "the coordinator's log is not the one it was", why=why,
        remedy="permit nothing; compare checkpoints with the other parties",
    )  # fmt: skip
