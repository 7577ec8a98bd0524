"""`sealroom demo`: two hospitals and a university get one joint answer, as real processes on this machine.

One coordinator and three party daemons, each with its own folder, speak over loopback exactly as they would between
organisations; this module only does what people would do: make keys, read and sign, permit, ask, look at results. What
must fail is shown failing. Every promise is checked, and the demo ends with an error when one is broken.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mpc.canonical import canonical_json, sha256
from mpc.errors import KINDS, Forbidden, Refusal
from parties.cli.answers import answer
from parties.client import Client
from parties.config import Config, load_config
from parties.keys import Card, new_keys
from parties.report.folder import PAGE, write_folder
from parties.report.terminal import result_table, trust_panel, withheld_table
from parties.report.view import Report, trust_of
from scenarios import breast_cancer
from scenarios.narration import Narrator, promise
from scenarios.questions import sql
from scenarios.scenario import Scenario
from scenarios.stage import Stage, free_port, listens, stage

if TYPE_CHECKING:
    from mpc.contract.terms import Contract
    from mpc.evidence.claims import SimulatedReference

app = typer.Typer()

ANALYST = "university"
BY_HAND = "gbsg"
"""The hospital whose person permits every run; the other's daemon may do it alone, within what the contract grants."""

CHANGED_FILE = Path("disclosure/rules/threshold.py")
CHANGED_LINE = ("counts < rules.threshold", "counts < 1")
"""One line of the coordinator's code, and what a curious operator would make of it: every cell would be released."""

DEFAULT_OUT = Path("demo-out")


@dataclass(frozen=True)
class Member:
    """One party on the stage: its folder, its settings, its public card."""

    name: str
    label: str
    folder: Path
    card: Card
    config: Config

    @property
    def config_file(self) -> Path:
        """Where its party.toml stands."""
        return self.folder / "party.toml"


@dataclass(frozen=True)
class Answers:
    """What one party received."""

    member: Member
    reports: tuple[tuple[Report, bytes], ...]


@app.command(epilog="Example: sealroom demo --out demo-out")
def demo(
    out: Annotated[Path, typer.Option(help="Where the reports go.")] = DEFAULT_OUT,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the processes' folders and logs.")] = False,
) -> None:
    """Two hospitals and a university, real processes, real patients: one joint answer, and nobody sees another's rows."""
    narrator = Narrator(Console(highlight=False, width=None if sys.stdout.isatty() else 110))
    with _folder(keep=keep) as folder, stage(folder) as scene:
        play(narrator, scene, out)
    promise(all(actor.process.poll() is not None for actor in scene.actors), "every process has ended")
    if keep:
        narrator.note(f"Folders and logs are kept in {folder}")


def play(narrator: Narrator, scene: Stage, out: Path) -> None:
    """Play the whole story on ``scene``; raises the first broken promise."""
    scenario = breast_cancer.scenario
    narrator.console.print(Text(scenario.title, "bold"))
    narrator.note(scenario.purpose)
    port = free_port()

    narrator.act("1  Agree")
    members = _cast(narrator, scene, scenario, port)
    raw, contract = _agree(narrator, scene, scenario, members)
    narrator.show(*map(trust_panel, trust_of(contract)))

    narrator.act("2  Prove and seal")
    _start(narrator, scene, members, port)
    _sign(narrator, members, raw)
    _load(narrator, scene, members)

    narrator.act("3  Permit and run")
    _run(narrator, scene, members, contract)

    narrator.act("4  What came out")
    answers = _results(narrator, members, contract)
    _compare(narrator, members, contract, answers)
    _learned(narrator, members, contract, answers)

    narrator.act("5  What must fail")
    _withheld_in_part(narrator, answers)
    _refused_question(narrator, scenario, members, contract)
    _changed_coordinator(narrator, scene, members)

    narrator.act("6  The end")
    with narrator.step("every process has ended; keys that were in memory are gone"):
        scene.clear()
    _reports(narrator, answers, out)


