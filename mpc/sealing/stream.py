"""Rows on their way into the enclave: a header, chunks of which the last is marked, a signed commitment.

    data key (32 random bytes, one upload)
        └─ HKDF-SHA256, salt = SHA-256(header without its key commitment)
              ├─ stream key      AES-256-GCM over the chunks
              └─ key commitment  stands in the header: one header has one key

    chunk i  = AES-256-GCM(stream key, nonce = i (11 bytes) || last (1 byte),
                           length (8 bytes) || plaintext || zeros to a multiple of 64 KiB)
    signed   = {SHA-256(header), SHA-256(label || chunk count || SHA-256(chunk 0) || SHA-256(chunk 1) || …)}

This is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015) with the layout of age. The last-chunk mark lies only in
the nonce, so a reader tries the mark that is expected and then the other; a prefix byte would cost a copy of
every chunk. The signature binds the count of chunks without telling it, as receipts tell no sizes.

Theory of safety: the salt ties the key to contract, dataset, sender and upload, so chunks of one upload are noise
in another; the counter in the nonce refuses swapped, repeated and inserted chunks; the last mark refuses a cut
and an append. One nonce never meets two plaintexts: ``ChunkSealer`` refuses to seal an index twice.
"""

import hmac
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import TypeAdapter, ValidationError
from typing_extensions import Buffer

from mpc.canonical import Hex32, Identifier, Term, canonical_cbor, canonical_json, parse_cbor, parse_json, sha256
from mpc.errors import Malformed, Untrusted
from mpc.signing import Purpose, SigningKey, VerifyingKey, open_envelope

VERSION = 1
HEADER_MAX_BYTES = 1024
DATA_KEY_BYTES = 32
UPLOAD_ID_BYTES = 16
BLOCK_BYTES = 64 * 1024
LENGTH_BYTES = 8  # as long as Arrow aligns, so that an opened chunk is read where it lies
TAG_BYTES = 16
PADDED_MAX_BYTES = 63 * BLOCK_BYTES  # a sealed chunk and its framing fit a message of 4 MiB
PLAINTEXT_MAX_BYTES = PADDED_MAX_BYTES - LENGTH_BYTES
SEALED_MAX_BYTES = PADDED_MAX_BYTES + TAG_BYTES
_COUNTER_BYTES = 11
_DIGEST_BYTES = 32
_IDENTIFIER = TypeAdapter(Identifier)
_BYTES_LENGTHS = {
    "contract": _DIGEST_BYTES,
    "upload_id": UPLOAD_ID_BYTES,
    "schema_digest": _DIGEST_BYTES,
    "mapping_digest": _DIGEST_BYTES,
    "key_commitment": _DIGEST_BYTES,
}


@dataclass(frozen=True)
class Header:
    """What an upload is, told before its first chunk; ``Malformed`` when a field has another form.

    ``contract``, ``schema_digest``, ``mapping_digest`` and ``key_commitment`` are 32 bytes, ``upload_id`` is 16.
    Its bytes are deterministic CBOR: a map from these field names.
    """

    version: int
    contract: bytes
    dataset: str
    sender: str
    upload_id: bytes
    schema_digest: bytes
    mapping_digest: bytes
    key_commitment: bytes

    def __post_init__(self) -> None:
        if type(self.version) is not int or self.version != VERSION:
            raise _malformed_header("version", str(VERSION), str(self.version))
        for name, length in _BYTES_LENGTHS.items():
            value = getattr(self, name)
            if type(value) is not bytes or len(value) != length:
                raise _malformed_header(name, f"{length} bytes", "something else")
        for name in ("dataset", "sender"):
            try:
                _IDENTIFIER.validate_python(getattr(self, name), strict=True)
            except ValidationError:
                raise _malformed_header(name, "an identifier", "something else") from None

    def to_bytes(self) -> bytes:
        """Return the deterministic CBOR that is sent, signed for and digested."""
        return canonical_cbor(self._as_map())

    @property
    def digest(self) -> bytes:
        """The 32-byte SHA-256 of the header's bytes."""
        return sha256(self.to_bytes())

    def _as_map(self) -> dict[str, object]:
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def _salt(self) -> bytes:
        unkeyed = self._as_map()
        del unkeyed["key_commitment"]
        return sha256(canonical_cbor(unkeyed))


