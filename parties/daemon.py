"""The party's daemon: one loop that looks, decides (``parties.decisions``) and does one thing at a time.

It owns the connection. Everything that signs goes through ``parties.signatory``, everything that lasts through the
ledger, so the daemon may be killed at any moment: on its next start it asks the coordinator how things stand and goes
on. Other threads (the local API) hand it work with ``ask``, which runs between two steps.

What a person has to know is in ``overview``: what is awaited from whom, what was refused and what to do about it.
"""

import fcntl
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog

from mpc.contract.consent import Agreement, agree, missing_consents
from mpc.errors import Forbidden, Misconfigured, OutOfOrder, Refusal, Unavailable, Untrusted
from mpc.evidence.appraisal import AttestedKey, Exceptions
from mpc.messages import RewrapRequest, StatusReply
from mpc.receipts.leaves import RunLeaf, parse_leaf
from mpc.receipts.receipt import release_in
from mpc.receipts.verification import verify_receipt
from mpc.sealing.hpke import PublicSealingKey, SealedFor, open_sealed, seal
from mpc.sealing.stream import new_upload
from mpc.signing import VerifyingKey
from mpc.table.batches import schema_digest
from parties import decisions, sources
from parties.channel import Channel, Clock, Deadlines, Random, checks_as_data
from parties.config import Config
from parties.decisions import Action, Situation, awaits_person, decide
from parties.keys import Keys
from parties.ledger import Agreed, Head, Ledger, Result, Uploaded
from parties.mapping import mapping_digest
from parties.signatory import CONFIRMATION_CHARACTERS, RunAsked, Signatory
from parties.submission import Progress, Submission

Answer = TypeVar("Answer")
log = structlog.get_logger("sealroom.party")


@dataclass(frozen=True)
class Pace:
    """How eagerly the daemon tries, in seconds; failures double ``first_retry`` up to ``last_retry``."""

    first_retry: float = 0.1
    last_retry: float = 15.0
    consents: float = 0.25
    watch: float = 20.0


@dataclass
class _Session:
    """What holds for one connection to one instance."""

    channel: Channel
    instance: bytes
    agreement: Agreement | None = None
    attested: AttestedKey | None = None
    authenticated_until: datetime | None = None
    status: StatusReply | None = None


