"""What has to outlive an instance and is nobody's to read: history of releases, budgets, cached answers.

    state key (32 random bytes)  =  share of owner 1  XOR  share of owner 2  XOR  …
    sealed state = deterministic CBOR [label, version, salt, key commitment, AES-256-GCM ciphertext]

Every owner holds one share; all are needed, and fewer say nothing about the key. Each version is sealed under a key
of its own (HKDF-SHA256, fresh salt), because a host that rolls a folder back makes an instance seal the same version
twice. Contract and version are bound as associated data. A version that is older than what the log has seen is a
rollback and refuses; one that is newer was written just before its event.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc.canonical import canonical_cbor, parse_cbor, sha256
from mpc.errors import Malformed, OutOfOrder, Untrusted

LABEL = "sealroom state v1"
KEY_BYTES = 32
SALT_BYTES = 32
BLOCK_BYTES = 4096
STATE_MAX_BYTES = 1 << 28
_LENGTH_BYTES = 8
_NONCE = bytes(12)  # each key seals one plaintext


@dataclass(frozen=True, eq=False)
class StateKey:
    """The key of a contract's secret state; it does not print and is never stored whole."""

    raw: bytes = field(repr=False)

    @classmethod
    def generate(cls, random: Callable[[int], bytes]) -> Self:
        """Return a fresh key; ``random(n)`` gives n secret bytes."""
        return cls(random(KEY_BYTES))

    def split(self, holders: Sequence[str], random: Callable[[int], bytes]) -> Mapping[str, bytes]:
        """Return a 32-byte share for each of ``holders``, all of which are needed to join the key again."""
        if not holders or len(set(holders)) != len(holders):
            raise ValueError("a key is split among distinct holders, at least one")
        drawn = [random(KEY_BYTES) for _ in holders[1:]]
        return dict(zip(holders, [reduce(_xor, drawn, self.raw), *drawn], strict=True))

    @classmethod
    def join(cls, holders: Sequence[str], shares: Mapping[str, bytes]) -> Self:
        """Return the key that ``holders`` have the shares of; ``OutOfOrder`` while one is missing."""
        missing = [holder for holder in holders if holder not in shares]
        if missing:
            raise OutOfOrder(
                "state.share_missing", "the secret state stays closed", why="shares of its key are missing",
                remedy="every owner hands its share back to this instance", field="share", found=", ".join(missing),
                expected="a share of every owner",
            )  # fmt: skip
        if any(len(shares[holder]) != KEY_BYTES for holder in holders):
            raise Malformed(
                "state.share", "a share of the state key has another length", why="a share is 32 bytes",
                remedy="hand back the share as it was given",
            )  # fmt: skip
        return cls(reduce(_xor, (shares[holder] for holder in holders), bytes(KEY_BYTES)))


def commit_share(contract: bytes, holder: str, share: bytes) -> bytes:
    """Return the 32-byte digest by which the log knows a share; shares are random, so it tells nothing of them."""
    return sha256(canonical_cbor([LABEL, "share", contract, holder, share]))


def check_share(contract: bytes, holder: str, share: bytes, committed: bytes) -> None:
    """Refuse (``Untrusted``) a share that is not the one that ``holder`` was given."""
    if not hmac.compare_digest(commit_share(contract, holder, share), committed):
        raise Untrusted(
            "state.share_other", "the share is not the one that its owner was given", why="the log knows another",
            remedy="hand back the share of the last state key of this contract", field="share", found=holder,
            expected="the share that the log knows",
        )  # fmt: skip


def inheritance_context(predecessor: bytes, successor: bytes) -> bytes:
    """Return the 32-byte context of a share that is handed to the instance of ``successor`` and opens nowhere else."""
    return sha256(canonical_cbor([LABEL, "inheritance", predecessor, successor]))


def seal_state(
    key: StateKey, *, contract: bytes, version: int, plaintext: bytes, random: Callable[[int], bytes]
) -> bytes:
    """Return ``plaintext`` sealed as ``version`` (from 1) of the state of ``contract`` (32-byte digest)."""
    salt = random(SALT_BYTES)
    sealing_key, key_commitment = _derived(key, salt)
    framed = len(plaintext).to_bytes(_LENGTH_BYTES, "big") + plaintext
    padded = framed + bytes(-len(framed) % BLOCK_BYTES)
    ciphertext = AESGCM(sealing_key).encrypt(_NONCE, padded, _associated(contract, version))
    return canonical_cbor([LABEL, version, salt, key_commitment, ciphertext])


def open_state(key: StateKey, *, contract: bytes, at_least: int, sealed: bytes) -> tuple[int, bytes]:
    """Return version and plaintext of a sealed state that is not older than ``at_least``.

    Refuses (``Untrusted``) another key, another contract, a changed byte, and an older version: a rollback.
    """
    version, salt, key_commitment, ciphertext = _parsed(sealed)
    sealing_key, expected = _derived(key, salt)
    if not hmac.compare_digest(expected, key_commitment):
        raise Untrusted(
            "state.key", "the secret state does not open with this key", why="a share is not the one that was given",
            remedy="every owner hands back the share of this contract's last state key",
        )  # fmt: skip
    try:
        padded = AESGCM(sealing_key).decrypt(_NONCE, ciphertext, _associated(contract, version))
    except InvalidTag:
        raise Untrusted(
            "state.changed", "the secret state was changed", why="it does not open as this contract's and version's",
            remedy="restore the state folder as the coordinator wrote it",
        ) from None  # fmt: skip
    if version < at_least:
        raise Untrusted(
            "state.rolled_back", "the secret state is an older one", why="the log has seen a later version",
            remedy="restore the state folder as the coordinator wrote it last", field="version",
            expected=f"at least {at_least}", found=str(version),
        )  # fmt: skip
    length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
    return version, padded[_LENGTH_BYTES : _LENGTH_BYTES + length]


def _parsed(sealed: bytes) -> tuple[int, bytes, bytes, bytes]:
    match parse_cbor(sealed, what="the sealed state", max_bytes=STATE_MAX_BYTES):
        case [str(label), int(version), bytes(salt), bytes(key_commitment), bytes(ciphertext)] if (
            label == LABEL and type(version) is int and version > 0 and len(salt) == SALT_BYTES
        ):
            return version, salt, key_commitment, ciphertext
    raise Malformed(
        "state.form", "the sealed state does not have the agreed form", why="its fields are others",
        remedy="restore the state folder as the coordinator wrote it",
    )  # fmt: skip


def _derived(key: StateKey, salt: bytes) -> tuple[bytes, bytes]:
    def expand(label: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=label).derive(key.raw)

    return expand(b"sealroom state key v1"), expand(b"sealroom state key commitment v1")


def _associated(contract: bytes, version: int) -> bytes:
    return canonical_cbor([LABEL, contract, version])


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
