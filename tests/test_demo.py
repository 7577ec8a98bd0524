import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

import mpc
from mpc.errors import Exhausted, Refusal, Unavailable
from mpc.evidence.claims import SimulatedReference
from mpc.measurement import measure
from parties.report.view import Cell, Report, ReportColumn, ReportTable
from scenarios import breast_cancer
from scenarios.breast_cancer import scenario
from scenarios.cast import cards, cast
from scenarios.must_fail import CHANGED_FILE, changed_copy
from scenarios.narration import promise
from scenarios.pooled import Pooled
from scenarios.stage import Actor, Stage, free_port, listens, stage
from tests.report.reports import REPORT

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def eventually(happened: Callable[[], bool], *, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happened():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def module(folder: Path, name: str, text: str) -> dict[str, str]:
    (folder / f"{name}.py").write_text(text)
    return {"PYTHONPATH": str(folder)}


def stubborn(scene: Stage) -> tuple[Actor, int]:
    """Start a process that ignores SIGTERM and has a child; return it with the child's pid."""
    actor = scene.start("stubborn", ["stubborn"], environment=module(scene.folder, "stubborn", STUBBORN))
    assert eventually(lambda: actor.log.read_text().strip().isdigit())
    return actor, int(actor.log.read_text())


def test_no_process_outlives_the_stage_nor_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenarios.stage.GRACE_SECONDS", 0.2)
    with stage(tmp_path) as scene:
        actor, child = stubborn(scene)
        assert alive(child)
    assert actor.process.poll() is not None
    assert eventually(lambda: not alive(child))
    assert scene.ended == [actor]


def test_a_failure_on_the_stage_ends_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenarios.stage.GRACE_SECONDS", 0.2)
    started: list[tuple[Actor, int]] = []

    def play() -> None:
        with stage(tmp_path) as scene:
            started.append(stubborn(scene))
            promise(kept=False, what="this")

    with pytest.raises(Refusal):
        play()
    actor, child = started[0]
    assert actor.process.poll() is not None
    assert eventually(lambda: not alive(child))


def test_waiting_ends_when_a_process_ended_and_gives_its_last_words(tmp_path: Path) -> None:
    with stage(tmp_path) as scene:
        scene.start("short", ["short"], environment=module(tmp_path, "short", "print('the reason')"))
        with pytest.raises(Unavailable) as refused:
            scene.wait("the impossible", lambda: False)
    assert refused.value.code == "demo.ended"
    assert "the reason" in refused.value.why


def test_waiting_has_an_end(tmp_path: Path) -> None:
    with stage(tmp_path) as scene, pytest.raises(Exhausted) as refused:
        scene.wait("the impossible", lambda: False, seconds=0)
    assert refused.value.code == "demo.slow"


def test_a_free_port_is_free() -> None:
    assert not listens(free_port())


def demo(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "parties.cli", "demo", "--out", str(folder / "out"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[1])},
    )


def left_over(folder: Path) -> list[str]:
    """Return the command lines of processes that work in ``folder``."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(folder) in line and process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            found.append(line)
    return found


@pytest.mark.slow
def test_the_whole_demo_keeps_its_promises(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("d")
    running = demo(folder)
    said, _ = running.communicate(timeout=600)
    assert running.returncode == 0, said
    for told in (
        "No protection: simulated evidence",
        "equal those of the same questions over the pooled plaintext",
        "What each party learned",
        "disclosure control withheld",
        "no contract can hold the question",
        "every party asked it for evidence, and refused it",
        "evidence.code",
    ):
        assert told in said
    assert (folder / "out" / "university" / "report.html").is_file()
    assert eventually(lambda: left_over(folder) == []), left_over(folder)
    assert [path.name for path in folder.iterdir()] == ["out"], "the temporary folder is removed"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process(
    tmp_path_factory: pytest.TempPathFactory, number: signal.Signals
) -> None:
    folder = tmp_path_factory.mktemp("i")
    running = demo(folder)
    assert eventually(lambda: any("party serve" in line for line in left_over(folder)), seconds=60)
    running.send_signal(number)
    running.communicate(timeout=300)
    assert running.returncode != 0
    assert eventually(lambda: left_over(folder) == []), left_over(folder)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Pooled:
    members = cast(Stage(tmp_path_factory.mktemp("cast")), scenario, 1, breast_cancer.SOURCES)
    nowhere = SimulatedReference(format="simulated", code_digest="0" * 64, measured_by="self", memory_protected=False)
    contract = scenario.contract(parties=cards(members), enclaves=[nowhere], now=datetime(2026, 1, 1, tzinfo=UTC))
    return Pooled(contract, [member.config for member in members])


def told(cell: Cell) -> Report:
    """Return a report that tells one number: patients of grade 3 with hormone therapy, at both hospitals."""
    columns = (ReportColumn("grade", "key"), ReportColumn("hormon", "key"), ReportColumn("patients", "count"))
    table = ReportTable("result", columns, ((Cell("3"), Cell("yes"), cell),))
    return replace(REPORT, computation="patients_by_grade", tables=(table,))


def counted() -> int:
    """Count them in the files themselves."""
    data = Path(breast_cancer.DATA)
    return sum(
        row["grade"] == "3" and row["hormon"] == "1"
        for name in ("rotterdam", "gbsg")
        for row in csv.DictReader((data / f"{name}.csv").read_text().splitlines())
    )


def test_a_right_number_is_right_and_a_wrong_one_is_noticed(pooled: Pooled) -> None:
    assert pooled.differences(told(Cell(counted()))) == (1, [])
    assert pooled.differences(told(Cell(counted() + 1))) == (1, ["patients_by_grade.patients"])
    assert pooled.differences(told(Cell(None))) == (1, ["patients_by_grade.patients"])


def test_a_withheld_cell_is_not_compared(pooled: Pooled) -> None:
    assert pooled.differences(told(Cell(None, withheld=True))) == (0, [])


def test_the_changed_coordinator_differs_in_one_line_and_measures_differently(tmp_path: Path) -> None:
    copy = changed_copy(tmp_path)
    own = Path(mpc.__path__[0])
    differing = [
        path.relative_to(own)
        for path in own.rglob("*.py")
        if path.read_bytes() != (copy / "mpc" / path.relative_to(own)).read_bytes()
    ]
    assert differing == [CHANGED_FILE]
    assert measure(copy / "mpc", ()).code_digest != measure(own, ()).code_digest