@dataclass
class _Trouble:
    """Refusals that a person has to see: by action, and of the connection as a whole."""

    blocked: dict[Action, Refusal] = field(default_factory=dict)
    last: Refusal | None = None
    failures: int = 0


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
        self.signatory = Signatory(keys, ledger, config.known_parties)
        self.exceptions = Exceptions(config.trust.accept_self_measured, config.trust.accept_visible_memory)
        self._keys = keys
        self._clock = clock
        self._random = random
        self._pace = pace or Pace()
        self._deadlines = deadlines or Deadlines()
        self._session: _Session | None = None
        self._trouble = _Trouble()
        self._submissions: dict[str, Submission] = {}
        self._confirmed: set[int] = set()
        self._may_replace = config.consent.replace_unattended
        self._asked: queue.Queue[tuple[Callable[[], Any], Future[Any]]] = queue.Queue()
        self._woken = threading.Event()
        self._stopping = threading.Event()

    # --- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Look, decide and do until ``stop``; only bugs come out."""
        try:
            while not self._stopping.is_set():
                self._answer_asked()
                self.step()
        finally:
            self._disconnect()
            for submission in self._submissions.values():
                submission.stop()
            self._answer_asked()

    def stop(self) -> None:
        """Let ``run`` return soon, from any thread. What was signed stays signed; uploads begin anew."""
        self._stopping.set()
        for submission in tuple(self._submissions.values()):
            submission.stop()
        self._wake()

    def ask(self, work: Callable[[], Answer], *, timeout_seconds: float = 60) -> Answer:
        """Run ``work`` on the daemon's own thread, between two steps, and return its answer or raise its refusal."""
        future: Future[Answer] = Future()
        self._asked.put((work, future))
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
            if action != decisions.Watch():
                self._trouble.failures = 0
                self._trouble.last = None
        return action

    def _perform(self, action: Action) -> None:
        match action:
            case decisions.Rest():
                self._pause(3600)
            case decisions.Connect():
                self._connect()
            case decisions.ExchangeConsents():
                self._exchange_consents()
            case decisions.Appraise():
                self._appraise()
            case decisions.Authenticate():
                self._authenticate()
            case decisions.Activate():
                self._activate()
            case decisions.UploadRows(dataset):
                self._upload(dataset)
            case decisions.Rewrap(upload):
                self._rewrap(bytes.fromhex(upload))
            case decisions.TakeShare():
                self._take_share()
            case decisions.ReturnShare():
                self._return_share()
            case decisions.PermitRun(run, unattended):
                self._permit(run, unattended=unattended)
            case decisions.FetchResult(run):
                self._fetch_result(run)
            case decisions.DeliverWithdrawal():
                self._deliver_withdrawal()
            case decisions.Watch():
                self._watch()

    def _refused(self, action: Action, refusal: Refusal) -> None:
        if refusal.code == "channel.interrupted":
            return
        trouble = self._trouble
        trouble.last = refusal
        log.info("refused", action=type(action).__name__, code=refusal.code)
        if refusal.code == "authentication.token" and self._session is not None:
            self._session.authenticated_until = None
            return
        passing = isinstance(refusal, Unavailable | OutOfOrder) or refusal.code in _PASSING_CODES
        if isinstance(action, _ABOUT_THE_CONNECTION) or passing:
            if isinstance(refusal, Unavailable) or isinstance(action, _ABOUT_THE_CONNECTION):
                self._after_failure(action, refusal)
            if self._session is not None:
                self._session.status = None
            trouble.failures += 1
            self._pause(min(self._pace.first_retry * 2 ** min(trouble.failures - 1, 16), self._pace.last_retry))
            return
        if action not in trouble.blocked:
            self._record("refused", action=type(action).__name__, **refusal.as_data())
        trouble.blocked[action] = refusal

    def _after_failure(self, action: Action, refusal: Refusal) -> None:
        """Ask whether it is the network or another instance; keep the channel only for the former."""
        if isinstance(action, decisions.Connect) or self._session is None:
            if not isinstance(refusal, Unavailable):
                self._record("refused", action=type(action).__name__, **refusal.as_data())
            self._disconnect()
            return
        try:
            same = self._session.channel.is_same_instance()
        except Refusal:
            same = False
        if not same or not isinstance(refusal, Unavailable):
            self._disconnect()

    # --- what it knows -------------------------------------------------------------------------------------------

    def current(self) -> Agreed | None:
        """Return the contract this daemon works on: the latest signed, or else the latest added."""
        contracts = self.ledger.contracts()
        signed = [agreed for agreed in contracts if agreed.signed is not None]
        latest = signed or list(contracts)
        return max(signed, key=_signed_at) if signed else (latest[-1] if latest else None)

    def situation(self) -> Situation:
        """Return what the next decision rests on."""
        agreed = self.current()
        own = self.config.party.name
        if agreed is None or agreed.signed is None:
            return Situation(own=own)
        session = self._session
        activated = self.ledger.activation(agreed.digest)
        undelivered = self.ledger.undelivered_withdrawal(agreed.digest)
        now = self._clock()
        return Situation(
            own=own,
            signed=True,
            withdrawal="none" if agreed.withdrawn is None else "delivered" if undelivered is None else "undelivered",
            connected=session is not None,
            agreed=session is not None and session.agreement is not None,
            appraised=session is not None and session.attested is not None,
            authenticated=session is not None
            and session.authenticated_until is not None
            and now < session.authenticated_until,
            active=session is not None
            and session.status is not None
            and activated is not None
            and activated.instance == session.instance
            and not any((entry.party, entry.what) == (own, "activation") for entry in session.status.awaited),
            status=None if session is None else session.status,
            recipient_of=frozenset(
                computation.name for computation in agreed.contract.computations if own in computation.recipients
            ),
            fetched=frozenset(result.run for result in self.ledger.results(agreed.digest)),
            unattended_left=self._unattended_left(agreed),
            confirmed=frozenset(self._confirmed),
            blocked=frozenset(self._trouble.blocked),
        )

    def _unattended_left(self, agreed: Agreed) -> Mapping[str, int]:
        if not self.config.consent.permit_unattended:
            return {}
        return {
            computation.name: self.signatory.unattended_left(agreed, computation.name)
            for computation in agreed.contract.computations
        }

    def overview(self) -> dict[str, Any]:
        """Return how things stand, as plain data for people: nothing in it is of anybody's rows."""
        situation = self.situation()
        agreed, session, status = self.current(), self._session, situation.status
        activated = None if agreed is None else self.ledger.activation(agreed.digest)
        return {
            "party": self.config.party.name,
            "label": self.config.party.label,
            "coordinator": self.config.coordinator.address,
            "stage": _stage(situation, agreed),
            "contract": None if agreed is None else _contract_data(agreed),
            "instance": None if session is None else session.instance.hex(),
            "activated": None if activated is None else activated.instance.hex(),
            "next": type(decide(situation)).__name__,
            "awaited": [] if status is None else [vars(entry) for entry in status.awaited],
            "awaits_you": self._awaits_you(situation, agreed),
            "uploads": [vars(submission.progress) for submission in tuple(self._submissions.values())],
            "enclave_uploads": []
            if status is None
            else [{**vars(upload), "upload": upload.upload.hex()} for upload in status.uploads],
            "runs": []
            if status is None
            else [{**vars(run), "parameters": dict(run.parameters)} for run in status.runs],
            "results": [] if agreed is None else [result.run for result in self.ledger.results(agreed.digest)],
            "trouble": None if self._trouble.last is None else self._trouble.last.as_data(),
        }

    def _awaits_you(self, situation: Situation, agreed: Agreed | None) -> list[dict[str, Any]]:
        waiting: list[dict[str, Any]] = []
        if agreed is None:
            waiting.append({"what": "contract", "remedy": "sealroom contract sign FILE"})
        elif agreed.signed is None:
            waiting.append({"what": "signature", "remedy": "sealroom contract explain, then sealroom contract sign"})
        waiting += [
            {"what": "permit", "subject": str(run), "remedy": f"sealroom permit {run}"}
            for run in awaits_person(situation)
        ]
        return waiting + [
            {"what": type(action).__name__, **vars(action), "refusal": refusal.as_data()}
            for action, refusal in self._trouble.blocked.items()
        ]

    # --- what a person asks, through ``ask`` -----------------------------------------------------------------------

    def now(self) -> datetime:
        """Return this party's time."""
        return self._clock()

    def sign(self, digest: bytes, typed: str) -> bytes:
        """Sign a contract because a person typed the start of its digest; return the consent."""
        envelope = self.signatory.consent(digest, typed, at=self._clock())
        self._disconnect()
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
        self.signatory.withdrawal(agreed.digest, reason, at=self._clock())

    def retry(self) -> None:
        """Try again what was refused, because a person changed something."""
        self._trouble.blocked.clear()
        self._trouble.failures = 0

    def confirm_permit(self, run: int) -> None:
        """Permit a run because a person said so."""
        self._confirmed.add(run)
        self._trouble.blocked.pop(decisions.PermitRun(run, unattended=False), None)

    def confirm_replacement(self) -> None:
        """Let the next instance take the place of the active one, because a person said so."""
        self._may_replace = True
        self._trouble.blocked.pop(decisions.Activate(), None)

    def request_run(self, computation: str, parameters: Mapping[str, str]) -> int:
        """Ask the enclave for a run; return its number."""
        agreed, session = self._ready()
        attested = self._renewed(session)
        envelope = self.signatory.run_request(agreed.digest, attested, computation, parameters, at=self._clock())
        run = session.channel.request_run(envelope)
        session.status = None
        return run

    def _ready(self) -> tuple[Agreed, _Session]:
        agreed, session = self.current(), self._session
        if agreed is None or session is None or not self.situation().active:
            last = self._trouble.last
            raise OutOfOrder(
                "daemon.not_ready", "the enclave is not ready for that", why="it is not agreed, appraised and activated yet"
                if last is None else f"{last.what}: {last.why}",
                remedy="see what is awaited: sealroom status",
            )  # fmt: skip
        return agreed, session

    # --- steps ---------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        agreed = self._require_current()
        self._disconnect()
        channel = Channel.connect(
            self.config.coordinator.address, clock=self._clock, random=self._random, deadlines=self._deadlines
        )
        try:
            attested, _ = channel.attest(agreed.contract, agreed.digest, "boot", self.exceptions)
        except BaseException:
            channel.close()
            raise
        self._session = _Session(channel, attested.instance)
        self._record("connected", instance=attested.instance.hex())

    def _exchange_consents(self) -> None:
        agreed, session = self._require_current(), self._require_session()
        held = self.ledger.consents(agreed.digest)
        reply = session.channel.agree(agreed.raw, held)
        if reply.contract != agreed.raw:
            raise Untrusted(
                "agree.contract", "the coordinator holds another contract", why="its bytes differ from those signed here",
                remedy="ask who runs the coordinator which contract it serves", field="contract",
            )  # fmt: skip
        missing = missing_consents(agreed.raw, reply.consents)  # refuses any that is foreign or does not verify
        self.ledger.add_consents(agreed.digest, reply.consents)
        if missing:
            self._pause(self._pace.consents)
            return
        session.agreement = agree(agreed.raw, reply.consents, at=self._clock())
        self._record("agreed")

    def _appraise(self) -> None:
        session = self._require_session()
        session.attested = self._attest_for_contract(session)
        self._record("appraised", instance=session.instance.hex())

    def _attest_for_contract(self, session: _Session) -> AttestedKey:
        agreed = self._require_current()
        attested, asked = session.channel.attest(agreed.contract, agreed.digest, "contract", self.exceptions)
        if attested.instance != session.instance:
            raise Untrusted(
                "attest.instance", "another instance answers than before", why="it has another receipt key",
                remedy="connect again, and appraise it from the start", field="receipt_key",
                expected=session.instance.hex(), found=attested.instance.hex(),
            )  # fmt: skip
        self.ledger.add_appraisal(
            agreed.digest, instance=attested.instance, purpose="contract", at=attested.claims.verified_at,
            not_after=attested.not_after, transcript=attested.transcript.to_bytes(), format=asked.attestation.format,
            evidence=asked.attestation.evidence, endorsements=asked.attestation.endorsements,
            checks=checks_as_data(attested),
        )  # fmt: skip
        return attested

    def _renewed(self, session: _Session) -> AttestedKey:
        """Return a fresh appraisal, as every upload, re-wrap and permit wants; the sealing key must be the same."""
        attested = self._attest_for_contract(session)
        before = session.attested
        if before is not None and before.hpke_public_key != attested.hpke_public_key:
            raise Untrusted(
                "attest.sealing_key", "the instance has another sealing key than before", why="one instance has one key",
                remedy="connect again, and appraise it from the start", field="hpke",
            )  # fmt: skip
        session.attested = attested
        return attested

    def _authenticate(self) -> None:
        agreed, session = self._require_current(), self._require_session()
        challenge = session.channel.challenge(agreed.digest, self.config.party.name)
        answer = self.signatory.challenge_answer(agreed.digest, challenge, session.channel.certificate.spki)
        lifetime = session.channel.authenticate(answer)
        session.authenticated_until = self._clock() + lifetime * 0.8

    def _activate(self) -> None:
        agreed, session = self._require_current(), self._require_session()
        attested = self._renewed(session)
        head = self._look_at_log(session)
        envelope = self.signatory.activation(agreed.digest, attested, head, replace=self._may_replace, at=self._clock())
        self._may_replace = self.config.consent.replace_unattended
        session.status = session.channel.status()
        own = self.config.party.name
        if any((entry.party, entry.what) == (own, "activation") for entry in session.status.awaited):
            session.channel.activate(envelope)
            session.status = session.channel.status()

    def _look_at_log(self, session: _Session) -> Head:
        """Take the log's news and hold them against what was seen before."""
        agreed, attested = self._require_current(), session.attested
        if attested is None:
            raise OutOfOrder(
                "log.unappraised", "the log is not looked at", why="no instance is appraised", remedy="wait"
            )
        known = self.ledger.head(agreed.digest)
        reply = session.channel.log(0 if known is None else known.size)
        return self.ledger.extend(
            agreed.digest, VerifyingKey(attested.transcript.receipt_key), leaves=reply.leaves, proof=reply.consistency,
            checkpoint=reply.checkpoint,
        )  # fmt: skip

    def _upload(self, dataset: str) -> None:
        session = self._require_session()
        submission = self._submissions.get(dataset) or self._begin_upload(dataset)
        if session.agreement is None:
            raise OutOfOrder("upload.agreement", "there is no agreement", why="not all have signed", remedy="wait")
        try:
            submission.send(session.agreement, self._renewed(session), session.channel.upload)
        except Refusal as refusal:
            if not isinstance(refusal, Unavailable) or refusal.code in {"upload.position", "upload.stopped"}:
                submission.stop()
                self._submissions.pop(dataset, None)
            raise
        self._submissions.pop(dataset, None)
        self.ledger.upload_loaded(submission.header.upload_id, at=self._clock())
        self._record("uploaded", dataset=dataset)
        session.status = None

    def _begin_upload(self, name: str) -> Submission:
        agreed = self._require_current()
        dataset, settings = agreed.contract.dataset(name), self.config.datasets.get(name)
        if dataset is None or settings is None:
            raise Misconfigured(
                "config.dataset", f"the configuration does not say where the rows of {name} are", why="it has no section",
                remedy=f"write [datasets.{name}] with source, database or adbc", field=f"datasets.{name}",
            )  # fmt: skip
        header, data_key = new_upload(
            contract=agreed.digest, dataset=name, sender=self.config.party.name, schema_digest=schema_digest(dataset),
            mapping_digest=mapping_digest(dataset, settings), random=self._random,
        )  # fmt: skip
        self.ledger.add_upload(
            agreed.digest,
            Uploaded(header.upload_id, name, header.to_bytes(), data_key.raw, commitment=None, loaded=False),
            at=self._clock(),
        )
        submission = Submission(
            dataset, header, data_key, sources.batches(dataset, settings), commit=self.signatory.commitment,
            progress=self._progress,
        )  # fmt: skip
        self._submissions[name] = submission
        return submission

    def _progress(self, progress: Progress) -> None:
        log.debug("upload", dataset=progress.dataset, chunks=progress.chunks_durable)

    def _rewrap(self, upload: bytes) -> None:
        session = self._require_session()
        kept = self.ledger.upload(upload)
        if kept is None or kept.commitment is None or not kept.data_key:
            raise Misconfigured(
                "rewrap.unknown", "this party has no key for an upload that the coordinator holds",
                why="the ledger is another one, or the key was dropped", remedy="restore the ledger; or upload anew",
                field=upload.hex(),
            )  # fmt: skip
        attested = self._renewed(session)
        from mpc.sealing.stream import parse_header  # noqa: PLC0415

        header = parse_header(kept.header)
        sealed = seal(SealedFor.UPLOAD_KEY, header.digest, _sealing_key(attested), kept.data_key)
        session.channel.rewrap(RewrapRequest(upload, sealed, kept.commitment))
        self._record("rewrapped", dataset=kept.dataset)
        session.status = None

    def _take_share(self) -> None:
        agreed, session = self._require_current(), self._require_session()
        self._renewed(session)
        sealed = session.channel.take_share()
        self.ledger.add_share(
            agreed.digest, open_sealed(SealedFor.STATE_SHARE, agreed.digest, self._keys.sealing, sealed)
        )
        self._record("share_taken")
        session.status = None

    def _return_share(self) -> None:
        agreed, session = self._require_current(), self._require_session()
        share = self.ledger.share(agreed.digest)
        if share is None:
            raise Misconfigured(
                "share.missing", "this party has no share of the state key", why="its ledger is another one",
                remedy="restore the ledger: without every share the contract ends",
            )  # fmt: skip
        attested = self._renewed(session)
        session.channel.return_share(seal(SealedFor.RETURNED_SHARE, agreed.digest, _sealing_key(attested), share))
        self._record("share_returned")
        session.status = None

    def _permit(self, number: int, *, unattended: bool) -> None:
        agreed, session = self._require_current(), self._require_session()
        status = session.status
        run = next((run for run in status.runs if run.number == number), None) if status else None
        if run is None:
            session.status = None
            return
        attested = self._renewed(session)
        head = self._look_at_log(session)
        asked = RunAsked(run.number, run.computation, run.parameters)
        envelope = self.signatory.permit(agreed.digest, attested, asked, head, unattended=unattended, at=self._clock())
        session.channel.permit(envelope)
        self._confirmed.discard(number)
        self._countersign(agreed, session)
        session.status = None

    def _countersign(self, agreed: Agreed, session: _Session) -> None:
        head = self._look_at_log(session)
        session.channel.countersign(self.signatory.countersignature(agreed.digest, head, at=self._clock()))

    def _fetch_result(self, number: int) -> None:
        agreed, session = self._require_current(), self._require_session()
        receipt, sealed = session.channel.result(number)
        verified = verify_receipt(
            receipt, known=self.config.known_parties, exceptions=self.exceptions, beneficiary=self.config.party.name
        )
        if (verified.contract_digest, verified.run) != (agreed.digest, number):
            raise Untrusted(
                "result.receipt", "the receipt is of another run", why="contract or run differ",
                remedy="ask for the result again", field="run", expected=str(number), found=str(verified.run),
            )  # fmt: skip
        self._look_at_log(session)
        context = _run_leaf_digest(self.ledger.leaves(agreed.digest), number)
        opened = open_sealed(SealedFor.RESULT, context, self._keys.sealing, sealed)
        release = release_in(opened, verified.release)
        self.ledger.add_result(
            agreed.digest, Result(number, verified.computation.name, receipt, release, self._clock())
        )
        self._record("result", run=number, computation=verified.computation.name)

    def _deliver_withdrawal(self) -> None:
        agreed, session = self._require_current(), self._require_session()
        envelope = self.ledger.undelivered_withdrawal(agreed.digest)
        if envelope is not None:
            session.channel.withdraw(envelope)
        self.ledger.withdrawal_delivered(agreed.digest, at=self._clock())
        self.ledger.drop_keys(agreed.digest)
        self._disconnect()

    def _watch(self) -> None:
        session = self._require_session()
        before = session.status
        if before is None:
            session.status = session.channel.status()
        elif not self._woken.is_set():
            session.status = session.channel.status(seen=before.change, wait_milliseconds=int(self._pace.watch * 1000))
        self._woken.clear()
        self._note_loaded(session.status)

    def _note_loaded(self, status: StatusReply | None) -> None:
        for upload in status.uploads if status else ():
            if upload.owner == self.config.party.name and upload.state == "loaded":
                self.ledger.upload_loaded(upload.upload, at=self._clock())

    # --- small things --------------------------------------------------------------------------------------------

    def _require_current(self) -> Agreed:
        agreed = self.current()
        if agreed is None:
            raise OutOfOrder("daemon.no_contract", "there is no contract", why="none was added", remedy="add one")
        return agreed

    def _require_session(self) -> _Session:
        if self._session is None:
            raise Unavailable("daemon.not_connected", "there is no connection", why="it was lost", remedy="wait")
        return self._session

    def _disconnect(self) -> None:
        if self._session is not None:
            self._session.channel.close()
            self._session = None

    def _record(self, kind: str, **data: object) -> None:
        agreed = self.current()
        log.info(
            kind, **{name: value for name, value in data.items() if name in {"dataset", "run", "instance", "code"}}
        )
        self.ledger.record(kind, at=self._clock(), contract=None if agreed is None else agreed.digest, **data)

    def _wake(self) -> None:
        self._woken.set()
        session = self._session
        if session is not None:
            session.channel.interrupt()

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


