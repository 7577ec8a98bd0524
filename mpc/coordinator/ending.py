"""How a contract ends here: because a party left, or because its time is over and nobody waits for a result.

Either way the log says so and the process that holds the keys ends. Before it does the other parties have a few seconds
to take the log's last leaves, so that each holds the instance's signature on how it ended; nothing else is answered
then. That all runs are used up ends nothing: docs/adr/0019 says why.
"""

from collections.abc import Callable

from mpc.canonical import parse_json, parse_time, sha256
from mpc.contract.consent import check_in_force
from mpc.contract.statements import Withdrawal
from mpc.contract.terms import Contract
from mpc.coordinator.authentication import require_party
from mpc.coordinator.journal import Journal
from mpc.errors import Forbidden, OutOfOrder
from mpc.receipts.leaves import DestructionLeaf, WithdrawalLeaf
from mpc.session import Session
from mpc.signing import Purpose, VerifyingKey, open_envelope

_LATE_PARTIES = 2


class Ending:
    """The end of one contract in one instance; ``on_end`` ends the process."""

    def __init__(self, contract: Contract, journal: Journal, *, instance: str, on_end: Callable[[], None]) -> None:
        self._contract = contract
        self._journal = journal
        self._instance = instance
        self._on_end = on_end
        self._late: set[str] = set()
        self._fetched: set[tuple[int, str]] = set()
        self._told: set[str] = set()

    def require_in_force(self, party: str, time: str) -> None:
        """Refuse a statement that ``party`` signed at a ``time`` when the contract was not in force.

        Statements of two parties from after the contract's last moment are how the instance learns that it is over:
        it has no clock, and one party's may be wrong. The caller has verified the signature, contract and instance.
        """
        try:
            check_in_force(self._contract, parse_time(time))
        except Forbidden:
            self._late.add(party)
            self._expire()
            raise

    def fetched(self, party: str, run: int) -> None:
        """Note that the whole result of ``run`` was handed to ``party``.

        Nothing ends here, even if the contract has expired: the party looks at the log before it keeps the result.
        """
        self._fetched.add((run, party))

    def withdraw(self, party: str, key: VerifyingKey, envelope: bytes) -> None:
        """Take a party's leave."""
        opened = open_envelope(envelope, Purpose.WITHDRAWAL, (key,))
        withdrawal = parse_json(Withdrawal, opened.body, what="the withdrawal")
        require_party(party, withdrawal.party, "withdrawal")
        if withdrawal.contract != self._journal.session.terms.contract:
            raise Forbidden(
                "withdrawal.contract", "the withdrawal is from another contract", why="its digest differs",
                remedy="withdraw from this contract", field="contract",
            )  # fmt: skip
        self._journal.append(
            WithdrawalLeaf(party=party, envelope=sha256(envelope).hex()),
            DestructionLeaf(instance=self._instance, reason="withdrawn"),
            statements=(envelope,),
        )
        self._on_end()

    def told(self, party: str) -> None:
        """Note that ``party`` was handed the log, if by now it says how the contract ended."""
        with self._journal.lock:
            if self._journal.session.state == "ended" and party not in self._told:
                self._told.add(party)
                self._journal.touch()

    def await_told(self, seconds: float) -> None:
        """Wait until every party but the one that left holds the end of the log, or ``seconds`` are over."""
        journal = self._journal
        with journal.changed:
            others = set(journal.session.terms.parties) - {journal.session.withdrawn}
            journal.changed.wait_for(lambda: journal.session.state != "ended" or self._told >= others, seconds)

    def _expire(self) -> None:
        with self._journal.lock:
            if len(self._late) < _LATE_PARTIES or self._journal.session.state == "ended" or self._owed():
                return
            self._journal.append(DestructionLeaf(instance=self._instance, reason="expired"))
        self._on_end()

    def _owed(self) -> bool:
        """Tell whether a run is at work, or a recipient has not fetched a result from this instance."""
        session = self._journal.session
        return any(
            run.stage == "permitted" or (run.number, recipient) not in self._fetched
            for run in session.runs
            if run.stage != "requested"
            for recipient in session.terms.computations[run.computation].recipients
        )


def ended(session: Session, *, remedy: str) -> OutOfOrder:
    """Return the refusal of whatever is asked of a contract that has ended, which tells who ended it."""
    what, why = "this contract has ended here", "its time is over"
    if session.withdrawn is not None:
        what = f"{session.withdrawn} has withdrawn from this contract"
        why = "without every party nothing runs, and the keys are destroyed"
    return OutOfOrder("contract.ended", what, why=why, remedy=remedy)
