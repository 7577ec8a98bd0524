"""One connection to one appraised instance, and each step that a party takes over it.

A conversation begins with the boot's appraisal and never outlives its certificate: another certificate, another
instance, another conversation. What is signed comes from ``parties.signatory``; what is learned goes to the ledger.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from mpc.contract.consent import Agreement, agree, consent_of, missing_consents
from mpc.errors import Malformed, Misconfigured, OutOfOrder, Refusal, Unavailable, Untrusted
from mpc.evidence.appraisal import AttestedKey
from mpc.messages import LogReply, RewrapRequest, Run, StatusReply
from mpc.receipts.leaves import ReleaseLeaf, parse_leaf
from mpc.sealing.hpke import PublicSealingKey, SealedFor, open_sealed, seal
from mpc.sealing.secret_state import inheritance_context
from mpc.sealing.stream import new_upload, parse_header
from mpc.signing import VerifyingKey
from mpc.table.batches import schema_digest
from parties import receiving, sources
from parties.channel import Channel, checks_as_data
from parties.decisions import ENDED
from parties.ledger import Agreed, Head, Result, Uploaded, rolled_back
from parties.mapping import mapping_digest
from parties.party import Party
from parties.signatory import RunAsked
from parties.submission import Submission

TOKEN_USE = 0.8
"""The part of a token's life after which a new one is asked for."""

_BEGIN_ANEW = frozenset({"upload.position", "upload.stopped"})