_ABOUT_THE_CONNECTION = (
    decisions.Connect, decisions.ExchangeConsents, decisions.Appraise, decisions.Authenticate,
)  # fmt: skip
_PASSING_CODES = frozenset({"channel.exhausted", "attest.busy"})


def _signed_at(agreed: Agreed) -> datetime:
    return agreed.signed or datetime.min.replace(tzinfo=UTC)


def _sealing_key(attested: AttestedKey) -> PublicSealingKey:
    if attested.hpke_public_key is None:
        raise OutOfOrder(
            "attest.no_key", "there is no key to seal to", why="the appraisal is of the boot", remedy="wait"
        )
    return PublicSealingKey(attested.hpke_public_key)


def _run_leaf_digest(leaves: tuple[bytes, ...], number: int) -> bytes:
    from mpc.canonical import sha256  # noqa: PLC0415

    for raw in reversed(leaves):
        leaf = parse_leaf(raw)
        if isinstance(leaf, RunLeaf) and leaf.run == number:
            return sha256(raw)
    raise Untrusted("result.run", "the run is not in the log", why="the log and the result differ", remedy="ask again")


def _stage(situation: Situation, agreed: Agreed | None) -> str:
    if agreed is None:
        return "no contract"
    if not situation.signed:
        return "unsigned"
    if situation.withdrawal != "none":
        return "withdrawn"
    if not situation.connected:
        return "connecting"
    if not situation.agreed:
        return "agreeing"
    if situation.status is None:
        return "appraising"
    return situation.status.state


def _contract_data(agreed: Agreed) -> dict[str, Any]:
    return {
        "digest": agreed.digest.hex(),
        "title": agreed.contract.title,
        "signed": None if agreed.signed is None else agreed.signed.isoformat(),
        "withdrawn": None if agreed.withdrawn is None else agreed.withdrawn.isoformat(),
        "valid_until": agreed.contract.valid_until,
    }


@contextmanager
def sole_use(config: Config) -> Iterator[None]:
    """Hold the state folder for this process alone; two daemons on one ledger would sign twice."""
    config.party.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (config.party.state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Misconfigured(
                "state.in_use", "another daemon uses this state folder", why="one party has one daemon",
                remedy="stop the other one, or give this one another [party] state", field=str(config.party.state),
            ) from None  # fmt: skip
        yield
