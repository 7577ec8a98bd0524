"""What a session is: a frozen value, and what it awaits from whom."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mpc.contract.document import read_questions
from mpc.contract.terms import Contract
from mpc.questions.terms import question_name
from mpc.receipts.leaves import InheritanceLeaf

State = Literal["boot", "agreed", "attested", "activated", "loaded", "ended"]
Stage = Literal["requested", "permitted", "released"]
What = Literal["consent", "activation", "upload", "rewrap", "share", "inheritance", "permit"]


@dataclass(frozen=True)
class ComputationTerms:
    """Of a computation: the datasets it reads, who may ask and receive, and how often.

    ``question`` (hex) names what it asks, in this contract and in those before.
    """

    reads: tuple[str, ...]
    recipients: tuple[str, ...]
    runs: int
    question: str


@dataclass(frozen=True)
class Terms:
    """What the session needs to know of a contract; ``contract`` is its digest in hex.

    ``predecessor`` is that of the contract whose history it takes over, or None.
    """

    contract: str
    predecessor: str | None
    parties: tuple[str, ...]
    owners: Mapping[str, tuple[str, ...]]
    refreshes: Mapping[str, int]
    refresh_until: Mapping[str, str | None]
    computations: Mapping[str, ComputationTerms]

    @property
    def share_holders(self) -> tuple[str, ...]:
        """All owners of any dataset, sorted."""
        return tuple(sorted({owner for owners in self.owners.values() for owner in owners}))


def terms_of(contract: Contract, digest: bytes) -> Terms:
    """Return the session's view of ``contract``, whose 32-byte ``digest`` is given; its questions are read."""
    questions = read_questions(contract)
    return Terms(
        contract=digest.hex(),
        predecessor=contract.predecessor,
        parties=tuple(party.name for party in contract.parties),
        owners={dataset.name: dataset.owners for dataset in contract.datasets},
        refreshes={dataset.name: dataset.freshness.refreshes for dataset in contract.datasets},
        refresh_until={dataset.name: dataset.freshness.until for dataset in contract.datasets},
        computations={
            computation.name: ComputationTerms(
                questions[computation.name].datasets,
                computation.recipients,
                computation.runs,
                question_name(computation.question).hex(),
            )
            for computation in contract.computations
        },
    )


@dataclass(frozen=True)
class Upload:
    """One version of an owner's rows; ``key_held`` tells whether this instance can open them."""

    upload: str
    dataset: str
    owner: str
    version: int
    key_held: bool


@dataclass(frozen=True)
class Run:
    """One question asked. ``missing`` are the owners whose permit it still wants."""

    number: int
    computation: str
    parameters: Mapping[str, str]
    requester: str
    uploads: tuple[str, ...]
    stage: Stage
    missing: tuple[str, ...]
    outcome: Literal["released", "failed"] | None

    @property
    def shown(self) -> Literal["permitting", "running", "released", "failed"]:
        """The word that a status tells."""
        if self.outcome is not None:
            return self.outcome
        return "running" if self.stage == "permitted" else "permitting"


