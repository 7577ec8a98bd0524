"""The loader child: one upload of one owner, opened, checked and written again; then it ends.

It is given the vault's file and told of each chunk as it is written there, so opening runs while the upload still
arrives. What it writes is its own serialisation of checked batches: no byte of an owner's Arrow stream reaches a
process that holds other owners' rows. It hashes what it opens, so that the signed commitment is compared with
these very bytes and not with what the host shows somebody else.

    in   {"contract", …} and {"job"}, then {"chunk": [offset, length]} … and {"end"}
    out  {"want": bytes} answered by {"granted": bool}; at the end {"loaded", "content", "count", "resident"} or
         {"refused"}
"""

import hashlib
import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from mpc.canonical import parse_json
from mpc.contract.terms import Contract
from mpc.coordinator import sandbox
from mpc.coordinator.line import Line, LineEnded
from mpc.coordinator.warmth import made_up_dataset, made_up_rows
from mpc.errors import Exhausted, Malformed, Refusal
from mpc.sealing.stream import PADDED_MAX_BYTES, ChunkOpener, ChunkTally, DataKey, parse_header
from mpc.table.batches import BatchChecker, arrow_schema, schema_digest
from mpc.table.packing import check_form, decoded_bytes, read_batches, unpacked, with_codes, write_batches

MEMORY_MIB = 1024
UNIQUE_MAX_BYTES = 512 << 20
BATCH_MAX_BYTES = 256 << 20
GRANT_BYTES = 32 << 20
_SEALED_MAX_BYTES = 4 << 20
_CONTENT_LABEL = b"sealroom rows v1"


class Prepared:
    """What a child has once it knows the contract, before it is confined and meets an upload."""

    def __init__(self, line: Line, told: Mapping[str, Any]) -> None:
        self.line = line
        self.contract = parse_json(Contract, told["contract"], what="the contract")
        self.hashing = ThreadPoolExecutor(1)
        self.hashing.submit(hashlib.sha256, b"").result()  # its thread starts before the sandbox closes
        # Used again for every chunk: fresh pages cost more than opening what is written to them. No batch is kept.
        self.sealed, self.opened = bytearray(_SEALED_MAX_BYTES), bytearray(PADDED_MAX_BYTES)


class Loading:
    """One upload on its way from sealed chunks to checked batches."""

    def __init__(self, prepared: Prepared, job: Mapping[str, Any], vault: int, output: int) -> None:
        header = parse_header(job["header"])
        dataset = prepared.contract.dataset(header.dataset)
        if dataset is None:
            raise Malformed(
                "stream.dataset", "the upload is for no dataset of the contract", why="its header names another",
                remedy="upload to a dataset of the contract", field="dataset",
            )  # fmt: skip
        self._line = prepared.line
        self._vault = vault
        self._schema = arrow_schema(dataset)
        self._checker = BatchChecker(dataset, unique_max_bytes=UNIQUE_MAX_BYTES)
        self._content = hashlib.sha256(_CONTENT_LABEL + schema_digest(dataset))
        self._opener = ChunkOpener(header, DataKey(job["data_key"]))
        self._output = _Output(output, streamed=job["streamed"])
        self._tally = ChunkTally()
        self._hashing = prepared.hashing
        self._sealed, self._opened = prepared.sealed, prepared.opened
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._ended = False
        self._room_left = int(job["upload_bytes"])

    def run(self) -> Mapping[str, Any]:
        """Return what there is to report once the last chunk is opened and everything holds."""
        index, last = 0, False
        while not last:
            offset, length = self._next_place()
            last = self._chunk(index, self._read(offset, length))
            index += 1
        count = self._opener.finish()
        self._checker.finish()
        self._output.close()
        return {
            "loaded": self._tally.digest(), "content": self._content.digest(), "count": count,
            "resident": self._output.kept,
        }  # fmt: skip

    def _next_place(self) -> tuple[int, int]:
        if self._ended:
            self._opener.finish()
        place = self._next("chunk", "end")
        if place is True:
            self._ended = True
            return self._next_place()
        offset, length = place
        return offset, length

    def _next(self, *whats: str) -> Any:  # noqa: ANN401 - the message's one value
        for place, head in enumerate(self._waiting):
            if not head.keys().isdisjoint(whats):
                del self._waiting[place]
                return next(iter(head.values()))
        while head := self._line.receive().head:
            if not head.keys().isdisjoint(whats):
                return next(iter(head.values()))
            self._waiting.append(head)
        raise LineEnded

    def _read(self, offset: int, length: int) -> memoryview:
        view = memoryview(self._sealed)[:length]
        if os.preadv(self._vault, [view], offset) != length:
            raise Malformed(
                "vault.short", "a chunk on disk is shorter than it was", why="the vault's file was changed",
                remedy="upload again, from a new upload id",
            )  # fmt: skip
        return view

    def _chunk(self, index: int, sealed: memoryview) -> bool:
        hashed = self._hashing.submit(_digest, sealed)
        plaintext, last = self._opener.open(index, sealed, self._opened)
        if not plaintext and not last:
            raise _other_form("it holds no batch")
        added = self._hashing.submit(self._content.update, plaintext)
        for batch in read_batches(plaintext):
            self._take(batch)
        self._tally.add(index, hashed.result())
        added.result()  # before the room that the plaintext lies in is used again
        return last

    def _take(self, batch: pa.RecordBatch) -> None:
        """Hold a packed batch against the rules, and keep it as it is."""
        check_form(batch, self._schema)
        rows = self._checker.check(unpacked(batch, with_codes(self._schema, [batch])))
        size = decoded_bytes(rows)
        self._room_left -= size
        if size > BATCH_MAX_BYTES or self._room_left < 0:
            raise too_large()
        while self._output.wants(batch.nbytes):
            self._line.send({"want": GRANT_BYTES})
            if self._next("granted"):
                self._output.granted += GRANT_BYTES
            else:
                self._output.drop()
        self._output.write(batch)


