"""The demo's stage: real processes on loopback, each with its own folder, and none left when the curtain falls."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from mpc.errors import Exhausted, Unavailable

FIRST_WAIT_SECONDS = 0.02
LONGEST_WAIT_SECONDS = 0.25
GRACE_SECONDS = 3.0


@dataclass(frozen=True)
class Actor:
    """One process: its name, and the file that its output goes to."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path


@dataclass
class Stage:
    """Starts processes in sessions of their own, so that Ctrl-C reaches the stage first, which ends them in order."""

    folder: Path
    actors: list[Actor] = field(default_factory=list)
    ended: list[Actor] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether processes were started and all of them have ended."""
        return bool(self.ended) and all(actor.process.poll() is not None for actor in (*self.actors, *self.ended))

    def start(self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Actor:
        """Start ``python -m …arguments`` as ``name``; its output goes to a log file in the stage's folder."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
                start_new_session=True,
            )
        actor = Actor(name, process, log)
        self.actors.append(actor)
        return actor

    def wait(self, what: str, happened: Callable[[], bool], *, seconds: float = 30.0) -> None:
        """Return once ``happened``; refuse when it does not within ``seconds`` or when a process ended meanwhile."""
        pause, end = FIRST_WAIT_SECONDS, time.monotonic() + seconds
        while not happened():
            self._refuse_if_one_ended(what)
            if time.monotonic() > end:
                raise Exhausted(
                    "demo.slow", f"{what} did not happen", why="it took too long",
                    remedy="try again on a quieter machine, with --keep, and read the logs", field=str(self.folder),
                    expected=f"within {seconds:.0f} s", found="not yet",
                )  # fmt: skip
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_WAIT_SECONDS)

    def end(self, actor: Actor) -> None:
        """End one process with all that it started."""
        self.actors.remove(actor)
        self.ended.append(actor)
        _end([actor])

    def clear(self) -> None:
        """End every process with all that it started, the last one first."""
        self.ended += self.actors
        _end(self.actors[::-1])
        self.actors.clear()

    def _refuse_if_one_ended(self, what: str) -> None:
        for actor in self.actors:
            if actor.process.poll() is not None:
                raise Unavailable(
                    "demo.ended", f"{actor.name} ended before {what}", why=last_words(actor.log),
                    remedy="run with --keep and read its log", field=str(actor.log),
                )  # fmt: skip


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Give a stage that is cleared whatever happens, also when this process is asked to terminate."""
    opened = Stage(folder)
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        yield opened
    finally:
        opened.clear()
        signal.signal(signal.SIGTERM, before)


def serve_coordinator(scene: Stage, name: str, port: int, **environment: str) -> None:
    """Start a coordinator that listens on ``port`` of loopback, with a state folder of its own."""
    state = scene.folder / name
    state.mkdir(mode=0o700)
    listen = ["--listen", f"127.0.0.1:{port}", "--state", str(state)]
    arguments = ["mpc.coordinator", "serve", "--attester", "simulated", *listen]
    scene.start(f"{name}-process", arguments, environment=environment)


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections at ``port`` of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def last_words(log: Path) -> str:
    """Return the last line that a process wrote, for a person who looks for the reason."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "it wrote nothing"


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end(actors: Sequence[Actor]) -> None:
    for actor in actors:
        _signal(actor, signal.SIGTERM)
    end = time.monotonic() + GRACE_SECONDS
    for actor in actors:
        try:
            actor.process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(actor, signal.SIGKILL)
            actor.process.wait()
        _signal(actor, signal.SIGKILL)  # whatever it started and left behind


def _signal(actor: Actor, number: signal.Signals) -> None:
    try:
        os.killpg(actor.process.pid, number)
    except ProcessLookupError:
        return