# --- 1 -------------------------------------------------------------------------------------------------------------


def _cast(narrator: Narrator, scene: Stage, scenario: Scenario, port: int) -> list[Member]:
    with narrator.step("each party made its own keys, and compared the others' fingerprints"):
        cards = {
            party.name: new_keys(party.name, party.label, scene.folder / party.name / f"{party.name}.key")
            for party in scenario.parties
        }
        return [_member(scene.folder / name, cards[name], cards, port) for name in cards]


def _member(folder: Path, card: Card, cards: dict[str, Card], port: int) -> Member:
    known = "".join(f'{name} = "{other.fingerprint}"\n' for name, other in cards.items() if name != card.name)
    settings = (
        f"[party]\nname = {json.dumps(card.name)}\nlabel = {json.dumps(card.label)}\n"
        f'state = "state"\nkey = "{card.name}.key"\n\n[coordinator]\naddress = "127.0.0.1:{port}"\n\n'
        f"[known_parties]\n{known}\n"
        # The demo's machine has no trusted hardware: each party has to name the two weaknesses that it accepts.
        '[trust]\naccept_self_measured = ["simulated"]\naccept_visible_memory = ["simulated"]\n\n'
        f"[consent]\npermit_unattended = {json.dumps(card.name != BY_HAND)}\n\n"
    )
    source = breast_cancer.SOURCES.get(card.name)
    if source is not None:
        shutil.copy(source.with_suffix(".csv"), folder)
        settings += source.read_text(encoding="utf-8")
    (folder / "party.toml").write_text(settings, encoding="utf-8")
    return Member(card.name, card.label, folder, card, load_config(folder / "party.toml"))


def _agree(narrator: Narrator, scene: Stage, scenario: Scenario, members: Sequence[Member]) -> "tuple[bytes, Contract]":
    from mpc.contract.explain import explain
    from parties.cli.page import summary

    with narrator.step("measured the coordinator's code, on a party's own copy"):
        reference = _reference()
    with narrator.step("built the contract"):
        contract = scenario.contract(parties=_cards(members), enclaves=[reference], now=datetime.now(UTC))
        raw = canonical_json(contract)
        (scene.folder / "contract.json").write_bytes(raw)
    narrator.note(f"digest {sha256(raw).hex()}")
    reader = members[0]
    narrator.note(f"The data officer of {reader.label} reads one page before signing; in short:")
    narrator.show(summary(explain(contract, sha256(raw), party=reader.name)))
    return raw, contract


def _reference() -> "SimulatedReference":
    from mpc.evidence.claims import SimulatedReference
    from mpc.measurement import measure

    return SimulatedReference(
        format="simulated", code_digest=measure().code_digest.hex(), measured_by="self", memory_protected=False
    )


def _cards(members: Sequence[Member]) -> dict[str, dict[str, str]]:
    return {member.name: member.card.model_dump(mode="json") for member in members}


# --- 2 -------------------------------------------------------------------------------------------------------------


def _start(narrator: Narrator, scene: Stage, members: Sequence[Member], port: int) -> None:
    with narrator.step(f"started one coordinator and {len(members)} party daemons, each a process with its own folder"):
        _serve(scene, "coordinator", port)
        for member in members:
            arguments = ["parties.cli", "party", "serve", "--config", str(member.config_file)]
            scene.start(f"{member.name}-daemon", arguments)
        scene.wait("the coordinator listening", lambda: listens(port))
        scene.wait("the daemons answering", lambda: all(_answers(member) for member in members))


def _serve(scene: Stage, name: str, port: int, **environment: str) -> None:
    state = scene.folder / name
    state.mkdir(mode=0o700)
    listen = ["--listen", f"127.0.0.1:{port}", "--state", str(state)]
    scene.start(
        f"{name}-process",
        ["mpc.coordinator", "serve", "--attester", "simulated", *listen],
        environment=environment,
    )