class _Output:
    """Where checked batches go: a memory-backed file that a run will map, or a pipe that a run is reading."""

    def __init__(self, descriptor: int, *, streamed: bool) -> None:
        self._descriptor = descriptor
        self._file = open(descriptor, "wb", buffering=1 << 20, closefd=False)  # noqa: SIM115 - a descriptor
        self._streamed = streamed
        self._written = 0
        self.granted = 0
        self.kept = True

    def wants(self, size: int) -> bool:
        """Tell whether ``size`` more bytes need leave."""
        return self.kept and not self._streamed and self._written + size > self.granted

    def write(self, batch: pa.RecordBatch) -> None:
        if self.kept:
            write_batches([batch], self._file)
            self._written += batch.nbytes

    def drop(self) -> None:
        """Keep nothing: the rows exceed what may stay in memory, and every run will stream them again."""
        self.kept = False
        self._file.flush()
        os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        if self.kept:
            self._file.flush()


def _digest(sealed: memoryview) -> bytes:
    return hashlib.sha256(sealed).digest()


def _other_form(why: str) -> Malformed:
    return Malformed(
        "table.chunk", "a chunk does not have the agreed form", why=why,
        remedy="send Arrow IPC streams of one batch each",
    )  # fmt: skip


def too_large() -> Exhausted:
    """Return the refusal of rows that outgrow the contract's limit, or a batch that outgrows any."""
    return Exhausted(
        "upload.too_large", "the upload is larger than the contract allows", why="its rows outgrow the limit of size",
        remedy="agree on a larger `upload_mib`, or upload fewer columns or rows", field="limits.upload_mib",
    )  # fmt: skip


def load(line: Line) -> Mapping[str, Any]:
    """Return the report on the one upload that comes over ``line``."""
    told = line.receive().head
    line.end_process_with_it()
    prepared = Prepared(line, told)
    sandbox.enter(
        sandbox.Bounds(memory_mib=MEMORY_MIB, cpu_seconds=int(told["cpu_seconds"]), file_mib=int(told["file_mib"]))
    )
    made_up_rows(made_up_dataset())  # a copy of a process copies each page that it writes to, and most of them here
    frame = line.receive()
    vault, output = frame.descriptors
    loading = Loading(prepared, frame.head["job"], vault, output)
    return loading.run()


def refused(line: Line) -> Mapping[str, Any]:
    """Return the report of ``load``, or why it refused, in words that hold nothing of the rows."""
    try:
        return load(line)
    except Refusal as refusal:
        return {"refused": refusal.as_data()}
    except MemoryError:  # also pyarrow's own, which is one
        return {"refused": too_large().as_data()}
    except (pa.ArrowException, ValueError, OSError):
        return {"refused": _other_form("it is not what Arrow writes").as_data()}


def warm_up() -> None:
    """Go the way of rows once, over made-up ones: after the sandbox is entered no file opens."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    made_up_rows(made_up_dataset())


def serve(line: Line) -> None:
    """Open the one upload that comes over ``line`` and report."""
    line.send(refused(line))
