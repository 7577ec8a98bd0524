"""The one place where this party's key signs, and the rules that hold before it does.

Every method is one transaction: look up what was signed before, refuse or sign, write down, and only then hand out
the envelope. So a crash may lose an envelope that nobody saw, never the memory of one that somebody did.

    consent      a person typed the digest's first eight characters, and every party's key is known
    activation   after consent; exactly one instance a contract; another one only as a replacement that names the
                 old one's last checkpoint, and never one that was replaced before
    permit       for the active, freshly appraised instance, on a log that goes on where it last stood, for a run that
                 stands in that log as it is told; within the number of runs; unattended within that number too
    nothing      after a withdrawal, under a contract whose successor was signed, or outside of its validity; nor under
                 one of two successors of a contract, but the one that was signed last

Where a contract takes over the history of one before, permits of the same question count together over both, and the
activation states the last checkpoint of the older one that this party saw.
"""

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from mpc.canonical import canonical_json, format_time
from mpc.contract.consent import check_in_force, check_known, sign_consent
from mpc.contract.document import parse_contract, read_questions
from mpc.contract.statements import (
    Activation,
    ChallengeAnswer,
    Checkpoint,
    Inherited,
    Permit,
    Replaced,
    RunRequest,
    Withdrawal,
)
from mpc.contract.succession import check_owners_stay
from mpc.errors import Exhausted, Forbidden, OutOfOrder, Untrusted
from mpc.evidence.appraisal import AttestedKey
from mpc.questions import check_parameters
from mpc.questions.terms import Question, question_name
from mpc.receipts.leaves import ActivationLeaf, RunLeaf, parse_leaf
from mpc.receipts.log import EMPTY_ROOT, sign_checkpoint
from mpc.sealing.stream import ChunkTally, Header, sign_commitment
from mpc.signing import Purpose, VerifyingKey
from parties.keys import Keys
from parties.ledger import Activated, Agreed, Head, Ledger, Permitted

CONFIRMATION_CHARACTERS = 8


@dataclass(frozen=True)
class RunAsked:
    """A run as the coordinator tells it, for which a permit is awaited."""

    number: int
    computation: str
    parameters: Mapping[str, str]


