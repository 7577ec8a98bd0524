"""The contract's log as this instance keeps it: every event on disk before anybody is told of it, and read back.

``Facts`` is what the leaves add up to for the coordinator's own questions (who activated this boot, which upload is
current, what a run still wants). It is rebuilt from the leaves alone, so a restart knows what the last boot knew.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from mpc.canonical import format_time, parse_time
from mpc.contract.statements import Checkpoint
from mpc.coordinator.state import StateFolder
from mpc.errors import Untrusted
from mpc.receipts.leaves import (
    ActivationLeaf,
    AttestedLeaf,
    ConsentLeaf,
    ContractLeaf,
    DestructionLeaf,
    Leaf,
    PermitLeaf,
    ReleaseLeaf,
    RestartLeaf,
    RewrapLeaf,
    RunLeaf,
    ShareLeaf,
    UploadLeaf,
    WithdrawalLeaf,
    leaf_bytes,
    parse_leaf,
)
from mpc.receipts.log import Log, sign_checkpoint
from mpc.signing import SigningKey


@dataclass
class RunFacts:
    """One run, as the log tells it; ``permits`` are those on the current instance, by party."""

    leaf: RunLeaf
    index: int
    permits: dict[str, PermitLeaf] = field(default_factory=dict)
    release: ReleaseLeaf | None = None
    release_index: int = -1


@dataclass
class Facts:
    """What the leaves so far add up to."""

    contract: str = ""
    instance: str = ""
    instances: int = 0
    activations: dict[str, ActivationLeaf] = field(default_factory=dict)
    shares_taken: dict[str, ShareLeaf] = field(default_factory=dict)
    shares_returned: set[str] = field(default_factory=set)
    uploads: dict[tuple[str, str], list[UploadLeaf]] = field(default_factory=dict)
    runs: dict[int, RunFacts] = field(default_factory=dict)
    withdrawn: list[str] = field(default_factory=list)
    destroyed: DestructionLeaf | None = None
    latest: datetime | None = None

    @property
    def releases(self) -> int:
        """How many runs have ended."""
        return sum(run.release is not None for run in self.runs.values())

    def active(self, party: str) -> bool:
        """Tell whether ``party`` activated the current instance."""
        activation = self.activations.get(party)
        return activation is not None and activation.instance == self.instance

    def current(self, dataset: str, owner: str) -> UploadLeaf | None:
        """Return the latest whole upload of an owner, or None."""
        uploads = self.uploads.get((dataset, owner))
        return uploads[-1] if uploads else None

    def learn(self, leaf: Leaf, index: int) -> None:  # noqa: C901 - one case a kind of leaf
        """Take in the next leaf."""
        match leaf:
            case ContractLeaf():
                self.contract = leaf.contract
            case ConsentLeaf() | RewrapLeaf():
                pass
            case AttestedLeaf():
                self.instance = leaf.instance
                self.instances += 1
            case RestartLeaf():
                self._forget_instance(leaf)
            case ActivationLeaf():
                self.activations[leaf.party] = leaf
                self._learn_time(leaf.time)
            case ShareLeaf():
                self._learn_share(leaf)
            case UploadLeaf():
                self.uploads.setdefault((leaf.dataset, leaf.owner), []).append(leaf)
            case RunLeaf():
                self.runs[leaf.run] = RunFacts(leaf, index)
            case PermitLeaf():
                self.runs[leaf.run].permits[leaf.party] = leaf
                self._learn_time(leaf.time)
            case ReleaseLeaf():
                self.runs[leaf.run].release = leaf
                self.runs[leaf.run].release_index = index
            case WithdrawalLeaf():
                self.withdrawn.append(leaf.party)
            case DestructionLeaf():
                self.destroyed = leaf

    def _forget_instance(self, leaf: RestartLeaf) -> None:
        self.instance = leaf.instance
        self.shares_returned.clear()
        if not self.runs:  # then there is no history yet, and the new instance draws a new key
            self.shares_taken.clear()
        for run in self.runs.values():
            if run.release is None:
                run.permits.clear()

    def _learn_share(self, leaf: ShareLeaf) -> None:
        if leaf.given == "to_owner":
            self.shares_taken[leaf.party] = leaf
        else:
            self.shares_returned.add(leaf.party)

    def _learn_time(self, time: str) -> None:
        signed = parse_time(time)
        self.latest = signed if self.latest is None else max(self.latest, signed)


class Journal:
    """Appends leaves and tells who waits. One lock guards log and facts; ``changed`` wakes whoever waits on it.

    ``allow`` sees each leaf before it is written and raises a refusal for one that the session does not allow.
    """

    def __init__(self, state: StateFolder, key: SigningKey, allow: Callable[[Leaf], None] = lambda _: None) -> None:
        self.state = state
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.changes = 0
        self.log = Log()
        self.facts = Facts()
        self._key = key
        self._allow = allow
        self._signed: tuple[int, bytes] = (-1, b"")
        for raw in state.leaves():
            self._take_in(raw, parse_leaf(raw))

    def append(self, *leaves: Leaf) -> None:
        """Bring ``leaves`` to stable storage, then into memory, then tell who waits."""
        with self.changed:
            for leaf in leaves:
                self._allow(leaf)
            raws = tuple(leaf_bytes(leaf) for leaf in leaves)
            self.state.append(raws)
            for raw, leaf in zip(raws, leaves, strict=True):
                self._take_in(raw, leaf)
            self.touch()

    def touch(self) -> None:
        """Tell who waits that something changed that is no leaf."""
        with self.changed:
            self.changes += 1
            self.changed.notify_all()

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
        time = self.facts.latest
        return Checkpoint(
            contract=self.facts.contract,
            instance=self._key.public.keyid,
            size=log.size,
            root=log.root().hex(),
            time="1970-01-01T00:00:00Z" if time is None else format_time(time),
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

    def _take_in(self, raw: bytes, leaf: Leaf) -> None:
        index = self.log.append(raw)
        self.facts.learn(leaf, index)


def hypothetical(log: Log, leaves: Iterable[Leaf]) -> Log:
    """Return the log as it will be once ``leaves`` are appended."""
    return Log((*log.leaves(), *map(leaf_bytes, leaves)))
