"""What must fail, and does: a cell of too few patients, a question for patients, a coordinator that was changed."""

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import mpc
from mpc.contract.document import parse_contract
from mpc.contract.terms import Contract
from mpc.errors import Forbidden, Refusal
from parties.channel import Channel
from parties.cli.answers import exceptions
from parties.report.view import Report
from scenarios import breast_cancer
from scenarios.cast import Member, cards
from scenarios.narration import Narrator, promise
from scenarios.questions import sql
from scenarios.scenario import Scenario
from scenarios.stage import Stage, free_port, listens, serve_coordinator

CONTRACT_FILE = "contract.json"
CHANGED_FILE = Path("disclosure/rules/threshold.py")
CHANGED_LINE = ("counts < rules.threshold", "counts < 1")
"""One line of the coordinator's code, and what a curious operator would make of it: every cell would be released."""


def withheld_in_part(narrator: Narrator, reports: Sequence[Report]) -> None:
    """Show an answer of which disclosure control withheld a part, one with few subjects rather than with none."""
    partly = [report for report in reports if 0 < report.withheld_cells < report.cells]
    promise(bool(partly), "one question is withheld in part")
    report = max(partly, key=lambda report: _rules(report) != ["zeros"])
    narrator.done(
        f"disclosure control withheld {report.withheld_cells} of {report.cells} cells of {report.computation}: "
        + "; ".join(dict.fromkeys(held.why for table in report.tables for held in table.withheld))
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
        refusals = _attested(members, (scene.folder / CONTRACT_FILE).read_bytes(), port)
        promise(
            all(refusal is not None and refusal.code == "evidence.code" for refusal in refusals),
            "every party refuses the changed coordinator for its code",
        )
    refusal = refusals[0]
    if refusal is not None:
        narrator.refused("every party", refusal)


def changed_copy(folder: Path) -> Path:
    """Copy the package ``mpc`` and change one line of it."""
    before, after = CHANGED_LINE
    shutil.copytree(Path(mpc.__path__[0]), folder / "mpc", ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "mpc" / CHANGED_FILE
    text = file.read_text(encoding="utf-8")
    promise(text.count(before) == 1, "the line that the demo changes is where it was")
    file.write_text(text.replace(before, after), encoding="utf-8")
    return folder


def _attested(members: Sequence[Member], raw: bytes, port: int) -> list[Refusal | None]:
    """Ask for evidence as each party, under its own settings, and return what each refused (`sealroom attest`)."""
    contract = parse_contract(raw)
    refusals = []
    for member in members:
        with closing(Channel.connect(f"127.0.0.1:{port}", clock=lambda: datetime.now(UTC))) as channel:
            refusals.append(channel.inspect(contract, exceptions(member.config)).refusal)
    return refusals
