"""The line between the coordinator and one child: framed messages over a socket pair, descriptors beside them.

A frame is ``length of head (4 bytes) || length of body (8 bytes) || head || body``. The head is a CBOR map; the
body is raw bytes, for what is large. Both ends check lengths before they read, as a child may have been taken
over by the rows that it opened.
"""

import array
import contextlib
import os
import select
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpc.canonical import canonical_cbor, parse_cbor
from mpc.errors import KINDS, Exhausted, Malformed, Refusal

HEAD_MAX_BYTES = 4 << 20
BODY_MAX_BYTES = 1 << 30
DESCRIPTORS_MAX = 253  # SCM_MAX_FD of the kernel
_PLACE_MAX_LENGTH = 100
_LENGTHS = struct.Struct("!IQ")


@dataclass(frozen=True)
class Frame:
    """One message; whoever receives it owns its descriptors."""

    head: Mapping[str, Any]
    body: bytearray
    descriptors: tuple[int, ...]


class LineEnded(Exception):  # noqa: N818 - an end, not an error: the other side went away
    """The other end is gone, or speaks no frames; what that means is for the caller to say."""


class Line:
    """One end of the line. Threads may send at once; one thread at a time receives."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._sending = threading.Lock()
        self._closing = threading.Lock()

    def send(self, head: Mapping[str, Any], *, body: bytes = b"", descriptors: tuple[int, ...] = ()) -> None:
        """Send one frame; ``LineEnded`` when nobody is there."""
        encoded = canonical_cbor(dict(head))
        start = _LENGTHS.pack(len(encoded), len(body)) + encoded
        with self._sending:
            try:
                sent = self._socket.sendmsg([start], _rights(descriptors))
                self._socket.sendall(memoryview(start)[sent:])
                if body:
                    self._socket.sendall(body)
            except OSError:
                raise LineEnded from None

    def receive(self, *, body_max_bytes: int = 0) -> Frame:
        """Return the next frame; ``LineEnded`` at the end, or for lengths beyond what may come."""
        lengths, descriptors = self._receive_lengths()
        head_bytes, body_bytes = _LENGTHS.unpack(lengths)
        if head_bytes > HEAD_MAX_BYTES or body_bytes > body_max_bytes:
            _close(descriptors)
            raise LineEnded
        try:
            head = parse_cbor(bytes(self._receive_exactly(head_bytes)), what="a child", max_bytes=HEAD_MAX_BYTES)
            body = self._receive_exactly(body_bytes)
        except (Malformed, LineEnded):
            _close(descriptors)
            raise LineEnded from None
        if not isinstance(head, dict):
            _close(descriptors)
            raise LineEnded
        return Frame(head, body, tuple(descriptors))

    def close(self) -> None:
        """Close this end once no thread sends any more: the descriptor's number may soon be another line's.

        The line goes on where another process holds a copy of this end; ``hang_up`` ends it there as well.
        """
        with self._sending, self._closing:
            self._socket.close()

    def hang_up(self) -> None:
        """End the line for both directions, also for a thread that waits in ``receive`` or in ``send``."""
        with self._closing, contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def end_process_with_it(self) -> None:
        """End this process as soon as the other end is gone: a child does not outlive its coordinator."""
        hung_up = select.poll()
        hung_up.register(self._socket, select.POLLRDHUP)

        def watch() -> None:
            hung_up.poll()
            os._exit(1)

        threading.Thread(target=watch, name="line-watch", daemon=True).start()

    def _receive_lengths(self) -> tuple[bytes, list[int]]:
        descriptors = array.array("i")
        room = socket.CMSG_LEN(DESCRIPTORS_MAX * descriptors.itemsize)
        try:
            start, ancillary, _, _ = self._socket.recvmsg(_LENGTHS.size, room, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            raise LineEnded from None
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        if not start:
            raise LineEnded
        return start + bytes(self._receive_exactly(_LENGTHS.size - len(start))), list(descriptors)

    def _receive_exactly(self, size: int) -> bytearray:
        received = bytearray(size)
        view = memoryview(received)
        while view:
            try:
                count = self._socket.recv_into(view)
            except OSError:
                raise LineEnded from None
            if not count:
                raise LineEnded
            view = view[count:]
        return received


def _rights(descriptors: tuple[int, ...]) -> "list[tuple[int, int, array.array[int]]]":
    if not descriptors:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def refusal_from_child(data: Mapping[str, Any]) -> Refusal:
    """Return the refusal that a child reports as data; one that does not have the form becomes a plain one."""
    kind = KINDS.get(str(data.get("kind")))
    texts = {name: data.get(name) for name in ("code", "what", "why", "remedy", "field", "expected", "found")}
    if kind is None or any(not isinstance(texts[name], str) for name in ("code", "what", "why", "remedy")):
        return crashed()
    return kind(**{name: None if text is None else str(text)[:500] for name, text in texts.items()})  # type: ignore[arg-type]


def crashed(place: str | None = None) -> Refusal:
    """Return the refusal for a child that died or spoke nonsense; ``place`` is where in the program, if it told."""
    return Exhausted(
        "child.ended", "the process that held the rows ended early",
        why="it crashed, was killed, or went over its memory or time",
        remedy="check the rows with `sealroom party check`; ask for larger limits in the contract",
        found=place[:_PLACE_MAX_LENGTH] if place else None,
    )  # fmt: skip
