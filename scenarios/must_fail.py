"""What must fail, and does: a cell of too few patients, a question for patients, a coordinator that was changed."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import mpc
from mpc.contract.terms import Contract
from mpc.errors import KINDS, Forbidden, Refusal
from parties.report.view import Report
from scenarios import breast_cancer
from scenarios.cast import Member, cards
from scenarios.narration import Narrator, promise
from scenarios.questions import sql
from scenarios.scenario import Scenario
from scenarios.stage import Stage, free_port, listens, serve_coordinator

CHANGED_FILE = Path("disclosure/rules/threshold.py")
CHANGED_LINE = ("counts < rules.threshold", "counts < 1")
"""One line of the coordinator's code, and what a curious operator would make of it: every cell would be released."""


def withheld_in_part(narrator: Narrator, reports: Sequence[Report]) -> None:
    """Show an answer of which disclosure control withheld a part, one with few subjects rather than with none."""
    partly = [report for report in reports if 0 < report.withheld_cells < report.cells]
    promise(bool(partly), "one question is withheld in part")
    report = max(partly, key=lambda report: _rules(report) != ["zeros"])
    narrator.done(
        f"disclosure control withheld {report.withheld_cells} of {report.cells} cells of {report.computation} "
        f"({', '.join(_rules(report))})"
    )


def _rules(report: Report) -> list[str]:
    return sorted({held.rule for table in report.tables for held in table.withheld})


def refused_question(narrator: Narrator, scenario: Scenario, members: Sequence[Member], contract: Contract) -> None:
    """Show that a question for single patients cannot become a contract."""
    asking = sql(breast_cancer.REFUSED_QUESTION, purpose="Who they are.", runs=1)
    with narrator.step(f"no contract can hold the question: {breast_cancer.REFUSED_QUESTION}"):
        refused = None
        try:
            replace(scenario, computations={"who": asking}).contract(
                parties=cards(members), enclaves=contract.enclaves, now=datetime.now(UTC)
            )
        except Forbidden as refusal:
            refused = refusal
        promise(refused is not None, "a question for single patients is refused")
    if refused is not None:
        narrator.refused("the contract's own rules, at every party", refused)


def changed_coordinator(narrator: Narrator, scene: Stage, members: Sequence[Member]) -> None:
    """Start a coordinator of which one line was changed, and show that every party refuses it."""
    port = free_port()
    before, after = CHANGED_LINE
    with narrator.step(f"a coordinator with one changed line: {before} became {after}, in {CHANGED_FILE}"):
        changed = changed_copy(scene.folder / "changed")
        serve_coordinator(scene, "changed-coordinator", port, PYTHONPATH=str(changed))
        scene.wait("the changed coordinator listening", lambda: listens(port))
    with narrator.step("every party asked it for evidence, and refused it"):
        refusals = _attested(scene, members, port)
        promise(
            all(refusal is not None and refusal.code == "evidence.code" for refusal in refusals),
            "every party refuses the changed coordinator for its code",
        )
    refusal = refusals[0]
    if refusal is not None:
        narrator.refused("each of " + ", ".join(member.label for member in members), refusal)


def changed_copy(folder: Path) -> Path:
    """Copy the package ``mpc`` and change one line of it."""
    before, after = CHANGED_LINE
    shutil.copytree(Path(mpc.__path__[0]), folder / "mpc", ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "mpc" / CHANGED_FILE
    text = file.read_text(encoding="utf-8")
    promise(text.count(before) == 1, "the line that the demo changes is where it was")
    file.write_text(text.replace(before, after), encoding="utf-8")
    return folder


def _attested(scene: Stage, members: Sequence[Member], port: int) -> list[Refusal | None]:
    """Run ``sealroom attest`` as each party would, at once, and return what each refused."""
    contract = str(scene.folder / "contract.json")
    command = [sys.executable, "-m", "parties.cli", "attest", f"127.0.0.1:{port}", "--contract", contract, "--json"]
    asking = [
        subprocess.Popen(
            [*command, "--config", str(member.config_file)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for member in members
    ]
    return [_refusal_of(process) for process in asking]


def _refusal_of(process: "subprocess.Popen[bytes]") -> Refusal | None:
    said, _ = process.communicate(timeout=60)
    data = json.loads(said)["refusal"]
    if data is None or process.returncode == 0:
        return None
    return KINDS[data.pop("kind")](data.pop("code"), data.pop("what"), **data)