def _answers(member: Member) -> bool:
    if not member.config.socket.exists():
        return False
    try:
        with Client.of(member.config) as client:
            client.status()
    except Refusal:
        return False
    return True


def _sign(narrator: Narrator, members: Sequence[Member], raw: bytes) -> None:
    with narrator.step(
        f"{len(members)} parties signed: each typed the digest's first characters, {sha256(raw).hex()[:8]}"
    ):
        for member in members:
            with Client.of(member.config) as client:
                digest = client.add_contract(raw)["digest"]
                client.sign(digest, digest[:8])


def _load(narrator: Narrator, scene: Stage, members: Sequence[Member]) -> None:
    with narrator.step("every daemon appraised the coordinator's evidence itself, and activated this one instance"):
        scene.wait("the activations", lambda: all(_stage_of(member) in _ACTIVE for member in members))
    for member in members:
        with Client.of(member.config) as client:
            passed = [check for appraisal in client.appraisals(_digest(client)) for check in appraisal["checks"]]
            promise(bool(passed) and all(check["passed"] for check in passed), f"{member.name} appraised the enclave")
    with narrator.step("both hospitals' rows were checked, sealed and streamed; the enclave holds them"):
        scene.wait("the uploads", lambda: all(_stage_of(member) in _LOADED for member in members))


_LOADED = frozenset({"loaded", "permitted", "released"})
_ACTIVE = _LOADED | {"activated"}


def _stage_of(member: Member) -> str:
    with Client.of(member.config) as client:
        return str(client.status()["stage"])


def _digest(client: Client) -> str:
    return str(client.status()["contract"]["digest"])


# --- 3 -------------------------------------------------------------------------------------------------------------


def _run(narrator: Narrator, scene: Stage, members: Sequence[Member], contract: "Contract") -> None:
    by_name = {member.name: member for member in members}
    names = [computation.name for computation in contract.computations]
    with (
        narrator.step(f"{by_name[ANALYST].label} asked for {len(names)} runs"),
        Client.of(by_name[ANALYST].config) as asker,
    ):
        numbers = {asker.run(name): name for name in names}
    with (
        narrator.step(
            f"{by_name[BY_HAND].label} permitted each by hand; the other owner's daemon did it as configured"
        ),
        Client.of(by_name[BY_HAND].config) as owner,
    ):
        for number in numbers:
            owner.permit(number)
    with narrator.step("all ran, went through disclosure control, and came back sealed to their recipients"):
        expected = {
            member.name: {
                number
                for number, name in numbers.items()
                for computation in contract.computations
                if computation.name == name and member.name in computation.recipients
            }
            for member in members
        }
        scene.wait("the results", lambda: all(_received(member) >= expected[member.name] for member in members))


def _received(member: Member) -> set[int]:
    with Client.of(member.config) as client:
        return {int(result["run"]) for result in client.results()}


# --- 4 -------------------------------------------------------------------------------------------------------------


def _results(narrator: Narrator, members: Sequence[Member], contract: "Contract") -> list[Answers]:
    with narrator.step("each recipient verified its receipts and opened its results"):
        answers = []
        for member in members:
            with Client.of(member.config) as client:
                runs = sorted(int(result["run"]) for result in client.results())
                answers.append(Answers(member, tuple(answer(client, member.config, run) for run in runs)))
    reports = [report for report, _ in _of(answers, ANALYST).reports]
    promise(len(reports) == len(contract.computations), "every computation has a result")
    verified = all(report.provenance is not None and report.provenance.verified for report in reports)
    promise(verified, "every receipt verified")
    for report in reports:
        narrator.console.print()
        narrator.show(Text(report.purpose, "bold"))
        for table in report.tables:
            narrator.show(result_table(table))
            if table.withheld:
                narrator.show(withheld_table(table))
    return answers


