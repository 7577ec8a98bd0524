"""An owner's rows on their way to the enclave: read, checked, sealed, sent; one thread a stage, bounded queues.

    source ──batches──> check, pack ──queue──> IPC, seal, hash ──outbox──> gRPC stream ──acknowledged──> forgotten

What waits anywhere is bounded, so memory does not grow with the table. The outbox holds sealed chunks that the enclave
has not made durable yet, at most 64 MiB; when the connection is lost, or the coordinator restarts, the same upload goes
on from the acknowledgement, with the data key sealed anew to the instance that was appraised. A party that restarts
has no outbox: it begins a new upload with a new key, so one nonce never meets two plaintexts.

Each stage hands on what it makes, or why it stopped: a stage that dies wakes its neighbours.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from mpc.canonical import sha256
from mpc.contract.consent import Agreement
from mpc.errors import Exhausted, Refusal, Unavailable
from mpc.evidence.appraisal import AttestedKey
from mpc.messages import Chunk, UploadCommitment, UploadOpen, UploadPart, UploadReply, framed
from mpc.sealing.hpke import PublicSealingKey, SealedFor, seal
from mpc.sealing.stream import PLAINTEXT_MAX_BYTES, ChunkSealer, ChunkTally, DataKey, Header
from mpc.table.batches import BatchChecker
from mpc.table.packing import Packer, write_batches
from mpc.table.schema import Dataset

OUTBOX_MAX_BYTES = 64 << 20
QUEUE_CHUNKS = 2
CHUNK_BYTES = 2 << 20
"""What a chunk holds at least, where more rows follow: each costs some time by itself."""
_IPC_OVERHEAD_BYTES = 64 << 10
Pieces = tuple[pa.RecordBatch, ...]


@dataclass(frozen=True)
class Progress:
    """How far an upload is: chunks and bytes sealed, chunks durable at the enclave; never rows."""

    dataset: str
    chunks_sealed: int
    bytes_sealed: int
    chunks_durable: int
    loaded: bool


class Stopped(Exception):  # noqa: N818 - an answer within this module, not an error of its own
    """The submission was stopped from outside; never leaves this module."""


class Outbox:
    """Sealed chunks in order, from the first that is not durable on; a reader may start again from there."""

    def __init__(self, max_bytes: int = OUTBOX_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._chunks: deque[Chunk] = deque()
        self._first = 0
        self._bytes = 0
        self._ended = False
        self._failure: BaseException | None = None
        self.sealed_bytes = 0

    @property
    def durable(self) -> int:
        """How many chunks were acknowledged."""
        return self._first

    @property
    def sealed(self) -> int:
        """How many chunks were put in."""
        return self._first + len(self._chunks)

    def put(self, chunk: Chunk) -> None:
        """Add the next chunk, waiting for room."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._failure or not self._chunks or self._bytes + len(chunk.sealed) <= self._max_bytes
            )
            self._raise_failure()
            self._chunks.append(chunk)
            self._bytes += len(chunk.sealed)
            self.sealed_bytes += len(chunk.sealed)
            self._changed.notify_all()

    def end(self) -> None:
        """Say that no chunk follows."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def fail(self, failure: BaseException) -> None:
        """Wake everybody with why it stopped; the first reason stays."""
        with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    @property
    def failure(self) -> BaseException | None:
        """Why it stopped, or None."""
        return self._failure

    def acknowledge(self, durable: int) -> None:
        """Forget the chunks before ``durable``."""
        with self._changed:
            if not self._first <= durable <= self.sealed:
                raise _acknowledged_wrongly()
            while self._first < durable:
                self._bytes -= len(self._chunks.popleft().sealed)
                self._first += 1
            self._changed.notify_all()

    def chunks(self, start: int, given_up: Callable[[], bool]) -> Iterator[Chunk]:
        """Yield chunks from ``start`` on, waiting for each, until the end, a failure, or ``given_up``."""
        index = start
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._failure or given_up() or index < self.sealed or self._ended  # noqa: B023 - used at once
                )
                self._raise_failure()
                if given_up() or index >= self.sealed or index < self._first:
                    return
                chunk = self._chunks[index - self._first]
            yield chunk
            index += 1

    def wake(self) -> None:
        """Let waiting readers look again whether they are given up."""
        with self._changed:
            self._changed.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise Stopped


class Submission:
    """One upload of one dataset. ``send`` may be called again on another channel until it returns."""

    def __init__(
        self, dataset: Dataset, header: Header, data_key: DataKey, batches: Iterable[pa.RecordBatch], *,
        commit: Callable[[Header, ChunkTally], bytes], progress: Callable[[Progress], None] = lambda _: None,
        outbox: Outbox | None = None, chunk_bytes: int = CHUNK_BYTES,
    ) -> None:  # fmt: skip
        """``commit`` signs (and keeps) the commitment once the last chunk is sealed.

        Batches go together into a chunk until it holds ``chunk_bytes``.
        """
        self.header = header
        self._dataset = dataset
        self._data_key = data_key
        self._batches = batches
        self._commit = commit
        self._progress = progress
        self._outbox = outbox or Outbox()
        self._chunk_bytes = chunk_bytes
        self._waiting: queue.Queue[Pieces | None] = queue.Queue(QUEUE_CHUNKS)
        self._commitment: bytes | None = None
        self._loaded = False
        self._threads = (
            threading.Thread(target=self._guarded(self._check), name=f"check {dataset.name}", daemon=True),
            threading.Thread(target=self._guarded(self._seal), name=f"seal {dataset.name}", daemon=True),
        )
        self._started = False

    def send(
        self,
        agreement: Agreement,
        attested: AttestedKey,
        upload: Callable[[Iterator[UploadPart]], Iterator[UploadReply]],
    ) -> None:
        """Stream to the enclave of ``attested`` until it holds the rows.

        Raises what the source or a rule refused, what the enclave refused, or ``Unavailable`` when the connection
        was lost: then call again with a channel to the same or a newly appraised instance.
        """
        if agreement.digest != self.header.contract or attested.hpke_public_key is None:
            raise ValueError("an upload is sealed to the key of its own contract")
        self._start()
        sealed_key = seal(
            SealedFor.UPLOAD_KEY, self.header.digest, PublicSealingKey(attested.hpke_public_key), self._data_key.raw
        )
        attempt = _Attempt(self._outbox, UploadOpen(self.header.to_bytes(), sealed_key), lambda: self._commitment)
        replies = upload(attempt.parts())
        try:
            for reply in replies:
                self._acknowledge(attempt, reply)
                if reply.loaded:
                    return
            self._raise_own_failure()
            raise Unavailable(
                "upload.ended", "the upload ended before it was loaded", why="the coordinator closed the stream",
                remedy="it is tried again from where it stood",
            )  # fmt: skip
        except Refusal:
            # The stream also breaks when a stage on this side stopped; that reason comes first.
            self._raise_own_failure()
            raise
        finally:
            attempt.give_up()
            close = getattr(replies, "close", None)
            if close is not None:
                close()

    def stop(self) -> None:
        """End the stages; the upload cannot go on."""
        self._outbox.fail(Stopped())
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    @property
    def progress(self) -> Progress:
        """How far it is."""
        box = self._outbox
        return Progress(self._dataset.name, box.sealed, box.sealed_bytes, box.durable, self._loaded)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()

    def _acknowledge(self, attempt: "_Attempt", reply: UploadReply) -> None:
        self._outbox.acknowledge(reply.durable)
        attempt.opened(reply.durable)
        self._loaded = self._loaded or reply.loaded
        self._progress(self.progress)

    def _raise_own_failure(self) -> None:
        failure = self._outbox.failure
        if failure is None:
            return
        if isinstance(failure, Stopped):
            raise Unavailable(
                "upload.stopped", "the upload was stopped", why="the party's daemon is ending or was told to",
                remedy="it begins anew when the daemon runs again",
            ) from None  # fmt: skip
        raise failure

    def _guarded(self, stage: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                stage()
            except BaseException as failure:  # noqa: BLE001 - handed to the thread that waits; none may die unseen
                self._outbox.fail(failure)

        return run

    def _check(self) -> None:
        checker, packer = BatchChecker(self._dataset), Packer()
        pieces = (piece for batch in self._batches for piece in _pieces(checker.check(batch), packer))
        for together in _together(pieces, self._chunk_bytes):
            self._hand_on(together)
        checker.finish()
        self._hand_on(None)

    def _hand_on(self, pieces: Pieces | None) -> None:
        while True:
            if self._outbox.failure is not None:
                raise Stopped
            try:
                self._waiting.put(pieces, timeout=0.5)
            except queue.Full:
                continue
            return

    def _seal(self) -> None:
        sealer, tally = ChunkSealer(self.header, self._data_key), ChunkTally()
        for index, (pieces, last) in enumerate(_with_last(self._packed())):
            sealed = sealer.seal_written(index, partial(_write, pieces), last=last)
            tally.add(index, sha256(sealed))
            if last:
                self._commitment = self._commit(self.header, tally)
            self._outbox.put(framed(sealed))
        self._outbox.end()

    def _packed(self) -> Iterator[Pieces]:
        while (pieces := self._next_packed()) is not None:
            yield pieces

    def _next_packed(self) -> Pieces | None:
        while True:
            if self._outbox.failure is not None:
                raise Stopped
            try:
                return self._waiting.get(timeout=0.5)
            except queue.Empty:
                continue


class _Attempt:
    """One try at streaming: waits for the first acknowledgement, which tells from where to go on."""

    def __init__(self, outbox: Outbox, opening: UploadOpen, commitment: Callable[[], bytes | None]) -> None:
        self._outbox = outbox
        self._opening = opening
        self._commitment = commitment
        self._open = threading.Event()
        self._start = 0
        self._given_up = False

    def parts(self) -> Iterator[UploadPart]:
        yield self._opening
        self._open.wait()
        try:
            yield from self._outbox.chunks(self._start, lambda: self._given_up)
        except Stopped:
            return
        if not self._given_up and (commitment := self._commitment()) is not None:
            yield UploadCommitment(commitment)

    def opened(self, durable: int) -> None:
        if not self._open.is_set():
            self._start = durable
            self._open.set()

    def give_up(self) -> None:
        self._given_up = True
        self._open.set()
        self._outbox.wake()


def _with_last(groups: Iterator[Pieces]) -> Iterator[tuple[Pieces, bool]]:
    """Yield each group with whether it is the last; no rows at all become one last group of none."""
    group = next(groups, ())
    for following in groups:
        yield group, False
        group = following
    yield group, True


def _together(pieces: Iterable[pa.RecordBatch], chunk_bytes: int) -> Iterator[Pieces]:
    """Put pieces together into what makes a chunk."""
    group: list[pa.RecordBatch] = []
    size = 0
    for piece in pieces:
        if group and (size >= chunk_bytes or size + _size(piece) > PLAINTEXT_MAX_BYTES):
            yield tuple(group)
            group, size = [], 0
        group.append(piece)
        size += _size(piece)
    if group:
        yield tuple(group)


def _pieces(batch: pa.RecordBatch, packer: Packer) -> Iterator[pa.RecordBatch]:
    """Pack ``batch``, cut until each piece fits a chunk."""
    if batch.num_rows == 0:
        return
    piece = packer.pack(batch)
    if _size(piece) <= PLAINTEXT_MAX_BYTES:
        yield piece
        return
    if batch.num_rows == 1:
        raise Exhausted(
            "upload.row_size", "a row is too long", why="one row has to fit a chunk of 4 MiB",
            remedy="leave long texts out of the upload",
        )  # fmt: skip
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half), packer)
    yield from _pieces(batch.slice(half), packer)


def _write(pieces: Pieces, room: memoryview) -> int:
    """Write pieces into ``room`` and return their length."""
    sink = pa.FixedSizeBufferWriter(pa.py_buffer(room))
    write_batches(pieces, sink)
    return int(sink.tell())


def _size(piece: pa.RecordBatch) -> int:
    """Return at most how many bytes a piece takes in a chunk."""
    return int(piece.nbytes) + _IPC_OVERHEAD_BYTES


def _acknowledged_wrongly() -> Refusal:
    return Unavailable(
        "upload.position", "the upload cannot go on", why="the coordinator lost chunks that it had acknowledged",
        remedy="a new upload begins",
    )  # fmt: skip
