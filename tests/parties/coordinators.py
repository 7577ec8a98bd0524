"""The real coordinator in this process: a boot at a folder, on loopback, that may be stopped and booted again."""

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from mpc.attesters import choose
from mpc.coordinator.agreed import Agreed
from mpc.coordinator.instance import Instance
from mpc.coordinator.keys import InstanceKeys
from mpc.coordinator.service import Serving, serve
from mpc.coordinator.state import StateFolder
from mpc.coordinator.telemetry import Telemetry
from mpc.errors import Exhausted, Unavailable
from mpc.messages import (
    AttestReply,
    AttestRequest,
    CheckpointReply,
    LogRequest,
    Signed,
    StatusReply,
    StatusRequest,
)

CODE_DIGEST = bytes(range(32))


class Boot:
    """One instance that serves; ``log`` is what it wrote."""

    def __init__(
        self, folder: Path, *, address: str = "127.0.0.1:0", code_digest: bytes = CODE_DIGEST,
        predecessor: Path | None = None,
    ) -> None:  # fmt: skip
        attester = choose("simulated")
        attester.measure(code_digest)
        self.log = io.StringIO()
        telemetry = Telemetry(self.log)
        self.keys = InstanceKeys.generate()
        self.folder = folder
        self.instance = Instance(
            StateFolder(folder), self.keys, attester, clock=time.monotonic, telemetry=telemetry, on_end=lambda: None,
            predecessor=predecessor,
        )  # fmt: skip
        self._serving: Serving = serve(self.instance, self.keys.tls, address, telemetry=telemetry)
        self.address = f"127.0.0.1:{self._serving.port}"

    def stop(self) -> None:
        self._serving.stop(0)
        self.instance.close()


@contextmanager
def telling_only_of_countersignatures() -> Iterator[list[str]]:
    """Coordinators booted within drop every countersignature, and tell that somebody else vouches for each receipt.

    Yields the parties whose countersignatures were dropped.
    """
    dropped: list[str] = []
    honest = Agreed.status

    def countersign(agreed: Agreed, party: str, _signed: Signed) -> CheckpointReply:
        dropped.append(party)
        return CheckpointReply(agreed.log(party, LogRequest(0)).checkpoint)

    def status(agreed: Agreed, party: str, request: StatusRequest) -> StatusReply:
        reply = honest(agreed, party, request)
        runs = (replace(run, vouched=("elsewhere",)) if run.state == "released" else run for run in reply.runs)
        return replace(reply, runs=tuple(runs))

    with patch.object(Agreed, "countersign", countersign), patch.object(Agreed, "status", status):
        yield dropped


@contextmanager
def too_busy_to_attest_for_uploads(times: int) -> Iterator[list[str]]:
    """Coordinators booted within refuse to attest, so often, once all shares are taken and rows are on their way.

    Yields the codes of the refusals.
    """
    refused: list[str] = []
    honest = Instance.attest

    def attest(instance: Instance, request: AttestRequest) -> AttestReply:
        agreed = instance._agreed
        session = None if agreed is None else agreed.journal.session
        waits_for_rows = session is not None and session.state == "activated"
        if waits_for_rows and session.shares >= set(session.terms.share_holders) and len(refused) < times:
            refused.append("attest.rate")
            raise Exhausted("attest.rate", "the coordinator is busy", why="too many ask", remedy="try again")
        return honest(instance, request)

    with patch.object(Instance, "attest", attest):
        yield refused


class Process:
    """`python -m mpc.coordinator serve`, as an operator runs it; ``kill`` is SIGKILL."""

    def __init__(self, folder: Path, *, address: str = "127.0.0.1:0") -> None:
        command = ["serve", "--attester", "simulated", "--listen", address, "--state", str(folder)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mpc.coordinator", *command],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self._lines: list[str] = []
        self.address = self._serving()
        threading.Thread(target=self._drain, daemon=True).start()

    def _serving(self) -> str:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line)
            if '"serving"' in line:
                return str(json.loads(line)["address"])
        raise AssertionError("".join(self._lines))

    def _drain(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            self._lines.extend(lines)

    @property
    def log(self) -> str:
        return "".join(self._lines)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def losing_activations() -> Iterator[list[str]]:
    """Coordinators booted within keep no activation, as if they died just before; yields the parties that sent one."""
    lost: list[str] = []

    def activate(_agreed: Agreed, party: str, _signed: Signed) -> CheckpointReply:
        lost.append(party)
        raise Unavailable("test.lost", "nothing was kept", why="the process ended", remedy="start it again")

    with patch.object(Agreed, "activate", activate):
        yield lost
