"""The demo's story, act by act. It does what people would do: make keys, read and sign, permit, ask, look at results.

Processes speak over loopback exactly as they would between organisations. Every promise is checked as it is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table
from rich.text import Text

from mpc.canonical import canonical_json, format_time, sha256
from mpc.contract.explain import explain
from mpc.contract.terms import Contract
from mpc.evidence.claims import SimulatedReference
from mpc.measurement import measure
from mpc.receipts.verification import VerifiedReceipt, verify_receipt
from parties.cli.answers import answer, exceptions, known_parties
from parties.cli.page import summary
from parties.client import Client
from parties.report.folder import PAGE, write_folder
from parties.report.terminal import result_table, trust_panel, withheld_table
from parties.report.view import Report, trust_of
from scenarios import breast_cancer
from scenarios.cast import ANALYST, BY_HAND, Member, cards, cast
from scenarios.must_fail import CONTRACT_FILE, changed_coordinator, refused_question, withheld_in_part
from scenarios.narration import Narrator, promise
from scenarios.pooled import Pooled
from scenarios.scenario import Scenario
from scenarios.stage import Stage, free_port, listens, serve_coordinator

LOADED = frozenset({"loaded", "permitted", "released"})
ACTIVE = LOADED | {"activated"}


COORDINATOR = ("Coordinator", "holds the rows sealed, answers only what all have signed; its enclave is simulated here")


@dataclass(frozen=True)
class Answers:
    """What one party received."""

    member: Member
    reports: tuple[tuple[Report, bytes], ...]


def play(narrator: Narrator, scene: Stage, out: Path) -> None:
    """Play the whole story on ``scene``; raises the first broken promise."""
    scenario = breast_cancer.scenario
    narrator.console.print(Text(scenario.title, "bold"))
    narrator.note(scenario.purpose)
    narrator.cast([*((party.label, _part(scenario, party.name)) for party in scenario.parties), COORDINATOR])
    port = free_port()

    narrator.act("1  Agree")
    with narrator.step("each party made its own keys, and compared the others' fingerprints"):
        members = cast(scene, scenario, port, breast_cancer.SOURCES)
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
    withheld_in_part(narrator, [report for report, _ in _of(answers, ANALYST).reports])
    refused_question(narrator, scenario, members, contract)
    changed_coordinator(narrator, scene, members)

    narrator.act("6  The end")
    with narrator.step("every process has ended; keys that were in memory are gone"):
        scene.clear()
    _reports(narrator, answers, out)


def _part(scenario: Scenario, name: str) -> str:
    owns = [dataset.name for dataset in scenario.datasets if name in {owner.name for owner in dataset.owners}]
    return f"owns rows of {', '.join(owns)}, and shows them to nobody" if owns else "owns no rows, and asks"


def _agree(narrator: Narrator, scene: Stage, scenario: Scenario, members: Sequence[Member]) -> tuple[bytes, Contract]:
    with narrator.step("measured the coordinator's code, on a party's own copy"):
        reference = _reference()
    with narrator.step("built the contract"):
        contract = scenario.contract(parties=cards(members), enclaves=[reference], now=datetime.now(UTC))
        raw = canonical_json(contract)
        (scene.folder / CONTRACT_FILE).write_bytes(raw)
    narrator.note(f"digest {sha256(raw).hex()}")
    reader = members[0]
    narrator.note(f"The data officer of {reader.label} reads one page before signing; in short:")
    narrator.show(summary(explain(contract, sha256(raw), party=reader.name)))
    return raw, contract


def _reference() -> SimulatedReference:
    return SimulatedReference(
        format="simulated", code_digest=measure().code_digest.hex(), measured_by="self", memory_protected=False
    )


def _start(narrator: Narrator, scene: Stage, members: Sequence[Member], port: int) -> None:
    with narrator.step(f"started one coordinator and {len(members)} party daemons, each a process with its own folder"):
        serve_coordinator(scene, "coordinator", port)
        for member in members:
            arguments = ["parties.cli", "party", "serve", "--config", str(member.config_file)]
            scene.start(f"{member.name}-daemon", arguments)
        scene.wait("the coordinator listening", lambda: listens(port))
        scene.wait("the daemons answering", lambda: all(member.is_served() for member in members))


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
        scene.wait("the activations", lambda: all(member.stage() in ACTIVE for member in members))
    for member in members:
        with Client.of(member.config) as client:
            passed = [check for appraisal in client.appraisals(_digest(client)) for check in appraisal["checks"]]
            promise(bool(passed) and all(check["passed"] for check in passed), f"{member.name} appraised the enclave")
    with narrator.step("both hospitals' rows were checked, sealed and streamed; the enclave holds them"):
        scene.wait("the uploads", lambda: all(member.stage() in LOADED for member in members))


def _digest(client: Client) -> str:
    return str(client.status()["contract"]["digest"])


def _run(narrator: Narrator, scene: Stage, members: Sequence[Member], contract: Contract) -> None:
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
        scene.wait("the results", lambda: all(member.received() >= expected[member.name] for member in members))
    with narrator.step("the hospitals' daemons countersigned the log of the releases: receipts show their time"):
        scene.wait("the countersignatures", lambda: all(member.is_vouched_for() for member in members))


def _results(narrator: Narrator, members: Sequence[Member], contract: Contract) -> list[Answers]:
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
                narrator.show(Text(table.in_words), withheld_table(table))
    return answers


def _compare(narrator: Narrator, members: Sequence[Member], contract: Contract, answers: Sequence[Answers]) -> None:
    pooled = Pooled(contract, [member.config for member in members])
    compared = 0
    wrong: list[str] = []
    for report, _ in _of(answers, ANALYST).reports:
        cells, differing = pooled.differences(report)
        compared, wrong = compared + cells, wrong + differing
    promise(compared > 0 and not wrong, f"released cells equal the pooled plaintext computation ({', '.join(wrong)})")
    narrator.console.print()
    narrator.done(f"all {compared} released numbers equal those of the same questions over the pooled plaintext")


def _learned(narrator: Narrator, members: Sequence[Member], contract: Contract, answers: Sequence[Answers]) -> None:
    shown = Table(title=Text("What each party learned"), title_justify="left", title_style="bold", box=None)
    shown.add_column("party", no_wrap=True)
    shown.add_column("rows it saw", no_wrap=True)
    shown.add_column("results it opened")
    for member in members:
        owned = [dataset.name for dataset in contract.datasets if member.name in dataset.owners]
        opened = [report.computation for report, _ in _of(answers, member.name).reports]
        rows = f"its own {', '.join(owned)}, no other's" if owned else "none"
        shown.add_row(member.label, rows, ", ".join(opened) or "none")
    narrator.console.print()
    narrator.show(shown)


def _of(answers: Sequence[Answers], name: str) -> Answers:
    return next(each for each in answers if each.member.name == name)


def _reports(narrator: Narrator, answers: Sequence[Answers], out: Path) -> None:
    with narrator.step("wrote each party's report: a page with plots, JSON, CSV, Arrow, and the receipts"):
        for each in answers:
            if each.reports:
                write_folder(out / each.member.name, each.reports)
    config = _of(answers, ANALYST).member.config
    receipts = sorted((out / ANALYST).glob("*.receipt.json"))
    promise(len(receipts) == len(_of(answers, ANALYST).reports), "every result came with a receipt")
    with narrator.step(f"all {len(receipts)} receipts verify offline, from their files alone"):
        verified = [
            verify_receipt(
                path.read_bytes(), known=known_parties(config), exceptions=exceptions(config), beneficiary=ANALYST
            )
            for path in receipts
        ]
    promise(all(each.time_shown for each in verified), "every receipt shows a time that its reader cannot choose")
    narrator.note(_in_words(verified))
    page = (out / ANALYST / PAGE).resolve()
    promise(page.is_file(), "the report is written")
    narrator.console.print(Text.assemble("\nThe report with plots: ", (page.as_uri(), "bold cyan")), soft_wrap=True)
    narrator.note(f"Done in {narrator.seconds:.0f} s.")


def _in_words(verified: Sequence[VerifiedReceipt]) -> str:
    times = sorted(format_time(each.time_shown) for each in verified if each.time_shown)
    by = sorted({name for each in verified for name in each.countersigners})
    return f"genuine, shown between {times[0]} and {times[-1]} by {', '.join(by)}"
