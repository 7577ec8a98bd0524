"""The append-only Merkle log of a contract (RFC 9162, section 2.1) and its signed checkpoints.

    leaf hash = SHA-256(0x00 || leaf)        node hash = SHA-256(0x01 || left || right)

Leaves are the events of ``mpc.receipts.leaves`` in canonical JSON. A checkpoint names size and root and a time; the
instance signs it with its receipt key, and parties countersign: they sign the same size and root with their own time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256 as _sha256
from typing import Self

from mpc.canonical import canonical_json, parse_json
from mpc.contract.statements import Checkpoint
from mpc.errors import Malformed, Untrusted
from mpc.signing import Purpose, SigningKey, VerifyingKey, open_envelope

HASH_BYTES = 32
LEAF_MAX_BYTES = 256 * 1024
EMPTY_ROOT = _sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf (RFC 9162, 2.1.1)."""
    return _sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees (RFC 9162, 2.1.1)."""
    return _sha256(b"\x01" + left + right).digest()


class Log:
    """All leaves so far. Hashes of whole subtrees are kept, so that a root costs a walk along the right edge."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._leaves: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]  # [height][i] = root of the i-th whole subtree of 2**height leaves
        for leaf in leaves:
            self.append(leaf)

    def append(self, leaf: bytes) -> int:
        """Add ``leaf`` and return its index."""
        if len(leaf) > LEAF_MAX_BYTES:
            raise ValueError("a leaf is an event, not a place for data")
        self._leaves.append(leaf)
        node, height = leaf_hash(leaf), 0
        self._levels[0].append(node)
        while len(self._levels[height]) % 2 == 0:
            node = node_hash(*self._levels[height][-2:])
            height += 1
            if height == len(self._levels):
                self._levels.append([])
            self._levels[height].append(node)
        return self.size - 1

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._leaves)

    def leaves(self, start: int = 0, end: int | None = None) -> tuple[bytes, ...]:
        """Return the leaves from ``start`` up to ``end``."""
        return tuple(self._leaves[start:end])

    def root(self, size: int | None = None) -> bytes:
        """Return the Merkle tree hash over the first ``size`` leaves (2.1.1), by default over all."""
        size = self._within(self.size if size is None else size)
        return self._subtree(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that leaf ``index`` stands in the tree of ``size`` leaves (2.1.3.1)."""
        size = self._within(self.size if size is None else size)
        if not 0 <= index < size:
            raise _no_such_state(index, size)
        return tuple(self._path(index, 0, size))

    def consistency(self, old: int, new: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that the tree of ``new`` leaves extends that of ``old`` (2.1.4.1); empty from 0."""
        new = self._within(self.size if new is None else new)
        if not 0 <= old <= new:
            raise _no_such_state(old, new)
        return () if old in (0, new) else tuple(self._subproof(old, 0, new, whole=True))

    def _within(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise _no_such_state(size, self.size)
        return size

    def _subtree(self, start: int, end: int) -> bytes:
        width = end - start
        if width.bit_count() == 1:  # whole: its start is a multiple of its width by construction of the split
            return self._levels[width.bit_length() - 1][start // width]
        middle = start + _split(width)
        return node_hash(self._subtree(start, middle), self._subtree(middle, end))

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _split(end - start)
        if index < middle:
            return [*self._path(index, start, middle), self._subtree(middle, end)]
        return [*self._path(index, middle, end), self._subtree(start, middle)]

    def _subproof(self, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if old == end:
            return [] if whole else [self._subtree(start, end)]
        middle = start + _split(end - start)
        if old <= middle:
            return [*self._subproof(old, start, middle, whole=whole), self._subtree(middle, end)]
        return [*self._subproof(old, middle, end, whole=False), self._subtree(start, middle)]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Refuse (``Untrusted``) unless ``leaf`` stands at ``index`` of the tree of ``size`` with ``root`` (2.1.3.2)."""
    refusal = _broken_proof("inclusion")
    if not 0 <= index < size:
        raise refusal
    node = leaf_hash(leaf)
    for sibling, on_the_left in _climb(index, size - 1, proof, refusal):
        node = node_hash(sibling, node) if on_the_left else node_hash(node, sibling)
    if node != root:
        raise refusal


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Refuse (``Untrusted``) unless the tree ``new`` extends the tree ``old`` (RFC 9162, 2.1.4.2).

    From an empty tree everything extends; the same size needs the same root; both take an empty proof.
    """
    refusal = _broken_proof("consistency")
    if not 0 <= old <= new:
        raise refusal
    if old in (0, new):
        if proof or old_root != (new_root if old == new else EMPTY_ROOT):
            raise refusal
        return
    # A power of two is one whole subtree: the proof leaves out what the verifier has, its root.
    path = [old_root, *proof] if old.bit_count() == 1 else list(proof)
    whole = (old & -old).bit_length() - 1  # levels on which the old tree's right edge is whole
    if not path:
        raise refusal
    old_node = new_node = path[0]
    for sibling, on_the_left in _climb(old - 1 >> whole, new - 1 >> whole, path[1:], refusal):
        if on_the_left:
            old_node = node_hash(sibling, old_node)
        new_node = node_hash(sibling, new_node) if on_the_left else node_hash(new_node, sibling)
    if (old_node, new_node) != (old_root, new_root):
        raise refusal


def _climb(at: int, last: int, proof: Sequence[bytes], refusal: Untrusted) -> Iterator[tuple[bytes, bool]]:
    """Yield each sibling and whether it stands left, from node ``at`` to the root; the proof must fit exactly."""
    for sibling in proof:
        if last == 0 or len(sibling) != HASH_BYTES:
            raise refusal
        on_the_left = at % 2 == 1 or at == last
        yield sibling, on_the_left
        while on_the_left and at and at % 2 == 0:  # on the right edge a level without a sibling is skipped
            at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
    if last:
        raise refusal


@dataclass(frozen=True)
class SignedCheckpoint:
    """A checkpoint whose signature verified, its signer, and the envelope's bytes; made by ``verify_checkpoint``."""

    checkpoint: Checkpoint
    signer: VerifyingKey
    envelope: bytes

    @classmethod
    def of(cls, envelope: bytes, keys: tuple[VerifyingKey, ...]) -> Self:
        """Return the checkpoint in ``envelope`` when one of ``keys`` signed it."""
        opened = open_envelope(envelope, Purpose.CHECKPOINT, keys)
        return cls(parse_json(Checkpoint, opened.body, what="the checkpoint"), opened.key, envelope)


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> bytes:
    """Return the DSSE envelope of ``checkpoint``: the instance's own, or a party's countersignature."""
    return key.envelope(Purpose.CHECKPOINT, canonical_json(checkpoint))


def verify_checkpoint(
    envelope: bytes, *, contract: str, instance: str, keys: tuple[VerifyingKey, ...]
) -> SignedCheckpoint:
    """Return the checkpoint when one of ``keys`` signed it for this contract and instance (hex digests)."""
    signed = SignedCheckpoint.of(envelope, keys)
    for name, expected in (("contract", contract), ("instance", instance)):
        found = getattr(signed.checkpoint, name)
        if found != expected:
            raise Untrusted(
                f"checkpoint.{name}", f"the checkpoint is of another {name}", why=f"it names another {name}",
                remedy=f"ask the {name} at hand for its checkpoint", field=name, expected=expected, found=found,
            )  # fmt: skip
    return signed


def _split(width: int) -> int:
    """Return the largest power of two below ``width`` (RFC 9162, 2.1.1)."""
    return 1 << (width - 1).bit_length() - 1


def _broken_proof(name: str) -> Untrusted:
    return Untrusted(
        f"log.{name}", f"the log's {name} proof does not hold", why="the log was rewritten, or this proof is another's",
        remedy="do not permit anything; compare checkpoints with the other parties",
    )  # fmt: skip


def _no_such_state(index: int, size: int) -> Malformed:
    return Malformed(
        "log.range", "the log has no such state", why="the size or index lies beyond its end",
        remedy="ask for a state that the log has reached", field="size", expected=f"at most {size}", found=str(index),
    )  # fmt: skip
