"""The line between the coordinator and a child: what comes over it, how it ends, and what a crash tells."""

import socket
import threading

import pytest

from mpc.coordinator.children import Template
from mpc.coordinator.line import Line, LineEnded


def test_a_child_that_crashes_tells_where_and_nothing_else() -> None:
    template = Template("loader")
    try:
        child = template.take({"nonsense": "17, 4711"})
        (told,) = child.line.receive().head.values()
        child.kill()
    finally:
        template.close()
    assert told.startswith("KeyError at loader.py:")
    assert "4711" not in told


def test_a_line_is_closed_only_when_nobody_sends_and_hung_up_even_then() -> None:
    ours, theirs = socket.socketpair()
    line, ends = Line(ours), []

    def send_until_it_ends() -> None:
        try:
            while True:  # nobody reads, so it soon waits
                line.send({}, body=bytes(1 << 20))
        except LineEnded:
            ends.append(ours.fileno() >= 0)

    with theirs:
        sender = threading.Thread(target=send_until_it_ends)
        sender.start()
        line.hang_up()
        line.close()
        sender.join()
    assert ends == [True] or ours.fileno() < 0
    line.hang_up()
    with pytest.raises(LineEnded):
        line.send({})
