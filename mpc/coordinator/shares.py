"""The secret state of a contract and its key, of which every owner holds a share and nobody the whole.

The key is drawn when the first instance is activated. A later instance gets it back share by share, each from the
owner that holds it, sealed to the key that this owner appraised. Until then it knows nothing of earlier releases,
and runs nothing. So it is with the history of a contract before that this one takes over: each of its owners hands over
its share, once, and from then on the history is sealed under this contract's key.
"""

import secrets

from mpc.contract.consent import Agreement
from mpc.coordinator.inheritance import Predecessor
from mpc.coordinator.journal import Journal
from mpc.coordinator.state import StateFolder
from mpc.disclosure import History, Release
from mpc.errors import OutOfOrder
from mpc.receipts.leaves import InheritedShareLeaf, ShareLeaf
from mpc.sealing.hpke import PublicSealingKey, SealedFor, SealingKey, open_sealed, seal
from mpc.sealing.secret_state import (
    StateKey,
    check_share,
    commit_share,
    inheritance_context,
    open_state,
    seal_state,
)


class Shares:
    """The state key of one contract in one instance, as soon as there is one, and the history under it."""

    def __init__(
        self, agreement: Agreement, state: StateFolder, journal: Journal, sealing_keys: dict[str, PublicSealingKey],
        predecessor: Predecessor | None,
    ) -> None:  # fmt: skip
        self._contract = agreement.digest
        self._state = state
        self._journal = journal
        self._sealing_keys = sealing_keys
        self._key: StateKey | None = None
        self._commitments: dict[str, str] = {}
        self._returned: dict[str, bytes] = {}
        self._predecessor = predecessor
        self._inherited: dict[str, bytes] = {}
        self.history = History()

    @property
    def owners(self) -> tuple[str, ...]:
        """Who holds a share: every owner of a dataset."""
        return self._journal.session.terms.share_holders

    def begin(self) -> None:
        """Draw the key, once every party has activated, where no older key can be needed.

        As long as nobody has asked for a run and none was taken over, the history is known to be empty and a new key
        loses nothing. After that only the shares of the old key open it: no history is ever silently begun anew.
        """
        if self._key is not None or self._journal.session.shares_return:
            return
        key = StateKey.generate(secrets.token_bytes)
        shares = key.split(self.owners, secrets.token_bytes)
        self._commitments = {owner: commit_share(self._contract, owner, share).hex() for owner, share in shares.items()}
        self._state.keep_shares(
            {
                owner: seal(SealedFor.STATE_SHARE, self._contract, self._sealing_keys[owner], share)
                for owner, share in shares.items()
            }
        )
        self._key = key
        self._keep(self.history, version=1)

    def take(self, owner: str) -> bytes:
        """Return the sealed share of ``owner`` and put down that it has it."""
        sealed = self._state.share(owner)
        if owner not in self.owners or sealed is None:
            raise OutOfOrder(
                "share.none", f"there is no share for {owner}", why="owners get one once all have activated",
                remedy="wait until every party has activated the instance",
            )  # fmt: skip
        with self._journal.lock:
            committed = self._commitments.get(owner)
            if committed is not None and owner not in self._journal.session.shares:
                self._journal.append(ShareLeaf(party=owner, given="to_owner", share=committed))
        return sealed

    def give_back(self, owner: str, sealed: bytes, key: SealingKey) -> None:
        """Take the share that ``owner`` hands back; the last one opens the history.

        Raises ``Untrusted`` for another share than the log knows, and for a history that was rolled back.
        """
        with self._journal.lock:
            committed = self._journal.session.share_commitments.get(owner, "")
            if owner in self._journal.session.shares and self._journal.session.shares_return:
                return  # handed back again, as the answer was lost
            leaf = ShareLeaf(party=owner, given="to_instance", share=committed or "0" * 64)
            self._journal.check(leaf)
            share = open_sealed(SealedFor.RETURNED_SHARE, self._contract, key, sealed)
            check_share(self._contract, owner, share, bytes.fromhex(committed))
            self._returned[owner] = share
            if set(self._returned) == set(self.owners):
                self._open()
            self._journal.append(leaf)

    def _open(self) -> None:
        key = StateKey.join(self.owners, self._returned)
        sealed = self._state.secret()
        if sealed is None:
            raise OutOfOrder(
                "state.missing", "the secret state is not in the folder", why="the folder was not kept whole",
                remedy="restore it whole; without it the contract ends here",
            )  # fmt: skip
        at_least = self._journal.session.secret_version
        _, plaintext = open_state(key, contract=self._contract, at_least=at_least, sealed=sealed)
        self.history = History.from_bytes(plaintext)
        self._key = key
        self._returned.clear()

    def inherit(self, owner: str, sealed: bytes, key: SealingKey) -> None:
        """Take a share of the predecessor's key; the last one opens its history, which is this contract's from then on.

        Raises ``Untrusted`` for another share than the predecessor's log knows, and for a history that was rolled back.
        """
        with self._journal.lock:
            predecessor, session = self._predecessor, self._journal.session
            if owner in session.inherited_shares:
                return  # handed over again, as the answer was lost
            committed = "" if predecessor is None else predecessor.commitments.get(owner, "")
            leaf = InheritedShareLeaf(party=owner, share=committed or "0" * 64)
            self._journal.check(leaf)
            if predecessor is None:
                raise AssertionError  # the session awaits a share only where a predecessor was read
            context = inheritance_context(predecessor.contract, self._contract)
            share = open_sealed(SealedFor.INHERITED_SHARE, context, key, sealed)
            check_share(predecessor.contract, owner, share, bytes.fromhex(committed))
            self._inherited[owner] = share
            if set(self._inherited) == set(predecessor.holders):
                history = predecessor.open(self._inherited)
                self._keep_next(history)
                self.history = history
                self._inherited.clear()
            self._journal.append(leaf)

    def remember(self, question: bytes, release: Release) -> None:
        """Put a release into the history, on disk before its event is in the log."""
        history = self.history.remember(question, release)
        self._keep_next(history)
        self.history = history

    def repeat(self) -> None:
        """Seal the history as it is as the next version: a run ended that adds nothing to it."""
        self._keep_next(self.history)

    def _keep_next(self, history: History) -> None:
        self._keep(history, version=1 + self._journal.session.secret_version)

    def _keep(self, history: History, *, version: int) -> None:
        if self._key is None:
            raise OutOfOrder(
                "state.closed", "the secret state is not open", why="shares are missing", remedy="hand the shares back"
            )
        sealed = seal_state(
            self._key,
            contract=self._contract,
            version=version,
            plaintext=history.to_bytes(),
            random=secrets.token_bytes,
        )
        self._state.keep_secret(version, sealed)
        self._state.forget_secrets(version - 1)
