"""Every command that needs a daemon, against real ones: the tutorial by hand, as far as a user would type it."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mpc.canonical import canonical_json, sha256
from mpc.errors import KINDS
from mpc.evidence.claims import SimulatedReference
from mpc.measurement import measure
from scenarios.breast_cancer import scenario
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
        members = cast(scene, scenario, port)
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


def test_a_contract_is_signed_by_typing_its_digest_and_not_otherwise(world: World) -> None:
    wrong = world.says(ANALYST, "contract", "sign", str(world.contract), given="00000000\n")
    assert wrong.code == KINDS["forbidden"].exit_code
    assert "contract.sign.digest" in wrong.err
    assert world.says(ANALYST, "status", "--json").data["contract"] is None
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


def test_own_rows_are_checked_and_nobody_else_s(world: World) -> None:
    said = world.says("rotterdam", "party", "check", "--json")
    assert said.code == 0, said.err
    assert [(found["dataset"], found["passed"]) for found in said.data] == [("patients", True)]
    assert world.says(ANALYST, "party", "check", "--json").data == []


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
    assert f"sealroom permit {number}" in world.says(BY_HAND, "status").out
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


def test_a_party_leaves_by_typing_the_digest(world: World) -> None:
    wrong = world.says(ANALYST, "withdraw", "--reason", "done", given="00000000\n")
    assert wrong.code != 0
    said = world.says(ANALYST, "withdraw", "--reason", "the study has ended", given=f"{world.digest[:8]}\n")
    assert said.code == 0, said.err
    assert world.says(ANALYST, "status", "--json").data["stage"] == "withdrawn"


def test_a_command_without_its_daemon_says_how_to_start_it(tmp_path: Path) -> None:
    member = cast(Stage(tmp_path), scenario, 1)[0]
    said = sealroom("status", "--config", str(member.config_file))
    assert said.code == KINDS["unavailable"].exit_code
    assert "sealroom party serve" in said.err