def parse_header(raw: bytes) -> Header:
    """Return the header that ``raw`` spells, or raise ``Malformed``."""
    value = parse_cbor(raw, what="the upload's header", max_bytes=HEADER_MAX_BYTES)
    names = {entry.name for entry in fields(Header)}
    if not isinstance(value, dict) or set(value) != names:
        raise _malformed_header("header", "the fields " + ", ".join(sorted(names)), "others")
    return Header(**value)


@dataclass(frozen=True, eq=False)
class DataKey:
    """The 32 secret bytes that one upload is sealed under; they do not print."""

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != DATA_KEY_BYTES:
            raise Malformed(
                "stream.data_key", "the data key has another length", why="a data key is 32 bytes",
                remedy="seal the key that this upload was made with",
            )  # fmt: skip


def new_upload(
    *,
    contract: bytes,
    dataset: str,
    sender: str,
    schema_digest: bytes,
    mapping_digest: bytes,
    random: Callable[[int], bytes],
) -> tuple[Header, DataKey]:
    """Return the header of a fresh upload and its fresh data key; ``random(n)`` gives n secret bytes."""
    data_key = DataKey(random(DATA_KEY_BYTES))

    def header(key_commitment: bytes) -> Header:
        return Header(
            VERSION, contract, dataset, sender, upload_id, schema_digest, mapping_digest, key_commitment
        )  # fmt: skip

    upload_id = random(UPLOAD_ID_BYTES)
    _, key_commitment = _derived(header(bytes(_DIGEST_BYTES)), data_key)
    return header(key_commitment), data_key


def check_data_key(header: Header, data_key: DataKey) -> None:
    """Refuse (``Untrusted``) a data key that is not the one ``header`` commits to."""
    _stream_key(header, data_key)


class ChunkSealer:
    """Seals the chunks of one upload. Threads may share it; the work is done outside of Python's lock."""

    def __init__(self, header: Header, data_key: DataKey) -> None:
        self._aead = AESGCM(_stream_key(header, data_key))
        self._lock = threading.Lock()
        self._sealed: set[int] = set()
        self._last: int | None = None
        self._scratch = threading.local()

    def seal(self, index: int, plaintext: Buffer, *, last: bool) -> bytes:
        """Return chunk ``index`` sealed. ``plaintext`` is at most ``PLAINTEXT_MAX_BYTES`` of contiguous bytes.

        Each index is sealed once and none after the last: anything else raises ``ValueError``, as it is a bug.
        """
        content = memoryview(plaintext).cast("B")
        if len(content) > PLAINTEXT_MAX_BYTES:
            raise ValueError(f"a chunk holds at most {PLAINTEXT_MAX_BYTES} bytes")

        def copy(room: memoryview) -> int:
            room[: len(content)] = content
            return len(content)

        return bytes(self.seal_written(index, copy, last=last))

    def seal_written(self, index: int, write: Callable[[memoryview], int], *, last: bool) -> memoryview:
        """Return chunk ``index`` sealed; ``write`` puts its plaintext into the room it is given, returning its length.

        So what serialises rows does it where they are encrypted from, and a chunk is copied once less. What is
        returned lies in a buffer of this thread, until it seals the next one.
        """
        self._reserve(index, last=last)
        if not hasattr(self._scratch, "plain"):
            # Two buffers a thread, used again and again: fresh pages for each chunk cost more than its encryption.
            self._scratch.plain, self._scratch.sealed = bytearray(PADDED_MAX_BYTES), bytearray(SEALED_MAX_BYTES)
        buffer = memoryview(self._scratch.plain)
        length = write(buffer[LENGTH_BYTES:])
        buffer[:LENGTH_BYTES] = length.to_bytes(LENGTH_BYTES, "big")
        end = LENGTH_BYTES + length
        padded = buffer[: _round_up(end)]
        padded[end:] = bytes(len(padded) - end)
        sealed = memoryview(self._scratch.sealed)[: len(padded) + TAG_BYTES]
        self._aead.encrypt_into(_nonce(index, last=last), padded, None, sealed)
        return sealed.toreadonly()

    def _reserve(self, index: int, *, last: bool) -> None:
        with self._lock:
            if index in self._sealed or (self._last is not None and index > self._last):
                raise ValueError("a chunk is sealed once, and none follows the last: a nonce would meet two plaintexts")
            self._sealed.add(index)
            if last:
                self._last = index


