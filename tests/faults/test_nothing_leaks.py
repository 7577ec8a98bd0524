"""Marked rows go through uploads and runs, good and bad, and nothing of them shows outside of the sealed result."""

import json
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mpc.errors import Refusal
from mpc.measurement import measure
from mpc.messages import Chunk, UploadCommitment
from tests.coordinator.room import Member, Room, column, computation, contract_of, ipc

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MARK = 0x0DB4_DA5F_7E00_0000
"""Every number of every row is this and less than 2**24."""
WORD = "qzmarkedwordqz"
MARKS = (str(MARK)[:-9].encode(), MARK.to_bytes(8, "little")[3:], MARK.to_bytes(8, "big")[:-3], WORD.encode())
ROWS = 250_000
GOOD = "SELECT count(*) AS patients, avg(amount) AS mean, count(DISTINCT word) AS words FROM patients"
TOO_LARGE = "SELECT grp, count(*) AS patients, count(DISTINCT word) AS words FROM patients GROUP BY grp"
SCHEMA = pa.schema([
    *(pa.field(name, pa.int64(), nullable=False) for name in ("pid", "grp", "amount")),
    pa.field("word", pa.string(), nullable=False),
])  # fmt: skip


def marked(start: int, rows: int, *, subject_step: int = 1, amount: int = MARK) -> bytes:
    numbers = pa.array(MARK + start + np.arange(rows))
    subjects = pa.array(MARK + start + subject_step * np.arange(rows))
    columns = [subjects, numbers, pa.array([amount] * rows, pa.int64()), pa.array([WORD] * rows)]
    return ipc(pa.record_batch(columns, schema=SCHEMA))


class Operated(Room):
    """A coordinator as a process of its own, all of whose output is kept."""

    process: subprocess.Popen[bytes]
    metrics: str

    def start(self) -> None:
        command = [sys.executable, "-m", "mpc.coordinator", "serve", "--attester", "simulated"]
        self.metrics = f"127.0.0.1:{_free_port()}"
        command += ["--listen", "127.0.0.1:0", "--state", str(self.folder), "--metrics", self.metrics]
        with self.output.open("w") as errors, self.printed.open("w") as printed:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=printed, stderr=errors)
        while '"serving"' not in self.output.read_text():
            assert self.process.poll() is None, self.output.read_text()

    def stop(self) -> None:
        for member in self.members.values():
            if member.channel is not None:
                member.channel.close()
        self.process.kill()
        self.process.wait()

    @property
    def output(self) -> Path:
        return self.folder.parent / "stderr"

    @property
    def printed(self) -> Path:
        return self.folder.parent / "stdout"

    @property
    def address(self) -> str:
        lines = [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]
        return str(next(line["address"] for line in lines if line["event"] == "serving"))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Operated]:
    members = {name: Member(name) for name in ("north", "south", "university")}
    code = measure().code_digest.hex()
    bounds = {"minimum": "0", "maximum": str(1 << 62)}  # the contract itself names no mark
    dataset = {
        "name": "patients", "description": "patients", "owners": ["north", "south"],
        "columns": [
            column("pid", identifier=True), column("grp", filterable=True, **bounds), column("amount", **bounds),
            column("word", "text"),
        ],
        "subject": {
            "domain": "patient", "column": "pid", "identity": "disjoint", "normalisation": "exact", "rows": "one",
        },
        "keys": [], "freshness": {"refreshes": 0, "until": None},
    }  # fmt: skip
    raw = contract_of(
        members, datasets=[dataset],
        enclaves=[{"format": "simulated", "code_digest": code, "measured_by": "self", "memory_protected": False}],
        computations=[computation("good", GOOD), computation("too_large", TOO_LARGE)],
        limits={"upload_mib": 64, "resident_mib": 64, "run_memory_mib": 64, "run_seconds": 60},
    )  # fmt: skip
    (tmp_path / "state").mkdir()
    operated = Operated(tmp_path / "state", members, raw)
    operated.start()
    try:
        yield operated
    finally:
        operated.stop()


def bad_uploads() -> dict[str, list[bytes]]:
    """Rows that each break another thing, with their marks in the middle of it."""
    whole = marked(0, 50)
    return {
        "out of range": [marked(0, 50, amount=-MARK)],
        "a subject twice": [marked(0, 50, subject_step=0)],
        "cut in the middle": [whole[: len(whole) // 2]],
        "another schema": [ipc(pa.record_batch({WORD: pa.array([MARK] * 9), "pid": pa.array([WORD] * 9)}))],
        "no utf-8": [whole.replace(WORD.encode(), b"\xff\xfe" + WORD.encode()[2:])],
        "no Arrow": [WORD.encode() * 50],
    }


def test_nothing_of_a_row_shows(room: Operated) -> None:
    room.to_activated()
    told: dict[str, bytes] = {}
    for name, plaintexts in bad_uploads().items():
        assert any(mark in plaintext for plaintext in plaintexts for mark in MARKS), name
        header, key, chunks, commitment = room.sealed_upload("north", plaintexts)
        with pytest.raises(Refusal) as refused:
            room.send("north", [room.opening("north", header, key), *map(Chunk, chunks), UploadCommitment(commitment)])
        told[name] = json.dumps(refused.value.as_data()).encode()
    for owner, start in (("north", 0), ("south", 1 << 20)):
        plaintexts = [marked(start + n * ROWS // 5, ROWS // 5) for n in range(5)]
        header, key, chunks, commitment = room.sealed_upload(owner, plaintexts)
        room.send(owner, [room.opening(owner, header, key), *map(Chunk, chunks), UploadCommitment(commitment)])

    failed, good = room.run("too_large"), room.run("good")
    assert room.result(failed)[0].failure == "run.failed"
    release, receipt = room.result(good)
    assert release.tables[0].data.to_pydict()["patients"] == [2 * ROWS]
    told["receipt"] = room.members["university"].at.result(good)[0] + repr(receipt).encode()
    for name, member in room.members.items():
        told[f"status to {name}"] = repr(member.at.status()).encode()
        told[f"log to {name}"] = b"".join(member.at.log(0).leaves)
    with urllib.request.urlopen(f"http://{room.metrics}/metrics") as answer:
        told["metrics"] = answer.read()
    room.process.terminate()
    room.process.wait(60)
    told["stdout"], told["stderr"] = room.printed.read_bytes(), room.output.read_bytes()
    files = {str(path): path.read_bytes() for path in room.folder.rglob("*") if path.is_file()}

    assert b"sealroom_calls" in told["metrics"]
    assert b'"run.ended"' in told["stderr"]
    assert len(files) > 20
    assert sum(map(len, files.values())) > 10 << 20  # the vault is among them
    for where, content in (told | files).items():
        assert not any(mark in content for mark in MARKS), where
    for where in ("metrics", "stdout", "stderr"):  # nor how many rows there are
        assert not re.search(rf"\b({ROWS}|{2 * ROWS})\b", told[where].decode()), where
