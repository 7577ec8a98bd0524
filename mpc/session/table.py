"""The transition table, and the one step that obeys it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Generic, TypeVar

from mpc.errors import Exhausted, Forbidden, OutOfOrder, Refusal
from mpc.receipts.leaves import (
    ActivationLeaf,
    AttestedLeaf,
    ConsentLeaf,
    ContractLeaf,
    DestructionLeaf,
    InheritanceLeaf,
    InheritedShareLeaf,
    Leaf,
    PermitLeaf,
    ReleaseLeaf,
    RestartLeaf,
    RewrapLeaf,
    RunLeaf,
    ShareLeaf,
    UploadLeaf,
    WithdrawalLeaf,
    parse_leaf,
)
from mpc.session.state import Run, Session, Stage, State, Terms, Upload, awaited_rows

E = TypeVar("E", bound=Leaf)


@dataclass(frozen=True)
class Guard(Generic[E]):
    """A condition on an event. ``says`` completes "refused, because …" when it does not hold."""

    code: str
    says: str
    holds: Callable[[Session, E], bool]
    kind: type[Refusal] = OutOfOrder


@dataclass(frozen=True)
class Row(Generic[E]):
    """One line of the table; ``word`` names the event, ``when_says`` puts ``when`` into words for the picture."""

    word: str
    event: type[E]
    sources: tuple[State, ...]
    guards: tuple[Guard[E], ...]
    change: Callable[[Session, E], Session]
    target: State | None = None
    when: Callable[[Session], bool] = lambda _session: True
    when_says: str = ""
    stages: tuple[tuple[Stage, Stage], ...] = ()


def _record(session: Session, _leaf: ContractLeaf) -> Session:
    return replace(session, recorded=True)


def _consent(session: Session, leaf: ConsentLeaf) -> Session:
    return replace(session, consented=session.consented | {leaf.party})


def _attest(session: Session, leaf: AttestedLeaf) -> Session:
    return replace(session, instance=leaf.instance)


def _activate(session: Session, leaf: ActivationLeaf) -> Session:
    changed = replace(session, activated=session.activated | {leaf.party}, time=_latest(session, leaf.time))
    return _settled(changed) if _all_activated(changed) else changed


def _inherit(session: Session, leaf: InheritanceLeaf) -> Session:
    return replace(session, inheritance=leaf)


def _inherit_share(session: Session, leaf: InheritedShareLeaf) -> Session:
    return _settled(replace(session, inherited_shares=session.inherited_shares | {leaf.party}))


def _settled(session: Session) -> Session:
    """Note that nothing of the predecessor is missing, once that is so: it has no history, or all shares are in."""
    found = session.inheritance
    return replace(session, inherited=found is not None and session.inherited_shares >= set(found.holders))


def _share(session: Session, leaf: ShareLeaf) -> Session:
    commitments = {**session.share_commitments, leaf.party: leaf.share}
    return replace(session, shares=session.shares | {leaf.party}, share_commitments=commitments)


def _upload(session: Session, leaf: UploadLeaf) -> Session:
    before = session.current(leaf.dataset, leaf.owner)
    version = before.version + 1 if before else 1
    arrived = Upload(leaf.upload, leaf.dataset, leaf.owner, version, key_held=True)
    return replace(session, uploads=(*session.uploads, arrived))


def _rewrap(session: Session, leaf: RewrapLeaf) -> Session:
    uploads = (replace(up, key_held=True) if up.upload == leaf.upload else up for up in session.uploads)
    return replace(session, uploads=tuple(uploads))


def _request(session: Session, leaf: RunLeaf) -> Session:
    run = Run(
        leaf.run, leaf.computation, leaf.parameters, leaf.requester, leaf.uploads,
        "requested", _permitters(session, leaf.computation), None,
    )  # fmt: skip
    return replace(session, runs=(*session.runs, run))


def _permit(session: Session, leaf: PermitLeaf) -> Session:
    def permitted(run: Run) -> Run:
        missing = tuple(owner for owner in run.missing if owner != leaf.party)
        return replace(run, missing=missing, stage="requested" if missing else "permitted")

    return replace(_with_run(session, leaf.run, permitted), time=_latest(session, leaf.time))


def _release(session: Session, leaf: ReleaseLeaf) -> Session:
    return _with_run(session, leaf.run, lambda run: replace(run, stage="released", outcome=leaf.outcome))


def _withdraw(session: Session, leaf: WithdrawalLeaf) -> Session:
    return replace(session, withdrawn=leaf.party)


def _destroy(session: Session, _leaf: DestructionLeaf) -> Session:
    return replace(session, destroyed=True)


def _restart(session: Session, leaf: RestartLeaf) -> Session:
    def without_permits(run: Run) -> Run:
        if run.stage == "released":
            return run
        return replace(run, stage="requested", missing=_permitters(session, run.computation))

    return replace(
        session,
        instance=leaf.instance,
        restarted=True,
        activated=frozenset(),
        shares=frozenset(),
        shares_return=session.has_secrets,
        inheritance=session.inheritance if session.inherited else None,
        inherited_shares=session.inherited_shares if session.inherited else frozenset(),
        uploads=tuple(replace(up, key_held=False) for up in session.uploads),
        runs=tuple(without_permits(run) for run in session.runs),
    )


def _latest(session: Session, time: str) -> str:
    return max(session.time or time, time)  # the one spelling of times sorts as they do


def _permitters(session: Session, computation: str) -> tuple[str, ...]:
    reads = session.terms.computations[computation].reads
    return tuple(sorted({owner for dataset in reads for owner in session.terms.owners[dataset]}))


def _with_run(session: Session, number: int, change: Callable[[Run], Run]) -> Session:
    return replace(session, runs=tuple(change(run) if run.number == number else run for run in session.runs))


def _all_activated(session: Session) -> bool:
    return session.activated == set(session.terms.parties)


def _inheritance_awaits(session: Session, leaf: InheritedShareLeaf) -> bool:
    found = session.inheritance
    return found is not None and leaf.party in found.holders and leaf.party not in session.inherited_shares


def _everything_is_loaded(session: Session) -> bool:
    return not awaited_rows(session)


def _runs_left(session: Session, leaf: RunLeaf) -> bool:
    return session.spent(leaf.computation) < session.terms.computations[leaf.computation].runs


def _refreshes_left(session: Session, leaf: UploadLeaf) -> bool:
    before = session.current(leaf.dataset, leaf.owner)
    return before is None or before.version <= session.terms.refreshes[leaf.dataset]


def _refresh_in_time(session: Session, leaf: UploadLeaf) -> bool:
    until = session.terms.refresh_until[leaf.dataset]
    if session.current(leaf.dataset, leaf.owner) is None or until is None or session.time is None:
        return True
    return session.time <= until


def _at_stage(session: Session, number: int, stage: Stage) -> bool:
    run = session.run(number)
    return run is not None and run.stage == stage


def _permit_is_wanted(session: Session, leaf: PermitLeaf) -> bool:
    run = session.run(leaf.run)
    return run is not None and leaf.party in run.missing


def _key_is_missing(session: Session, leaf: RewrapLeaf) -> bool:
    known = session.upload(leaf.upload)
    return known is not None and not known.key_held


_OF_THE_CONTRACT = Guard[Any](
    "session.party", "the party is not one of the contract's",
    lambda session, leaf: leaf.party in session.terms.parties, Forbidden,
)  # fmt: skip
_OF_THIS_INSTANCE = Guard[Any](
    "session.instance", "it names another instance", lambda session, leaf: leaf.instance == session.instance
)
_RECORDED = Guard[Any]("session.contract.missing", "the contract comes first", lambda session, _leaf: session.recorded)

TABLE: tuple[Row[Any], ...] = (
    Row("contract", ContractLeaf, ("boot",), (
        Guard("session.contract.twice", "the contract stands in the log", lambda session, _leaf: not session.recorded),
        Guard("session.contract.other", "it is another contract",
              lambda session, leaf: leaf.contract == session.terms.contract, Forbidden),
    ), _record),
    Row("consent", ConsentLeaf, ("boot",), (
        _RECORDED, _OF_THE_CONTRACT,
        Guard("session.consent.twice", "the party has consented before",
              lambda session, leaf: leaf.party not in session.consented),
    ), _consent, "agreed", lambda session: session.consented == set(session.terms.parties), "by every party"),
    Row("attested", AttestedLeaf, ("agreed",), (
        Guard("session.instance", "it names another instance",
              lambda session, leaf: session.instance in {None, leaf.instance}),
    ), _attest, "attested"),
    Row("activation", ActivationLeaf, ("attested",), (
        _OF_THE_CONTRACT, _OF_THIS_INSTANCE,
        Guard("session.activation.twice", "the party has activated before",
              lambda session, leaf: leaf.party not in session.activated),
        Guard("session.inheritance.missing", "the contract takes over a history that was not read",
              lambda session, _leaf: session.terms.predecessor is None or session.inheritance is not None),
    ), _activate, "activated", _all_activated, "by every party"),
    Row("inheritance", InheritanceLeaf, ("attested",), (
        Guard("session.inheritance.other", "the contract takes over no history, or another's",
              lambda session, leaf: leaf.predecessor == session.terms.predecessor, Forbidden),
        Guard("session.inheritance.twice", "the history was read or taken over before",
              lambda session, _leaf: session.inheritance is None),
    ), _inherit),
    Row("inherited share", InheritedShareLeaf, ("activated",), (
        Guard("session.inherited_share", "no share of the predecessor's key is awaited of the party",
              _inheritance_awaits),
        Guard("session.inherited_share.early", "this contract's own shares come first",
              lambda session, _leaf: session.shares == set(session.terms.share_holders)),
    ), _inherit_share, "loaded", _everything_is_loaded, "when all shares, rows and keys are in"),
    Row("share", ShareLeaf, ("activated",), (
        Guard("session.share.holder", "only owners of datasets hold shares",
              lambda session, leaf: leaf.party in session.terms.share_holders, Forbidden),
        Guard("session.share.twice", "the share was given before",
              lambda session, leaf: leaf.party not in session.shares),
        Guard("session.share.direction", "shares go the other way now",
              lambda session, leaf: leaf.given == ("to_instance" if session.shares_return else "to_owner")),
        Guard("session.share.other", "it is not the share that the party was given",
              lambda session, leaf: not session.shares_return
              or session.share_commitments.get(leaf.party) == leaf.share),
    ), _share, "loaded", _everything_is_loaded, "when all shares, rows and keys are in"),
    Row("upload", UploadLeaf, ("activated", "loaded"), (
        Guard("session.upload.owner", "the party does not own the dataset",
              lambda session, leaf: leaf.owner in session.terms.owners.get(leaf.dataset, ()), Forbidden),
        Guard("session.upload.twice", "the upload's id was used before",
              lambda session, leaf: session.upload(leaf.upload) is None),
        Guard("session.upload.refreshes", "the contract allows no further refresh", _refreshes_left, Exhausted),
        Guard("session.upload.until", "the time of refreshes is over", _refresh_in_time, Exhausted),
    ), _upload, "loaded", _everything_is_loaded, "when all shares, rows and keys are in"),
    Row("rewrap", RewrapLeaf, ("activated",), (
        Guard("session.rewrap", "no upload of this id waits for its key", _key_is_missing),
    ), _rewrap, "loaded", _everything_is_loaded, "when all shares, rows and keys are in"),
    Row("run", RunLeaf, ("loaded",), (
        Guard("session.run.computation", "the contract has no such computation",
              lambda session, leaf: leaf.computation in session.terms.computations, Forbidden),
        Guard("session.run.requester", "the party is no recipient of the computation",
              lambda session, leaf: leaf.requester in session.terms.computations[leaf.computation].recipients,
              Forbidden),
        Guard("session.run.runs", "the computation has no runs left", _runs_left, Exhausted),
        Guard("session.run.number", "runs are numbered from 1 without gaps",
              lambda session, leaf: leaf.run == len(session.runs) + 1),
        Guard("session.run.uploads", "a run pins the newest uploads of its datasets",
              lambda session, leaf: leaf.uploads == session.pinned_for(leaf.computation)),
    ), _request, stages=(("requested", "requested"),)),
    Row("permit", PermitLeaf, ("loaded",), (
        _OF_THIS_INSTANCE,
        Guard("session.permit", "no permit of this party is awaited for this run", _permit_is_wanted),
    ), _permit, when_says="by every owner", stages=(("requested", "permitted"),)),
    Row("release", ReleaseLeaf, ("loaded",), (
        Guard("session.release", "the run is not permitted, or has ended",
              lambda session, leaf: _at_stage(session, leaf.run, "permitted")),
    ), _release, stages=(("permitted", "released"),)),
    Row("withdrawal", WithdrawalLeaf, ("boot", "agreed", "attested", "activated", "loaded"), (
        _RECORDED, _OF_THE_CONTRACT,
    ), _withdraw, "ended"),
    Row("destruction", DestructionLeaf, ("agreed", "attested", "activated", "loaded", "ended"), (
        _OF_THIS_INSTANCE,
        Guard("session.destroyed", "the keys were destroyed before", lambda session, _leaf: not session.destroyed),
        Guard("session.destruction.reason", "after a withdrawal the reason is that withdrawal",
              lambda session, leaf: (session.state == "ended") == (leaf.reason == "withdrawn")),
    ), _destroy, "ended"),
    Row("restart", RestartLeaf, ("attested", "activated", "loaded", "agreed"), (
        Guard("session.restart.previous", "it does not follow the instance at hand",
              lambda session, leaf: session.instance is not None and leaf.previous == session.instance),
        Guard("session.restart.same", "an instance starts once",
              lambda session, leaf: leaf.instance != session.instance),
    ), _restart, "agreed", stages=(("permitted", "requested"),)),
)  # fmt: skip

_ROW_OF: Mapping[type, Row[Any]] = {row.event: row for row in TABLE}


def advance(session: Session, event: Leaf) -> Session:
    """Return the session after ``event``; a ``Refusal`` where the table does not allow it. Pure: nothing changes."""
    row = _ROW_OF[type(event)]
    if session.state not in row.sources:
        raise OutOfOrder(
            "session.state", f"no {row.word} can be taken now", why="the session is in another state",
            remedy="do first what the status says is awaited", field="state",
            expected=" or ".join(row.sources), found=session.state,
        )  # fmt: skip
    for guard in row.guards:
        if not guard.holds(session, event):
            raise guard.kind(
                guard.code, f"the {row.word} is refused", why=guard.says,
                remedy="compare with the status of the session and with the contract",
            )  # fmt: skip
    changed = row.change(session, event)
    return replace(changed, state=row.target) if row.target and row.when(changed) else changed


def replay(terms: Terms, leaves: Iterable[bytes]) -> Session:
    """Return the session that a log adds up to; ``Malformed`` or the refusal of the first event that cannot be."""
    return reduce(advance, map(parse_leaf, leaves), Session(terms))


def restart_of(session: Session, instance: str) -> RestartLeaf | None:
    """Return the event by which ``instance`` takes up a replayed session; None where no instance served it yet."""
    return None if session.instance is None else RestartLeaf(instance=instance, previous=session.instance)
