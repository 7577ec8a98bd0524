"""One instance: what it is asked, in the order in which the session allows it.

Every method takes and returns values of ``mpc.messages`` and raises refusals; it knows nothing of gRPC. What depends
on a contract exists only once every party has signed it (``_Agreed``), so nothing can be asked of it before.
"""

import base64
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mpc.attesters import Attester
from mpc.canonical import parse_json, parse_time, sha256
from mpc.contract.consent import Agreement, agree, check_in_force
from mpc.contract.document import parse_contract
from mpc.contract.statements import Activation, Withdrawal
from mpc.coordinator.authentication import Authentication, require_party
from mpc.coordinator.children import Template
from mpc.coordinator.intake import Intake
from mpc.coordinator.journal import Journal
from mpc.coordinator.keys import InstanceKeys
from mpc.coordinator.rereading import verify_statements
from mpc.coordinator.runs import Runs
from mpc.coordinator.shares import Shares
from mpc.coordinator.state import PENDING_MAX, StateFolder
from mpc.coordinator.telemetry import Telemetry
from mpc.errors import Exhausted, Forbidden, OutOfOrder, Refusal
from mpc.evidence.binding import VERSION as TRANSCRIPT_VERSION
from mpc.evidence.binding import BindingPurpose, Transcript
from mpc.evidence.claims import Attestation
from mpc.messages import (
    RESULT_PIECE_BYTES,
    AgreeReply,
    AgreeRequest,
    AttestReply,
    AttestRequest,
    AuthenticateReply,
    Awaited,
    ChallengeReply,
    ChallengeRequest,
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
    attest_purpose,
    negotiate,
)
from mpc.receipts.leaves import (
    ActivationLeaf,
    AttestedLeaf,
    ConsentLeaf,
    ContractLeaf,
    DestructionLeaf,
    RestartLeaf,
    WithdrawalLeaf,
)
from mpc.receipts.log import sign_checkpoint, verify_checkpoint
from mpc.sealing.hpke import PublicSealingKey, SealingKey
from mpc.signing import Purpose, VerifyingKey, open_envelope

WAIT_MAX_SECONDS = 20.0


@dataclass(frozen=True, eq=False)
class _Agreed:
    """What exists once every party has signed: the agreement, this instance's key for it, and its parts."""

    agreement: Agreement
    hpke: SealingKey
    keys: dict[str, VerifyingKey]
    intake: Intake
    shares: Shares
    runs: Runs
    restarted: bool


