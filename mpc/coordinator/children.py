"""Children, one for each upload and each run: copies of a template that is exec'd, used once, killed at will.

No child is forked from the process that holds the keys. ``Template`` starts the exec'd one, with nothing of this
process's memory or environment, and asks it for a copy of itself; docs/adr/0009 says why.

A child begins with its preparation, a message that holds no row and no key of rows: it reads the contract and confines
itself. What can be foreseen is prepared while nobody waits, and handed out when it is wanted; docs/adr/0033 says what
that saves.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mpc
from mpc.coordinator.line import Line, LineEnded
from mpc.errors import Exhausted

Kind = Literal["loader", "runner"]
Preparation = Mapping[str, Any]
"""What a child is told first: the same for all children that may stand in for each other."""

READY_MAX = 2

_PROGRAM_ROOT = Path(mpc.__file__).resolve().parent.parent


class Process:
    """A child as its pidfd shows it: ended and waited for without a race about its number."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._lock = threading.Lock()

    def kill(self) -> None:
        """End it now; nothing happens when it has ended already."""
        with self._lock:
            if self._pidfd >= 0:
                try:
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                except ProcessLookupError:
                    return

    def has_ended(self) -> bool:
        """Tell whether it has ended."""
        return self._ended(0)

    def wait(self) -> None:
        """Return once it has ended."""
        self._ended(None)

    def _ended(self, milliseconds: int | None) -> bool:
        if self._pidfd < 0:
            return True
        ended = select.poll()
        ended.register(self._pidfd, select.POLLIN)
        return bool(ended.poll(milliseconds))

    def close(self) -> None:
        """Let go of an ended process."""
        with self._lock:
            if self._pidfd >= 0:
                os.close(self._pidfd)
                self._pidfd = -1


@dataclass(frozen=True, eq=False)
class Child:
    """One running child and the coordinator's end of its line."""

    process: Process
    line: Line

    def tell(self, head: Mapping[str, Any], *descriptors: int) -> None:
        """Send it a message; one that has ended by now says so where its report is read."""
        with contextlib.suppress(LineEnded):
            self.line.send(head, descriptors=descriptors)

    def kill(self) -> None:
        """End the child now, whatever it does; nobody has to wait until its memory is given back."""
        self.line.hang_up()
        self.process.kill()
        threading.Thread(target=self._bury, name="burial", daemon=True).start()

    def _bury(self) -> None:
        self.process.wait()
        self.process.close()
        self.line.close()


class Template:
    """The template of one kind, started when it is first wanted, and again when it has ended."""

    def __init__(self, kind: Kind) -> None:
        self._kind: Kind = kind
        self._lock = threading.Lock()
        self._started: tuple[subprocess.Popen[bytes], Line] | None = None
        self._ready: list[tuple[Preparation, Child]] = []
        self._closed = False

    def warm(self) -> None:
        """Start it, so that it has its second of imports behind it when a child is wanted."""
        with self._lock:
            if self._started is None and not self._closed:
                self._started = _start(self._kind)

    def make_ready(self, preparation: Preparation, count: int = 1) -> None:
        """Have ``count`` children, at most ``READY_MAX``, that are prepared before they are wanted."""
        with self._lock:
            if self._closed:
                return
            self._drop_ended()
            alike = sum(each == preparation for each, _ in self._ready)
        for _ in range(min(count, READY_MAX) - alike):
            child = self._prepared(preparation)
            with self._lock:
                self._ready.append((preparation, child))
                while len(self._ready) > (0 if self._closed else READY_MAX):
                    self._ready.pop(0)[1].kill()

    def take(self, preparation: Preparation) -> Child:
        """Return a child that nobody had before, prepared or about to be; ``Exhausted`` when the machine gives none."""
        with self._lock:
            self._drop_ended()
            for place, (each, _) in enumerate(self._ready):
                if each == preparation:
                    return self._ready.pop(place)[1]
        return self._prepared(preparation)

    def close(self) -> None:
        """End the template and the children that nobody took; those at work go on."""
        with self._lock:
            self._closed = True
            self._end()
            while self._ready:
                self._ready.pop()[1].kill()

    def _drop_ended(self) -> None:
        ended = [entry for entry in self._ready if entry[1].process.has_ended()]
        for entry in ended:
            self._ready.remove(entry)
            entry[1].kill()

    def _prepared(self, preparation: Preparation) -> Child:
        with self._lock:
            child = self._fresh()
        child.tell(preparation)
        return child

    def _fresh(self) -> Child:
        for _ in range(2):  # a template that was killed is started again, once
            if self._closed:
                break
            self._started = self._started or _start(self._kind)
            try:
                return _copied(self._started[1])
            except LineEnded:
                self._end()
        raise _no_process()

    def _end(self) -> None:
        if self._started is not None:
            process, line = self._started
            line.close()
            process.kill()
            process.wait()
            self._started = None


def _start(kind: Kind) -> tuple[subprocess.Popen[bytes], Line]:
    """Start a template from the very package that this process runs from, with nothing of its environment."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-m", "mpc.coordinator.template", kind, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env={
                    "PATH": os.defpath + ":/usr/sbin:/sbin",  # where ctypes looks for ldconfig
                    "PYTHONPATH": str(_PROGRAM_ROOT),
                    "LC_ALL": "C.UTF-8",
                    # Arrow's other allocators keep what they once had, which a limit of memory would count twice.
                    "ARROW_DEFAULT_MEMORY_POOL": "system",
                    "JE_ARROW_MALLOC_CONF": "background_thread:false",
                    # A template has one thread; what a child computes with is set in the child.
                    "OPENBLAS_NUM_THREADS": "1",
                    "OMP_NUM_THREADS": "1",
                },
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # what a library prints could quote a row
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            ours.close()
            raise _no_process() from None
    return process, Line(ours)


def _copied(template: Line) -> Child:
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            template.send({}, descriptors=(theirs.fileno(),))
            frame = template.receive()
            (pidfd,) = frame.descriptors
        except (LineEnded, ValueError):
            ours.close()
            raise LineEnded from None
    return Child(Process(int(frame.head["pid"]), pidfd), Line(ours))


def _no_process() -> Exhausted:
    return Exhausted(
        "child.start", "no process can be started for this", why="the machine is out of processes or memory",
        remedy="try again later, or on a larger machine",
    )  # fmt: skip
