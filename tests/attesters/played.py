"""A coordinator process before a stand-in of its hardware: ``python -m tests.attesters.played SOCKET KIND serve …``.

The test that started it holds the vendor's keys, and answers at SOCKET: what the evidence shall carry comes in, the
evidence goes out. ``answering`` is that other side.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from mpc.coordinator.cli import main
from tests.attesters.stand_ins import Machine, Prove, StandInNsm, StandInOcclum, StandInTsm

AUXILIARY = "auxblob"
"""Beside the socket, in a file of this name, lies what the host of an SEV-SNP guest offers."""


def machine_of(kind: str, at: Path) -> Machine:
    """Return the stand-in of a device, whose evidence comes from the socket ``at``."""
    if kind == "nsm":
        return StandInNsm(lambda data: _asked(at, data))
    if kind == "occlum":
        return StandInOcclum(lambda data: _asked(at, data))
    if kind == "sev_guest":
        return StandInTsm(kind, lambda data: _asked(at, data), certificates=at.with_name(AUXILIARY).read_bytes())
    machine = StandInTsm(kind, lambda data: _asked(at, data + (machine.rtmr3 or b"")), rtmr3=bytes(48))
    return machine


def _asked(at: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(at))
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: line.recv(1 << 16), b""))


@contextmanager
def answering(at: Path, prove: Prove) -> Iterator[None]:
    """Answer at the socket ``at`` until the end."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(at))
        server.listen()
        with _thread(lambda: _answer(server, prove)):
            yield
            with socket.socket(socket.AF_UNIX) as last:
                last.connect(str(at))


def _answer(server: socket.socket, prove: Prove) -> None:
    while True:
        line, _ = server.accept()
        with line:
            data = b"".join(iter(lambda line=line: line.recv(1 << 16), b""))  # type: ignore[misc]
            if not data:
                return
            line.sendall(prove(data))


@contextmanager
def gramine_folder(root: Path, prove: Prove) -> Iterator[None]:
    """Play Gramine's files below ``root``: the quote is made when it is read, of the report data that stands then."""
    folder = root / "dev" / "attestation"
    folder.mkdir(parents=True)
    (folder / "attestation_type").write_bytes(b"dcap")
    data, quote = folder / "user_report_data", folder / "quote"
    data.write_bytes(bytes(64))
    _new_pipe(quote)
    ended = threading.Event()

    def play() -> None:
        while True:
            with quote.open("wb") as reader:  # opens when somebody reads
                if ended.is_set():
                    return
                _new_pipe(quote)  # the next who reads shall not meet this one's end
                reader.write(prove(data.read_bytes()))

    with _thread(play):
        yield
        ended.set()
        quote.read_bytes()


def _new_pipe(at: Path) -> None:
    os.mkfifo(at.with_suffix(".new"))
    at.with_suffix(".new").replace(at)


@contextmanager
def _thread(play: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    yield
    thread.join(timeout=10)


def run() -> None:
    """Run the coordinator's command on the stand-in that the first two arguments name."""
    at, kind = Path(sys.argv[1]), sys.argv[2]
    del sys.argv[1:3]
    machine = machine_of(kind, at)
    with patch("mpc.coordinator.cli.Devices", lambda _: machine):
        main()


if __name__ == "__main__":
    run()
