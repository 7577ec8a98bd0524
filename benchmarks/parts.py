"""The benchmark's stage: processes of both sides, started, driven by lines, measured, and ended."""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import workload

from mpc.contract.consent import sign_consent
from mpc.contract.document import contract_bytes
from mpc.evidence.claims import SimulatedReference
from mpc.measurement import measure
from parties.config import load_config
from parties.keys import Card, load_keys, new_keys
from parties.ledger import Ledger
from scenarios.scenario import Dataset, Limits, Party, Scenario, Subject, integer, real, sql, text

HERE = Path(__file__).parent


class Worker:
    """A process that does what a line tells it, and answers with a line of JSON."""

    def __init__(self, script: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, line: str) -> dict[str, float]:
        """Return the answer to ``line``."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"a worker of the benchmark ended at {line!r}")
        return dict(json.loads(answer))

    def end(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)


def all_tell(workers: Sequence[Worker], line: str) -> list[dict[str, float]]:
    """Tell every worker the same at once; return their answers."""
    with ThreadPoolExecutor(len(workers)) as pool:
        return list(pool.map(lambda worker: worker.tell(line), workers))


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


class Watch:
    """The peak of resident memory, in MiB, of a process and of each kind of its children, by sampling."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.peaks: dict[str, float] = {}

    def sample(self) -> None:
        """Look once."""
        self._note("coordinator", self._process)
        for template in self._process.children():
            try:
                role = template.cmdline()[-2]
                self._note(f"{role} template", template)
                for child in template.children():
                    self._note({"loader": "loader", "runner": "run"}[role], child)
            except psutil.Error:
                continue

    def _note(self, role: str, process: psutil.Process) -> None:
        memory = process.memory_full_info() if role != "coordinator" else process.memory_info()
        used = getattr(memory, "pss", memory.rss) / 2**20
        self.peaks[role] = max(self.peaks.get(role, 0.0), used)


class Coordinator:
    """A real coordinator process on loopback."""

    def __init__(self, state: Path, address: str = "127.0.0.1:0") -> None:
        self.state = state
        self._log = (state.parent / "coordinator.log").open("w+")
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "mpc.coordinator", "serve", "--attester", "simulated",
                "--listen", address, "--state", str(state),
            ],
            stdout=self._log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.address = self._address()

    def _address(self) -> str:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            said = re.search(r'"address": ?"([^"]+)"', Path(self._log.name).read_text())
            if said:
                return said.group(1)
            time.sleep(0.02)
        raise SystemExit("the coordinator did not start: " + Path(self._log.name).read_text())

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """End it in order."""
        self.process.terminate()
        self.process.wait(20)


@contextmanager
def sealroom(parties: int, refreshes: int) -> Iterator[tuple[Coordinator, list[Worker], Path]]:
    """Give a coordinator and ``parties`` owners that all have signed one contract; nothing is activated yet."""
    with tempfile.TemporaryDirectory(prefix="sealroom-bench-") as folder:
        root = Path(folder)
        coordinator = Coordinator(_made(root / "coordinator"))
        names = [f"party_{number}" for number in range(parties)]
        cards = {name: new_keys(name, name, _made(root / name) / "party.key") for name in names}
        raw = contract_of(cards, refreshes)
        consents = [sign_consent(raw, load_keys(root / name / "party.key").signing) for name in names]
        for name in names:
            _write_config(root / name, name, coordinator.address, cards)
            ledger = Ledger(load_config(root / name / "party.toml").ledger)
            agreed = ledger.add_contract(raw, at=datetime.now(UTC))
            ledger.mark_signed(agreed.digest, at=datetime.now(UTC))
            ledger.add_consents(agreed.digest, consents)
            ledger.close()
        workers = [Worker("sealroom_side.py", str(root / name), str(number)) for number, name in enumerate(names)]
        try:
            yield coordinator, workers, root
        finally:
            for worker in workers:
                worker.end()
            coordinator.end()


def restarted(coordinator: Coordinator) -> Coordinator:
    """Return a new boot at the same folder and address, after the old one crashed."""
    coordinator.kill()
    return Coordinator(coordinator.state, coordinator.address)


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder


def contract_of(cards: dict[str, Card], refreshes: int) -> bytes:
    """Return the exact bytes of the benchmark's contract between the holders of ``cards``, each an owner."""
    parties = [Party(name, card.label) for name, card in cards.items()]
    people = Dataset(
        "people", "people of the benchmark", owners=parties,
        subject=Subject("pid", domain="person", identity="disjoint", rows="one"),
        columns={
            "pid": integer("number", identifier=True),
            "amount": real("amount"),
            "visits": integer("visits"),
            "city": text("city", filterable=True),
        },
        refreshes=refreshes, refresh_for=timedelta(days=1) if refreshes else None,
    )  # fmt: skip
    scenario = Scenario(
        title="Benchmark", purpose="To measure.", parties=parties, datasets=[people], recipients=[parties[0]],
        computations={"by_city": sql(workload.QUERY, purpose="Counts and means by city.", runs=1000, unattended=1000)},
        limits=Limits(upload_mib=8192, resident_mib=8192, run_memory_mib=8192, run_seconds=600),
    )  # fmt: skip
    digest = measure().code_digest.hex()
    enclave = SimulatedReference(format="simulated", code_digest=digest, measured_by="self", memory_protected=False)
    plain = {name: card.model_dump() for name, card in cards.items()}
    return contract_bytes(scenario.contract(parties=plain, enclaves=[enclave], now=datetime.now(UTC)))


def _write_config(folder: Path, name: str, address: str, cards: dict[str, Card]) -> None:
    fingerprints = "\n".join(f'{other} = "{card.fingerprint}"' for other, card in cards.items())
    (folder / "party.toml").write_text(
        f'[party]\nname = "{name}"\nlabel = "{name}"\nstate = "state"\nkey = "party.key"\n'
        f'[coordinator]\naddress = "{address}"\n[known_parties]\n{fingerprints}\n'
        '[trust]\naccept_self_measured = ["simulated"]\naccept_visible_memory = ["simulated"]\n'
        "[consent]\npermit_unattended = true\nreplace_unattended = true\n"
    )
    (folder / "state").mkdir(mode=0o700)
