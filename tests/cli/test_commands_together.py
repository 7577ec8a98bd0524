"""Every command that needs a daemon, against real ones: the tutorial by hand, as far as a user would type it."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpc.canonical import canonical_json, sha256
from mpc.errors import KINDS, Refusal
from mpc.evidence.claims import SimulatedReference
from mpc.measurement import measure
from parties.cli.application import app
from parties.client import Client
from parties.overview import STAGES
from scenarios.breast_cancer import SOURCES, scenario
from scenarios.cast import ANALYST, BY_HAND, Member, cards, cast
from scenarios.stage import Stage, free_port, listens, serve_coordinator, stage
from scenarios.story import LOADED
from tests.cli.command import Said, sealroom

pytestmark = pytest.mark.slow

ACCEPTED = ("--accept-self-measured", "simulated", "--accept-visible-memory", "simulated")


@dataclass(frozen=True)
class World:
    """A coordinator and three daemons, and a contract that nobody has signed yet."""

    scene: Stage
    members: dict[str, Member]
    contract: Path
    digest: str
    port: int

    def says(self, party: str, *arguments: str, given: str = "") -> Said:
        return sealroom(*arguments, "--config", str(self.members[party].config_file), given=given)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with stage(tmp_path_factory.mktemp("w")) as scene:
        port = free_port()
        members = cast(scene, scenario, port, SOURCES)
        reference = SimulatedReference(
            format="simulated", code_digest=measure().code_digest.hex(), measured_by="self", memory_protected=False
        )
        raw = canonical_json(scenario.contract(parties=cards(members), enclaves=[reference], now=datetime.now(UTC)))
        contract = scene.folder / "contract.json"
        contract.write_bytes(raw)
        serve_coordinator(scene, "coordinator", port)
        for member in members:
            scene.start(f"{member.name}-daemon", ["parties.cli", "party", "serve", "--config", str(member.config_file)])
        scene.wait("listening", lambda: listens(port))
        scene.wait("serving", lambda: all(member.is_served() for member in members))
        yield World(scene, {member.name: member for member in members}, contract, sha256(raw).hex(), port)


def test_a_contract_is_handed_over_without_signing(world: World, tmp_path: Path) -> None:
    owner = next(iter(world.members.keys() - {ANALYST}))
    member = world.members[owner]
    consent = tmp_path / "consent"
    by_key = ("contract", "sign", str(world.contract), "--yes-digest", world.digest[:8], "-o", str(consent))
    assert sealroom(*by_key, "--key", str(member.config.party.key)).code == 0
    said = world.says(owner, "contract", "add", str(world.contract), str(consent), "--json")
    assert said.code == 0, said.err
    assert said.data["missing"] == sorted(world.members.keys() - {owner})
    assert said.data["signed"] is None
    assert world.says(owner, "status", "--json").data["stage"] == "unsigned"
    assert STAGES["unsigned"] in world.says(owner, "status").out


def test_a_contract_is_signed_by_typing_its_digest_and_not_otherwise(world: World) -> None:
    wrong = world.says(ANALYST, "contract", "sign", str(world.contract), given="00000000\n")
    assert wrong.code == KINDS["forbidden"].exit_code
    assert "contract.sign.digest" in wrong.err
    assert world.says(ANALYST, "status", "--json").data["contract"] is None
    assert world.says(ANALYST, "party", "retry").code == 0
    nobody = world.says(ANALYST, "contract", "sign", str(world.contract))
    assert nobody.code == KINDS["misconfigured"].exit_code
    assert "nothing was signed" in nobody.err
    assert "--yes-digest" in nobody.err
    right = world.says(ANALYST, "contract", "sign", str(world.contract), given=f"{world.digest[:8]}\n")
    assert right.code == 0, right.err
    assert "Which enclaves are accepted" in right.out, "the page is shown before it is signed"
    for party in world.members.keys() - {ANALYST}:
        said = world.says(party, "contract", "sign", str(world.contract), "--yes-digest", world.digest[:8])
        assert said.code == 0, said.err


def test_the_enclave_is_shown_with_every_check(world: World) -> None:
    said = sealroom("attest", f"127.0.0.1:{world.port}", "--contract", str(world.contract), *ACCEPTED, "--json")
    assert said.code == 0, said.err
    assert said.data["passed"]
    assert {"code", "binding", "spki"} <= {check["check"] for check in said.data["checks"]}
    unwanted = sealroom("attest", f"127.0.0.1:{world.port}", "--contract", str(world.contract))
    assert unwanted.code == KINDS["forbidden"].exit_code
    assert "self_measured" in unwanted.out
    assert "accept_self_measured" in unwanted.err
    by_daemon = world.says(ANALYST, "attest", "--json")
    assert by_daemon.code == 0, by_daemon.err
    assert [check["check"] for check in by_daemon.data["checks"]] == [check["check"] for check in said.data["checks"]]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("attest", "127.0.0.1:1"), "argument.coordinator"),
        (("attest", "127.0.0.1:1", "--replace"), "argument.replace"),
        (("attest", "--replace"), "replacement.none"),
        (("attest", "127.0.0.1", "--contract", "contract.json"), "argument.address"),
        (("party", "refresh", "patients"), "refresh.fixed"),
        (("permit", "99"), "permit.not_awaited"),
    ],
)
def test_what_has_no_meaning_now_is_refused(world: World, arguments: tuple[str, ...], code: str) -> None:
    config = str(world.members[BY_HAND].config_file)
    with pytest.raises(Refusal) as caught:  # in this process: a process each takes its time
        CliRunner().invoke(app, [*arguments, "--config", config], catch_exceptions=False)
    assert caught.value.code == code


def test_own_rows_are_checked_and_nobody_else_s(world: World) -> None:
    said = world.says("rotterdam", "party", "check", "--json")
    assert said.code == 0, said.err
    assert [(found["dataset"], found["passed"]) for found in said.data] == [("patients", True)]
    assert world.says(ANALYST, "party", "check", "--json").data == []
    assert "no rows to check" in world.says(ANALYST, "party", "check").err


def test_a_run_waits_for_the_owner_who_permits_by_hand_and_its_result_verifies(world: World, tmp_path: Path) -> None:
    world.scene.wait("loading", lambda: all(member.stage() in LOADED for member in world.members.values()))
    asked = world.says(ANALYST, "run", "patients_by_grade", "--json")
    assert asked.code == 0, asked.err
    number = str(asked.data["run"])
    hospital = world.members[BY_HAND]
    world.scene.wait(
        "the permit awaited",
        lambda: any(each["what"] == "permit" for each in world.says(BY_HAND, "status", "--json").data["awaits_you"]),
    )
    shown = world.says(BY_HAND, "status")
    assert shown.code == 0, shown.err
    assert f"sealroom permit {number}" in shown.out
    assert "Uploads" in shown.out
    assert "permit.not_awaited" in world.says(ANALYST, "permit", number).err, "it owns no row of it"
    assert world.says(BY_HAND, "permit", number).code == 0
    analyst = world.members[ANALYST]
    world.scene.wait("the result", lambda: int(number) in analyst.received() & hospital.received())

    assert [each["run"] for each in world.says(ANALYST, "results", "--json").data] == [int(number)]
    assert "No protection" in world.says(ANALYST, "results", number).out
    rows = list(csv.DictReader(io.StringIO(world.says(ANALYST, "results", number, "--format", "csv").out)))
    assert rows
    assert {row["patients.status"] for row in rows} <= {"released", "withheld"}
    written = world.says(ANALYST, "results", "--out", str(tmp_path))
    assert written.code == 0, written.err
    assert (tmp_path / "report.html").is_file()

    receipt = str(tmp_path / f"patients_by_grade-{number}.receipt.json")
    assert world.says(ANALYST, "verify", receipt, "--json").data["computation"] == "patients_by_grade"
    alone = sealroom("verify", receipt, *ACCEPTED)
    assert alone.code == 0, alone.err
    assert "genuine" in alone.err
    careful = sealroom("verify", receipt)
    assert careful.code == KINDS["untrusted"].exit_code
    assert "receipt.evidence" in careful.err


def test_what_the_contract_does_not_hold_cannot_be_asked(world: World) -> None:
    said = world.says(ANALYST, "run", "everything")
    assert said.code in {KINDS["forbidden"].exit_code, KINDS["misconfigured"].exit_code}
    assert "Traceback" not in said.err
    absent = world.says(ANALYST, "results", "999")
    assert absent.code == KINDS["out_of_order"].exit_code


def test_a_restarted_coordinator_is_activated_where_a_person_says_so(world: World) -> None:
    scene = world.scene
    scene.end(next(actor for actor in scene.actors if actor.name == "coordinator-process"))
    listen = ["--listen", f"127.0.0.1:{world.port}", "--state", str(scene.folder / "coordinator")]
    scene.start("coordinator-process", ["mpc.coordinator", "serve", "--attester", "simulated", *listen])
    scene.wait("the coordinator listening", lambda: listens(world.port))
    for party, member in world.members.items():
        with Client.of(member.config) as client:
            client.retry()
            scene.wait("the question", lambda client=client: "activation.second" in _blocked(client), seconds=60)
            before = client.status()["activated"]
            if party != BY_HAND:
                client.replace_instance()
                continue
        assert "sealroom attest --replace" in world.says(party, "status").err
        said = world.says(party, "attest", "--replace")
        assert said.code == 0, said.err
        assert f"It takes the place of instance {before[:16]}" in said.err
    scene.wait("loading", lambda: all(member.stage() in LOADED for member in world.members.values()))


def _blocked(client: Client) -> set[str]:
    return {each["refusal"]["code"] for each in client.status()["awaits_you"] if "refusal" in each}


def test_a_party_leaves_by_typing_the_digest(world: World) -> None:
    wrong = world.says(ANALYST, "withdraw", "--reason", "done", given="00000000\n")
    assert wrong.code != 0
    said = world.says(ANALYST, "withdraw", "--reason", "the study has ended", given=f"{world.digest[:8]}\n")
    assert said.code == 0, said.err
    assert world.says(ANALYST, "status", "--json").data["stage"] == "withdrawn"


def test_a_command_without_its_daemon_says_how_to_start_it(tmp_path: Path) -> None:
    member = cast(Stage(tmp_path), scenario, 1, SOURCES)[0]
    said = sealroom("status", "--config", str(member.config_file))
    assert said.code == KINDS["unavailable"].exit_code
    assert "sealroom party serve" in said.err


def test_a_daemon_that_is_told_to_end_leaves_its_ledger_in_one_file_and_no_socket(tmp_path: Path) -> None:
    with stage(tmp_path) as scene:
        member = cast(scene, scenario, 1, SOURCES)[0]
        daemon = scene.start("daemon", ["parties.cli", "party", "serve", "--config", str(member.config_file)])
        scene.wait("serving", member.is_served)
        daemon.process.terminate()
        assert daemon.process.wait(30) == 0
    assert sorted(each.name for each in member.config.party.state.iterdir()) == ["ledger.sqlite", "lock"]
