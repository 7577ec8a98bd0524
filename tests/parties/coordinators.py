"""The real coordinator in this process: a boot at a folder, on loopback, that may be stopped and booted again."""

import io
import time
from pathlib import Path

from mpc.attesters import choose
from mpc.coordinator.instance import Instance
from mpc.coordinator.keys import InstanceKeys
from mpc.coordinator.service import Serving, serve
from mpc.coordinator.state import StateFolder
from mpc.coordinator.telemetry import Telemetry

CODE_DIGEST = bytes(range(32))


class Boot:
    """One instance that serves; ``log`` is what it wrote."""

    def __init__(self, folder: Path, *, address: str = "127.0.0.1:0", code_digest: bytes = CODE_DIGEST) -> None:
        attester = choose("simulated")
        attester.measure(code_digest)
        self.log = io.StringIO()
        telemetry = Telemetry(self.log)
        self.keys = InstanceKeys.generate()
        self.folder = folder
        self.instance = Instance(
            StateFolder(folder), self.keys, attester, clock=time.monotonic, telemetry=telemetry, on_end=lambda: None
        )
        self._serving: Serving = serve(self.instance, self.keys.tls, address, telemetry=telemetry)
        self.address = f"127.0.0.1:{self._serving.port}"

    def stop(self) -> None:
        self._serving.stop(0)
        self.instance.close()