class ChunkOpener:
    """Opens the chunks of one upload, in any order and from any thread; makes sure in the end that it saw all."""

    def __init__(self, header: Header, data_key: DataKey) -> None:
        self._aead = AESGCM(_stream_key(header, data_key))
        self._lock = threading.Lock()
        self._opened: set[int] = set()
        self._last: int | None = None

    def open(self, index: int, sealed: Buffer, room: bytearray | None = None) -> tuple[memoryview, bool]:
        """Return the plaintext of chunk ``index`` and whether it is the last; ``Untrusted`` for any other bytes.

        With ``room``, of ``PADDED_MAX_BYTES``, the plaintext lies there, until the room is used again.
        """
        view = memoryview(sealed).cast("B")
        if not TAG_BYTES < len(view) <= SEALED_MAX_BYTES or (len(view) - TAG_BYTES) % BLOCK_BYTES:
            raise Malformed(
                "stream.chunk_size", "a sealed chunk has a size that no chunk has", why="chunks are padded to blocks",
                remedy="send the upload again, from a new upload id", field=f"chunk {index}",
            )  # fmt: skip
        size = len(view) - TAG_BYTES
        padded = memoryview(bytearray(size) if room is None else room)[:size]
        last = self._decrypt(index, view, padded)
        content = _unpadded(padded, index)
        with self._lock:
            if index in self._opened or (last and self._last is not None):
                raise _broken_stream(index, "it was opened before")
            self._opened.add(index)
            if last:
                self._last = index
        return content, last

    def finish(self) -> int:
        """Return how many chunks there were; ``Untrusted`` unless each up to the marked last one was opened."""
        if self._last is None:
            raise _broken_stream(len(self._opened), "the chunk that is marked last is missing")
        if self._opened != set(range(self._last + 1)):
            raise _broken_stream(self._last, "chunks are missing, or some stand after the last")
        return self._last + 1

    def _decrypt(self, index: int, sealed: memoryview, padded: memoryview) -> bool:
        for last in (False, True):
            try:
                self._aead.decrypt_into(_nonce(index, last=last), sealed, None, padded)
            except InvalidTag:
                continue
            return last
        raise _broken_stream(index, "it is not the chunk that was sealed at this place of this upload")


def open_stream(header: Header, data_key: DataKey, sealed: Iterable[Buffer]) -> Iterator[memoryview]:
    """Yield the plaintexts of a whole upload in order; ``Untrusted`` at the end when it was cut short.

    What was yielded may be relied on only after the iteration has ended.
    """
    opener = ChunkOpener(header, data_key)
    for index, chunk in enumerate(sealed):
        yield opener.open(index, chunk)[0]
    opener.finish()


class ChunkTally:
    """Gathers the SHA-256 digests of an upload's sealed chunks, in any order, so that hashing runs in parallel."""

    def __init__(self) -> None:
        self._digests: dict[int, bytes] = {}

    @property
    def count(self) -> int:
        """How many chunks were added."""
        return len(self._digests)

    def add(self, index: int, digest: bytes) -> None:
        """Add the SHA-256 of sealed chunk ``index``; ``Untrusted`` when another stands there."""
        if len(digest) != _DIGEST_BYTES:
            raise ValueError("a chunk's digest is its SHA-256")
        if self._digests.setdefault(index, digest) != digest:
            raise _broken_stream(index, "another chunk came at this place before")

    def digest(self) -> bytes:
        """Return the 32-byte digest over count and chunk digests; ``Untrusted`` when one is missing."""
        ordered = [self._digests.get(index) for index in range(self.count)]
        if self.count == 0 or None in ordered:
            raise _broken_stream(self.count, "a chunk before it is missing")
        return sha256(
            b"sealroom chunks v1" + self.count.to_bytes(8, "big") + b"".join(digest for digest in ordered if digest)
        )

    @classmethod
    def of(cls, sealed: Iterable[bytes | memoryview]) -> Self:
        """Return the tally of a whole upload."""
        tally = cls()
        for index, chunk in enumerate(sealed):
            tally.add(index, sha256(chunk))
        return tally


