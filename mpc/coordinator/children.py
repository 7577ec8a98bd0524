"""Children: exec'd, never forked from a process that holds keys; started ahead, used once, killed at will.

A warm child has its imports behind it and waits on its line. What it is for comes over that line, and it enters
the sandbox before it meets a row.
"""

import os
import socket
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mpc
from mpc.coordinator.line import Line
from mpc.errors import Exhausted

Kind = Literal["loader", "runner"]

_PROGRAM_ROOT = Path(mpc.__file__).resolve().parent.parent


@dataclass(frozen=True, eq=False)
class Child:
    """One running child and the coordinator's end of its line."""

    process: subprocess.Popen[bytes]
    line: Line

    def kill(self) -> None:
        """End the child now, whatever it does, and wait until it is gone."""
        self.line.hang_up()
        self.process.kill()
        self.process.wait()
        self.line.close()


def start(kind: Kind) -> Child:
    """Start a child from the very package that this process runs from, with nothing of its environment."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-m", f"mpc.coordinator.{kind}", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env={
                    "PATH": os.defpath + ":/usr/sbin:/sbin",  # where ctypes looks for ldconfig
                    "PYTHONPATH": str(_PROGRAM_ROOT),
                    "LC_ALL": "C.UTF-8",
                    # Arrow's other allocators keep what they once had, which a limit of memory would count twice.
                    "ARROW_DEFAULT_MEMORY_POOL": "system",
                },
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # what a library prints could quote a row
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            ours.close()
            raise Exhausted(
                "child.start", "no process can be started for this", why="the machine is out of processes or memory",
                remedy="try again later, or on a larger machine",
            ) from None  # fmt: skip
    return Child(process, Line(ours))


class WarmChildren:
    """Children of one kind, started ahead. ``take`` never waits for a spare: without one it starts one."""

    def __init__(self, kind: Kind) -> None:
        self._kind: Kind = kind
        self._lock = threading.Lock()
        self._waiting: deque[Child] = deque()
        self._closed = False

    def warm(self, count: int) -> None:
        """Bring the number of waiting children up to ``count``."""
        while True:
            with self._lock:
                if self._closed or len(self._waiting) >= count:
                    return
            child = start(self._kind)
            with self._lock:
                if not self._closed:
                    self._waiting.append(child)
                    continue
            child.kill()

    def take(self) -> Child:
        """Return a child that nobody else has, warm if there is one."""
        with self._lock:
            while self._waiting:
                child = self._waiting.popleft()
                if child.process.poll() is None:
                    return child
                child.kill()
        return start(self._kind)

    def close(self) -> None:
        """End all that wait."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, deque()
        for child in waiting:
            child.kill()
