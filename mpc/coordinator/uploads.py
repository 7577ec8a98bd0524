"""An upload on its way in: one thread a stage, bounded queues between them, and an error that ends them all.

    receive ──queue──> write to the vault ──places──> loader child ──> open (its report)
                              └──────> make durable ──────> acknowledge

The stages are the measured shape of a fast pipeline: receiving, writing, fsync and opening overlap, and no stage
waits for stable storage but the acknowledgement.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mpc.coordinator.loading import Loading, Rows
from mpc.coordinator.vault import VaultFile
from mpc.errors import Exhausted, Malformed, Refusal, Unavailable, Untrusted
from mpc.messages import Chunk, UploadCommitment, UploadPart, UploadReply

QUEUE_LENGTH = 8
MIB = 1 << 20


@dataclass(frozen=True)
class Arrived:
    """All chunks are durable, the rows passed, and this is the commitment that came after them; unverified yet."""

    rows: Rows
    commitment: bytes


class Arrival:
    """One connection that brings (the rest of) one upload. ``replies`` is iterated by one thread, once."""

    def __init__(
        self, file: VaultFile, loading: Loading, *, upload_bytes: int, arrived: Callable[[Arrived], None]
    ) -> None:
        self._file = file
        self._loading = loading
        self._upload_bytes = upload_bytes
        self._arrived = arrived
        self._parts: queue.Queue[UploadPart | Refusal | None] = queue.Queue(QUEUE_LENGTH)
        self._replies: queue.Queue[UploadReply | BaseException | None] = queue.Queue()
        self._written = threading.Condition()
        self._rows: Rows | None = None
        self._complete = False
        self._delivered = False
        self._stopped = False

    def replies(self, parts: Iterator[UploadPart]) -> Iterator[UploadReply]:
        """Yield acknowledgements until the rows are loaded; raises the refusal of whichever stage refused first."""
        stages = (self._receive, self._write, self._open, self._make_durable)
        threads = [
            threading.Thread(target=self._guarded, args=(stage, parts), name=f"upload-{stage.__name__}", daemon=True)
            for stage in stages
        ]
        first = UploadReply(self._file.durable, loaded=False)
        for place in self._file.places:
            self._loading.chunk(place)
        for thread in threads:
            thread.start()
        try:
            yield first  # where a call that was cancelled ends: from here on the loader is ended with it
            while (reply := self._replies.get()) is not None:
                if isinstance(reply, BaseException):
                    raise reply
                yield reply
        finally:
            self._stop()
            for thread in threads[1:]:  # the first may wait for a peer that says nothing more
                thread.join()
            if self._rows is not None and not self._delivered:
                self._rows.close()

    def _guarded(self, stage: Callable[[Iterator[UploadPart]], None], parts: Iterator[UploadPart]) -> None:
        # Whatever a stage raises goes to the one thread that answers the call: a dead stage must not hang the others.
        try:
            stage(parts)
        except BaseException as failure:  # noqa: BLE001 - it is raised again, by the thread that answers
            self._replies.put(failure)

    def _receive(self, parts: Iterator[UploadPart]) -> None:
        for part in parts:
            self._hand_on(part)
            if self._stopped:
                return
        self._hand_on(None)

    def _hand_on(self, part: UploadPart | None) -> None:
        while not self._stopped:
            try:
                self._parts.put(part, timeout=1)
            except queue.Full:
                continue
            return

    def _write(self, _: Iterator[UploadPart]) -> None:
        while not self._stopped:
            match self._parts.get():
                case Chunk(sealed):
                    if self._file.written_bytes + len(sealed) > self._upload_bytes:
                        raise _over_the_limit()
                    self._loading.chunk(self._file.append(sealed))
                    with self._written:
                        self._written.notify_all()
                case UploadCommitment(envelope):
                    self._finish(envelope)
                    return
                case None:
                    if not self._stopped:
                        raise Unavailable(
                            "upload.cut", "the upload ended before its commitment", why="its sender stopped",
                            remedy="go on from the acknowledged chunk",
                        )  # fmt: skip
                case _:
                    raise Malformed(
                        "upload.order", "an upload is opened once", why="another part was expected",
                        remedy="send the header first, then chunks, then the commitment",
                    )  # fmt: skip

    def _open(self, _: Iterator[UploadPart]) -> None:
        rows = self._loading.rows()
        with self._written:
            self._rows = rows
            self._written.notify_all()

    def _finish(self, commitment: bytes) -> None:
        self._loading.end()
        timer = self._loading.hurry()
        with self._written:
            self._written.wait_for(lambda: self._rows is not None or self._stopped)
            rows, self._complete = self._rows, self._rows is not None
            self._written.notify_all()
        timer.cancel()
        if rows is None:
            return
        if rows.count != len(self._file.places):
            raise Untrusted(
                "stream.chunk", "a sealed chunk is refused", why="it stands after the last one",
                remedy="send the upload again, from a new upload id",
            )  # fmt: skip
        count = self._file.make_durable()
        self._arrived(Arrived(rows, commitment))
        self._delivered = True
        self._replies.put(UploadReply(count, loaded=True))
        self._replies.put(None)

    def _make_durable(self, _: Iterator[UploadPart]) -> None:
        while True:
            with self._written:
                self._written.wait_for(self._has_work)
                if self._complete or self._stopped:
                    return
            self._replies.put(UploadReply(self._file.make_durable(), loaded=False))

    def _has_work(self) -> bool:
        return self._complete or self._stopped or len(self._file.places) > self._file.durable

    def _stop(self) -> None:
        with self._written:
            self._stopped = True
            self._written.notify_all()
        if not self._delivered:
            self._loading.abandon()
        with contextlib.suppress(queue.Full):  # then the writer has something to wake up for
            self._parts.put_nowait(None)


def _over_the_limit() -> Refusal:
    return Exhausted(
        "upload.size", "the upload is larger than the contract allows", why="its sealed bytes outgrow the limit",
        remedy="agree on a larger `upload_mib`", field="limits.upload_mib",
    )  # fmt: skip