def _compare(narrator: Narrator, members: Sequence[Member], contract: "Contract", answers: Sequence[Answers]) -> None:
    from scenarios.pooled import Pooled

    pooled = Pooled(contract, [member.config for member in members])
    compared, wrong = 0, []
    for report, _ in _of(answers, ANALYST).reports:
        cells, differing = pooled.differences(report)
        compared, wrong = compared + cells, wrong + differing
    promise(compared > 0 and not wrong, f"released cells equal the pooled plaintext computation ({', '.join(wrong)})")
    narrator.console.print()
    with narrator.step(f"all {compared} released numbers equal those of the same questions over the pooled plaintext"):
        pass


def _learned(narrator: Narrator, members: Sequence[Member], contract: "Contract", answers: Sequence[Answers]) -> None:
    shown = Table(title=Text("What each party learned"), title_justify="left", title_style="bold", box=None)
    for heading in ("party", "rows it saw", "others' rows it saw", "results it opened"):
        shown.add_column(heading, overflow="fold")
    for member in members:
        owned = [dataset.name for dataset in contract.datasets if member.name in dataset.owners]
        opened = [report.computation for report, _ in _of(answers, member.name).reports]
        shown.add_row(
            member.label, f"its own {', '.join(owned)}" if owned else "none", "none", ", ".join(opened) or "none"
        )
    narrator.console.print()
    narrator.show(shown)


def _of(answers: Sequence[Answers], name: str) -> Answers:
    return next(each for each in answers if each.member.name == name)


# --- 5 -------------------------------------------------------------------------------------------------------------


def _withheld_in_part(narrator: Narrator, answers: Sequence[Answers]) -> None:
    for report, _ in _of(answers, ANALYST).reports:
        cells = sum(len(table.rows) * len(table.measures) for table in report.tables)
        if 0 < report.withheld_cells < cells:
            rules = sorted({held.rule for table in report.tables for held in table.withheld})
            with narrator.step(
                f"disclosure control withheld {report.withheld_cells} of {cells} cells of {report.computation} "
                f"({', '.join(rules)})"
            ):
                pass
            return
    promise(kept=False, what="one question is withheld in part")


def _refused_question(narrator: Narrator, scenario: Scenario, members: Sequence[Member], contract: "Contract") -> None:
    asking = sql(breast_cancer.REFUSED_QUESTION, purpose="Who they are.", runs=1)
    with narrator.step(f"no contract can hold the question: {breast_cancer.REFUSED_QUESTION}"):
        refused = None
        try:
            replace(scenario, computations={"who": asking}).contract(
                parties=_cards(members), enclaves=contract.enclaves, now=datetime.now(UTC)
            )
        except Forbidden as refusal:
            refused = refusal
        promise(refused is not None, "a question for single patients is refused")
    if refused is not None:
        narrator.refused("the contract's own rules, at every party", refused)


def _changed_coordinator(narrator: Narrator, scene: Stage, members: Sequence[Member]) -> None:
    port = free_port()
    before, after = CHANGED_LINE
    with narrator.step(f"a coordinator with one changed line: {before} became {after}, in {CHANGED_FILE}"):
        changed = _changed_copy(scene.folder / "changed")
        _serve(scene, "changed-coordinator", port, PYTHONPATH=str(changed))
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


def _changed_copy(folder: Path) -> Path:
    """Copy the package ``mpc`` and change one line of it."""
    import mpc

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


# --- 6 -------------------------------------------------------------------------------------------------------------


def _reports(narrator: Narrator, answers: Sequence[Answers], out: Path) -> None:
    with narrator.step("wrote each party's report: a page with plots, JSON, CSV, Arrow, and the receipts"):
        for each in answers:
            if each.reports:
                write_folder(out / each.member.name, each.reports)
    page = (out / ANALYST / PAGE).resolve()
    promise(page.is_file(), "the report is written")
    narrator.console.print(Text.assemble("\nThe report with plots: ", (page.as_uri(), "bold cyan")), soft_wrap=True)
    narrator.note(f"Done in {narrator.seconds:.0f} s.")


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sealroom-demo-"))
    os.chmod(folder, 0o700)  # noqa: PTH101 - keys are inside
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