class Conversation:
    """The steps. Each refuses or leaves the party one step further; ``status`` is the coordinator's last word.

    ``countersigned`` are the runs whose end stands in a log that this party countersigned here.
    """

    def __init__(self, party: Party, agreed: Agreed, channel: Channel, boot: AttestedKey) -> None:
        self._party = party
        self._agreed = agreed
        self._channel = channel
        self.instance = boot.instance
        self._receipt_key = VerifyingKey(boot.transcript.receipt_key)
        self.agreement: Agreement | None = None
        self.attested: AttestedKey | None = None
        self.status: StatusReply | None = None
        self.countersigned: frozenset[int] = frozenset()
        self._authenticated_until: datetime | None = None
        self._there: frozenset[bytes] = frozenset()

    @classmethod
    def begin(cls, party: Party, agreed: Agreed) -> Self:
        """Pin the coordinator's certificate and appraise its boot by the contract's enclaves."""
        channel = Channel.connect(
            party.config.coordinator.address, clock=party.clock, random=party.random, deadlines=party.deadlines
        )
        try:
            boot, _ = channel.attest(agreed.contract, agreed.digest, "boot", party.exceptions)
        except BaseException:
            channel.close()
            raise
        party.record("connected", agreed.digest, instance=boot.instance.hex())
        return cls(party, agreed, channel, boot)

    def end(self) -> None:
        """Close the connection."""
        self._channel.close()

    def interrupt(self) -> None:
        """End a ``watch`` that waits in another thread."""
        self._channel.interrupt()

    def is_same_instance(self) -> bool:
        """Look whether the pinned certificate is still shown: then a failure was the network's."""
        return self._channel.is_same_instance()

    @property
    def contract(self) -> bytes:
        """The digest of the contract that this conversation is about."""
        return self._agreed.digest

    @property
    def is_authenticated(self) -> bool:
        """Whether the token is good for a while yet."""
        return self._authenticated_until is not None and self._party.clock() < self._authenticated_until

    @property
    def is_active(self) -> bool:
        """Whether this party chose this instance, and the instance knows."""
        chosen = self._party.ledger.activation(self.contract)
        return chosen is not None and chosen.instance == self.instance and not self._awaits("activation")

    # --- until activation ----------------------------------------------------------------------------------------

    def exchange_consents(self) -> bool:
        """Hand in the signatures that are not there and take the others'; return whether everybody has signed."""
        raw, ledger = self._agreed.raw, self._party.ledger
        held = ledger.consents(self.contract)
        reply = self._channel.agree(raw, tuple(consent for consent in held if consent not in self._there))
        if reply.contract != raw:
            raise Untrusted(
                "agree.contract", "the coordinator holds another contract", why="its bytes are not those signed here",
                remedy="ask who runs the coordinator which contract it serves", field="contract",
            )  # fmt: skip
        consents = tuple(consent_of(raw, signature) for signature in reply.signatures)
        if reply.missing and self._there.issuperset(consents):
            return False  # nobody has signed since
        if reply.missing:
            missing_consents(raw, consents)  # refuses any that is foreign or does not verify
        else:
            self.agreement = agree(raw, consents, at=self._party.clock())
        ledger.add_consents(self.contract, consents)
        self._there = frozenset(consents)
        if self.agreement is None:
            return False
        self._record("agreed")
        return True

    def appraise(self) -> AttestedKey:
        """Ask for fresh evidence for the contract, as every upload, re-wrap and permit wants; keep what passed.

        Within one conversation instance and sealing key stay the same, or it is refused.
        """
        party, contract = self._party, self._agreed.contract
        attested, asked = self._channel.attest(contract, self.contract, "contract", party.exceptions)
        before = None if self.attested is None else self.attested.hpke_public_key
        if attested.instance != self.instance or before not in (None, attested.hpke_public_key):
            raise Untrusted(
                "attest.instance", "another instance answers than before", why="its receipt key or sealing key differs",
                remedy="connect again, and appraise it from the start", field="receipt_key",
                expected=self.instance.hex(), found=attested.instance.hex(),
            )  # fmt: skip
        party.ledger.add_appraisal(
            self.contract, instance=attested.instance, purpose="contract", at=attested.claims.verified_at,
            not_after=attested.not_after, transcript=attested.transcript.to_bytes(), format=asked.attestation.format,
            evidence=asked.attestation.evidence, endorsements=asked.attestation.endorsements,
            checks=checks_as_data(attested),
        )  # fmt: skip
        if self.attested is None:
            self._record("appraised", instance=self.instance.hex())
        self.attested = attested
        return attested

    def authenticate(self) -> None:
        """Answer the coordinator's challenge with the certificate that was pinned here."""
        challenge = self._channel.challenge(self.contract, self._party.name)
        answer = self._party.signatory.challenge_answer(self.contract, challenge, self._channel.certificate.spki)
        lifetime = self._channel.authenticate(answer)
        self._authenticated_until = self._party.clock() + lifetime * TOKEN_USE

    def forget_token(self) -> None:
        """Authenticate again before the next step: the coordinator no longer knows the token."""
        self._authenticated_until = None

    def activate(self, *, replace: bool) -> None:
        """Choose this instance; ``replace`` is the leave to give up another one for it."""
        attested, news = self.appraise(), self._ask_log()
        with self._party.ledger.transaction():  # the log of an instance that is not chosen is not remembered
            head = self._extend_log(news)
            envelope = self._party.signatory.activation(
                self.contract, attested, head, replace=replace, at=self._party.clock()
            )
        self.status = self._channel.status()
        if self._awaits("activation"):
            self._channel.activate(envelope)
            self._take_log()  # from now on no log is this contract's without this choice
            self.status = self._channel.status()

    # --- rows, keys and shares -----------------------------------------------------------------------------------

    def upload(self, dataset: str) -> None:
        """Stream the rows of a dataset, or go on where the connection was lost."""
        submissions = self._party.submissions
        submission = submissions.get(dataset) or self._begin_upload(dataset)
        if self.agreement is None:
            raise OutOfOrder("upload.agreement", "nothing is uploaded", why="not everybody has signed", remedy="wait")
        chosen = self._appraised_choice()
        try:
            submission.send(self.agreement, chosen, self._channel.upload)
        except Refusal as refusal:
            if not isinstance(refusal, Unavailable | OutOfOrder) or refusal.code in _BEGIN_ANEW:
                submission.stop()
                del submissions[dataset]
            raise
        del submissions[dataset]
        self._party.ledger.upload_loaded(submission.header.upload_id, at=self._party.clock())
        self._record("uploaded", dataset=dataset)
        self.status = None

    def _begin_upload(self, name: str) -> Submission:
        party = self._party
        dataset, settings = self._agreed.contract.dataset(name), party.config.datasets.get(name)
        if dataset is None or settings is None:
            raise Misconfigured(
                "config.dataset", f"the configuration does not say where the rows of {name} are",
                why="it has no section for them", remedy=f"write [datasets.{name}] with source, database or adbc",
                field=f"datasets.{name}",
            )  # fmt: skip
        header, data_key = new_upload(
            contract=self.contract, dataset=name, sender=party.name, schema_digest=schema_digest(dataset),
            mapping_digest=mapping_digest(dataset, settings), random=party.random,
        )  # fmt: skip
        kept = Uploaded(header.upload_id, name, header.to_bytes(), data_key.raw, commitment=None, loaded=False)
        party.ledger.add_upload(self.contract, kept, at=party.clock())
        rows = sources.batches(dataset, settings)
        submission = Submission(dataset, header, data_key, rows, commit=party.signatory.commitment)
        party.submissions[name] = submission
        return submission

    def rewrap(self, upload: bytes) -> None:
        """Hand this instance the data key of an upload that lies in its vault."""
        kept = self._party.ledger.upload(upload)
        if kept is None or kept.commitment is None or not kept.data_key:
            raise Misconfigured(
                "rewrap.unknown", "this party has no key for an upload that the coordinator holds",
                why="the ledger is another one, or the key was dropped", remedy="restore the ledger",
                field=upload.hex(),
            )  # fmt: skip
        context = parse_header(kept.header).digest
        sealed = seal(SealedFor.UPLOAD_KEY, context, self._sealing_key(), kept.data_key)
        self._channel.rewrap(RewrapRequest(upload, sealed, kept.commitment))
        self._record("rewrapped", dataset=kept.dataset)
        self.status = None

    def take_share(self) -> None:
        """Take this party's share of the state key and keep it."""
        self.appraise()
        sealed = self._channel.take_share()
        share = open_sealed(SealedFor.STATE_SHARE, self.contract, self._party.keys.sealing, sealed)
        self._party.ledger.add_share(self.contract, share)
        self._record("share_taken")
        self.status = None

    def return_share(self) -> None:
        """Hand the share to this instance, which took an earlier one's place."""
        share = self._party.ledger.share(self.contract)
        if share is None:
            raise Misconfigured(
                "share.missing", "this party has no share of the state key", why="its ledger is another one",
                remedy="restore the ledger: without every share the contract ends",
            )  # fmt: skip
        self._channel.return_share(seal(SealedFor.RETURNED_SHARE, self.contract, self._sealing_key(), share))
        self._record("share_returned")
        self.status = None

    def hand_down_share(self) -> None:
        """Hand the share of the contract before to this instance, which takes over its history."""
        ledger = self._party.ledger
        predecessor = ledger.predecessor(self._agreed.contract)
        share = None if predecessor is None else ledger.share(predecessor.digest)
        if predecessor is None or share is None:
            raise Misconfigured(
                "share.missing", "this party has no share of the contract before", why="its ledger is another one",
                remedy="restore the ledger: without every share no run is possible under this contract",
            )  # fmt: skip
        context = inheritance_context(predecessor.digest, self.contract)
        self._channel.hand_down_share(seal(SealedFor.INHERITED_SHARE, context, self._sealing_key(), share))
        self._record("share_handed_down")
        self.status = None

    def forget_predecessor(self) -> None:
        """Drop what was kept of the contract before, once a run has ended here: its history lives on under this one."""
        ledger = self._party.ledger
        predecessor = ledger.predecessor(self._agreed.contract)
        if predecessor is None or ledger.share(predecessor.digest) is None:
            return
        self.look_at_log()
        if _ended(ledger.leaves(self.contract)):
            ledger.drop_keys(predecessor.digest)

    # --- runs ----------------------------------------------------------------------------------------------------

    def request_run(self, computation: str, parameters: Mapping[str, str]) -> int:
        """Ask for a run; return its number."""
        envelope = self._party.signatory.run_request(
            self.contract, self.appraise(), computation, parameters, at=self._party.clock()
        )
        run = self._channel.request_run(envelope)
        self.status = None
        return run

    def permit(self, number: int, *, unattended: bool) -> None:
        """Permit a run on the log as it now stands, and countersign the log that holds the permit."""
        run = self._told(number)
        if run is None:
            self.status = None
            return
        attested, head = self.appraise(), self.look_at_log()
        asked = RunAsked(run.number, run.computation, run.parameters)
        permit = self._party.signatory.permit(
            self.contract, attested, asked, head, unattended=unattended, at=self._party.clock()
        )
        self._channel.permit(permit)
        self.countersign()

    def countersign(self) -> None:
        """Vouch for the log as it now stands, at this party's time."""
        head, told = self.look_at_log(), () if self.status is None else self.status.runs
        ended = _ended(self._party.ledger.leaves(self.contract))
        lacking = [run.number for run in told if run.state in ENDED and run.number not in ended]
        if lacking:
            raise Untrusted(
                "checkpoint.run", "the log lacks the end of a run that has ended, as it is told",
                why="log and status differ", field=f"run {lacking[0]}",
                remedy="permit nothing more; compare checkpoints with the other parties",
            )  # fmt: skip
        signatory = self._party.signatory
        self._channel.countersign(signatory.countersignature(self.contract, head, at=self._party.clock()))
        self.countersigned = ended
        self.status = None

    def fetch_result(self, number: int) -> None:
        """Fetch, verify and open the result of a run, and keep it with its receipt."""
        result = self._open_result(number)
        self._party.ledger.add_result(self.contract, result)
        self._record("result", run=number, computation=result.computation)

    def renew_receipt(self, number: int) -> None:
        """Fetch a receipt that others vouch for by now; it is about the same result, or refused."""
        ledger = self._party.ledger
        held = next(result for result in ledger.results(self.contract) if result.run == number)
        renewed = self._open_result(number)
        if renewed.shown is None or renewed.release != held.release:
            raise Untrusted(
                "result.renewed", "the receipt is not the one that was announced",
                why="it is about another result" if renewed.shown else "nobody else vouches for its time",
                remedy="keep the receipt you hold; ask who runs the coordinator", field=f"run {number}",
            )  # fmt: skip
        ledger.renew_receipt(self.contract, number, renewed.receipt, shown=renewed.shown)
        self._record("receipt_renewed", run=number)

    def _open_result(self, number: int) -> Result:
        receipt, sealed = self._channel.result(number)
        verified = receiving.verified(self._party, self.contract, number, receipt)
        self.look_at_log()
        return receiving.opened(self._party, self.contract, verified, receipt, sealed)

    def withdraw(self, envelope: bytes) -> None:
        """Tell the enclave that this party left."""
        self._channel.withdraw(envelope)

    def learn_end(self) -> None:
        """Take the log's last leaves, which say how the contract ended; then keys and share are of no more use.

        An instance is appraised for no contract that has ended, so here its boot is enough: that the contract's enclave
        signed this log, which goes on where this party last saw it.
        """
        if not self.is_authenticated:
            self.authenticate()
        self._take_log()
        ended = self._party.ledger.ended(self.contract)
        if ended is None:
            raise Untrusted(
                "log.not_ended", "the coordinator says that the contract has ended, and its log does not",
                why="log and status differ", remedy="ask who runs the coordinator", field="state",
            )  # fmt: skip
        # Of a contract that nobody left a successor may still take over the history.
        self._party.ledger.drop_keys(self.contract, keep_share=ended.by is None)
        self._record("ended", reason=ended.reason, by=ended.by)
        self.status = None
        self.end()

    # --- looking -------------------------------------------------------------------------------------------------

    def look(self) -> StatusReply:
        """Ask how things stand, at once."""
        self.status = self._channel.status()
        return self.status

    def watch(self, wait_milliseconds: int) -> StatusReply:
        """Wait for a change since the last look."""
        seen = 0 if self.status is None else self.status.change
        self.status = self._channel.status(seen=seen, wait_milliseconds=wait_milliseconds)
        return self.status

    def look_at_log(self) -> Head:
        """Take the log's news and hold them against what was seen before, of this or an earlier instance."""
        if self.attested is None:
            raise OutOfOrder("log.unappraised", "the log is not looked at", why="nothing was appraised", remedy="wait")
        return self._take_log()

    def _take_log(self) -> Head:
        return self._extend_log(self._ask_log())

    def _ask_log(self) -> LogReply:
        known = self._party.ledger.head(self.contract)
        seen = 0 if known is None else known.size
        try:
            return self._channel.log(seen)
        except Malformed as refusal:
            if refusal.code != "log.range":
                raise
            raise rolled_back(seen, "no state of that size") from None

    def _extend_log(self, reply: LogReply) -> Head:
        return self._party.ledger.extend(
            self.contract, self._receipt_key, leaves=reply.leaves, proof=reply.consistency,
            checkpoint=reply.checkpoint,
        )  # fmt: skip

    def _appraised_choice(self) -> AttestedKey:
        """Appraise afresh, and refuse to seal anything to an instance that this party did not choose."""
        attested = self.appraise()
        chosen = self._party.ledger.activation(self.contract)
        if chosen is None or chosen.instance != attested.instance:
            raise OutOfOrder(
                "activation.missing", "nothing is sealed to this instance", why="this party activated another, or none",
                remedy="activate it first", found=attested.instance.hex(),
                expected="none" if chosen is None else chosen.instance.hex(),
            )  # fmt: skip
        return attested

    def _sealing_key(self) -> PublicSealingKey:
        key = self._appraised_choice().hpke_public_key
        if key is None:
            raise OutOfOrder(
                "attest.no_key", "there is no key to seal to", why="only the boot is appraised", remedy="wait"
            )
        return PublicSealingKey(key)

    def _awaits(self, what: str) -> bool:
        awaited = () if self.status is None else self.status.awaited
        return any((entry.party, entry.what) == (self._party.name, what) for entry in awaited)

    def _told(self, number: int) -> Run | None:
        runs = () if self.status is None else self.status.runs
        return next((run for run in runs if run.number == number), None)

    def _record(self, kind: str, **data: object) -> None:
        self._party.record(kind, self.contract, **data)


def _ended(leaves: tuple[bytes, ...]) -> frozenset[int]:
    # A release's leaf spells this somewhere, as it is canonical JSON; reading every leaf of a long log takes a while.
    releases = (parse_leaf(raw) for raw in leaves if b'"release"' in raw)
    return frozenset(leaf.run for leaf in releases if isinstance(leaf, ReleaseLeaf))
