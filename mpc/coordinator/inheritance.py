"""The contract before, as its successor's instance reads it: its log, its sealed history, and who can open that.

The folder is believed no more than a restart believes it, and it is the very contract that the successor's parties
signed for. How fresh it is, only they can tell: each that signed both states the last checkpoint that it saw, and the
log has to extend all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mpc.canonical import parse_time, sha256
from mpc.contract.consent import agree
from mpc.contract.document import parse_contract
from mpc.contract.statements import Inherited
from mpc.contract.succession import check_owners_stay
from mpc.contract.terms import Contract
from mpc.coordinator.disk import disk_refusals
from mpc.coordinator.journal import replayed
from mpc.coordinator.rereading import verify_statements
from mpc.coordinator.state import StateFolder
from mpc.disclosure import History
from mpc.errors import Forbidden, Misconfigured, OutOfOrder, Refusal, Untrusted
from mpc.receipts.leaves import InheritanceLeaf
from mpc.receipts.log import Log
from mpc.sealing.secret_state import StateKey, open_state
from mpc.session import Session, terms_of


@dataclass(frozen=True)
class Predecessor:
    """What a successor takes over. ``commitments`` are to the shares of ``holders``, by which ``sealed`` opens."""

    contract: bytes
    parties: frozenset[str]
    log: Log
    holders: tuple[str, ...]
    commitments: Mapping[str, str]
    sealed: bytes | None
    at_least: int
    spent: Mapping[str, int]

    def leaf(self) -> InheritanceLeaf:
        """Return the event that tells what was read."""
        return InheritanceLeaf(
            predecessor=self.contract.hex(), size=self.log.size, root=self.log.root().hex(), holders=self.holders,
            spent=dict(sorted(self.spent.items())),
        )  # fmt: skip

    def check_seen(self, party: str, seen: Inherited | None) -> None:
        """Refuse when ``party`` saw a log of the predecessor that this one does not extend, or is silent about it."""
        stated = None if seen is None else seen.contract
        expected = self.contract.hex() if party in self.parties else None
        if stated != expected:
            raise Forbidden(
                "activation.inherits", "the activation does not say which state of the predecessor the party saw",
                why="every party that signed both contracts states it, and nobody else",
                remedy="restore the party's ledger, or agree on a contract whose history begins anew", field="inherits",
                expected=expected or "none", found=stated or "none",
            )  # fmt: skip
        if seen is None:
            return
        if seen.log_size > self.log.size or self.log.root(seen.log_size).hex() != seen.log_root:
            raise Untrusted(
                "predecessor.fork", "the predecessor's log is not the one that the party saw",
                why="its folder is older than that, or another copy of it went on",
                remedy="permit nothing; start this coordinator with the latest folder of the predecessor",
                field="inherits",
            )  # fmt: skip

    def open(self, shares: Mapping[str, bytes]) -> History:
        """Return the history that all ``shares`` open; ``Untrusted`` when it is older than the log, or was changed."""
        if self.sealed is None:
            raise OutOfOrder(
                "predecessor.state", "the predecessor's secret state is not in its folder", why="it was not kept whole",
                remedy="start this coordinator with the whole folder of the predecessor",
            )  # fmt: skip
        key = StateKey.join(self.holders, shares)
        _, plaintext = open_state(key, contract=self.contract, at_least=self.at_least, sealed=self.sealed)
        return History.from_bytes(plaintext)


def read_predecessor(folder: Path | None, successor: Contract) -> Predecessor | None:
    """Return the contract whose history ``successor`` takes over, from its coordinator's ``folder``; None if none.

    Raises ``Misconfigured`` without a folder, or for one in use; ``Untrusted`` for one that was changed; ``Forbidden``
    for one whose history cannot follow.
    """
    if successor.predecessor is None:
        return None
    if folder is None or not (folder / "contract.json").is_file():
        raise Misconfigured(
            "predecessor.folder", "the history of the contract before is not here",
            why="this contract takes it over, and the coordinator was started without its folder",
            remedy="its operator starts it with `--predecessor FOLDER`, the state folder of that coordinator",
            field="--predecessor", expected=successor.predecessor,
        )  # fmt: skip
    state = _opened(folder)
    try:
        return _read(state, bytes.fromhex(successor.predecessor), successor)
    finally:
        state.close()


def check_not_before(folder: Path | None, raw: bytes) -> None:
    """Refuse the very contract of the predecessor's ``folder``, which parties hand in until they sign its successor."""
    path = None if folder is None else folder / "contract.json"
    with disk_refusals():
        is_before = path is not None and path.is_file() and path.read_bytes() == raw
    if is_before:
        raise OutOfOrder(
            "agree.superseded", "this coordinator waits for the successor of that contract",
            why="it was started to take over its history", remedy="sign the successor; all parties have to",
        )  # fmt: skip


def _opened(folder: Path) -> StateFolder:
    try:
        return StateFolder(folder)
    except Misconfigured as refusal:
        if refusal.code != "state.locked":
            raise
        raise Misconfigured(
            "predecessor.locked", "the contract before is still served", why="its coordinator uses the folder",
            remedy="its operator ends that coordinator; this one then goes on by itself", field="--predecessor",
        ) from None  # fmt: skip


def _read(state: StateFolder, digest: bytes, successor: Contract) -> Predecessor:
    raw, consents = state.agreed() or (b"", [])
    if sha256(raw) != digest:  # before it is parsed: these are bytes that everybody signed for
        raise Untrusted(
            "predecessor.other", "the folder is another contract's", why="its digest is not the one that is superseded",
            remedy="start this coordinator with the folder of the contract that it supersedes", field="--predecessor",
            expected=digest.hex(), found=sha256(raw).hex(),
        )  # fmt: skip
    contract = parse_contract(raw)
    agreement = agree(raw, consents, at=parse_time(contract.valid_from))
    check_owners_stay(contract, successor)
    leaves = state.leaves()
    log, session = Log(leaves), replayed(terms_of(contract, digest), leaves)
    verify_statements(agreement, state, log)
    if (refusal := _unfit(session)) is not None:
        raise refusal
    return Predecessor(
        contract=digest,
        parties=frozenset(session.terms.parties),
        log=log,
        holders=session.terms.share_holders if session.has_secrets else (),
        commitments=session.share_commitments,
        sealed=state.secret(),
        at_least=session.secret_version,
        spent=_spent(session),
    )


def _unfit(session: Session) -> Refusal | None:
    if session.withdrawn is not None:
        return Forbidden(
            "predecessor.withdrawn", "the history of the contract before is lost",
            why=f"{session.withdrawn} has withdrawn from it, and the shares of its key are destroyed",
            remedy="agree on a contract whose history begins anew",
        )  # fmt: skip
    if session.terms.predecessor is not None and not session.inherited:
        return Forbidden(
            "predecessor.empty", "the contract before never took over the history that it was to take over",
            why="no run was possible under it", remedy="agree on a contract that supersedes the one before that",
            expected=session.terms.predecessor,
        )  # fmt: skip
    return None


def _spent(session: Session) -> Mapping[str, int]:
    """Return how often each question was asked, by its name, under this contract and those that it took over."""
    spent = {} if session.inheritance is None else dict(session.inheritance.spent)
    for run in session.runs:
        question = session.terms.computations[run.computation].question
        spent[question] = spent.get(question, 0) + 1
    return spent
