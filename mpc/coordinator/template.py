"""The template of a kind of child: exec'd once, with nothing secret in it, and copied for each upload and each run.

Importing and warming up takes a second, and a copy of a process that has done it takes milliseconds. The template is
exec'd, so nothing of the coordinator's memory is in it; it meets no key and no row, as it only ever receives one end of
a line, which it hands to the copy. It has one thread when it copies itself, which it checks: a copy of a process with
several would hold locks that nobody opens.

    in   {} with a descriptor: the child's end of a line
    out  {"pid"} with a descriptor: the child, by which it is ended and waited for (pidfd_open(2))
"""

import os
import signal
import socket
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from mpc.allocation import exempt_from_collection, keep_freed_blocks
from mpc.coordinator.line import Line, LineEnded


class Kind(Protocol):
    """What a module of a child offers."""

    def warm_up(self) -> None:
        """Do everything once that would otherwise be done late."""

    def serve(self, line: Line) -> None:
        """Do the one thing that comes over ``line``."""


KINDS = {"loader": "mpc.coordinator.loader", "runner": "mpc.coordinator.runner"}
"""The module of each kind; a template imports its own and no other."""


def main() -> None:
    """Copy this process for each line that comes over the descriptor of the second argument, until that ends."""
    kind = cast("Kind", import_module(KINDS[sys.argv[1]]))
    asked = Line(socket.socket(fileno=int(sys.argv[2])))
    keep_freed_blocks()
    kind.warm_up()
    exempt_from_collection()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries children; whoever holds the pidfd sees the end
    while True:
        try:
            (descriptor,) = asked.receive().descriptors
        except LineEnded:
            return
        _require_one_thread()
        pid = os.fork()
        if pid == 0:
            asked.close()
            _be_child(kind, descriptor)
        os.close(descriptor)
        _tell(asked, pid)


def _be_child(kind: Kind, descriptor: int) -> None:
    """Serve and end; the copy never returns into the template's code, whatever happens."""
    line = Line(socket.socket(fileno=descriptor))
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        kind.serve(line)
        status = 0
    except Exception as failure:  # noqa: BLE001 - whatever it is, this process ends; only its place is told
        line.send({"crashed": _place_of(failure)})
    finally:
        os._exit(status)


def _place_of(failure: BaseException) -> str:
    """Return where it was raised and its type; its text could quote a row."""
    *_, (frame, line) = traceback.walk_tb(failure.__traceback__)
    return f"{type(failure).__name__} at {Path(frame.f_code.co_filename).name}:{line}"


def _tell(asked: Line, pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    try:
        asked.send({"pid": pid}, descriptors=(pidfd,))
    finally:
        os.close(pidfd)


def _require_one_thread() -> None:
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names are wanted, not paths
    if threads != 1:
        raise SystemExit(f"the template has {threads} threads, so it cannot be copied")


if __name__ == "__main__":
    main()
