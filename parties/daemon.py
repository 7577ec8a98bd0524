"""The party's daemon: one loop that looks, decides (``parties.decisions``) and does one thing at a time.

Everything that signs goes through ``parties.signatory``, everything that lasts through the ledger, so the daemon may be
killed at any moment: on its next start it asks the coordinator how things stand and goes on. Other threads (the local
API) hand it work with ``ask``, which runs between two steps.
"""

import os
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog

from mpc.errors import Exhausted, Forbidden, Misconfigured, OutOfOrder, Refusal, Unavailable
from mpc.evidence.appraisal import Exceptions
from mpc.messages import StatusReply
from parties import decisions
from parties.channel import Clock, Deadlines, Random
from parties.config import Config
from parties.conversation import Conversation
from parties.decisions import Action, Situation, decide
from parties.keys import Keys
from parties.ledger import Agreed, Ledger
from parties.party import Party
from parties.signatory import CONFIRMATION_CHARACTERS, Signatory, input_owners
from parties.trouble import Pace, Trouble, is_about_the_connection

Answer = TypeVar("Answer")
_NO_REFRESH = frozenset({"session.upload.refreshes", "session.upload.until"})
log = structlog.get_logger("sealroom.party")


class Daemon:
    """One party. ``run`` until ``stop``; ``ask`` from other threads."""

    def __init__(
        self, config: Config, keys: Keys, ledger: Ledger, *, clock: Clock, random: Random = os.urandom,
        pace: Pace | None = None, deadlines: Deadlines | None = None,
    ) -> None:  # fmt: skip
        if keys.name != config.party.name:
            raise Misconfigured(
                "config.key_name", "the key file is another party's", why="the names differ",
                remedy="set [party] key to this party's key file", field="party.key", expected=config.party.name,
                found=keys.name,
            )  # fmt: skip
        self.config = config
        self.ledger = ledger
        self.trouble = Trouble()
        self._party = Party(
            config=config, keys=keys, ledger=ledger, signatory=Signatory(keys, ledger, config.known_parties),
            exceptions=Exceptions(config.trust.accept_self_measured, config.trust.accept_visible_memory),
            clock=clock, random=random, deadlines=deadlines or Deadlines(),
        )  # fmt: skip
        self._pace = pace or Pace()
        self._talk: Conversation | None = None
        self._confirmed: set[int] = set()
        self._refreshing: set[str] = set()
        self._may_replace = config.consent.replace_unattended
        self._asked: queue.Queue[tuple[Callable[[], Any], Future[Any]]] = queue.Queue()
        self._woken = threading.Event()
        self._stopping = threading.Event()

    @property
    def party(self) -> Party:
        """What this party brings to every conversation."""
        return self._party

    # --- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Look, decide and do until ``stop``; only bugs come out."""
        try:
            while not self._stopping.is_set():
                self._answer_asked()
                self.step()
        finally:
            self._end_conversation()
            self._stop_uploads()
            self._answer_asked()

    def stop(self) -> None:
        """Let ``run`` return soon, from any thread. What was signed stays signed; uploads begin anew."""
        self._stopping.set()
        self._stop_uploads()
        self._wake()

    def ask(self, work: Callable[[], Answer], *, timeout_seconds: float = 60, urgent: bool = False) -> Answer:
        """Run ``work`` on the daemon's own thread, between two steps, and return its answer or raise its refusal.

        ``urgent`` work does not wait for an upload to end: the upload is given up.
        """
        future: Future[Answer] = Future()
        self._asked.put((work, future))
        if urgent:
            self._stop_uploads()
        self._wake()
        try:
            return future.result(timeout_seconds)
        except TimeoutError:
            future.cancel()
            raise Unavailable(
                "daemon.busy", "the daemon did not get to it", why="it is busy, for instance with an upload",
                remedy="try again; `sealroom status` shows what it does",
            ) from None  # fmt: skip

    def step(self) -> Action:
        """Do the next thing, or wait for something to do; return what it was."""
        action = decide(self.situation())
        try:
            self._perform(action)
        except Refusal as refusal:
            self._refused(action, refusal)
        else:
            self.trouble.passed(action)
        return action

    def _perform(self, action: Action) -> None:
        match action:
            case decisions.Rest():
                self._pause(3600)
            case decisions.Connect():
                self._end_conversation()
                self._talk = Conversation.begin(self._party, self._require_current())
            case decisions.DeliverWithdrawal():
                self._deliver_withdrawal()
            case decisions.Activate():
                self._conversation().activate(replace=self._may_replace)
                self._may_replace = self.config.consent.replace_unattended
            case decisions.PermitRun(run, unattended):
                self._conversation().permit(run, unattended=unattended)
                self._confirmed.discard(run)
            case decisions.UploadRows(dataset):
                self._conversation().upload(dataset)
                self._refreshing.discard(dataset)
            case decisions.ExchangeConsents():
                if not self._conversation().exchange_consents():
                    self._pause(self._pace.consents)
            case decisions.Watch():
                self._watch()
            case _:
                _step(self._conversation(), action)

    def _refused(self, action: Action, refusal: Refusal) -> None:
        """Try again later what may pass by itself; block what a person has to change, and go on with the rest."""
        trouble = self.trouble
        if refusal.code == "channel.interrupted":
            return
        if refusal.code == "authentication.token" and self._talk is not None:
            self._talk.forget_token()
            return
        if refusal.code == "contract.ended" and self._learns_end():
            return
        if isinstance(action, decisions.UploadRows) and refusal.code in _NO_REFRESH:
            self._refreshing.discard(action.dataset)  # the contract's own answer, which no person here can change
            self.trouble.last = refusal
            return
        log.info("refused", action=type(action).__name__, code=refusal.code)
        if not trouble.is_told(refusal):
            told = {"code": refusal.code, "what": refusal.what, "why": refusal.why, "remedy": refusal.remedy}
            self._record("refused", action=type(action).__name__, **told)
        if trouble.may_pass(action, refusal, self._pace):
            self._look_again(action, refusal)
            self._pause(trouble.wait_seconds(self._pace))

    def _learns_end(self) -> bool:
        """Take the end of the log while it can be had; tell whether the contract is known to be over."""
        if self._talk is None:
            return False
        try:
            self._talk.learn_end()
        except Refusal:
            return False
        return True

    def _look_again(self, action: Action, refusal: Refusal) -> None:
        """Forget the last status; end the conversation unless it was a fault of the network."""
        if self._talk is None:
            return
        self._talk.status = None
        if not isinstance(refusal, Unavailable) and not is_about_the_connection(action):
            return
        try:
            same = self._talk.is_same_instance()
        except Refusal:
            same = False
        if not same or not isinstance(refusal, Unavailable):
            self._end_conversation()

    # --- what it knows -------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return this party's time."""
        return self._party.clock()

    def current(self) -> Agreed | None:
        """Return the contract this daemon works on: the latest signed, or else the latest added."""
        contracts = self.ledger.contracts()
        signed = [agreed for agreed in contracts if agreed.signed is not None]
        if signed:
            return max(reversed(signed), key=lambda agreed: agreed.signed or datetime.min.replace(tzinfo=UTC))
        return contracts[-1] if contracts else None

    @property
    def conversation(self) -> Conversation | None:
        """The connection at hand, or None."""
        return self._talk

    def situation(self) -> Situation:
        """Return what the next decision rests on."""
        agreed, talk, own = self.current(), self._talk, self._party.name
        if agreed is None or agreed.signed is None:
            return Situation(own=own)
        undelivered = self.ledger.undelivered_withdrawal(agreed.digest)
        over = self.ledger.ended(agreed.digest) is not None
        computations, results = agreed.contract.computations, self.ledger.results(agreed.digest)
        return Situation(
            own=own,
            signed=True,
            over=over,
            withdrawal="none" if agreed.withdrawn is None else "delivered" if undelivered is None else "undelivered",
            connected=talk is not None,
            agreed=talk is not None and talk.agreement is not None,
            appraised=talk is not None and talk.attested is not None,
            authenticated=talk is not None and talk.is_authenticated,
            active=talk is not None and talk.is_active and not over,
            status=None if talk is None else talk.status,
            recipient_of=frozenset(each.name for each in computations if own in each.recipients),
            owner_of=frozenset(each.name for each in computations if own in input_owners(agreed, each.name)),
            countersigned=frozenset() if talk is None else talk.countersigned,
            fetched=frozenset(result.run for result in results),
            timeless=frozenset(result.run for result in results if result.shown is None),
            unattended_left=self._unattended_left(agreed),
            confirmed=frozenset(self._confirmed),
            refreshing=frozenset(self._refreshing),
            blocked=frozenset(self.trouble.blocked),
        )

    def _unattended_left(self, agreed: Agreed) -> Mapping[str, int]:
        if not self.config.consent.permit_unattended:
            return {}
        names = [computation.name for computation in agreed.contract.computations]
        return {name: self._party.signatory.unattended_left(agreed, name) for name in names}

    # --- what a person asks, through ``ask`` -----------------------------------------------------------------------

    def sign(self, digest: bytes, typed: str) -> bytes:
        """Sign a contract because a person typed the start of its digest; return the consent."""
        envelope = self._party.signatory.consent(digest, typed, at=self.now())
        self._end_conversation()
        self.retry()
        return envelope

    def withdraw(self, typed: str, reason: str) -> None:
        """Leave the current contract because a person typed the start of its digest."""
        agreed = self._require_current()
        if typed.strip().lower() != agreed.digest.hex()[:CONFIRMATION_CHARACTERS]:
            raise Forbidden(
                "withdraw.confirmation", "nothing is withdrawn", why="the confirmation is not the digest's start",
                remedy=f"type the first {CONFIRMATION_CHARACTERS} characters of the contract's digest",
            )  # fmt: skip
        self._party.signatory.withdrawal(agreed.digest, reason, at=self.now())
        self.retry()

    def retry(self) -> None:
        """Try again what was refused, because a person changed something."""
        self.trouble = Trouble()

    def confirm_permit(self, run: int) -> None:
        """Permit a run because a person said so; only one that waits for it, so that nobody permits what is to come."""
        if run not in self._awaited_permits() and self.situation().active:
            self._conversation().look()
        if run not in self._awaited_permits():
            raise OutOfOrder(
                "permit.not_awaited", f"run {run} awaits no permit of yours",
                why="nobody asked for it, it reads none of your rows, or it is permitted already",
                remedy="see what is awaited: sealroom status", field="run",
            )  # fmt: skip
        self._confirmed.add(run)
        self.retry()

    def _awaited_permits(self) -> frozenset[int]:
        status = self.situation().status
        awaited = () if status is None else status.awaited
        return frozenset(
            int(entry.subject)
            for entry in awaited
            if entry.party == self._party.name and entry.what == "permit" and entry.subject.isdecimal()
        )

    def refresh(self, dataset: str) -> None:
        """Send a dataset's rows anew because a person said so; the contract says how often that may be."""
        agreed = self._require_current()
        term = agreed.contract.dataset(dataset)
        if term is None or self._party.name not in term.owners or term.freshness.refreshes == 0:
            raise Forbidden(
                "refresh.fixed", f"the rows of {dataset} are not replaced",
                why="the contract has them fixed, or another's",
                remedy="agree on a contract that lets them be refreshed", field=dataset,
            )  # fmt: skip
        sent = sum(upload.dataset == dataset and upload.loaded for upload in self.ledger.uploads(agreed.digest))
        if sent > term.freshness.refreshes:
            raise Exhausted(
                "refresh.spent", f"the rows of {dataset} are not replaced again",
                why="the contract's refreshes are used up", remedy="agree on a contract that allows more",
                field=dataset,
            )  # fmt: skip
        self._refreshing.add(dataset)
        self.retry()

    def confirm_replacement(self) -> None:
        """Let the next instance take the place of the active one, because a person said so.

        Only while one asks for it: a leave given ahead would be spent on an instance that nobody looked at.
        """
        awaited = self.trouble.blocked.get(decisions.Activate())
        if awaited is None or awaited.code != "activation.second":
            raise OutOfOrder(
                "replacement.none", "there is no instance to replace", why="no other asks for the active one's place",
                remedy="see what is awaited: sealroom status",
            )  # fmt: skip
        self._may_replace = True
        self.retry()

    def request_run(self, computation: str, parameters: Mapping[str, str]) -> int:
        """Ask the enclave for a run; return its number."""
        if not self.situation().active:
            raise OutOfOrder(
                "daemon.not_ready", "the enclave is not ready for that", why=self._why_not_ready(),
                remedy="see what is awaited: sealroom status",
            )  # fmt: skip
        return self._conversation().request_run(computation, parameters)

    def _why_not_ready(self) -> str:
        agreed, last = self.current(), self.trouble.last
        ended = None if agreed is None else self.ledger.ended(agreed.digest)
        if ended is not None:
            return f"the contract is over: {ended.sentence}"
        return "it is not agreed, appraised and activated yet" if last is None else f"{last.what}: {last.why}"

    # --- small steps ---------------------------------------------------------------------------------------------

    def _deliver_withdrawal(self) -> None:
        agreed, talk = self._require_current(), self._conversation()
        envelope = self.ledger.undelivered_withdrawal(agreed.digest)
        if envelope is not None:
            talk.withdraw(envelope)
        self.ledger.withdrawal_delivered(agreed.digest, at=self.now())
        self.ledger.drop_keys(agreed.digest)
        if (predecessor := self.ledger.predecessor(agreed.contract)) is not None:
            self.ledger.drop_keys(predecessor.digest)
        self._end_conversation()

    def _watch(self) -> None:
        talk = self._conversation()
        if talk.status is None or self._woken.is_set():
            status = talk.look()
        else:
            status = talk.watch(int(self._pace.watch * 1000))
        self._woken.clear()
        self._note_loaded(status)
        if any(run.state in decisions.ENDED for run in status.runs):
            talk.forget_predecessor()

    def _note_loaded(self, status: StatusReply) -> None:
        for upload in status.uploads:
            if upload.owner == self._party.name and upload.state == "loaded":
                self.ledger.upload_loaded(upload.upload, at=self.now())

    def _require_current(self) -> Agreed:
        agreed = self.current()
        if agreed is None:
            raise OutOfOrder("daemon.no_contract", "there is no contract", why="none was added", remedy="add one")
        return agreed

    def _conversation(self) -> Conversation:
        if self._talk is None:
            raise Unavailable("daemon.not_connected", "there is no connection", why="it was lost", remedy="wait")
        return self._talk

    def _stop_uploads(self) -> None:
        for submission in tuple(self._party.submissions.values()):
            submission.stop()

    def _end_conversation(self) -> None:
        if self._talk is not None:
            self._talk.end()
            self._talk = None

    def _record(self, kind: str, **data: object) -> None:
        agreed = self.current()
        self._party.record(kind, None if agreed is None else agreed.digest, **data)

    def _wake(self) -> None:
        self._woken.set()
        if (talk := self._talk) is not None:
            talk.interrupt()

    def _pause(self, seconds: float) -> None:
        if self._woken.wait(seconds):
            self._woken.clear()

    def _answer_asked(self) -> None:
        while not self._asked.empty():
            work, future = self._asked.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as failure:  # noqa: BLE001 - it belongs to the thread that asked
                future.set_exception(failure)


_STEPS: Mapping[type[Action], Callable[[Conversation], object]] = {
    decisions.Appraise: Conversation.appraise,
    decisions.Authenticate: Conversation.authenticate,
    decisions.TakeShare: Conversation.take_share,
    decisions.ReturnShare: Conversation.return_share,
    decisions.HandDownShare: Conversation.hand_down_share,
    decisions.LearnEnd: Conversation.learn_end,
    decisions.Countersign: Conversation.countersign,
}


def _step(talk: Conversation, action: Action) -> None:
    """Do what one method of the conversation does."""
    match action:
        case decisions.Rewrap(upload):
            talk.rewrap(bytes.fromhex(upload))
        case decisions.FetchResult(run):
            talk.fetch_result(run)
        case decisions.RenewReceipt(run):
            talk.renew_receipt(run)
        case _:
            _STEPS[type(action)](talk)
