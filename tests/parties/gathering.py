"""Daemons of several parties in threads, each with its own folder, against the coordinator of ``coordinators``."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from mpc.canonical import sha256
from parties.client import Client
from parties.service import Service, now, serve
from parties.trouble import Pace

PATIENCE_SECONDS = 60
PACE = Pace(first_retry=0.05, last_retry=0.5, consents=0.05, watch=5.0)


class Gathering:
    """The parties' services and clients by name; ``config_of`` makes one's configuration."""

    def __init__(self, clock: Callable[[], Any] = now) -> None:
        self._clock = clock
        self.services: dict[str, Service] = {}
        self.clients: dict[str, Client] = {}
        self._threads: dict[str, threading.Thread] = {}
        self.failures: list[BaseException] = []

    def start(self, config: Any) -> Client:
        name, ready = config.party.name, threading.Event()

        def begun(service: Service) -> None:
            self.services[name] = service
            ready.set()

        def run() -> None:
            try:
                serve(config, clock=self._clock, pace=PACE, ready=begun)
            except BaseException as failure:  # noqa: BLE001 - shown by the test
                self.failures.append(failure)
                ready.set()

        self._threads[name] = threading.Thread(target=run, name=f"party {name}")
        self._threads[name].start()
        assert ready.wait(PATIENCE_SECONDS)
        if self.failures:
            raise self.failures[0]
        self.clients[name] = Client.of(config)
        return self.clients[name]

    def stop(self, name: str) -> None:
        self.clients.pop(name).close()
        self.services.pop(name).stop()
        self._threads.pop(name).join(PATIENCE_SECONDS)

    def close(self) -> None:
        for name in tuple(self.services):
            self.stop(name)

    def sign_all(self, raw: bytes) -> str:
        digest = sha256(raw).hex()
        for client in self.clients.values():
            client.add_contract(raw)
            client.sign(digest, digest[:8])
        return digest

    def until(self, holds: Callable[[], Any]) -> Any:
        """Return what ``holds`` returns once it is true; events are what is waited for, not time."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if found := holds():
                return found
            next(iter(self.clients.values())).events(10**9, wait_seconds=0)
            time.sleep(0.02)
        told = {name: client.status() for name, client in self.clients.items()}
        raise AssertionError(f"it never came to that: {told}")


@contextmanager
def gathered(*configs: Any, clock: Callable[[], Any] = now) -> Iterator[Gathering]:
    with ExitStack() as stack:
        gathering = Gathering(clock)
        stack.callback(gathering.close)
        for config in configs:
            gathering.start(config)
        yield gathering
