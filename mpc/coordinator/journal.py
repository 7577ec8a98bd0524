"""The contract's log as this instance keeps it, and the session that it adds up to.

An event is taken in three steps, in this order: the session allows it, it is on stable storage, everybody may know of
it. Nothing else is remembered of the contract's life: what is asked later is read from the session, or from the leaves.
"""

import threading
from collections.abc import Iterable
from functools import reduce
from typing import TypeVar

from mpc.contract.statements import Checkpoint
from mpc.coordinator.state import StateFolder
from mpc.errors import Refusal, Untrusted
from mpc.receipts.leaves import Leaf, leaf_bytes, parse_leaf
from mpc.receipts.log import Log, sign_checkpoint
from mpc.session import Session, Terms, advance, replay
from mpc.signing import SigningKey

L = TypeVar("L", bound=Leaf)
_BEFORE_ANY_SIGNED_TIME = "1970-01-01T00:00:00Z"


class Journal:
    """Appends leaves and tells who waits. One lock guards log and session; ``changed`` wakes whoever waits on it.

    Raises ``Untrusted`` for a folder whose leaves are no life of the contract with these ``terms``.
    """

    def __init__(self, state: StateFolder, key: SigningKey, terms: Terms) -> None:
        self.state = state
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.changes = 0
        self.is_closing = False
        raws = state.leaves()
        self.session = replayed(terms, raws)
        self.log = Log(raws)
        self._leaves: list[Leaf] = list(map(parse_leaf, raws))
        self._key = key
        self._signed: tuple[int, bytes] = (-1, b"")

    def begin_anew(self) -> None:
        """Drop the leaves of a first boot that ended before anybody was told of one."""
        with self.lock:
            self.state.begin_log()
            self.session, self.log, self._leaves = Session(self.session.terms), Log(), []

    def check(self, *leaves: Leaf) -> Session:
        """Return the session after ``leaves``, or refuse as ``append`` would; nothing changes."""
        return reduce(advance, leaves, self.session)

    def append(self, *leaves: Leaf, statements: Iterable[bytes] = ()) -> None:
        """Bring ``leaves``, and before them the signed ``statements`` that they name, to storage; tell who waits.

        An event that the session does not allow refuses all of them, and neither disk nor memory changes.
        """
        with self.changed:
            session = self.check(*leaves)
            raws = tuple(map(leaf_bytes, leaves))
            for statement in statements:
                self.state.keep_envelope(statement)
            self.state.append(raws)
            for raw in raws:
                self.log.append(raw)
            self._leaves += leaves
            self.session = session
            self.touch()

    def touch(self) -> None:
        """Tell who waits that something changed that is no leaf."""
        with self.changed:
            self.changes += 1
            self.changed.notify_all()

    def end_waits(self) -> None:
        """Let nobody wait for a change any more: this process ends."""
        with self.changed:
            self.is_closing = True
            self.changed.notify_all()

    def leaves(self, kind: type[L], **fields: object) -> list[tuple[int, L]]:
        """Return each leaf of ``kind`` whose ``fields`` are these, with its index, in the log's order."""
        return [
            (index, leaf)
            for index, leaf in enumerate(self._leaves)
            if isinstance(leaf, kind) and all(getattr(leaf, name) == value for name, value in fields.items())
        ]

    def checkpoint(self) -> bytes:
        """Return the instance's signature on the head of the log."""
        with self.lock:
            size, envelope = self._signed
            if size != self.log.size:
                envelope = sign_checkpoint(self.state_of(self.log), self._key)
                self._signed = (self.log.size, envelope)
            return envelope

    def state_of(self, log: Log) -> Checkpoint:
        """Return what a checkpoint of ``log`` says; its time is the latest that anybody signed."""
        return Checkpoint(
            contract=self.session.terms.contract,
            instance=self._key.public.keyid,
            size=log.size,
            root=log.root().hex(),
            time=self.session.time or _BEFORE_ANY_SIGNED_TIME,
        )

    def require_extends(self, size: int, root: str, what: str) -> None:
        """Refuse when the log that somebody saw, of ``size`` with ``root``, is not one that this log extends."""
        with self.lock:
            known = size <= self.log.size and self.log.root(size).hex() == root
        if not known:
            raise Untrusted(
                "log.fork", f"the {what} speaks of a log that this one does not extend",
                why="the coordinator's state was rolled back or copied, or this is another instance",
                remedy="permit nothing; compare checkpoints with the other parties, restore the latest folder",
                field="log_root",
            )  # fmt: skip


def hypothetical(log: Log, leaves: Iterable[Leaf]) -> Log:
    """Return the log as it will be once ``leaves`` are appended."""
    return Log((*log.leaves(), *map(leaf_bytes, leaves)))


def replayed(terms: Terms, raws: list[bytes]) -> Session:
    """Return the session that the leaves of a folder add up to, or raise ``Untrusted``."""
    try:
        return replay(terms, raws)
    except Refusal as refusal:
        raise Untrusted(
            "state.log", "the log in the state folder tells of events that cannot have happened",
            why=f"{refusal.what}: {refusal.why}", remedy="restore the folder as the coordinator wrote it",
            field="--state",
        ) from None  # fmt: skip
