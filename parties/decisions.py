"""What a daemon does next, as one pure function of what it knows.

    signed? → connected? → everybody agreed? → appraised for the contract? → authenticated? → not over? → active?
        → what the enclave awaits of this party → ends of runs to vouch for, results to fetch → watch

An action that was refused is blocked, with the reason, until a person changes something: the others go on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mpc.messages import Run, StatusReply


@dataclass(frozen=True)
class Rest:
    """Nothing to do until a person, or another contract, says so."""


@dataclass(frozen=True)
class Connect:
    """Pin the coordinator's certificate and appraise its boot."""


@dataclass(frozen=True)
class ExchangeConsents:
    """Hand in the signatures that this party holds, and get the others'."""


@dataclass(frozen=True)
class Appraise:
    """Appraise the instance for the contract, which gives its sealing key."""


@dataclass(frozen=True)
class Authenticate:
    """Prove to the coordinator who asks."""


@dataclass(frozen=True)
class Activate:
    """Choose the instance, or choose it in another's place."""


@dataclass(frozen=True)
class UploadRows:
    """Send the rows of a dataset."""

    dataset: str


@dataclass(frozen=True)
class Rewrap:
    """Hand the data key of an upload (hex id) to a new instance."""

    upload: str


@dataclass(frozen=True)
class TakeShare:
    """Take this party's share of the state key."""


@dataclass(frozen=True)
class ReturnShare:
    """Hand the share to a new instance."""


@dataclass(frozen=True)
class HandDownShare:
    """Hand the share of the contract before to the instance that takes over its history."""


@dataclass(frozen=True)
class PermitRun:
    """Permit a run; ``unattended`` when no person asked for it."""

    run: int
    unattended: bool


@dataclass(frozen=True)
class Countersign:
    """Vouch, at this party's time, for a log that holds the end of a run over its rows: receipts show that time."""


@dataclass(frozen=True)
class FetchResult:
    """Fetch, verify and open a result."""

    run: int


@dataclass(frozen=True)
class RenewReceipt:
    """Fetch a result's receipt again, because another party vouches for it by now."""

    run: int


@dataclass(frozen=True)
class LearnEnd:
    """Take the end of the log, which says why the contract is over, and drop what only it needed."""


@dataclass(frozen=True)
class DeliverWithdrawal:
    """Tell the enclave that this party left."""


@dataclass(frozen=True)
class Watch:
    """Wait for a change at the coordinator."""


Action = (
    Rest
    | Connect
    | ExchangeConsents
    | Appraise
    | Authenticate
    | Activate
    | UploadRows
    | Rewrap
    | TakeShare
    | ReturnShare
    | HandDownShare
    | PermitRun
    | Countersign
    | FetchResult
    | RenewReceipt
    | LearnEnd
    | DeliverWithdrawal
    | Watch
)


@dataclass(frozen=True)
class Situation:
    """What a daemon knows before it decides; ``status`` is the coordinator's last word, None before the first.

    ``unattended_left`` tells, by computation, how many runs may still be permitted without a person; it is empty where
    the configuration allows none. ``confirmed`` are runs that a person permitted, ``refreshing`` datasets whose rows a
    person wants to send anew. ``recipient_of`` and ``owner_of`` are computations; ``countersigned`` are runs whose end
    this conversation vouched for, ``timeless`` fetched ones whose receipts show no time. ``over`` tells that the
    contract ended, by the end of its log.
    """

    own: str
    signed: bool = False
    over: bool = False
    withdrawal: Literal["none", "undelivered", "delivered"] = "none"
    connected: bool = False
    agreed: bool = False
    appraised: bool = False
    authenticated: bool = False
    active: bool = False
    status: StatusReply | None = None
    recipient_of: frozenset[str] = frozenset()
    owner_of: frozenset[str] = frozenset()
    countersigned: frozenset[int] = frozenset()
    fetched: frozenset[int] = frozenset()
    timeless: frozenset[int] = frozenset()
    unattended_left: Mapping[str, int] = field(default_factory=dict)
    confirmed: frozenset[int] = frozenset()
    refreshing: frozenset[str] = frozenset()
    blocked: frozenset[Action] = frozenset()


ENDED = frozenset({"released", "failed"})
"""States of a run that has a result: a failure is one as well, and says no more than that."""


def decide(situation: Situation) -> Action:
    """Return the next action; ``Watch`` or ``Rest`` when nothing is to be done."""
    if not situation.signed or situation.over or situation.withdrawal == "delivered":
        return Rest()
    steps: list[tuple[bool, Action]] = [
        (situation.connected, Connect()),
        (situation.agreed, ExchangeConsents()),
        (situation.appraised, Appraise()),
        (situation.authenticated, Authenticate()),
        (situation.status is None or situation.status.state != "ended", LearnEnd()),
        (situation.withdrawal == "none", DeliverWithdrawal()),
        (situation.active, Activate()),
    ]
    for done, action in steps:
        if not done:
            return Rest() if action in situation.blocked else action
    return next((action for action in _wanted(situation) if action not in situation.blocked), Watch())


def _wanted(situation: Situation) -> list[Action]:
    status = situation.status
    if status is None:
        return []
    awaited = [(entry.what, entry.subject) for entry in status.awaited if entry.party == situation.own]
    runs = {run.number: run for run in status.runs}
    wanted = [action for what, subject in awaited if (action := _for_awaited(situation, what, subject, runs))]
    wanted += [UploadRows(dataset) for dataset in sorted(situation.refreshing)]
    for run in status.runs:
        if run.state in ENDED:
            wanted += _after(situation, run)
    return wanted


def _after(situation: Situation, run: Run) -> Iterator[Action]:
    """Yield what the end of a run asks for; whoever gains by a wrong time cannot vouch for it alone."""
    unvouched = situation.own not in run.vouched and run.number not in situation.countersigned
    if run.computation in situation.owner_of and unvouched:
        yield Countersign()
    if run.computation in situation.recipient_of and run.number not in situation.fetched:
        yield FetchResult(run.number)
    if run.number in situation.timeless and set(run.vouched) - {situation.own}:
        yield RenewReceipt(run.number)


def _for_awaited(situation: Situation, what: str, subject: str, runs: Mapping[int, Run]) -> Action | None:
    match what:
        case "share":
            return ReturnShare() if subject == "return" else TakeShare()
        case "inheritance":
            return HandDownShare()
        case "upload":
            return UploadRows(subject)
        case "rewrap":
            return Rewrap(subject)
        case "permit" if subject.isdecimal() and (run := runs.get(int(subject))) is not None:
            return _permit(situation, run)
    return None


def _permit(situation: Situation, run: Run) -> PermitRun | None:
    if run.number in situation.confirmed:
        return PermitRun(run.number, unattended=False)
    if situation.unattended_left.get(run.computation, 0) > 0:
        return PermitRun(run.number, unattended=True)
    return None


def awaits_person(situation: Situation) -> tuple[int, ...]:
    """Return the runs that only a person can permit."""
    status = situation.status
    if status is None:
        return ()
    runs = {run.number: run for run in status.runs}
    return tuple(
        int(entry.subject)
        for entry in status.awaited
        if entry.party == situation.own and entry.what == "permit" and entry.subject.isdecimal()
        if (run := runs.get(int(entry.subject))) is not None and _permit(situation, run) is None
    )
