"""A state folder read again is believed no more than a message: every statement that a leaf names is verified anew."""

from typing import TypeVar

from mpc.canonical import Term, parse_json
from mpc.contract.consent import Agreement
from mpc.contract.statements import Activation, Permit, RunRequest, Withdrawal
from mpc.coordinator.state import StateFolder
from mpc.errors import Refusal, Untrusted
from mpc.receipts.leaves import (
    ActivationLeaf,
    ConsentLeaf,
    ContractLeaf,
    Leaf,
    PermitLeaf,
    RunLeaf,
    UploadLeaf,
    WithdrawalLeaf,
    parse_leaf,
)
from mpc.receipts.log import Log
from mpc.sealing.stream import Commitment
from mpc.signing import Purpose, VerifyingKey, open_envelope

AnyTerm = TypeVar("AnyTerm", bound=Term)


def verify_statements(agreement: Agreement, state: StateFolder, log: Log) -> None:
    """Refuse (``Untrusted``) a folder in which a leaf says what nobody signed."""
    reader = _Reader(agreement, state)
    for number, raw in enumerate(log.leaves()):
        try:
            holds = reader.holds(parse_leaf(raw))
        except Refusal:
            holds = False
        if not holds:
            raise Untrusted(
                "state.statement", "the state folder holds an event that its signer did not sign",
                why=f"leaf {number} of the log and its statement do not agree",
                remedy="restore the folder as the coordinator wrote it", field="--state",
            )  # fmt: skip


class _Reader:
    def __init__(self, agreement: Agreement, state: StateFolder) -> None:
        self._digest = agreement.digest.hex()
        self._state = state
        self._consents = agreement.consents
        self._keys = {
            party.name: VerifyingKey(bytes.fromhex(party.signing_key)) for party in agreement.contract.parties
        }

    def holds(self, leaf: Leaf) -> bool:  # noqa: PLR0911 - one answer a kind of leaf
        match leaf:
            case ContractLeaf(contract=contract):
                return contract == self._digest
            case ConsentLeaf(envelope=envelope):  # whose signature the agreement rests on
                return self._state.envelope(envelope) in self._consents
            case ActivationLeaf():
                activation = self._read(Activation, Purpose.ACTIVATION, leaf.party, leaf.envelope)
                found = (activation.contract, activation.party, activation.instance, activation.time)
                return found == (self._digest, leaf.party, leaf.instance, leaf.time)
            case PermitLeaf():
                permit = self._read(Permit, Purpose.PERMIT, leaf.party, leaf.envelope)
                found = (permit.contract, permit.party, permit.instance, permit.time)
                return permit.run == leaf.run and found == (self._digest, leaf.party, leaf.instance, leaf.time)
            case RunLeaf():
                request = self._read(RunRequest, Purpose.REQUEST, leaf.requester, leaf.envelope)
                return (request.contract, request.computation) == (self._digest, leaf.computation)
            case UploadLeaf():
                commitment = self._read(Commitment, Purpose.COMMITMENT, leaf.owner, leaf.commitment)
                return commitment.header == leaf.header
            case WithdrawalLeaf():
                withdrawal = self._read(Withdrawal, Purpose.WITHDRAWAL, leaf.party, leaf.envelope)
                return (withdrawal.contract, withdrawal.party) == (self._digest, leaf.party)
            case _:
                return True

    def _read(self, kind: type[AnyTerm], purpose: Purpose, party: str, digest: str) -> AnyTerm:
        opened = open_envelope(self._state.envelope(digest), purpose, (self._keys[party],))
        return parse_json(kind, opened.body, what="a statement on disk")
