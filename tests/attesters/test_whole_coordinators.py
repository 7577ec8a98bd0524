"""A coordinator on each kind of hardware, two parties, one run: from the device to receipts that verify.

The device is a stand-in and the vendor false. The parties' programs take that vendor for the genuine one: they run on
a copy of the package in which its root stands where the genuine one stood, and nothing else differs. What is not
changed refuses the same evidence for its root.
"""

import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mpc.canonical import sha256
from mpc.errors import Refusal
from mpc.measurement import measure
from parties.cli.application import app
from parties.client import Client
from parties.config import load_config
from scenarios.stage import Stage, free_port, listens, stage
from tests.attesters.false_vendors import AMD_TABLE, VENDORS, Vendor, trusting_copy
from tests.attesters.played import AUXILIARY, answering, gramine_folder
from tests.evidence.ratls.independent import (
    MESSAGE_WRAPPER,
    TAGGED_EVIDENCE,
    Seen,
    extensions_of,
    interoperable,
    of_the_project,
)

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
STUDY = """
from scenarios.scenario import Dataset, Party, Scenario, Subject, category, integer, sql

north, south = (Party(name, name) for name in ("north", "south"))
patients = Dataset(
    "patients", "Patients", owners=[north, south],
    subject=Subject("pid", domain="patient", identity="disjoint", rows="one"),
    columns={
        "pid": integer("patient number", identifier=True),
        "grade": category("tumour grade", {"1": "well", "2": "poorly"}, filterable=True),
    },
)
scenario = Scenario(
    title="Grades", purpose="To count patients by grade.", parties=[north, south], datasets=[patients],
    recipients=[north],
    computations={
        "by_grade": sql("SELECT grade, count(*) AS patients FROM patients GROUP BY grade", purpose="How many.",
                        runs=1, unattended=1),
    },
)
"""
ROWS = {"north": 40, "south": 60}
WAIT_SECONDS = 90


@dataclass(frozen=True)
class World:
    """One vendor's machine with a coordinator on it, and the parties, who signed a contract that names it."""

    scene: Stage
    vendor: Vendor
    port: int
    contract: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def trusting(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.scene.folder / "trusting")}

    def settings(self, party: str) -> Path:
        return self.scene.folder / party / "party.toml"

    def client(self, party: str) -> Client:
        return Client.of(load_config(self.settings(party)))

    def stages(self) -> set[str]:
        found = set()
        for party in ROWS:
            with self.client(party) as client:
                found.add(client.status()["stage"])
        return found

    def says(self, party: str, *arguments: str | Path) -> str:
        """What a command of the trusting copy prints to this party."""
        typed = [sys.executable, "-m", "parties.cli", *map(str, arguments), "--config", str(self.settings(party))]
        environment = {"PATH": "/usr/bin:/bin", **self.trusting}
        ran = subprocess.run(typed, cwd=self.scene.folder, capture_output=True, text=True, env=environment, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def certificate(self) -> bytes:
        """The certificate that the coordinator presents to whoever connects."""
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", self.port)))


def typed(*arguments: str | Path) -> str:
    said = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.stdout


def settle(folder: Path, port: int, reference: dict[str, Any]) -> Path:
    """Give each party keys, settings and rows, and build the contract; no party makes any exception."""
    for party in ROWS:
        typed("keys", "new", party, "-o", folder / party / "party.key")
    cards = [json.loads((folder / party / "party.key.pub").read_text()) for party in ROWS]
    known = "".join(f'{card["name"]} = "{sha256(bytes.fromhex(card["signing_key"])).hex()}"\n' for card in cards)
    for party, count in ROWS.items():
        rows = "".join(f"{number},{1 + number % 2}\n" for number in range(count))
        (folder / party / "rows.csv").write_text(f"pid,grade\n{rows}")
        (folder / party / "party.toml").write_text(
            f'[party]\nname = "{party}"\nlabel = "{party}"\nstate = "state"\nkey = "party.key"\n'
            f'[coordinator]\naddress = "127.0.0.1:{port}"\n[known_parties]\n{known}'
            '[consent]\npermit_unattended = true\n[datasets.patients]\nsource = "rows.csv"\n'
        )
    (folder / "study.py").write_text(STUDY)
    (folder / "enclave.json").write_text(json.dumps(reference))
    named = [f"--party={party}={folder / party / 'party.key.pub'}" for party in ROWS]
    file = folder / "contract.json"
    typed("contract", "build", folder / "study.py", *named, "--enclave", folder / "enclave.json", "-o", file)
    return file


def serve(scene: Stage, vendor: Vendor, port: int, stack: ExitStack) -> None:
    """Start the coordinator on the vendor's machine, with the collateral that its operator has."""
    beside = [scene.folder / f"collateral-{number}" for number in range(len(vendor.beside))]
    for file, content in zip(beside, vendor.beside, strict=True):
        file.write_bytes(content)
    (scene.folder / "coordinator").mkdir(mode=0o700)
    arguments = [
        "serve", "--attester", vendor.attester, "--listen", f"127.0.0.1:{port}",
        "--state", str(scene.folder / "coordinator"), *(f"--endorsements={file}" for file in beside),
    ]  # fmt: skip
    if vendor.played is None:
        stack.enter_context(gramine_folder(scene.folder / "device", vendor.prove))
        started = ["mpc.coordinator", *arguments, "--device-root", str(scene.folder / "device")]
    else:
        (scene.folder / AUXILIARY).write_bytes(AMD_TABLE)
        stack.enter_context(answering(scene.folder / "device", vendor.prove))
        started = ["tests.attesters.played", str(scene.folder / "device"), vendor.played, *arguments]
    scene.start("coordinator-process", started, environment={"PYTHONPATH": str(_tests_of_this_project(scene.folder))})
    scene.wait("the coordinator listening", lambda: listens(port), seconds=WAIT_SECONDS)


def _tests_of_this_project(folder: Path) -> Path:
    """Return a path on which ``tests`` is this project's: some library installs a package of that name."""
    (folder / "path" / "tests").mkdir(parents=True)
    (folder / "path" / "tests" / "__init__.py").write_text(f"__path__ = [{str(TESTS)!r}]\n")
    return folder / "path"


@pytest.fixture(scope="module", params=VENDORS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    vendor, port = VENDORS[request.param], free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="att")))
        trusting_copy(folder / "trusting")
        contract = settle(folder, port, vendor.reference(measure().code_digest))
        scene = stack.enter_context(stage(folder))
        made = World(scene, vendor, port, contract)
        serve(scene, vendor, port, stack)
        for party in ROWS:
            served = ["parties.cli", "party", "serve", "--config", str(made.settings(party))]
            scene.start(f"{party}-daemon", served, environment=made.trusting)
        sockets = [load_config(made.settings(party)).socket for party in ROWS]
        scene.wait("the daemons answering", lambda: all(at.exists() for at in sockets), seconds=WAIT_SECONDS)
        raw = contract.read_bytes()
        for party in ROWS:
            with made.client(party) as client:
                client.sign(client.add_contract(raw)["digest"], sha256(raw).hex()[:8])
        yield made


