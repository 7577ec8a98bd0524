"""`sealroom party serve`: the daemon's loop and its local API in one process, until it is told to end."""

import fcntl
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvicorn

from mpc.allocation import exempt_from_collection, keep_freed_blocks
from mpc.errors import Misconfigured
from parties.api import Api
from parties.channel import Clock, Deadlines
from parties.config import Config
from parties.daemon import Daemon
from parties.keys import load_keys
from parties.ledger import Ledger
from parties.trouble import Pace

_SOCKET_PATH_MAX_BYTES = 107
log = structlog.get_logger("sealroom.party")


def now() -> datetime:
    """Return the system's time; the daemon's only clock."""
    return datetime.now(UTC)


def serve(
    config: Config, *, clock: Clock = now, pace: Pace | None = None, deadlines: Deadlines | None = None,
    ready: Callable[["Service"], None] = lambda _: None,
) -> None:  # fmt: skip
    """Serve ``config`` until SIGINT, SIGTERM or ``Service.stop``; ``ready`` is called once the API answers.

    Raises ``Misconfigured`` when key, ledger, state folder or socket cannot be used.
    """
    keep_freed_blocks()
    with sole_use(config):
        ledger = Ledger(config.ledger)
        try:
            daemon = Daemon(config, load_keys(config.party.key), ledger, clock=clock, pace=pace, deadlines=deadlines)
            with _private_socket(config.socket) as listening:
                Service(daemon, listening).run(ready)
        finally:
            ledger.close()


class Service:
    """A daemon and its API, running."""

    def __init__(self, daemon: Daemon, listening: socket.socket) -> None:
        self.daemon = daemon
        self._listening = listening
        self._failure: BaseException | None = None
        settings = uvicorn.Config(
            Api(daemon).application(), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(settings)

    def run(self, ready: Callable[["Service"], None]) -> None:
        """Run both until ``stop``; a bug that ends the loop ends the whole."""
        loop = threading.Thread(target=self._loop, name="daemon", daemon=True)
        loop.start()
        exempt_from_collection()
        ready(self)
        try:
            self._server.run(sockets=[self._listening])
        finally:
            self.daemon.stop()
            loop.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End soon, from any thread."""
        self._server.should_exit = True

    def _loop(self) -> None:
        try:
            self.daemon.run()
        except BaseException as failure:  # noqa: BLE001 - raised again by ``run``; the API must not outlive the loop
            self._failure = failure
            log.critical("daemon_failed", error=type(failure).__name__)
        self.stop()


@contextmanager
def _private_socket(path: Path) -> Iterator[socket.socket]:
    """Listen on a unix socket that only this user may open; an old one is replaced, as the state folder is ours."""
    if len(os.fsencode(path)) > _SOCKET_PATH_MAX_BYTES:
        raise Misconfigured(
            "socket.path", "the path of the local socket is too long", why="unix sockets have at most 107 bytes",
            remedy="give a shorter [party] state", field=str(path),
        )  # fmt: skip
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(str(path))
        listening.listen()  # from now on a question waits for its answer
    except OSError as error:
        raise Misconfigured(
            "socket.unusable", "the local socket cannot be made", why=error.strerror or "it cannot be bound",
            remedy="check the state folder", field=str(path),
        ) from None  # fmt: skip
    finally:
        os.umask(before)
    try:
        yield listening
    finally:
        listening.close()
        path.unlink(missing_ok=True)


@contextmanager
def sole_use(config: Config) -> Iterator[None]:
    """Hold the state folder for this process alone; two daemons on one ledger would sign twice."""
    config.party.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (config.party.state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Misconfigured(
                "state.in_use", "another daemon uses this state folder", why="one party has one daemon",
                remedy="stop the other one, or give this one another [party] state", field=str(config.party.state),
            ) from None  # fmt: skip
        yield
