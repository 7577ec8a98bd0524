"""Loader children by the hundred, on a machine that has no time for them: does each of them report?

    python benchmarks/starts.py                         1000 loaders, 8 at once, beside 4 processes that burn time
    python benchmarks/starts.py --starts 20000 --kill-templates 0.2

Each loader opens one small upload from a vault, and what it reports is believed or not as in the coordinator. With
``--kill-templates`` the template is killed again and again meanwhile, which no child at work may notice. Ends with 1 if
a loader did not report its rows, and tells the code.
"""

import argparse
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import parts
import psutil
import pyarrow as pa
import workload

from mpc.canonical import sha256
from mpc.contract.document import parse_contract
from mpc.coordinator.children import Template
from mpc.coordinator.loading import Loading, LoadLimits, Residency, preparation
from mpc.coordinator.vault import Vault, VaultFile
from mpc.errors import Refusal
from mpc.sealing.stream import ChunkSealer, DataKey, new_upload
from mpc.table.batches import schema_digest
from parties.keys import new_keys

ROWS = 2_000
_BURN = "while True: sum(range(100_000))"


class Upload:
    """A contract, one small upload of its one party in a vault, and its key."""

    def __init__(self, folder: Path) -> None:
        self.contract = parts.contract_of({"party_0": new_keys("party_0", "party_0", folder / "party.key")}, 0)
        self.file, self.key = self._sealed(folder / "vault")

    def _sealed(self, vault: Path) -> tuple[VaultFile, DataKey]:
        (dataset,) = parse_contract(self.contract).datasets
        header, key = new_upload(
            contract=sha256(self.contract), dataset=dataset.name, sender="party_0",
            schema_digest=schema_digest(dataset), mapping_digest=bytes(32), random=secrets.token_bytes,
        )  # fmt: skip
        (batch,) = workload.batches(0, ROWS)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        file = Vault(vault).create(header)
        file.append(ChunkSealer(header, key).seal(0, sink.getvalue(), last=True))
        file.make_durable()
        return file, key

    def load(self, loaders: Template, _: int) -> str:
        """Load it once, in a loader of its own; return the code of a refusal, or that it was loaded."""
        residency, limits = Residency(64 << 20), LoadLimits(upload_bytes=64 << 20, seconds=120)
        try:
            child = loaders.take(preparation(self.contract, residency, limits))
            loading = Loading(child, self.file, self.key, residency=residency, limits=limits)
            loading.chunk(self.file.places[0])
            loading.end()
            loading.rows().close()
        except Refusal as refusal:
            return f"{refusal.code} {refusal.found or ''}"
        return "loaded"


@contextmanager
def burners(count: int) -> Iterator[None]:
    """Keep ``count`` processes busy meanwhile."""
    busy = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def kill_templates(seconds: float, over: threading.Event) -> None:
    """Kill the template every so many seconds."""
    while not over.wait(seconds):
        for child in psutil.Process().children():
            if "mpc.coordinator.template" in child.cmdline():
                child.kill()


def main() -> None:
    """Start them, and print how many ended how."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--burners", type=int, default=4)
    parser.add_argument("--kill-templates", type=float, metavar="SECONDS")
    arguments = parser.parse_args()
    over, loaders = threading.Event(), Template("loader")
    with tempfile.TemporaryDirectory() as folder, burners(arguments.burners):
        upload = Upload(Path(folder))
        if arguments.kill_templates:
            threading.Thread(target=kill_templates, args=(arguments.kill_templates, over)).start()
        start = time.perf_counter()
        with ThreadPoolExecutor(arguments.at_once) as pool:
            ended = Counter(pool.map(partial(upload.load, loaders), range(arguments.starts)))
        spent = time.perf_counter() - start
        over.set()
        loaders.close()
    open_now = sum(1 for _ in Path("/proc/self/fd").iterdir())
    print(f"{arguments.starts} loaders in {spent:.0f} s, {open_now} descriptors are open at the end")
    for how, count in ended.most_common():
        print(f"  {count:7} {how}")
    sys.exit(set(ended) != {"loaded"})


if __name__ == "__main__":
    main()