def test_parties_appraise_activate_upload_and_run_and_the_receipt_verifies(world: World, tmp_path: Path) -> None:
    world.scene.wait("the uploads", lambda: world.stages() == {"loaded"}, seconds=WAIT_SECONDS)
    world.says("north", "run", "by_grade", "--wait")
    world.says("north", "results", "--out", tmp_path)
    receipt = tmp_path / "by_grade-1.receipt.json"
    verified = json.loads(world.says("north", "verify", receipt, "--json"))
    appraisal = {check["check"]: check for check in verified["appraisal"]}
    assert verified["outcome"] == "released"
    assert appraisal["measured_by"]["found"] == "hardware"
    assert all(check["passed"] for check in appraisal.values())
    refused = CliRunner().invoke(app, ["verify", str(receipt), "--config", str(world.settings("north"))])
    assert isinstance(refused.exception, Refusal), "who does not take the vendor for a genuine one believes no receipt"


def test_nobody_else_trusts_the_vendor(world: World) -> None:
    asked = ["attest", world.address, "--contract", str(world.contract), "--config", str(world.settings("south"))]
    refused = CliRunner().invoke(app, asked).exception
    assert isinstance(refused, Refusal)
    assert refused.code == "evidence.certificate_path"
    assert json.loads(world.says("south", *asked[:4], "--json"))["passed"]


def test_another_verifier_finds_the_evidence_in_the_certificate_and_what_it_binds(world: World) -> None:
    der = world.certificate()
    seen = _seen(der, world.vendor.format)
    assert seen.report_data == seen.claimed
    carried = {MESSAGE_WRAPPER, TAGGED_EVIDENCE} & set(extensions_of(der))
    assert carried == {TAGGED_EVIDENCE if seen.media_type is None else MESSAGE_WRAPPER}
    assert world.certificate() == der, "one instance, one certificate"


def _seen(der: bytes, name: str) -> Seen:
    return interoperable(der) if name in {"sgx", "tdx"} else of_the_project(der, name)
