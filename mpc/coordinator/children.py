"""Children, one for each upload and each run: copies of a template that is exec'd, used once, killed at will.

No child is forked from the process that holds the keys. ``Template`` starts the exec'd one, with nothing of this
process's memory or environment, and asks it for a copy of itself; docs/adr/0009 says why.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mpc
from mpc.coordinator.line import Line, LineEnded
from mpc.errors import Exhausted

Kind = Literal["loader", "runner"]

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

    def wait(self) -> None:
        """Return once it has ended."""
        if self._pidfd >= 0:
            ended = select.poll()
            ended.register(self._pidfd, select.POLLIN)
            ended.poll()

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

    def kill(self) -> None:
        """End the child now, whatever it does, and wait until it is gone."""
        self.line.hang_up()
        self.process.kill()
        self.process.wait()
        self.process.close()
        self.line.close()


class Template:
    """The template of one kind, started when it is first wanted, and again when it has ended."""

    def __init__(self, kind: Kind) -> None:
        self._kind: Kind = kind
        self._lock = threading.Lock()
        self._started: tuple[subprocess.Popen[bytes], Line] | None = None
        self._closed = False

    def warm(self) -> None:
        """Start it, so that it has its second of imports behind it when a child is wanted."""
        with self._lock:
            if self._started is None and not self._closed:
                self._started = _start(self._kind)

    def take(self) -> Child:
        """Return a fresh child; ``Exhausted`` when the machine gives no process."""
        with self._lock:
            for _ in range(2):  # a template that was killed is started again, once
                if self._closed:
                    break
                self._started = self._started or _start(self._kind)
                try:
                    return _copied(self._started[1])
                except LineEnded:
                    self._end()
        raise _no_process()

    def close(self) -> None:
        """End the template; children that are at work go on."""
        with self._lock:
            self._closed = True
            self._end()

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