class Instance:
    """One boot of the coordinator. ``clock`` gives seconds and only runs forward; ``on_end`` ends the process."""

    def __init__(
        self,
        state: StateFolder,
        keys: InstanceKeys,
        attester: Attester,
        *,
        clock: Callable[[], float],
        telemetry: Telemetry,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._state = state
        self._keys = keys
        self._attester = attester
        self._telemetry = telemetry
        self._on_end = on_end
        self._journal = Journal(state, keys.receipt)
        self.authentication = Authentication(keys.tls.spki, clock=clock)
        self._loaders = Template("loader")
        self._runners = Template("runner")
        self._attesting = threading.Lock()
        self._agreeing = threading.Lock()
        self._countersigned: dict[int, dict[str, bytes]] = {}
        self._pending: dict[bytes, dict[str, bytes]] = dict(state.pending())
        self._agreed: _Agreed | None = None
        self._word = ""
        stored = state.agreed()
        if stored is not None:
            self._take_up(*stored)
        self._tell_state()

    def close(self) -> None:
        """End children and threads and let go of the folder."""
        if self._agreed is not None:
            self._agreed.runs.close()
            self._agreed.intake.close()
        self._loaders.close()
        self._runners.close()
        self._state.close()

    # Before authentication

    def attest(self, request: AttestRequest) -> AttestReply:
        """Return fresh evidence, over this boot or over the agreed contract."""
        version = negotiate(request.versions)
        purpose = attest_purpose(request)
        if purpose == "contract":
            agreed = self._require_agreed(request.contract)
            attestation = self._attest_contract(agreed.agreement, agreed.hpke, request.nonce)
            hpke = agreed.hpke.public.raw
        else:
            attestation, hpke = self._attest(self._transcript("boot", request.nonce)), b""
        return AttestReply(
            version, attestation.format, attestation.evidence, tuple(attestation.endorsements), hpke,
            self._keys.receipt.public.raw, attestation.transcript,
        )  # fmt: skip

    def _attest_contract(self, agreement: Agreement, hpke: SealingKey, nonce: bytes) -> Attestation:
        return self._attest(self._transcript("contract", nonce, agreement.digest, hpke.public.digest))

    def _transcript(
        self, purpose: BindingPurpose, nonce: bytes, contract: bytes | None = None, hpke: bytes | None = None
    ) -> Transcript:
        receipt_key = self._keys.receipt.public.raw
        return Transcript(TRANSCRIPT_VERSION, purpose, nonce, contract, self._keys.tls.spki, hpke, receipt_key)

    def _attest(self, transcript: Transcript) -> Attestation:
        with self._attesting:  # hardware answers one at a time
            return self._attester.attest(transcript)

    def agree(self, request: AgreeRequest) -> AgreeReply:
        """Take consents in; once all are there, this instance is about that contract and no other."""
        with self._agreeing:
            if self._agreed is not None:
                agreement = self._require_agreed(sha256(request.contract)).agreement
                return AgreeReply(agreement.raw, agreement.consents, ())
            contract = parse_contract(request.contract)
            keys = {VerifyingKey(bytes.fromhex(party.signing_key)): party.name for party in contract.parties}
            consents = dict(self._pending.get(request.contract, {}))
            for consent in request.consents:
                opened = open_envelope(consent, Purpose.CONTRACT, tuple(keys))
                consents.setdefault(keys[opened.key], consent)
            missing = tuple(party.name for party in contract.parties if party.name not in consents)
            if not missing:
                # Whether it has expired is for the owners to say: the enclave has no clock.
                agreement = agree(request.contract, consents.values(), at=parse_time(contract.valid_from))
                self._state.keep_agreed(agreement.raw, consents)
                self._begin(agreement, restarted=False)
            elif consents:
                self._keep_pending(request.contract, consents)
            return AgreeReply(request.contract, tuple(consents.values()), missing)

    def _keep_pending(self, contract: bytes, consents: dict[str, bytes]) -> None:
        if contract not in self._pending and len(self._pending) >= PENDING_MAX:
            raise Exhausted(
                "agree.pending", "too many contracts wait for signatures here", why="a coordinator serves one",
                remedy="start a coordinator of your own for this contract",
            )  # fmt: skip
        self._state.keep_pending(contract, consents)
        self._pending[contract] = consents

    def challenge(self, request: ChallengeRequest) -> ChallengeReply:
        """Return a challenge for a party of the contract."""
        agreed = self._require_agreed(request.contract)
        if request.party not in agreed.keys:
            raise Forbidden(
                "authentication.unknown", "the caller is no party of the contract", why="its name is not in it",
                remedy="use the name that the contract gives you", field="party",
            )  # fmt: skip
        return ChallengeReply(self.authentication.challenge(request.party))

    def authenticate(self, signed: Signed) -> AuthenticateReply:
        """Return a token for the party that answered its challenge."""
        agreement = self._require_agreed().agreement
        _, token = self.authentication.authenticate(signed.envelope, agreement.contract, agreement.digest)
        return AuthenticateReply(token, self.authentication.limits.token_seconds)

    # The state of things

    def status(self, party: str, request: StatusRequest) -> StatusReply:
        """Return how things stand, at once or when something changes."""
        agreed = self._require_agreed()
        with self._journal.changed:
            seconds = min(request.wait_milliseconds / 1000, WAIT_MAX_SECONDS)
            self._journal.changed.wait_for(lambda: self._journal.changes > request.seen, seconds)
            return StatusReply(
                state=self._state_word(),
                awaited=tuple(self._awaited(agreed)),
                checkpoint=self._journal.checkpoint(),
                runs=agreed.runs.states(party),
                uploads=agreed.intake.states(party),
                restarted=agreed.restarted,
                change=self._journal.changes,
            )

    def _awaited(self, agreed: _Agreed) -> Iterator[Awaited]:
        inactive = [name for name in agreed.keys if not self._journal.facts.active(name)]
        if inactive:
            yield from (Awaited(name, "activation") for name in inactive)
            return
        word = "take" if agreed.shares.restored else "return"
        yield from (Awaited(owner, "share", word) for owner in agreed.shares.missing())
        yield from (Awaited(*entry) for entry in agreed.intake.unloaded())
        for run in agreed.runs.states(""):
            yield from (Awaited(owner, "permit", str(run.number)) for owner in run.missing)

    def _state_word(self) -> str:
        agreed, facts = self._agreed, self._journal.facts
        if agreed is None:
            return "boot"
        if facts.destroyed is not None:
            return "ended"
        if not all(facts.active(name) for name in agreed.keys):
            return "attested"
        if agreed.shares.missing() or any(agreed.intake.unloaded()):
            return "activated"
        states = {run.state for run in agreed.runs.states("")}
        if "running" in states:
            return "permitted"
        return "released" if states and not states & {"permitting"} else "loaded"

    def _tell_state(self) -> None:
        word = self._state_word()
        if word != self._word:
            self._word = word
            self._telemetry.session(word)

    # Activation

    def activate(self, party: str, signed: Signed) -> CheckpointReply:
        """Take a party's choice of this instance; the last one lets rows in."""
        agreed = self._require_agreed()
        opened = open_envelope(signed.envelope, Purpose.ACTIVATION, (agreed.keys[party],))
        activation = parse_json(Activation, opened.body, what="the activation")
        require_party(party, activation.party, "activation")
        check_in_force(agreed.agreement.contract, parse_time(activation.time))
        with self._journal.lock:
            if self._journal.facts.active(party):  # sent again, as its answer was lost
                return CheckpointReply(self._journal.checkpoint())
            self._check_activation(agreed, activation)
            name = self._state.keep_envelope(signed.envelope)
            instance = self._keys.instance.hex()
            self._journal.append(ActivationLeaf(party=party, instance=instance, time=activation.time, envelope=name))
            if all(self._journal.facts.active(name) for name in agreed.keys):
                agreed.shares.begin()
                self._journal.touch()
                threading.Thread(target=self._warm, args=(agreed,), name="warm", daemon=True).start()
            self._tell_state()
            return CheckpointReply(self._journal.checkpoint())

    def _warm(self, agreed: _Agreed) -> None:
        try:
            agreed.intake.warm()
            self._runners.warm()
        except Refusal as refusal:
            self._telemetry.event("warm.refused", code=refusal.code)

    def _check_activation(self, agreed: _Agreed, activation: Activation) -> None:
        for field, expected, found in (
            ("contract", agreed.agreement.digest.hex(), activation.contract),
            ("instance", self._keys.instance.hex(), activation.instance),
        ):
            if expected != found:
                raise Forbidden(
                    f"activation.{field}", f"the activation is for another {field}", why="it does not hold here",
                    remedy="appraise this instance and activate it", field=field, expected=expected, found=found,
                )  # fmt: skip
        before = self._journal.facts.activations.get(activation.party)
        replaced = activation.replaces
        if (before.instance if before else None) != (replaced.instance if replaced else None):
            raise Forbidden(
                "activation.replaces", "the activation does not replace the instance that this log knows",
                why="the coordinator's state is older than the party's, or the party's is",
                remedy="compare checkpoints; the latest state folder has to be restored", field="replaces",
                expected=before.instance if before else "none", found=replaced.instance if replaced else "none",
            )  # fmt: skip
        if replaced is not None:
            self._journal.require_extends(replaced.log_size, replaced.log_root, "activation")

    # Rows

    def upload(self, party: str, parts: Iterator[UploadPart]) -> Iterator[UploadReply]:
        """Take an upload in, yielding acknowledgements."""
        agreed = self._require_active()
        yield from agreed.intake.upload(party, agreed.hpke, parts)
        self._tell_state()

    def rewrap(self, party: str, request: RewrapRequest) -> UploadReply:
        """Load rows from the vault with a key that was wrapped for this instance."""
        agreed = self._require_active()
        reply = agreed.intake.rewrap(party, agreed.hpke, request)
        self._tell_state()
        return reply

    def take_share(self, party: str) -> ShareReply:
        """Return the caller's sealed share of the state key."""
        return ShareReply(self._require_active().shares.take(party))

    def return_share(self, party: str, request: ShareReply) -> StatusReply:
        """Take a share back after a restart."""
        agreed = self._require_active()
        agreed.shares.give_back(party, request.sealed_share, agreed.hpke)
        self._tell_state()
        return self.status(party, StatusRequest())

    # Runs

    def request_run(self, party: str, signed: Signed) -> RunReply:
        """Put a recipient's wish into the log."""
        return RunReply(self._require_active().runs.request(party, signed.envelope))

    def permit(self, party: str, signed: Signed) -> CheckpointReply:
        """Take an owner's permit; the last one starts the run."""
        self._require_active().runs.permit(party, signed.envelope)
        self._tell_state()
        return CheckpointReply(self._journal.checkpoint())

    def result(self, party: str, request: ResultRequest) -> Iterator[ResultPart]:
        """Yield the receipt, then the caller's sealed result in pieces."""
        receipt, sealed = self._require_agreed().runs.result(party, request.run)
        yield ReceiptPart(receipt)
        for start in range(0, len(sealed), RESULT_PIECE_BYTES):
            yield SealedPart(sealed[start : start + RESULT_PIECE_BYTES])

    # The log

    def log(self, request: LogRequest) -> LogReply:
        """Return the leaves after a size, and the proof that they extend it."""
        self._require_agreed()
        with self._journal.lock:
            log = self._journal.log
            proof = log.consistency(request.known_size)
            return LogReply(log.leaves(request.known_size), proof, self._journal.checkpoint())

    def countersign(self, party: str, signed: Signed) -> CheckpointReply:
        """Take a party's signature on a state of the log; receipts carry it from then on."""
        agreed = self._require_agreed()
        checkpoint = verify_checkpoint(
            signed.envelope,
            contract=agreed.agreement.digest.hex(),
            instance=self._keys.instance.hex(),
            keys=(agreed.keys[party],),
        ).checkpoint
        with self._journal.lock:
            self._journal.require_extends(checkpoint.size, checkpoint.root, "checkpoint")
            signatures = self._countersigned.setdefault(checkpoint.size, {})
            signatures[party] = signed.envelope
            own = self._journal.state_of(self._journal.log).model_copy(
                update={"size": checkpoint.size, "root": checkpoint.root}
            )
            agreed.runs.countersign(sign_checkpoint(own, self._keys.receipt), checkpoint.size, signatures)
            return CheckpointReply(self._journal.checkpoint())

    def withdraw(self, party: str, signed: Signed) -> CheckpointReply:
        """Take a party's leave: the log says so, and the process that holds the keys ends."""
        agreed = self._require_agreed()
        opened = open_envelope(signed.envelope, Purpose.WITHDRAWAL, (agreed.keys[party],))
        withdrawal = parse_json(Withdrawal, opened.body, what="the withdrawal")
        require_party(party, withdrawal.party, "withdrawal")
        if withdrawal.contract != agreed.agreement.digest.hex():
            raise Forbidden(
                "withdrawal.contract", "the withdrawal is from another contract", why="its digest differs",
                remedy="withdraw from this contract", field="contract",
            )  # fmt: skip
        with self._journal.lock:
            if self._journal.facts.destroyed is None:
                name = self._state.keep_envelope(signed.envelope)
                instance = self._keys.instance.hex()
                self._journal.append(
                    WithdrawalLeaf(party=party, envelope=name), DestructionLeaf(instance=instance, reason="withdrawn")
                )
            self._tell_state()
            reply = CheckpointReply(self._journal.checkpoint())
        self._on_end()
        return reply

    # Agreements, fresh and taken up

    def _begin(self, agreement: Agreement, *, restarted: bool) -> None:
        keys = {party.name: VerifyingKey(bytes.fromhex(party.signing_key)) for party in agreement.contract.parties}
        hpke = SealingKey.generate()
        instance = self._keys.instance.hex()
        attested = AttestedLeaf(instance=instance, hpke=hpke.public.digest.hex())
        if restarted:
            previous = self._journal.facts.instance
            self._journal.append(RestartLeaf(instance=instance, previous=previous), attested)
        else:
            consents = [
                ConsentLeaf(party=party.name, envelope=self._state.keep_envelope(consent))
                for party, consent in zip(agreement.contract.parties, agreement.consents, strict=True)
            ]
            self._journal.append(ContractLeaf(contract=agreement.digest.hex()), *consents, attested)
        self._agreed = self._parts(agreement, hpke, keys, restarted=restarted)
        self._pending.clear()
        self._journal.touch()
        self._tell_state()

    def _parts(
        self, agreement: Agreement, hpke: SealingKey, keys: dict[str, VerifyingKey], *, restarted: bool
    ) -> _Agreed:
        intake = Intake(
            agreement, self._state, self._journal, self._loaders,
            lambda folder: self._telemetry.event("vault.unreadable", folder=folder),
        )  # fmt: skip
        sealing_keys = {
            party.name: PublicSealingKey(base64.b64decode(party.sealing_key)) for party in agreement.contract.parties
        }
        shares = Shares(agreement, self._state, self._journal, sealing_keys)
        runs = Runs(
            agreement,
            state=self._state,
            journal=self._journal,
            intake=intake,
            shares=shares,
            runners=self._runners,
            receipt_key=self._keys.receipt,
            hpke_public_key=hpke.public.raw,
            attest=lambda nonce: self._attest_contract(agreement, hpke, nonce),
            ended=self._run_ended,
        )
        return _Agreed(agreement, hpke, keys, intake, shares, runs, restarted)

    def _run_ended(self, run: int, code: str) -> None:
        self._telemetry.run_ended(run, code)
        self._tell_state()

    def _take_up(self, raw: bytes, consents: list[bytes]) -> None:
        """Go on with the contract of the folder, after everything in it is verified again."""
        contract = parse_contract(raw)
        agreement = agree(raw, consents, at=parse_time(contract.valid_from))
        facts = self._journal.facts
        if not facts.instance:
            self._state.begin_log()
            self._journal = Journal(self._state, self._keys.receipt)
            self._begin(agreement, restarted=False)
            return
        verify_statements(agreement, self._state, self._journal.log)
        if facts.destroyed is not None:
            raise OutOfOrder(
                "contract.ended", "this contract has ended here", why=f"it was {facts.destroyed.reason}",
                remedy="start the coordinator of another contract with a folder of its own", field="--state",
            )  # fmt: skip
        self._begin(agreement, restarted=True)

    def _require_agreed(self, digest: bytes | None = None) -> _Agreed:
        agreed = self._agreed
        if agreed is None:
            raise OutOfOrder(
                "contract.not_agreed", "no contract is agreed here yet", why="not every party has signed",
                remedy="hand in the contract with your consent, and wait for the others",
            )  # fmt: skip
        if digest is not None and digest != agreed.agreement.digest:
            raise Forbidden(
                "contract.other", "this coordinator serves another contract", why="one coordinator serves one contract",
                remedy="start a coordinator of your own for this contract", field="contract",
                expected=agreed.agreement.digest.hex(), found=digest.hex(),
            )  # fmt: skip
        if self._journal.facts.destroyed is not None:
            raise OutOfOrder(
                "contract.ended", "this contract has ended here", why="the instance is dropping its keys",
                remedy="agree on a new contract",
            )  # fmt: skip
        return agreed

    def _require_active(self) -> _Agreed:
        agreed = self._require_agreed()
        inactive = [name for name in agreed.keys if not self._journal.facts.active(name)]
        if inactive:
            raise OutOfOrder(
                "instance.inactive", "not every party has activated this instance", why="rows wait for all of them",
                remedy="wait for the parties named", field="activation", expected="all", found=", ".join(inactive),
            )  # fmt: skip
        return agreed
