"""The vault: sealed chunks on disk, exactly as they came, so that nothing that was acknowledged is sent again.

One folder an upload: ``header``, ``chunks`` (length (4 bytes) || sealed chunk, again and again) and ``durable``, the
count of chunks that are on stable storage. A chunk is written at once and made durable by a thread of its own,
many at a time; it is acknowledged after that. The count is written after the chunks are safe, so what it counts is
there after a loss of power; what it does not count is cut off.
"""

import os
import shutil
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mpc.coordinator.disk import disk_refusals, sync_folder, write_durably
from mpc.errors import Malformed
from mpc.sealing.stream import HEADER_MAX_BYTES, Header, parse_header

RESERVE_BYTES = 64 << 20
_LENGTH = struct.Struct("!I")
_COUNT = struct.Struct("!Q")


@dataclass(frozen=True)
class Place:
    """Where a sealed chunk lies in the file of its upload."""

    offset: int
    length: int


class VaultFile:
    """The chunks of one upload. ``append`` is for one thread; ``durable`` may be read by any."""

    def __init__(self, folder: Path, header: Header) -> None:
        self.header = header
        self.folder = folder
        self._descriptor = os.open(folder / "chunks", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._count = os.open(folder / "durable", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        self._places: list[Place] = []
        self._end = 0
        self._reserved = 0
        self.durable = 0
        self._recover()

    @property
    def places(self) -> tuple[Place, ...]:
        """Where every written chunk lies, in order."""
        with self._lock:
            return tuple(self._places)

    @property
    def written_bytes(self) -> int:
        """How many bytes the upload takes."""
        return self._end

    def append(self, sealed: bytes | memoryview) -> Place:
        """Write the next chunk and return where it lies; it is not durable yet."""
        with disk_refusals():
            self._reserve(self._end + _LENGTH.size + len(sealed))
            _write_all(self._descriptor, [_LENGTH.pack(len(sealed)), sealed], self._end)
        place = Place(self._end + _LENGTH.size, len(sealed))
        with self._lock:
            self._places.append(place)
            self._end = place.offset + place.length
        return place

    def make_durable(self) -> int:
        """Bring all that is written to stable storage and return how many chunks are; may run beside ``append``."""
        with self._lock:
            count = len(self._places)
        if count > self.durable:
            with disk_refusals():
                os.fdatasync(self._descriptor)
                os.pwrite(self._count, _COUNT.pack(count), 0)
                os.fdatasync(self._count)
            self.durable = count
        return self.durable

    def reader(self) -> int:
        """Return a descriptor of its own that can only read; the caller closes it."""
        return os.open(self.folder / "chunks", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Give back what was reserved and not used, and close."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, self._end)
            os.close(self._descriptor)
            os.close(self._count)
            self._descriptor = self._count = -1

    def cut(self) -> None:
        """Drop what is not durable, as its sender will send it again, and give back what was reserved and not used."""
        with self._lock:
            del self._places[self.durable :]
            self._end = self._places[-1].offset + self._places[-1].length if self._places else 0
            if self._descriptor >= 0:
                os.ftruncate(self._descriptor, self._end)
                self._reserved = self._end

    def _reserve(self, end: int) -> None:
        # Ahead, so that a full disk refuses before it tears a chunk.
        if end > self._reserved:
            os.posix_fallocate(self._descriptor, self._reserved, RESERVE_BYTES)
            self._reserved += RESERVE_BYTES

    def _recover(self) -> None:
        raw = os.pread(self._count, _COUNT.size, 0)
        self.durable = _COUNT.unpack(raw)[0] if len(raw) == _COUNT.size else 0
        size = os.fstat(self._descriptor).st_size
        for _ in range(self.durable):
            prefix = os.pread(self._descriptor, _LENGTH.size, self._end)
            length = _LENGTH.unpack(prefix)[0] if len(prefix) == _LENGTH.size else 0
            place = Place(self._end + _LENGTH.size, length)
            if not length or place.offset + length > size:
                raise Malformed(
                    "vault.short", "chunks that were acknowledged are not on disk", why="the folder was changed",
                    remedy="upload again, from a new upload id",
                )  # fmt: skip
            self._places.append(place)
            self._end = place.offset + length
        self._reserved = size


class Vault:
    """All uploads of the contract, by upload id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)

    def create(self, header: Header) -> VaultFile:
        """Return the empty file of a new upload."""
        folder = self._folder / header.upload_id.hex()
        with disk_refusals():
            folder.mkdir(mode=0o700)
            write_durably(folder / "header", header.to_bytes())
            sync_folder(self._folder)
            return VaultFile(folder, header)

    def open_all(self, warn: Callable[[str], None]) -> list[VaultFile]:
        """Return every upload that is on disk; one that cannot be read is reported by its folder's name and left."""
        files = []
        for folder in sorted(self._folder.iterdir()):
            try:
                with (folder / "header").open("rb") as file:
                    header = parse_header(file.read(HEADER_MAX_BYTES + 1))
                if header.upload_id.hex() != folder.name:
                    warn(folder.name)
                    continue
                files.append(VaultFile(folder, header))
            except (Malformed, OSError):
                warn(folder.name)
        return files

    def drop(self, upload: bytes) -> None:
        """Remove an upload's ciphertext."""
        shutil.rmtree(self._folder / upload.hex(), ignore_errors=True)


def _write_all(descriptor: int, parts: list[bytes | memoryview], offset: int) -> None:
    views = [memoryview(part) for part in parts]
    while views:
        written = os.pwritev(descriptor, views, offset)
        offset += written
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if views:
            views[0] = views[0][written:]
