"""One instance: what a boot of the coordinator answers to anybody, until every party has signed one contract.

Every method takes and returns values of ``mpc.messages`` and raises refusals; it knows nothing of gRPC. What depends
on a contract exists only once every party has signed it (``mpc.coordinator.agreed``), so nothing can be asked of it
before.
"""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mpc.attesters import Attester
from mpc.canonical import parse_time, sha256
from mpc.contract.consent import Agreement, agree, signature_of
from mpc.contract.document import parse_contract
from mpc.coordinator.agreed import Agreed
from mpc.coordinator.authentication import Authentication
from mpc.coordinator.children import Template
from mpc.coordinator.ending import ended
from mpc.coordinator.gathering import Gathering
from mpc.coordinator.inheritance import check_not_before, read_predecessor
from mpc.coordinator.journal import Journal
from mpc.coordinator.keys import InstanceKeys
from mpc.coordinator.reading import read_contract
from mpc.coordinator.rereading import verify_statements
from mpc.coordinator.state import StateFolder
from mpc.coordinator.telemetry import Telemetry
from mpc.errors import Forbidden, OutOfOrder, Refusal
from mpc.evidence.binding import VERSION as TRANSCRIPT_VERSION
from mpc.evidence.binding import BindingPurpose, Transcript
from mpc.evidence.claims import Attestation
from mpc.messages import (
    AgreeReply,
    AgreeRequest,
    AttestReply,
    AttestRequest,
    AuthenticateReply,
    ChallengeReply,
    ChallengeRequest,
    Signed,
    attest_purpose,
    negotiate,
)
from mpc.receipts.leaves import AttestedLeaf, ConsentLeaf, ContractLeaf, Leaf
from mpc.sealing.hpke import SealingKey
from mpc.session import restart_of, terms_of


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
        predecessor: Path | None = None,
    ) -> None:
        """``predecessor`` is the state folder of the contract whose history is taken over, if one's is."""
        self._state = state
        self._predecessor = predecessor
        self._keys = keys
        self._attester = attester
        self._telemetry = telemetry
        self._on_end = on_end
        self.authentication = Authentication(keys.tls.spki, clock=clock)
        self._loaders = Template("loader")
        self._runners = Template("runner")
        self._attesting = threading.Lock()
        self._agreeing = threading.Lock()
        self._gathering = Gathering(state, partial(read_contract, self._runners))
        self._signatures: tuple[bytes, ...] = ()
        self._agreed: Agreed | None = None
        stored = state.agreed()
        if stored is not None:
            self._take_up(*stored)
        else:
            telemetry.session("boot")
            threading.Thread(target=self._warm, name="warm", daemon=True).start()

    def _warm(self) -> None:
        """Have the template ready that reads the first contract, and runs its computations later."""
        try:
            self._runners.warm()
        except Refusal as refusal:
            self._telemetry.event("warm.refused", code=refusal.code)

    def bid_farewell(self, seconds: float) -> None:
        """Give the parties of a contract that has ended up to ``seconds`` to learn of it; else return at once."""
        if self._agreed is not None:
            self._agreed.ending.await_told(seconds)

    def end_waits(self) -> None:
        """Answer every call that waits for news: this process ends."""
        if self._agreed is not None:
            self._agreed.journal.end_waits()

    def close(self) -> None:
        """End children and threads and let go of the folder."""
        if self._agreed is not None:
            self._agreed.close()
        self._loaders.close()
        self._runners.close()
        self._state.close()

    # Before authentication

    def attest(self, request: AttestRequest) -> AttestReply:
        """Return fresh evidence, over this boot or over the agreed contract."""
        version = negotiate(request.versions)
        purpose = attest_purpose(request)
        if purpose == "contract":
            agreed = self.agreed(request.contract)
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
                self.agreed(sha256(request.contract))
                return AgreeReply(request.contract, self._signatures, ())
            check_not_before(self._predecessor, request.contract)
            reply, agreement = self._gathering.take(request)
            if agreement is not None:
                self._begin_or_warn(agreement)
            return reply

    def _begin_or_warn(self, agreement: Agreement) -> None:
        """Begin; what stands in the way concerns who runs this coordinator as well, and not only who asks."""
        try:
            self._begin(agreement)
        except Refusal as refusal:
            self._telemetry.event("agree.refused", code=refusal.code)
            raise

    def challenge(self, request: ChallengeRequest) -> ChallengeReply:
        """Return a challenge for a party of the contract, even when it has ended: then it may still ask how."""
        agreed = self.held(request.contract)
        if request.party not in agreed.keys:
            raise Forbidden(
                "authentication.unknown", "the caller is no party of the contract", why="its name is not in it",
                remedy="use the name that the contract gives you", field="party",
            )  # fmt: skip
        return ChallengeReply(self.authentication.challenge(request.party))

    def authenticate(self, signed: Signed) -> AuthenticateReply:
        """Return a token for the party that answered its challenge."""
        agreement = self.held().agreement
        _, token = self.authentication.authenticate(signed.envelope, agreement.contract, agreement.digest)
        return AuthenticateReply(token, self.authentication.limits.token_seconds)

    # The contract, fresh and taken up

    def agreed(self, digest: bytes | None = None) -> Agreed:
        """Return the contract that this instance is about and that has not ended; ``digest`` must then be its own."""
        agreed = self.held(digest)
        if agreed.journal.session.state == "ended":
            raise ended(agreed.journal.session, remedy="agree on a new contract")
        return agreed

    def held(self, digest: bytes | None = None) -> Agreed:
        """Return the contract that this instance is about, even when it has ended."""
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
        return agreed

    def _take_up(self, raw: bytes, consents: list[bytes]) -> None:
        """Go on with the contract of the folder, after its consents are verified again."""
        contract = parse_contract(raw)
        self._begin(agree(raw, consents, at=parse_time(contract.valid_from)))

    def _begin(self, agreement: Agreement) -> None:
        """Be about ``agreement``: begin its log, or go on with it after everything in the folder is verified again.

        Of a contract that has ended only the log is told, to parties that were away: it is signed by this instance and
        goes no further.
        """
        journal = Journal(self._state, self._keys.receipt, terms_of(agreement.contract, agreement.digest))
        instance, hpke = self._keys.instance.hex(), SealingKey.generate()
        attested = AttestedLeaf(instance=instance, hpke=hpke.public.digest.hex())
        restart, session = restart_of(journal.session, instance), journal.session
        is_settled = session.inherited or session.state == "ended"
        predecessor = None if is_settled else read_predecessor(self._predecessor, agreement.contract)
        inheritance = () if predecessor is None else (predecessor.leaf(),)
        if restart is None:
            journal.begin_anew()
            journal.append(*_beginning(agreement), attested, *inheritance, statements=agreement.consents)
        else:
            verify_statements(agreement, self._state, journal.log)
            if session.state != "ended":
                journal.append(restart, attested, *inheritance)
        self._agreed = Agreed(
            agreement,
            state=self._state,
            keys=self._keys,
            journal=journal,
            hpke=hpke,
            attest=lambda nonce: self._attest_contract(agreement, hpke, nonce),
            loaders=self._loaders,
            runners=self._runners,
            telemetry=self._telemetry,
            on_end=self._on_end,
            predecessor=predecessor,
        )
        self._signatures = tuple(map(signature_of, agreement.consents))
        self._gathering.clear()


def _beginning(agreement: Agreement) -> list[Leaf]:
    parties = agreement.contract.parties
    consents = [
        ConsentLeaf(party=party.name, envelope=sha256(consent).hex())
        for party, consent in zip(parties, agreement.consents, strict=True)
    ]
    return [ContractLeaf(contract=agreement.digest.hex()), *consents]
