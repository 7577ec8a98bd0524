"""What a contract has to keep of the one before it, so that history can follow from one to the other."""

from mpc.contract.terms import Contract
from mpc.errors import Forbidden


def check_owners_stay(before: Contract, after: Contract) -> None:
    """Refuse a contract ``after`` that takes over the history of ``before`` without an owner who holds a share of it.

    All shares are needed, and who is no party has no way to hand one in.
    """
    left = [owner for owner in before.owners if after.party(owner) is None]
    if left:
        raise Forbidden(
            "contract.history.owner_left", "the history of the superseded contract cannot follow",
            why=f"{', '.join(left)} owned rows under it and is no party of the new one: its share would be missing",
            remedy="keep it as a party, or build the contract with --history-begins-anew", field="supersedes.history",
        )  # fmt: skip
