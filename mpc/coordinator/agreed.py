"""A contract that every party has signed, in one instance: what may be asked of it until it ends.

What it allows, and whom it awaits, is ``mpc.session``'s to say: here a statement is opened, held against what only its
own words tell, and handed to the journal as the event that it is.
"""

import base64
import threading
from collections.abc import Callable, Iterator

from mpc.canonical import parse_json, sha256
from mpc.contract.consent import Agreement
from mpc.contract.statements import Activation
from mpc.coordinator.authentication import require_party
from mpc.coordinator.children import Template
from mpc.coordinator.ending import Ending
from mpc.coordinator.inheritance import Predecessor
from mpc.coordinator.intake import Intake
from mpc.coordinator.journal import Journal
from mpc.coordinator.keys import InstanceKeys
from mpc.coordinator.runs import Runs
from mpc.coordinator.shares import Shares
from mpc.coordinator.state import StateFolder
from mpc.coordinator.telemetry import Telemetry
from mpc.errors import Forbidden, OutOfOrder, Refusal
from mpc.evidence.claims import Attestation
from mpc.messages import (
    RESULT_PIECE_BYTES,
    Awaited,
    CheckpointReply,
    LogReply,
    LogRequest,
    ReceiptPart,
    ResultPart,
    ResultRequest,
    RewrapRequest,
    RunReply,
    SealedPart,
    ShareReply,
    Signed,
    StatusReply,
    StatusRequest,
    UploadPart,
    UploadReply,
)
from mpc.receipts.leaves import ActivationLeaf
from mpc.receipts.log import sign_checkpoint, verify_checkpoint
from mpc.sealing.hpke import PublicSealingKey, SealingKey
from mpc.session import awaited
from mpc.signing import Purpose, VerifyingKey, open_envelope

WAIT_MAX_SECONDS = 20.0
_RESULT_SECONDS = 0.5
"""How long the end of a run has the machine to itself, before children are prepared for what may come next."""


