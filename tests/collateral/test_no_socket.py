"""Verification asks nobody: over the real evidence of every format no socket is made, no name looked up."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mpc.evidence.formats import FORMATS
from tests.vectors import entries, judge, needs_vectors

NETWORK = ("socket.", "urllib.", "http.client.", "ftplib.", "smtplib.", "os.posix_spawn", "os.system", "subprocess.")
_installed: list[bool] = []
_watch: list[list[str]] = []


def _hook(event: str, _: tuple[object, ...]) -> None:
    if _watch and event.startswith(NETWORK):
        _watch[-1].append(event)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collect what asks the network or starts a program; a hook stays for good, so that it is set once."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    _watch.append([])
    try:
        yield _watch[-1]
    finally:
        _watch.pop()


def test_the_watch_sees_sockets() -> None:
    with watched() as seen:
        socket.socket().close()
        with pytest.raises(OSError, match=r"."):
            socket.create_connection(("127.0.0.1", 1), timeout=0.1)
    assert "socket.__new__" in seen
    assert "socket.connect" in seen


@needs_vectors
def test_verification_opens_no_socket_whatever_the_format() -> None:
    ran = 0
    for name in FORMATS:
        for entry in entries(name):
            with watched() as seen:
                verdict = judge(entry)
            assert seen == [], entry["id"]
            assert verdict.accepted == (entry["expect"]["verdict"] == "accept"), entry["id"]
            ran += 1
    assert ran == 265
    assert {name for name in FORMATS if not entries(name)} == {"simulated"}