class Commitment(Term):
    """What a party signs for an upload: digests of its header and of its chunks, whose count they bind."""

    header: Hex32
    chunks: Hex32


def sign_commitment(header: Header, tally: ChunkTally, key: SigningKey) -> bytes:
    """Return the DSSE envelope of the commitment to one upload."""
    commitment = Commitment(header=header.digest.hex(), chunks=tally.digest().hex())
    return key.envelope(Purpose.COMMITMENT, canonical_json(commitment))


def read_commitment(raw: bytes, header: Header, key: VerifyingKey) -> Commitment:
    """Return the commitment that ``key`` signed for ``header``; ``Untrusted`` for another upload's."""
    opened = open_envelope(raw, Purpose.COMMITMENT, (key,))
    commitment = parse_json(Commitment, opened.body, what="the commitment")
    if commitment.header != header.digest.hex():
        raise Untrusted(
            "commitment.header", "the commitment is for another upload", why="it names another header",
            remedy="sign a commitment for this upload", field="header",
            expected=header.digest.hex(), found=commitment.header,
        )  # fmt: skip
    return commitment


def verify_commitment(raw: bytes, header: Header, tally: ChunkTally, key: VerifyingKey) -> Commitment:
    """Return the commitment when ``key`` signed it for exactly this header and these sealed chunks."""
    commitment = read_commitment(raw, header, key)
    if commitment.chunks != tally.digest().hex():
        raise Untrusted(
            "commitment.chunks", "the commitment is for other chunks", why="chunks were changed, lost or added",
            remedy="send the upload again, from a new upload id", field="chunks",
            expected=commitment.chunks, found=tally.digest().hex(),
        )  # fmt: skip
    return commitment


def _derived(header: Header, data_key: DataKey) -> tuple[bytes, bytes]:
    def expand(label: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=_DIGEST_BYTES, salt=header._salt(), info=label).derive(data_key.raw)  # noqa: SLF001

    return expand(b"sealroom stream key v1"), expand(b"sealroom key commitment v1")


def _stream_key(header: Header, data_key: DataKey) -> bytes:
    stream_key, key_commitment = _derived(header, data_key)
    if not hmac.compare_digest(key_commitment, header.key_commitment):
        raise Untrusted(
            "stream.key_commitment", "the data key is not that of this upload",
            why="the header commits to another key", remedy="seal the data key that this upload was made with",
        )  # fmt: skip
    return stream_key


def _nonce(index: int, *, last: bool) -> bytes:
    return index.to_bytes(_COUNTER_BYTES, "big") + bytes([last])


def _round_up(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _unpadded(padded: memoryview, index: int) -> memoryview:
    end = LENGTH_BYTES + int.from_bytes(padded[:LENGTH_BYTES], "big")
    if _round_up(end) != len(padded) or padded[end:].tobytes() != bytes(len(padded) - end):
        raise Malformed(
            "stream.padding", "a chunk is padded in another way", why="one plaintext has one padding",
            remedy="seal chunks with this project", field=f"chunk {index}",
        )  # fmt: skip
    return padded[LENGTH_BYTES:end].toreadonly()


def _broken_stream(index: int, why: str) -> Untrusted:
    return Untrusted(
        "stream.chunk", "a sealed chunk is refused", why=why,
        remedy="send the upload again, from a new upload id", field=f"chunk {index}",
    )  # fmt: skip


def _malformed_header(name: str, expected: str, found: str) -> Malformed:
    return Malformed(
        "stream.header", "the upload's header does not have the agreed form", why=f"{name} is not as it should be",
        remedy="send a header of this protocol's version", field=name, expected=expected, found=found,
    )  # fmt: skip
