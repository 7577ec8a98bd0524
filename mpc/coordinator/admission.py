"""Limits at the door: what a stranger may cost, and what a party may.

Before authentication a call is small, attestations are made one at a time and drawn from a bucket of tokens, and
contracts are read one at a time. After it, a party has so many calls at once. What a party's rows may take stands in
the contract and is held by ``mpc.coordinator.intake``. The host and any party can still stop a contract: availability
is not promised.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mpc.errors import Exhausted, Malformed
from mpc.messages import MESSAGE_MAX_BYTES, UNAUTHENTICATED_MAX_BYTES


@dataclass(frozen=True)
class DoorLimits:
    """Every limit of the door, with its unit."""

    message_bytes: int = MESSAGE_MAX_BYTES
    unauthenticated_bytes: int = UNAUTHENTICATED_MAX_BYTES
    agree_bytes: int = (1 << 20) + (64 << 10)  # a contract of 1 MiB, and signatures of as many parties as it may have
    connections: int = 512  # open files are scarce: two for each of 64 parties, and four times as many strangers
    calls: int = 512
    calls_a_connection: int = 64
    calls_a_party: int = 16
    attestations_a_second: float = 20.0
    attestations_at_once: float = 100.0
    turn_seconds: float = 10.0
    handshake_milliseconds: int = 5_000
    keepalive_milliseconds: int = 20_000
    idle_milliseconds: int = 60_000  # a connection without a call; daemons wait for news in one, and connect again
    age_milliseconds: int = 3_600_000  # then no new calls on it; those at hand have as long again, and uploads go on


class TokenBucket:
    """``burst`` tokens, filled again at ``rate`` a second of ``clock``."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = burst
        self._filled = clock()

    def take(self) -> bool:
        """Take one token if there is one."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
            self._filled = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class Door:
    """Who may come in now."""

    def __init__(self, limits: DoorLimits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self._bucket = TokenBucket(limits.attestations_a_second, limits.attestations_at_once, clock)
        self._turns = {"Attest": threading.Lock(), "Agree": threading.Lock()}
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()

    def check_size(self, method: str, raw: bytes, *, authenticated: bool) -> None:
        """Refuse a message that is longer than its caller may send."""
        limits = self.limits
        allowed = limits.message_bytes if authenticated else limits.unauthenticated_bytes
        allowed = limits.agree_bytes if method == "Agree" else allowed
        if len(raw) > allowed:
            raise Malformed(
                "message.size", "the message is too long", why="it is over the limit of its method",
                remedy="send a smaller one; authenticate before anything large", field="size",
                expected=f"at most {allowed} bytes", found=f"{len(raw)} bytes",
            )  # fmt: skip

    @contextmanager
    def turn(self, method: str) -> Iterator[None]:
        """Let an unauthenticated call of ``method`` in, one at a time where it is costly."""
        if method == "Attest" and not self._bucket.take():
            raise _busy("attest.rate", "too many attestations are asked for")
        lock = self._turns.get(method)
        if lock is None:
            yield
            return
        if not lock.acquire(timeout=self.limits.turn_seconds):
            raise _busy("door.turn", "others are being served")
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def seat(self, party: str) -> Iterator[None]:
        """Count a call of ``party`` while it lasts."""
        with self._lock:
            if self._calls[party] >= self.limits.calls_a_party:
                raise _busy("door.calls", "this party has too many calls at once")
            self._calls[party] += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls[party] -= 1


def _busy(code: str, why: str) -> Exhausted:
    return Exhausted(code, "the coordinator is busy", why=why, remedy="try again in a few seconds")
