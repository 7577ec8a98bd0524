"""Contracts that not everybody has signed yet, and the signatures on them, as parties hand them in.

Anybody may hand in a contract here: nobody is known before one is agreed.
"""

from collections.abc import Callable, Iterable

from mpc.canonical import parse_time
from mpc.contract.consent import Agreement, agree, consent_of, signature_of
from mpc.contract.terms import Contract
from mpc.coordinator.state import PENDING_MAX, StateFolder
from mpc.errors import Exhausted
from mpc.messages import AgreeReply, AgreeRequest
from mpc.signing import Purpose, VerifyingKey, open_envelope


class Gathering:
    """What was signed so far, kept in the folder; ``read`` parses a contract that nobody vouches for."""

    def __init__(self, state: StateFolder, read: Callable[[bytes], Contract]) -> None:
        self._state = state
        self._read = read
        self._pending: dict[bytes, dict[str, bytes]] = dict(state.pending())
        self._replies: dict[bytes, AgreeReply] = {}

    def take(self, request: AgreeRequest) -> tuple[AgreeReply, Agreement | None]:
        """Take signatures in; return what is held now, and the agreement if these were the last."""
        known = self._replies.get(request.contract)
        if known is not None and set(request.signatures) <= set(known.signatures):
            return known, None  # who waits for the others asks again and again
        raw, contract = request.contract, self._read(request.contract)
        consents = _signed(contract, raw, request.signatures) | self._pending.get(raw, {})
        missing = tuple(party.name for party in contract.parties if party.name not in consents)
        reply = AgreeReply(raw, tuple(map(signature_of, consents.values())), missing)
        if not missing:
            # Whether it has expired is for the owners to say: the enclave has no clock.
            agreement = agree(raw, consents.values(), at=parse_time(contract.valid_from))
            self._state.keep_agreed(raw, consents)
            return reply, agreement
        if consents:
            self._keep(raw, consents)
            self._replies[raw] = reply
        return reply, None

    def _keep(self, raw: bytes, consents: dict[str, bytes]) -> None:
        if raw not in self._pending and len(self._pending) >= PENDING_MAX:
            raise Exhausted(
                "agree.pending", "too many contracts wait for signatures here", why="a coordinator serves one",
                remedy="start a coordinator of your own for this contract",
            )  # fmt: skip
        self._state.keep_pending(raw, consents)
        self._pending[raw] = consents

    def clear(self) -> None:
        """Forget what waits: one contract is agreed."""
        self._pending.clear()
        self._replies.clear()


def _signed(contract: Contract, raw: bytes, signatures: Iterable[bytes]) -> dict[str, bytes]:
    """Return the consents that these signatures are, by party; refuses one that is foreign or does not verify."""
    keys = {VerifyingKey(bytes.fromhex(party.signing_key)): party.name for party in contract.parties}
    consents = {}
    for signature in signatures:
        consent = consent_of(raw, signature)
        consents[keys[open_envelope(consent, Purpose.CONTRACT, tuple(keys)).key]] = consent
    return consents