class Signatory:
    """A party's signature, bound to its ledger. Times are aware and come from the caller."""

    def __init__(self, keys: Keys, ledger: Ledger, known: Mapping[str, str]) -> None:
        self._keys = keys
        self._ledger = ledger
        self._known = dict(known)
        self.name = keys.name

    def consent(self, digest: bytes, typed: str, *, at: datetime) -> bytes:
        """Sign a contract because a person typed the first eight characters of its digest."""
        with self._ledger.transaction():
            agreed = self._ledger.contract(digest)
            if not hmac.compare_digest(typed.strip().lower(), digest.hex()[:CONFIRMATION_CHARACTERS]):
                raise Forbidden(
                    "consent.confirmation", "the contract is not signed", why="that is not how its digest begins",
                    remedy=f"read the contract, then type the first {CONFIRMATION_CHARACTERS} characters of its digest",
                )  # fmt: skip
            check_known(agreed.contract, self._known, self.name)
            self._require_open(agreed, at)
            self._require_succession(agreed)
            envelope = sign_consent(agreed.raw, self._keys.signing)
            self._ledger.mark_signed(digest, at=at)
            self._ledger.add_consents(digest, (envelope,))
            self._ledger.record("contract_signed", at=at, contract=digest)
        return envelope

    def challenge_answer(self, digest: bytes, challenge: bytes, spki: bytes) -> bytes:
        """Answer a coordinator's challenge with the SHA-256 of the public key that this party pinned."""
        answer = ChallengeAnswer(
            label="sealroom channel v1",
            contract=digest.hex(),
            party=self.name,
            challenge=challenge.hex(),
            spki=spki.hex(),
        )
        return self._keys.signing.envelope(Purpose.CHALLENGE, canonical_json(answer))

    def activation(self, digest: bytes, attested: AttestedKey, head: Head, *, replace: bool, at: datetime) -> bytes:
        """Choose the appraised instance; ``replace`` is the leave to give up another one for it."""
        with self._ledger.transaction():
            agreed = self._signed(digest, at)
            _require_purpose(attested, digest)
            attested.require_fresh(at)
            current = self._ledger.activation(digest)
            if current is not None and current.instance == attested.instance:
                return current.envelope
            replaced = None
            if current is not None:
                self._require_replaceable(digest, attested.instance, replace=replace)
                replaced = self._replaced(digest, head)
            activation = Activation(
                contract=agreed.digest.hex(), party=self.name, instance=attested.instance.hex(), replaces=replaced,
                inherits=self._inherited(agreed), time=format_time(at),
            )  # fmt: skip
            envelope = self._keys.signing.envelope(Purpose.ACTIVATION, canonical_json(activation))
            receipt_key = VerifyingKey(attested.transcript.receipt_key)
            self._ledger.add_activation(digest, Activated(attested.instance, receipt_key, envelope), at=at)
            self._ledger.record(
                "instance_activated" if current is None else "instance_replaced", at=at, contract=digest,
                instance=attested.instance.hex(),
            )  # fmt: skip
        return envelope

    def commitment(self, header: Header, tally: ChunkTally) -> bytes:
        """Commit to an upload whose last chunk is sealed; it is kept, for re-wraps."""
        envelope = sign_commitment(header, tally, self._keys.signing)
        self._ledger.commit_upload(header.upload_id, envelope)
        return envelope

    def run_request(
        self, digest: bytes, attested: AttestedKey, computation: str, parameters: Mapping[str, str], *, at: datetime
    ) -> bytes:
        """Ask for a run of a computation of which this party is a recipient."""
        with self._ledger.transaction():
            agreed = self._signed(digest, at)
            question = agreed.contract.computation(computation)
            if question is None or self.name not in question.recipients:
                raise Forbidden(
                    "run.not_recipient", f"{self.name} may not ask for {computation}",
                    why="the contract has no such computation, or names other recipients",
                    remedy="ask for one of: " + ", ".join(
                        offered.name for offered in agreed.contract.computations if self.name in offered.recipients
                    ),
                    field="computation",
                )  # fmt: skip
            check_parameters(question.parameters, parameters)
            self._require_active(digest, attested, at)
            request = RunRequest(
                contract=digest.hex(), party=self.name, instance=attested.instance.hex(), computation=computation,
                parameters=dict(parameters), time=format_time(at),
            )  # fmt: skip
            self._ledger.record("run_requested", at=at, contract=digest, computation=computation)
        return self._keys.signing.envelope(Purpose.REQUEST, canonical_json(request))

    def permit(
        self, digest: bytes, attested: AttestedKey, run: RunAsked, head: Head, *, unattended: bool, at: datetime
    ) -> bytes:
        """Permit one run, or return the permit that was signed for it before on this instance."""
        with self._ledger.transaction():
            agreed = self._signed(digest, at)
            self._require_active(digest, attested, at)
            if head != self._ledger.head(digest) or head.instance != attested.instance:
                raise OutOfOrder(
                    "permit.head", "the log's head is not the latest", why="the log went on meanwhile",
                    remedy="look at the log again, then permit",
                )  # fmt: skip
            self._require_in_log(digest, run)
            earlier = [permit for permit in self._ledger.permits(digest) if permit.run == run.number]
            for permit in earlier:
                if permit.instance == attested.instance:
                    return permit.envelope
            self._require_allowance(agreed, run, unattended=unattended)
            statement = Permit(
                contract=digest.hex(), party=self.name, instance=attested.instance.hex(), run=run.number,
                computation=run.computation, parameters=dict(run.parameters), log_size=head.size,
                log_root=head.root.hex(), time=format_time(at),
            )  # fmt: skip
            envelope = self._keys.signing.envelope(Purpose.PERMIT, canonical_json(statement))
            self._ledger.add_permit(
                digest,
                Permitted(run.number, attested.instance, run.computation, run.parameters, unattended, envelope),
                at=at,
            )
            self._ledger.record(
                "run_permitted", at=at, contract=digest, run=run.number, computation=run.computation,
                unattended=unattended,
            )  # fmt: skip
        return envelope

    def countersignature(self, digest: bytes, head: Head, *, at: datetime) -> bytes:
        """Countersign a state of the log that this party verified, at this party's own time."""
        self._signed(digest, at)
        if head != self._ledger.head(digest):
            raise OutOfOrder(
                "checkpoint.head", "the checkpoint is not the latest head", why="this party verified another",
                remedy="look at the log again",
            )  # fmt: skip
        checkpoint = Checkpoint(
            contract=digest.hex(), instance=head.instance.hex(), size=head.size, root=head.root.hex(),
            time=format_time(at),
        )  # fmt: skip
        return sign_checkpoint(checkpoint, self._keys.signing)

    def withdrawal(self, digest: bytes, reason: str, *, at: datetime) -> bytes:
        """Leave a contract: nothing is signed under it afterwards."""
        with self._ledger.transaction():
            agreed = self._ledger.contract(digest)
            if agreed.signed is None:
                raise OutOfOrder(
                    "withdraw.not_signed", "there is nothing to withdraw", why="this party never signed the contract",
                    remedy="simply do not sign it",
                )  # fmt: skip
            withdrawal = Withdrawal(contract=digest.hex(), party=self.name, reason=reason, time=format_time(at))
            envelope = self._keys.signing.envelope(Purpose.WITHDRAWAL, canonical_json(withdrawal))
            self._ledger.add_withdrawal(digest, envelope, at=at)
            self._ledger.record("withdrawn", at=at, contract=digest)
        return envelope

    def unattended_left(self, agreed: Agreed, computation: str) -> int:
        """Return how many more runs of a computation may be permitted without a person."""
        term = agreed.contract.computation(computation)
        if term is None:
            return 0
        used = {key for key, permit in self._permits_of(agreed, term.question) if permit.unattended}
        return term.unattended - len(used)

    def _permits_of(self, agreed: Agreed, question: Question) -> Iterator[tuple[tuple[bytes, int], Permitted]]:
        """Yield what was permitted of a question, by contract and run: here and where the history comes from."""
        name = question_name(question)
        contract: Agreed | None = agreed
        while contract is not None:
            asking = {each.name for each in contract.contract.computations if question_name(each.question) == name}
            for permit in self._ledger.permits(contract.digest):
                if permit.computation in asking:
                    yield (contract.digest, permit.run), permit
            contract = self._ledger.predecessor(contract.contract)

    def _inherited(self, agreed: Agreed) -> Inherited | None:
        """Return the last state of the predecessor's log that this party saw, if it takes one's history over."""
        predecessor = self._ledger.predecessor(agreed.contract)
        if predecessor is None:
            return None
        head = self._ledger.head(predecessor.digest)
        size, root = (0, EMPTY_ROOT) if head is None else (head.size, head.root)
        return Inherited(contract=predecessor.digest.hex(), log_size=size, log_root=root.hex())

    def _require_succession(self, agreed: Agreed) -> None:
        """Refuse to sign for a history that cannot follow, or for one that another successor went on with."""
        predecessor = self._ledger.predecessor(agreed.contract)
        if predecessor is None:
            return
        check_owners_stay(predecessor.contract, agreed.contract)
        asked = _runs_asked(self._ledger.leaves(predecessor.digest))
        holds_share = self._ledger.share(predecessor.digest) is not None
        if predecessor.withdrawn is not None or (asked and self._owns(predecessor) and not holds_share):
            raise Forbidden(
                "contract.history.share", "the history of the superseded contract cannot follow",
                why="this party's share of it is destroyed", field="supersedes.history",
                remedy="agree on a contract that is built with --history-begins-anew",
            )  # fmt: skip
        sibling = self._ledger.successor(predecessor.digest)
        if sibling is not None and sibling.digest != agreed.digest and _runs_asked(self._ledger.leaves(sibling.digest)):
            raise Forbidden(
                "contract.history.branch", "the history went on under another contract",
                why="runs were asked for under one that supersedes the same contract",
                remedy=f"agree on a contract that supersedes {sibling.digest.hex()[:CONFIRMATION_CHARACTERS]}…",
                field="supersedes.contract",
            )  # fmt: skip

    def _signed(self, digest: bytes, at: datetime) -> Agreed:
        agreed = self._ledger.contract(digest)
        if agreed.signed is None:
            raise OutOfOrder(
                "contract.not_signed", "this party has not signed the contract", why="nothing happens before consent",
                remedy="read it with `sealroom contract explain`, then `sealroom contract sign`",
            )  # fmt: skip
        self._require_open(agreed, at)
        return agreed

    def _require_open(self, agreed: Agreed, at: datetime) -> None:
        if agreed.withdrawn is not None:
            raise Forbidden(
                "contract.withdrawn", "this party has withdrawn from the contract", why="it signs no more under it",
                remedy="agree on a new contract",
            )  # fmt: skip
        successor = self._ledger.successor(agreed.digest) or self._later_sibling(agreed)
        if successor is not None:
            raise Forbidden(
                "contract.superseded", "a later contract supersedes this one", why="this party signed its successor",
                remedy=f"go on under {successor.digest.hex()[:CONFIRMATION_CHARACTERS]}…",
            )  # fmt: skip
        check_in_force(agreed.contract, at)

    def _later_sibling(self, agreed: Agreed) -> Agreed | None:
        """Return the contract that supersedes the same one as ``agreed``, if this party signed it later."""
        before = agreed.contract.supersedes
        latest = None if before is None else self._ledger.successor(bytes.fromhex(before.contract))
        is_older = agreed.signed is not None and latest is not None and latest.digest != agreed.digest
        return latest if is_older else None

    def _require_replaceable(self, digest: bytes, instance: bytes, *, replace: bool) -> None:
        if self._ledger.was_active(digest, instance):
            raise Untrusted(
                "activation.returned", "the instance was replaced before", why="two instances would be active in turn",
                remedy="permit nothing; ask who runs the coordinator why it runs twice", found=instance.hex(),
            )  # fmt: skip
        if not replace:
            raise Forbidden(
                "activation.second", "another instance is active for this contract", why="a contract has one instance",
                remedy="if the coordinator was restarted, confirm with `sealroom attest --replace`, "
                "or set replace_unattended under [consent]",
                found=instance.hex(),
            )  # fmt: skip

    def _replaced(self, digest: bytes, head: Head) -> Replaced | None:
        """Name the instance that the log has as this party's last choice; one that never came to the log is none.

        ``head`` is the new instance's, and extends all that was seen of earlier ones, as the ledger made sure.
        """
        leaves = (parse_leaf(raw) for raw in reversed(self._ledger.leaves(digest)) if b'"activation"' in raw)
        own = (leaf for leaf in leaves if isinstance(leaf, ActivationLeaf) and leaf.party == self.name)
        for leaf in own:
            if self._ledger.was_active(digest, bytes.fromhex(leaf.instance)):
                return Replaced(instance=leaf.instance, log_size=head.size, log_root=head.root.hex())
        return None

    def _require_active(self, digest: bytes, attested: AttestedKey, at: datetime) -> None:
        _require_purpose(attested, digest)
        attested.require_fresh(at)
        current = self._ledger.activation(digest)
        if current is None or current.instance != attested.instance:
            raise OutOfOrder(
                "activation.missing", "the instance is not the one that this party activated",
                why="it was restarted, or is a second one", remedy="activate it first",
                expected="none" if current is None else current.instance.hex(), found=attested.instance.hex(),
            )  # fmt: skip

    def _require_in_log(self, digest: bytes, run: RunAsked) -> None:
        for raw in reversed(self._ledger.leaves(digest)):
            leaf = parse_leaf(raw)
            if isinstance(leaf, RunLeaf) and leaf.run == run.number:
                if (leaf.computation, dict(leaf.parameters)) == (run.computation, dict(run.parameters)):
                    return
                break
        raise Untrusted(
            "permit.run", "the run does not stand in the log as it is told", why="the log and the request differ",
            remedy="permit nothing; ask who runs the coordinator", field=f"run {run.number}",
        )  # fmt: skip

    def _require_allowance(self, agreed: Agreed, run: RunAsked, *, unattended: bool) -> None:
        term = agreed.contract.computation(run.computation)
        if term is None or not self._owns_input(agreed, run.computation):
            raise Forbidden(
                "permit.computation", "the run is not this party's to permit",
                why="the contract has no such computation, or it reads none of this party's datasets",
                remedy="permit runs over your own datasets", field=run.computation,
            )  # fmt: skip
        check_parameters(term.parameters, run.parameters)
        permits = self._ledger.permits(agreed.digest)
        for permit in permits:
            if permit.run == run.number and (permit.computation, dict(permit.parameters)) != (
                run.computation,
                dict(run.parameters),
            ):
                raise Untrusted(
                    "permit.other_run", "another run was permitted under this number", why="its number was used again",
                    remedy="permit nothing; ask who runs the coordinator", field=f"run {run.number}",
                )  # fmt: skip
        counted = {key for key, _ in self._permits_of(agreed, term.question)} | {(agreed.digest, run.number)}
        if len(counted) > term.runs:
            raise Exhausted(
                "permit.runs", f"all runs of {run.computation} are permitted", why="the contract grants no more",
                remedy="agree on a contract with more runs", expected=f"at most {term.runs}", found=str(len(counted)),
            )  # fmt: skip
        if unattended and self.unattended_left(agreed, run.computation) < 1:
            raise Forbidden(
                "permit.unattended", f"a person has to permit this run of {run.computation}",
                why="the contract's number of unattended permits is used up",
                remedy=f"sealroom permit {run.number}", expected=f"at most {term.unattended}",
            )  # fmt: skip

    def _owns(self, agreed: Agreed) -> bool:
        return self.name in agreed.contract.owners

    def _owns_input(self, agreed: Agreed, computation: str) -> bool:
        return self.name in input_owners(agreed, computation)


def input_owners(agreed: Agreed, computation: str) -> frozenset[str]:
    """Return the owners of the datasets that a computation reads."""
    return _input_owners(agreed.raw)[computation]


@lru_cache(maxsize=16)
def _input_owners(raw: bytes) -> Mapping[str, frozenset[str]]:
    """Read a contract's questions once: they are asked about in every step, and take long to read."""
    contract = parse_contract(raw)
    return {
        computation: frozenset(
            owner for name in question.datasets if (dataset := contract.dataset(name)) for owner in dataset.owners
        )
        for computation, question in read_questions(contract).items()
    }


def _runs_asked(leaves: tuple[bytes, ...]) -> bool:
    return any(isinstance(parse_leaf(raw), RunLeaf) for raw in leaves)


def _require_purpose(attested: AttestedKey, digest: bytes) -> None:
    if attested.transcript.purpose != "contract" or attested.transcript.contract != digest:
        raise OutOfOrder(
            "activation.purpose", "the instance was not appraised for this contract",
            why="its evidence is for another contract or purpose", remedy="appraise it for the contract first",
        )  # fmt: skip