@dataclass(frozen=True)
class Session:
    """Everything public that has happened to a contract.

    ``time`` is the latest time that a party signed; ``withdrawn`` the party whose leave ended it. ``inherited`` tells
    that all of the predecessor's history is this contract's own.
    """

    terms: Terms
    state: State = "boot"
    recorded: bool = False
    consented: frozenset[str] = frozenset()
    instance: str | None = None
    restarted: bool = False
    activated: frozenset[str] = frozenset()
    shares: frozenset[str] = frozenset()
    share_commitments: Mapping[str, str] = field(default_factory=dict)
    shares_return: bool = False
    inheritance: InheritanceLeaf | None = None
    inherited_shares: frozenset[str] = frozenset()
    inherited: bool = False
    uploads: tuple[Upload, ...] = ()
    runs: tuple[Run, ...] = ()
    time: str | None = None
    withdrawn: str | None = None
    destroyed: bool = False

    @property
    def shown(self) -> State | Literal["permitted", "released"]:
        """The word that a status tells: the state, and once loaded how far the runs are if there are any."""
        stages = {run.stage for run in self.runs}
        if self.state != "loaded" or stages <= {"requested"}:
            return self.state
        return "permitted" if "permitted" in stages else "loaded" if "requested" in stages else "released"

    @property
    def took_history_over(self) -> bool:
        """Whether the predecessor had a history, and this contract's secret state holds it."""
        return self.inherited and self.inheritance is not None and bool(self.inheritance.holders)

    @property
    def has_secrets(self) -> bool:
        """Whether there is secret state that must not be lost: a run was asked for, or a history taken over."""
        return bool(self.runs) or self.took_history_over

    @property
    def secret_version(self) -> int:
        """The version of the secret state that the log has seen: 1 at first, one more for each change of it."""
        return 1 + self.took_history_over + sum(run.stage == "released" for run in self.runs)

    def spent(self, computation: str) -> int:
        """Return how many runs of a computation were asked for, under this contract and those it takes over."""
        before = {} if self.inheritance is None else self.inheritance.spent
        asked = sum(run.computation == computation for run in self.runs)
        return asked + before.get(self.terms.computations[computation].question, 0)

    def upload(self, upload: str) -> Upload | None:
        """Return the upload with this id (hex), or None."""
        return next((known for known in self.uploads if known.upload == upload), None)

    def run(self, number: int) -> Run | None:
        """Return the run with this number, or None."""
        return self.runs[number - 1] if 0 < number <= len(self.runs) else None

    def current(self, dataset: str, owner: str) -> Upload | None:
        """Return the newest version of an owner's rows of a dataset, or None."""
        return next((up for up in reversed(self.uploads) if (up.dataset, up.owner) == (dataset, owner)), None)

    def pinned_for(self, computation: str) -> tuple[str, ...]:
        """Return the sorted ids of the newest uploads that a run of ``computation`` requested now would read."""
        reads = self.terms.computations[computation].reads
        newest = (self.current(dataset, owner) for dataset in reads for owner in self.terms.owners[dataset])
        return tuple(sorted(up.upload for up in newest if up))

    def needed(self) -> tuple[Upload, ...]:
        """Return the uploads whose rows a run may still read: the newest, and those that unfinished runs pin."""
        pinned = {upload for run in self.runs if run.stage != "released" for upload in run.uploads}
        return tuple(up for up in self.uploads if up.upload in pinned or up == self.current(up.dataset, up.owner))


@dataclass(frozen=True)
class Awaited:
    """What one party has to do next.

    ``subject`` names the contract, instance, dataset, upload or run that it is about; for a share it is ``take`` or
    ``return``: from this instance, or to it; for an inheritance it is the predecessor.
    """

    party: str
    what: What
    subject: str


def awaited(session: Session) -> tuple[Awaited, ...]:
    """Return who must do what before the session or a run of it moves on; empty where nobody has to."""
    return tuple(_AWAITED[session.state](session))


def _awaited_consents(session: Session) -> list[Awaited]:
    return [
        Awaited(party, "consent", session.terms.contract)
        for party in session.terms.parties
        if party not in session.consented
    ]


def _awaited_activations(session: Session) -> list[Awaited]:
    return [
        Awaited(party, "activation", session.instance or "")
        for party in session.terms.parties
        if party not in session.activated
    ]


def awaited_rows(session: Session) -> list[Awaited]:
    """Return the shares, uploads and keys that are missing before runs may be asked for."""
    uploads = [
        Awaited(owner, "upload", dataset)
        for dataset, owners in session.terms.owners.items()
        for owner in owners
        if session.current(dataset, owner) is None
    ]
    rewraps = [Awaited(up.owner, "rewrap", up.upload) for up in session.needed() if not up.key_held]
    direction = "return" if session.shares_return else "take"
    shares = [
        Awaited(owner, "share", direction) for owner in session.terms.share_holders if owner not in session.shares
    ]
    return shares + (_awaited_inheritance(session) if not shares else []) + uploads + rewraps


def _awaited_inheritance(session: Session) -> list[Awaited]:
    """Return the shares of the predecessor's key that are missing; they come once this contract's are all held."""
    if session.inheritance is None or session.inherited:
        return []
    holders = (holder for holder in session.inheritance.holders if holder not in session.inherited_shares)
    return [Awaited(holder, "inheritance", session.inheritance.predecessor) for holder in holders]


def _awaited_permits(session: Session) -> list[Awaited]:
    return [Awaited(owner, "permit", str(run.number)) for run in session.runs for owner in run.missing]


def _nothing(_session: Session) -> list[Awaited]:
    return []


_AWAITED: Mapping[State, Callable[[Session], list[Awaited]]] = {
    "boot": _awaited_consents,
    "agreed": _nothing,
    "attested": _awaited_activations,
    "activated": awaited_rows,
    "loaded": _awaited_permits,
    "ended": _nothing,
}
