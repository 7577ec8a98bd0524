"""What the ledger remembers, and the one comparison that it makes: a log must go on where it last stood."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from mpc.canonical import format_time, parse_time, sha256
from mpc.contract.document import parse_contract
from mpc.contract.statements import Checkpoint
from mpc.contract.terms import Contract
from mpc.errors import OutOfOrder, Untrusted
from mpc.receipts.leaves import DestructionLeaf, WithdrawalLeaf, parse_leaf
from mpc.receipts.log import EMPTY_ROOT, Log, verify_checkpoint, verify_consistency
from mpc.signing import VerifyingKey
from parties.ledger.database import Database
from parties.ledger.records import Activated, Agreed, Ended, Event, Head, Permitted, Result, Uploaded


class Ledger:
    """The record of one party; one process at a time, any thread."""

    def __init__(self, path: Path) -> None:
        self._file = Database(path)

    def close(self) -> None:
        """Close the file; nothing may be asked afterwards."""
        self._file.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Make what is asked and written within one step that happens whole or not at all; may be nested."""
        return self._file.transaction()

    # --- contracts -----------------------------------------------------------------------------------------------

    def add_contract(self, raw: bytes, *, at: datetime) -> Agreed:
        """Remember a contract, whose bytes were parsed; the same bytes again change nothing."""
        contract = parse_contract(raw)
        supersedes = None if contract.supersedes is None else bytes.fromhex(contract.supersedes.contract)
        self._file.write(
            "INSERT OR IGNORE INTO contract VALUES (?, ?, ?, ?, NULL, NULL)",
            sha256(raw), raw, supersedes, format_time(at),
        )  # fmt: skip
        return self.contract(sha256(raw))

    def contract(self, digest: bytes) -> Agreed:
        """Return a contract by digest, or raise ``OutOfOrder``."""
        row = self._file.one("SELECT * FROM contract WHERE digest = ?", digest)
        if row is None:
            raise OutOfOrder(
                "ledger.contract.unknown", "this party does not hold that contract", why="it was never added",
                remedy="add it with `sealroom contract add FILE`", field="contract", found=digest.hex(),
            )  # fmt: skip
        return _agreed(row)

    def predecessor(self, contract: Contract) -> Agreed | None:
        """Return the contract whose history ``contract`` takes over, if this party signed it; else None."""
        digest = contract.predecessor
        if digest is None:
            return None
        query = "SELECT * FROM contract WHERE digest = ? AND signed IS NOT NULL"
        row = self._file.one(query, bytes.fromhex(digest))
        return None if row is None else _agreed(row)

    def contracts(self) -> tuple[Agreed, ...]:
        """Return every contract, latest added last."""
        return tuple(_agreed(row) for row in self._file.all("SELECT * FROM contract ORDER BY rowid"))

    def successor(self, digest: bytes) -> Agreed | None:
        """Return the contract that this party signed last of those that supersede ``digest``, or None."""
        latest = "ORDER BY signed DESC, rowid DESC LIMIT 1"
        row = self._file.one(f"SELECT * FROM contract WHERE supersedes = ? AND signed IS NOT NULL {latest}", digest)  # noqa: S608
        return None if row is None else _agreed(row)

    def mark_signed(self, digest: bytes, *, at: datetime) -> None:
        """Note that this party signed the contract."""
        self._file.write("UPDATE contract SET signed = ? WHERE digest = ? AND signed IS NULL", format_time(at), digest)

    def add_consents(self, digest: bytes, envelopes: Iterable[bytes]) -> None:
        """Keep consents of parties, which were verified."""
        with self.transaction():
            for envelope in envelopes:
                self._file.write("INSERT OR IGNORE INTO consent VALUES (?, ?)", digest, envelope)

    def consents(self, digest: bytes) -> tuple[bytes, ...]:
        """Return the consents held for a contract."""
        return tuple(
            row["envelope"] for row in self._file.all("SELECT envelope FROM consent WHERE contract = ?", digest)
        )

    def add_withdrawal(self, digest: bytes, envelope: bytes, *, at: datetime) -> None:
        """Note that this party withdrew; from now on it signs nothing under the contract."""
        with self.transaction():
            self._file.write("INSERT OR IGNORE INTO withdrawal VALUES (?, ?, NULL)", digest, envelope)
            self._file.write("UPDATE contract SET withdrawn = ? WHERE digest = ?", format_time(at), digest)

    def undelivered_withdrawal(self, digest: bytes) -> bytes | None:
        """Return the withdrawal that the coordinator has not taken yet, or None."""
        row = self._file.one("SELECT envelope FROM withdrawal WHERE contract = ? AND delivered IS NULL", digest)
        return None if row is None else bytes(row["envelope"])

    def withdrawal_delivered(self, digest: bytes, *, at: datetime) -> None:
        """Note that the coordinator took the withdrawal."""
        self._file.write("UPDATE withdrawal SET delivered = ? WHERE contract = ?", format_time(at), digest)

    # --- instances and their log ---------------------------------------------------------------------------------

    def add_appraisal(
        self, digest: bytes, *, instance: bytes, purpose: str, at: datetime, not_after: datetime, transcript: bytes,
        format: str, evidence: bytes, endorsements: Iterable[bytes], checks: Iterable[Mapping[str, object]],  # noqa: A002 - the evidence's own word
    ) -> None:  # fmt: skip
        """Keep an appraisal that passed, with the evidence, so that it can be verified again."""
        self._file.write(
            "INSERT INTO appraisal VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            digest, instance, purpose, format_time(at), format_time(not_after), transcript, format, evidence,
            json.dumps([endorsement.hex() for endorsement in endorsements]), json.dumps(list(checks)),
        )  # fmt: skip

    def appraisals(self, digest: bytes) -> tuple[Mapping[str, object], ...]:
        """Return the appraisals under a contract as plain data, latest last, without the raw evidence."""
        columns = "instance, purpose, time, not_after, format, checks"
        rows = self._file.all(f"SELECT {columns} FROM appraisal WHERE contract = ? ORDER BY number", digest)  # noqa: S608
        return tuple(
            {**dict(row), "instance": row["instance"].hex(), "checks": json.loads(row["checks"])} for row in rows
        )

    def activation(self, digest: bytes) -> Activated | None:
        """Return the one instance that is active for a contract, or None."""
        row = self._file.one("SELECT * FROM activation WHERE contract = ? ORDER BY number DESC LIMIT 1", digest)
        return None if row is None else Activated(row["instance"], VerifyingKey(row["receipt_key"]), row["envelope"])

    def was_active(self, digest: bytes, instance: bytes) -> bool:
        """Tell whether the instance is or was this party's choice."""
        return (
            self._file.one("SELECT 1 FROM activation WHERE contract = ? AND instance = ?", digest, instance) is not None
        )

    def add_activation(self, digest: bytes, activated: Activated, *, at: datetime) -> None:
        """Note a choice of instance; it replaces the one before."""
        self._file.write(
            "INSERT INTO activation SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM activation"
            " WHERE contract = ?1",
            digest, activated.instance, activated.receipt_key.raw, activated.envelope, format_time(at),
        )  # fmt: skip

    def head(self, digest: bytes) -> Head | None:
        """Return the last state of the contract's log that this party saw, or None."""
        row = self._file.one("SELECT * FROM head WHERE contract = ?", digest)
        return None if row is None else Head(row["instance"], row["size"], row["root"], row["checkpoint"])

    def leaves(self, digest: bytes) -> tuple[bytes, ...]:
        """Return this party's own copy of the contract's log."""
        return tuple(
            row["leaf"] for row in self._file.all("SELECT leaf FROM leaf WHERE contract = ? ORDER BY position", digest)
        )

    def ended(self, digest: bytes) -> Ended | None:
        """Return how the contract ended, as its log says in the copy held here; None when it goes on."""
        rows = self._file.all("SELECT leaf FROM leaf WHERE contract = ? ORDER BY position DESC LIMIT 2", digest)
        last = [parse_leaf(row["leaf"]) for row in rows]
        left = next((leaf.party for leaf in last if isinstance(leaf, WithdrawalLeaf)), None)
        destroyed = next((leaf.reason for leaf in last if isinstance(leaf, DestructionLeaf)), None)
        reason = "withdrawn" if left else destroyed
        return None if reason is None else Ended(reason, left)

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
                self._file.write("INSERT INTO leaf VALUES (?, ?, ?)", digest, position, leaf)
            self._file.write(
                "INSERT OR REPLACE INTO head VALUES (?, ?, ?, ?, ?)", digest, instance, signed.size, root, checkpoint
            )
        return Head(instance, signed.size, root, checkpoint)

    # --- uploads and shares --------------------------------------------------------------------------------------

    def add_upload(self, digest: bytes, upload: Uploaded, *, at: datetime) -> None:
        """Keep the header and data key of an upload before its first chunk leaves."""
        self._file.write(
            "INSERT INTO upload VALUES (?, ?, ?, ?, ?, NULL, NULL, ?)",
            upload.upload, digest, upload.dataset, upload.header, upload.data_key, format_time(at),
        )  # fmt: skip

    def commit_upload(self, upload: bytes, commitment: bytes) -> None:
        """Keep the commitment that this party signed for an upload."""
        self._file.write("UPDATE upload SET commitment = ? WHERE upload = ?", commitment, upload)

    def upload_loaded(self, upload: bytes, *, at: datetime) -> None:
        """Note that the enclave holds the rows of an upload."""
        self._file.write("UPDATE upload SET loaded = ? WHERE upload = ? AND loaded IS NULL", format_time(at), upload)

    def upload(self, upload: bytes) -> Uploaded | None:
        """Return an upload by its id, or None."""
        row = self._file.one("SELECT * FROM upload WHERE upload = ?", upload)
        return None if row is None else _uploaded(row)

    def uploads(self, digest: bytes) -> tuple[Uploaded, ...]:
        """Return this party's uploads under a contract, latest last."""
        return tuple(
            _uploaded(row) for row in self._file.all("SELECT * FROM upload WHERE contract = ? ORDER BY rowid", digest)
        )

    def drop_keys(self, digest: bytes, *, keep_share: bool = False) -> None:
        """Forget the data keys of a contract that has ended: the ciphertext stays closed for good. And its share,
        unless it is kept for a successor that may take over the history.
        """  # noqa: D205
        with self.transaction():
            self._file.write("UPDATE upload SET data_key = x'' WHERE contract = ?", digest)
            if not keep_share:
                self._file.write("DELETE FROM share WHERE contract = ?", digest)
        self._file.forget_past()

    def add_share(self, digest: bytes, share: bytes) -> None:
        """Keep this party's share of the state key."""
        self._file.write("INSERT OR REPLACE INTO share VALUES (?, ?)", digest, share)

    def share(self, digest: bytes) -> bytes | None:
        """Return this party's share of the state key, or None."""
        row = self._file.one("SELECT share FROM share WHERE contract = ?", digest)
        return None if row is None else bytes(row["share"])

    # --- permits and results -------------------------------------------------------------------------------------

    def add_permit(self, digest: bytes, permit: Permitted, *, at: datetime) -> None:
        """Note a permit before it leaves."""
        self._file.write(
            "INSERT INTO permit VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            digest, permit.run, permit.instance, permit.computation,
            json.dumps(dict(permit.parameters), sort_keys=True),
            int(permit.unattended), permit.envelope, format_time(at),
        )  # fmt: skip

    def permits(self, digest: bytes) -> tuple[Permitted, ...]:
        """Return every permit under a contract, latest last."""
        rows = self._file.all("SELECT * FROM permit WHERE contract = ? ORDER BY rowid", digest)
        return tuple(
            Permitted(
                row["run"], row["instance"], row["computation"], json.loads(row["parameters"]), bool(row["unattended"]),
                row["envelope"],
            )
            for row in rows
        )  # fmt: skip

    def add_result(self, digest: bytes, result: Result) -> None:
        """Keep an opened result with its receipt."""
        self._file.write(
            "INSERT OR IGNORE INTO result VALUES (?, ?, ?, ?, ?, ?, ?)",
            digest, result.run, result.computation, result.receipt, result.release, format_time(result.time),
            None if result.shown is None else format_time(result.shown),
        )  # fmt: skip

    def renew_receipt(self, digest: bytes, run: int, receipt: bytes, *, shown: datetime) -> None:
        """Keep the receipt of a result that shows a time, in the place of one that shows none."""
        self._file.write(
            "UPDATE result SET receipt = ?, shown = ? WHERE contract = ? AND run = ? AND shown IS NULL",
            receipt, format_time(shown), digest, run,
        )  # fmt: skip

    def results(self, digest: bytes) -> tuple[Result, ...]:
        """Return the results received under a contract, by run."""
        rows = self._file.all("SELECT * FROM result WHERE contract = ? ORDER BY run", digest)
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
        self._file.write(
            "INSERT INTO event VALUES (NULL, ?, ?, ?, ?)",
            format_time(at),
            contract,
            kind,
            json.dumps(data, sort_keys=True),
        )

    def events(self, after: int = 0, *, limit: int = 1000, wait_seconds: float = 0) -> tuple[Event, ...]:
        """Return events later than number ``after``, waiting up to ``wait_seconds`` for the first."""
        query = "SELECT * FROM event WHERE number > ? ORDER BY number LIMIT ?"
        with self._file.changed:
            rows = self._file.all(query, after, limit)
            if not rows and wait_seconds > 0 and self._file.changed.wait(wait_seconds):
                rows = self._file.all(query, after, limit)
        return tuple(
            Event(row["number"], parse_time(row["time"]), row["contract"], row["kind"], json.loads(row["data"]))
            for row in rows
        )


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
        raise rolled_back(old[0], str(signed.size))


def rolled_back(seen: int, found: str) -> Untrusted:
    """Return the refusal of a log that is shorter than the ``seen`` leaves of it."""
    return Untrusted(
        "log.rolled_back", "the coordinator's log is shorter than it was",
        why="its folder is an older one, or a copy that was taken earlier",
        remedy="permit nothing; ask who runs it to start it on the folder as it last was", field="size",
        expected=f"at least {seen}", found=found,
    )  # fmt: skip


def _rewritten(why: str) -> Untrusted:
    return Untrusted(
        "log.rewritten", "the coordinator's log is not the one it was", why=why,
        remedy="permit nothing; compare checkpoints with the other parties",
    )  # fmt: skip
