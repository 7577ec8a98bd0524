"""The coordinator's side of a loader child: what it hands in, and what it believes of the report."""

import fcntl
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mpc.coordinator.children import Child, Preparation
from mpc.coordinator.line import LineEnded, crashed, refusal_from_child
from mpc.coordinator.vault import Place, VaultFile
from mpc.sealing.stream import DataKey

_MIB = 1 << 20
_DIGEST_BYTES = 32
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Residency:
    """How much of the contract's memory for rows is left. Loaders take from it as they write."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self._left = total_bytes
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take ``size`` bytes if they are there."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give_back(self, size: int) -> None:
        """Return what was taken."""
        with self._lock:
            self._left += size


@dataclass(frozen=True)
class LoadLimits:
    """What one loader may use. ``seconds`` are of processor time, and of waiting after the last chunk is written."""

    upload_bytes: int
    seconds: int


def preparation(contract: bytes, residency: Residency, limits: LoadLimits) -> Preparation:
    """Return what a child is told that will load an upload under the contract with these bytes."""
    return {
        "contract": contract, "cpu_seconds": limits.seconds, "file_mib": residency.total_bytes // _MIB + 64,
    }  # fmt: skip


@dataclass(eq=False)
class Rows:
    """Checked rows of one upload: in the memory-backed file ``resident``, or, with None, in the vault alone.

    ``chunks`` is the digest of the very chunks that they were opened from, ``count`` their number; ``content`` is the
    digest of what was in them, by which the same rows are known when they are uploaded again. The data key stays with
    the rows, as those that are not resident are opened anew for every pass.
    """

    chunks: bytes
    content: bytes
    count: int
    resident: int | None
    data_key: DataKey
    give_back: Callable[[], None]
    _closing: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def close(self) -> None:
        """Give the memory back, once; a run that has it mapped keeps it until its end."""
        with self._closing:
            resident, self.resident = self.resident, None
        if resident is not None:
            os.close(resident)
            self.give_back()


class Loading:
    """One loader at work on one upload."""

    def __init__(
        self,
        child: Child,
        file: VaultFile,
        data_key: DataKey,
        *,
        residency: Residency,
        limits: LoadLimits,
        pipe: int | None = None,
    ) -> None:
        """Start; with ``pipe`` the rows are streamed into that descriptor (which is closed here) and not kept."""
        self._child = child
        self._data_key = data_key
        self._residency = residency
        self._limits = limits
        self._granted = 0
        self._streamed = pipe is not None
        self._output = os.memfd_create("rows", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING) if pipe is None else pipe
        job = {
            "header": file.header.to_bytes(),
            "data_key": data_key.raw,
            "streamed": self._streamed,
            "upload_bytes": limits.upload_bytes,
        }
        vault = file.reader()
        try:
            self._child.tell({"job": job}, vault, self._output)
        finally:
            os.close(vault)
            if self._streamed:  # else the pipe never ends for whoever reads it
                os.close(self._output)
                self._output = -1

    def chunk(self, place: Place) -> None:
        """Tell that the next chunk is written."""
        self._child.tell({"chunk": [place.offset, place.length]})

    def end(self) -> None:
        """Tell that no chunk comes any more; a loader that has not met the last one refuses."""
        self._child.tell({"end": True})

    def rows(self) -> Rows:
        """Wait for the report; return the rows, or raise the refusal. The child is gone after it."""
        try:
            report = self._report()
            return self._believed(report)
        except BaseException:
            self._give_up()
            raise
        finally:
            self._child.kill()

    def hurry(self) -> threading.Timer:
        """From now on the loader has its seconds and no more; the caller cancels the timer once it has the rows."""
        timer = threading.Timer(self._limits.seconds, self._child.process.kill)
        timer.daemon = True
        timer.start()
        return timer

    def abandon(self) -> None:
        """End the child; whoever waits in ``rows`` gets a refusal."""
        self._child.line.hang_up()
        self._child.process.kill()

    def _report(self) -> Mapping[str, Any]:
        try:
            while True:
                head = self._child.line.receive().head
                if "want" not in head:
                    return head
                size = head["want"]
                granted = isinstance(size, int) and 0 < size <= self._residency.total_bytes
                granted = granted and self._residency.take(size)
                self._granted += size if granted else 0
                self._child.line.send({"granted": granted})
        except LineEnded:
            raise crashed() from None

    def _believed(self, report: Mapping[str, Any]) -> Rows:
        match report:
            case {"loaded": bytes(chunks), "content": bytes(content), "count": int(count), "resident": bool(kept)} if (
                len(chunks) == len(content) == _DIGEST_BYTES
            ):
                if kept and not self._streamed:
                    self._seal()
                    give_back = partial(self._residency.give_back, self._granted)
                    return Rows(chunks, content, count, self._output, self._data_key, give_back)
                self._give_up()
                return Rows(chunks, content, count, None, self._data_key, lambda: None)
            case {"refused": dict(data)}:
                raise refusal_from_child(data)
            case {"crashed": str(place)}:
                raise crashed(place)
        raise crashed()

    def _seal(self) -> None:
        """Let nobody write to the rows any more, also not the child, which may still be ending."""
        try:
            fcntl.fcntl(self._output, fcntl.F_ADD_SEALS, _SEALS)
        except OSError:  # who maps it writable would go on writing
            raise crashed() from None

    def _give_up(self) -> None:
        if self._output >= 0:
            os.close(self._output)
            self._output = -1
        self._residency.give_back(self._granted)
        self._granted = 0