class Agreed:
    """One contract in one instance, with the key that was made for it; ``attest`` gives evidence over a nonce."""

    def __init__(
        self,
        agreement: Agreement,
        *,
        state: StateFolder,
        keys: InstanceKeys,
        journal: Journal,
        hpke: SealingKey,
        attest: Callable[[bytes], Attestation],
        loaders: Template,
        runners: Template,
        telemetry: Telemetry,
        on_end: Callable[[], None],
        predecessor: Predecessor | None,
    ) -> None:
        self.agreement = agreement
        self._predecessor = predecessor
        self.hpke = hpke
        self.journal = journal
        self._receipt_key = keys.receipt
        self._instance = keys.instance.hex()
        self._runners = runners
        self._telemetry = telemetry
        self._word = ""
        self._countersigned: dict[int, dict[str, bytes]] = {}
        parties = agreement.contract.parties
        self.keys = {party.name: VerifyingKey(bytes.fromhex(party.signing_key)) for party in parties}
        sealing_keys = {party.name: PublicSealingKey(base64.b64decode(party.sealing_key)) for party in parties}
        self.intake = Intake(
            agreement, state, journal, loaders, lambda folder: telemetry.event("vault.unreadable", folder=folder)
        )
        self.shares = Shares(agreement, state, journal, sealing_keys, predecessor)
        self.ending = Ending(agreement.contract, journal, instance=self._instance, on_end=on_end)
        self.runs = Runs(
            agreement,
            state=state,
            journal=journal,
            intake=self.intake,
            shares=self.shares,
            ending=self.ending,
            runners=runners,
            receipt_key=keys.receipt,
            hpke_public_key=hpke.public.raw,
            attest=attest,
            ended=self._run_ended,
        )
        self._tell_state()

    def close(self) -> None:
        """End the run at hand and let go of all rows."""
        self.runs.close()
        self.intake.close()

    # The state of things

    def status(self, party: str, request: StatusRequest) -> StatusReply:
        """Return how things stand, at once or when something changes."""
        journal = self.journal
        with journal.changed:
            seconds = min(request.wait_milliseconds / 1000, WAIT_MAX_SECONDS)
            journal.changed.wait_for(lambda: journal.is_closing or journal.changes > request.seen, seconds)
            session = journal.session
            return StatusReply(
                state=session.shown,
                awaited=tuple(Awaited(each.party, each.what, each.subject) for each in awaited(session)),
                checkpoint=journal.checkpoint(),
                runs=self.runs.states(party),
                uploads=self.intake.states(party),
                restarted=session.restarted,
                change=journal.changes,
            )

    def _tell_state(self) -> None:
        word = self.journal.session.shown
        if word != self._word:
            self._word = word
            self._telemetry.session(word)

    def _run_ended(self, run: int, code: str) -> None:
        self._telemetry.run_ended(run, code)
        self._tell_state()
        warming = threading.Timer(_RESULT_SECONDS, self._warm)
        warming.daemon = True
        warming.start()

    def _checkpoint(self) -> CheckpointReply:
        self._tell_state()
        return CheckpointReply(self.journal.checkpoint())

    # Activation

    def activate(self, party: str, signed: Signed) -> CheckpointReply:
        """Take a party's choice of this instance; the last one lets rows in."""
        opened = open_envelope(signed.envelope, Purpose.ACTIVATION, (self.keys[party],))
        activation = parse_json(Activation, opened.body, what="the activation")
        require_party(party, activation.party, "activation")
        self._check_about(activation)
        self.ending.require_in_force(party, activation.time)
        with self.journal.lock:
            if party not in self.journal.session.activated:  # else it is sent again, as its answer was lost
                self._check_replaced(activation)
                if self._predecessor is not None:
                    self._predecessor.check_seen(party, activation.inherits)
                envelope = sha256(signed.envelope).hex()
                leaf = ActivationLeaf(party=party, instance=self._instance, time=activation.time, envelope=envelope)
                self.journal.append(leaf, statements=(signed.envelope,))
                if self.journal.session.state == "activated":
                    self.shares.begin()
                    self.journal.touch()
                    threading.Thread(target=self._warm, name="warm", daemon=True).start()
            return self._checkpoint()

    def _check_about(self, activation: Activation) -> None:
        for field, expected, found in (
            ("contract", self.agreement.digest.hex(), activation.contract),
            ("instance", self._instance, activation.instance),
        ):
            if expected != found:
                raise Forbidden(
                    f"activation.{field}", f"the activation is for another {field}", why="it does not hold here",
                    remedy="appraise this instance and activate it", field=field, expected=expected, found=found,
                )  # fmt: skip

    def _check_replaced(self, activation: Activation) -> None:
        """Refuse a party whose last choice is not the one in this log: one of the two was rolled back."""
        before = [leaf.instance for _, leaf in self.journal.leaves(ActivationLeaf, party=activation.party)]
        expected = before[-1] if before else None
        replaced = activation.replaces
        found = replaced.instance if replaced else None
        if expected != found:
            raise Forbidden(
                "activation.replaces", "the activation does not replace the instance that this log knows",
                why="the coordinator's state is older than the party's, or the party's is",
                remedy="compare checkpoints; the latest state folder has to be restored", field="replaces",
                expected=expected or "none", found=found or "none",
            )  # fmt: skip
        if replaced is not None:
            self.journal.require_extends(replaced.log_size, replaced.log_root, "activation")

    def _warm(self) -> None:
        try:
            self.intake.warm()
            self._runners.warm()
        except Refusal as refusal:
            self._telemetry.event("warm.refused", code=refusal.code)

    def _require_active(self) -> None:
        session = self.journal.session
        inactive = [party for party in session.terms.parties if party not in session.activated]
        if inactive:
            raise OutOfOrder(
                "instance.inactive", "not every party has activated this instance", why="rows wait for all of them",
                remedy="wait for the parties named", field="activation", expected="all", found=", ".join(inactive),
            )  # fmt: skip

    # Rows and shares

    def upload(self, party: str, parts: Iterator[UploadPart]) -> Iterator[UploadReply]:
        """Take an upload in, yielding acknowledgements."""
        self._require_active()
        yield from self.intake.upload(party, self.hpke, parts)
        self._tell_state()

    def rewrap(self, party: str, request: RewrapRequest) -> UploadReply:
        """Load rows from the vault with a key that was wrapped for this instance."""
        self._require_active()
        reply = self.intake.rewrap(party, self.hpke, request)
        self._tell_state()
        return reply

    def take_share(self, party: str, _: StatusRequest) -> ShareReply:
        """Return the caller's sealed share of the state key."""
        self._require_active()
        sealed = self.shares.take(party)
        self._tell_state()
        return ShareReply(sealed)

    def return_share(self, party: str, request: ShareReply) -> StatusReply:
        """Take a share back after a restart."""
        self._require_active()
        self.shares.give_back(party, request.sealed_share, self.hpke)
        self._tell_state()
        return self.status(party, StatusRequest())

    def hand_down_share(self, party: str, request: ShareReply) -> StatusReply:
        """Take the share that an owner holds of the key of the contract before."""
        self._require_active()
        self.shares.inherit(party, request.sealed_share, self.hpke)
        self._tell_state()
        return self.status(party, StatusRequest())

    # Runs

    def request_run(self, party: str, signed: Signed) -> RunReply:
        """Put a recipient's wish into the log."""
        self._require_active()
        number = self.runs.request(party, signed.envelope)
        self._tell_state()
        return RunReply(number)

    def permit(self, party: str, signed: Signed) -> CheckpointReply:
        """Take an owner's permit; the last one starts the run."""
        self._require_active()
        self.runs.permit(party, signed.envelope)
        return self._checkpoint()

    def result(self, party: str, request: ResultRequest) -> Iterator[ResultPart]:
        """Yield the receipt, then the caller's sealed result in pieces."""
        receipt, sealed = self.runs.result(party, request.run)
        yield ReceiptPart(receipt)
        for start in range(0, len(sealed), RESULT_PIECE_BYTES):
            yield SealedPart(sealed[start : start + RESULT_PIECE_BYTES])
        self.ending.fetched(party, request.run)

    # The log

    def log(self, party: str, request: LogRequest) -> LogReply:
        """Return the leaves after a size, and the proof that they extend it."""
        with self.journal.lock:
            log = self.journal.log
            proof = log.consistency(request.known_size)
            self.ending.told(party)
            return LogReply(log.leaves(request.known_size), proof, self.journal.checkpoint())

    def countersign(self, party: str, signed: Signed) -> CheckpointReply:
        """Take a party's signature on a state of the log; receipts carry it from then on."""
        checkpoint = verify_checkpoint(
            signed.envelope,
            contract=self.agreement.digest.hex(),
            instance=self._instance,
            keys=(self.keys[party],),
        ).checkpoint
        with self.journal.lock:
            self.journal.require_extends(checkpoint.size, checkpoint.root, "checkpoint")
            signatures = self._countersigned.setdefault(checkpoint.size, {})
            signatures[party] = signed.envelope
            own = self.journal.state_of(self.journal.log).model_copy(
                update={"size": checkpoint.size, "root": checkpoint.root}
            )
            self.runs.countersign(sign_checkpoint(own, self._receipt_key), checkpoint.size, signatures)
            return CheckpointReply(self.journal.checkpoint())

    def withdraw(self, party: str, signed: Signed) -> CheckpointReply:
        """Take a party's leave: the log says so, and the process that holds the keys ends."""
        self.ending.withdraw(party, self.keys[party], signed.envelope)
        return self._checkpoint()
