"""A result on its way in: its receipt verified, held against the log, and opened."""

from mpc.canonical import sha256
from mpc.errors import Untrusted
from mpc.receipts.leaves import RunLeaf, parse_leaf
from mpc.receipts.receipt import release_in
from mpc.receipts.verification import VerifiedReceipt, verify_receipt
from mpc.sealing.hpke import SealedFor, open_sealed
from parties.ledger import Result
from parties.party import Party


def verified(party: Party, contract: bytes, number: int, receipt: bytes) -> VerifiedReceipt:
    """Return the receipt, verified, when it is of this run; ``Untrusted`` otherwise."""
    found = verify_receipt(
        receipt, known=party.keys.known(party.config.known_parties), exceptions=party.exceptions,
        beneficiary=party.name,
    )  # fmt: skip
    if (found.contract_digest, found.run) != (contract, number):
        raise Untrusted(
            "result.receipt", "the receipt is of another run", why="contract or run differ",
            remedy="ask for the result again", field="run", expected=str(number), found=str(found.run),
        )  # fmt: skip
    return found


def opened(party: Party, contract: bytes, receipt: VerifiedReceipt, raw: bytes, sealed: bytes) -> Result:
    """Return the result in ``sealed``: the release that the receipt, whose bytes are ``raw``, commits to."""
    context = _run_leaf_digest(party.ledger.leaves(contract), receipt.run)
    release = release_in(open_sealed(SealedFor.RESULT, context, party.keys.sealing, sealed), receipt.release)
    return Result(receipt.run, receipt.computation.name, raw, release, party.clock(), receipt.time_shown)


def _run_leaf_digest(leaves: tuple[bytes, ...], number: int) -> bytes:
    for raw in reversed(leaves):
        leaf = parse_leaf(raw)
        if isinstance(leaf, RunLeaf) and leaf.run == number:
            return sha256(raw)
    raise Untrusted(
        "result.run", "the run does not stand in the log", why="log and result differ",
        remedy="permit nothing more; compare checkpoints with the other parties", field=f"run {number}",
    )  # fmt: skip
