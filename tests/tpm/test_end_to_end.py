"""A machine with a TPM, enrolled by a party: one run to a verified receipt, and the coordinators that must not get far.

Everything is typed or started as people would: the enrolment, the measurement, the contract, the processes. Only the
firmware is played, by extending the boot chain's registers after each power cycle.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mpc.attesters.tpm import extend, read_registers
from mpc.canonical import sha256
from mpc.contract.document import parse_contract
from mpc.errors import Refusal
from mpc.evidence.appraisal import Assessment
from mpc.evidence.claims import BOOT_PCRS
from mpc.measurement import measure
from parties.channel import Channel
from parties.cli.answers import exceptions
from parties.cli.application import app
from parties.client import Client
from parties.config import Config, load_config
from scenarios.must_fail import changed_copy
from scenarios.stage import Stage, free_port, listens, stage
from tests.swtpm_machine import Machine, manufactured, require_swtpm

pytestmark = [pytest.mark.swtpm, pytest.mark.slow]

STUDY = """
from scenarios.scenario import Dataset, Party, Scenario, Subject, category, integer, sql

north, south, university = (Party(name, name) for name in ("north", "south", "university"))
patients = Dataset(
    "patients", "Patients", owners=[north, south],
    subject=Subject("pid", domain="patient", identity="disjoint", rows="one"),
    columns={
        "pid": integer("patient number", identifier=True),
        "grade": category("tumour grade", {"1": "well", "2": "poorly"}, filterable=True),
    },
)
scenario = Scenario(
    title="Grades", purpose="To count patients by grade.", parties=[north, south, university], datasets=[patients],
    recipients=[university],
    computations={
        "by_grade": sql("SELECT grade, count(*) AS patients FROM patients GROUP BY grade", purpose="How many.",
                        runs=1, unattended=1),
    },
)
"""
PARTIES = ("north", "south", "university")
ROWS = {"north": 40, "south": 60}
OWN_IMAGE, LIARS_IMAGE = b"the image that the parties know", b"an image whose coordinator lies"
MEASURES_ITSELF = "chosen.measure(measure_code().code_digest)"


@dataclass(frozen=True)
class World:
    """An enrolled machine, three daemons that signed a contract under ``boot``, and one under ``self`` besides."""

    scene: Stage
    machine: Machine
    port: int
    boot: Path
    self_measured: Path

    @property
    def code(self) -> bytes:
        """The digest of the genuine code, as the contract names it."""
        return bytes.fromhex(parse_contract(self.boot.read_bytes()).enclaves[0].code_digest)

    @property
    def key(self) -> Path:
        return self.scene.folder / "attestation_key.pem"

    def settings(self, party: str, file: str = "party.toml") -> Path:
        return self.scene.folder / party / file

    def says(self, party: str, *arguments: str | Path, file: str = "party.toml") -> str:
        """What a command prints to this party, or the refusal that it ends with."""
        return typed(*arguments, "--config", self.settings(party, file))

    @contextmanager
    def coordinator(self, image: bytes, code: Path | None = None) -> Iterator[str]:
        """Boot the machine with ``image`` and start a coordinator: this tree's code, or that of ``code``."""
        with powered(self.machine, image) as tcti:
            arguments = [
                "mpc.coordinator", "serve", "--attester", "tpm", "--tpm-tcti", tcti, "--tpm-certificate", str(self.key),
                "--listen", f"127.0.0.1:{self.port}", "--state", str(self.scene.folder / "coordinator"),
            ]  # fmt: skip
            environment = {"PYTHONPATH": str(code)} if code else {}
            actor = self.scene.start("coordinator-process", arguments, environment=environment)
            self.scene.wait("the coordinator listening", lambda: listens(self.port))
            for party in PARTIES:
                with self.client(party) as client:
                    client.retry()
            try:
                yield tcti
            finally:
                self.scene.end(actor)

    def client(self, party: str) -> Client:
        return Client.of(load_config(self.settings(party)))

    def status(self, party: str) -> dict[str, Any]:
        with self.client(party) as client:
            return client.status()

    def stages(self) -> set[str]:
        return {self.status(party)["stage"] for party in PARTIES}

    def troubles(self) -> set[str]:
        """The codes of what each daemon last refused."""
        return {(self.status(party)["trouble"] or {}).get("code", "") for party in PARTIES}

    def inspected(self, party: str, contract: Path, file: str = "party.toml") -> Assessment:
        """What a party's own settings make of the coordinator (`sealroom attest`)."""
        parsed, config = parse_contract(contract.read_bytes()), load_config(self.settings(party, file))
        with closing(Channel.connect(f"127.0.0.1:{self.port}", clock=lambda: datetime.now(UTC))) as channel:
            return channel.inspect(parsed, exceptions(config))


@contextmanager
def powered(machine: Machine, image: bytes) -> Iterator[str]:
    """Power the machine on; its firmware measures what it is and what it loads, before anything else runs."""
    with machine.booted() as tcti:
        for register in sorted(BOOT_PCRS):
            extend(tcti, register, measured(register, image))
        yield tcti


def measured(register: int, image: bytes) -> bytes:
    """What the firmware extends: the image goes into 9, and settings of the machine into the others."""
    return sha256(image if register == 9 else f"firmware, register {register}".encode())


def boot_values() -> list[str]:
    """What a party expects of the boot chain, computed on its own."""
    return [
        f"--boot-pcr={register}={sha256(bytes(32) + measured(register, OWN_IMAGE)).hex()}"
        for register in sorted(BOOT_PCRS)
    ]


def typed(*arguments: str | Path) -> str:
    """Run a command in this process, whose libraries are loaded already; a refusal is raised as it is."""
    said = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.stdout


def enrol(machine: Machine, folder: Path) -> None:
    """North's authority vouches for the machine's attestation key."""
    typed("tpm", "ca", "new", "North, attestation keys", "-o", folder / "north_ca")
    with powered(machine, OWN_IMAGE) as tcti:
        typed(
            "tpm", "enrol", "--ca", folder / "north_ca", "--root", machine.endorsement_roots,
            "--endorsement", machine.endorsement_intermediates, "--tcti", tcti, "-o", folder / "attestation_key.pem",
        )  # fmt: skip


def contract(folder: Path, name: str, *boot: str) -> Path:
    """Measure and build, by hand; ``boot`` are the options that say what the boot chain has to hold."""
    enclave, file = folder / f"{name}.enclave.json", folder / f"{name}.json"
    options = ("--reference", "tpm", "--authority", folder / "north_ca.pem", "--issuer", "north", *boot)
    enclave.write_text(typed("measure", *options))
    cards = [f"--party={party}={folder / party / 'party.key.pub'}" for party in PARTIES]
    typed("contract", "build", folder / "study.py", *cards, "--enclave", enclave, "-o", file)
    return file


def settle(folder: Path, port: int) -> None:
    """Give each party keys, settings and rows. ``careful.toml`` is the same without any exception."""
    for party in PARTIES:
        typed("keys", "new", party, "-o", folder / party / "party.key")
    cards = [json.loads((folder / party / "party.key.pub").read_text()) for party in PARTIES]
    known = "".join(f'{card["name"]} = "{sha256(bytes.fromhex(card["signing_key"])).hex()}"\n' for card in cards)
    for party in PARTIES:
        settings = (
            f'[party]\nname = "{party}"\nlabel = "{party}"\nstate = "state"\nkey = "party.key"\n'
            f'[coordinator]\naddress = "127.0.0.1:{port}"\n[known_parties]\n{known}'
            "[consent]\npermit_unattended = true\n"
        )
        if party in ROWS:
            rows = "".join(f"{number},{1 + number % 2}\n" for number in range(ROWS[party]))
            (folder / party / "rows.csv").write_text(f"pid,grade\n{rows}")
            settings += '[datasets.patients]\nsource = "rows.csv"\n'
        (folder / party / "careful.toml").write_text(settings)
        trust = '[trust]\naccept_self_measured = ["tpm"]\naccept_visible_memory = ["tpm"]\n'
        (folder / party / "party.toml").write_text(settings + trust)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    require_swtpm()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tpm")))
        (folder / "m").mkdir()
        machine = stack.enter_context(manufactured(folder / "m"))
        port = free_port()
        settle(folder, port)
        (folder / "study.py").write_text(STUDY)
        enrol(machine, folder)
        boot, self_measured = contract(folder, "boot", *boot_values()), contract(folder, "self")
        scene = stack.enter_context(stage(folder))
        (folder / "coordinator").mkdir(mode=0o700)
        made = World(scene, machine, port, boot, self_measured)
        for party in PARTIES:
            scene.start(f"{party}-daemon", ["parties.cli", "party", "serve", "--config", str(made.settings(party))])
        scene.wait("the daemons answering", lambda: all(is_served(load_config(made.settings(p))) for p in PARTIES))
        raw = boot.read_bytes()
        for party in PARTIES:
            with made.client(party) as client:
                client.sign(client.add_contract(raw)["digest"], sha256(raw).hex()[:8])
        yield made


def is_served(config: Config) -> bool:
    return config.socket.exists()


@pytest.fixture(scope="module")
def liar(world: World) -> Iterator[str]:
    """The same change, by somebody who also reports the genuine code's digest, out of an image of their own."""
    folder = changed_copy(world.scene.folder / "liar")
    file = folder / "mpc" / "coordinator" / "cli.py"
    text = file.read_text()
    assert text.count(MEASURES_ITSELF) == 1
    file.write_text(text.replace(MEASURES_ITSELF, f'chosen.measure(bytes.fromhex("{world.code.hex()}"))'))
    assert measure(folder / "mpc").code_digest != world.code
    with world.coordinator(LIARS_IMAGE, folder) as tcti:
        assert read_registers(tcti, [8])[8] == sha256(bytes(32) + world.code)
        yield tcti


def failed(assessed: Assessment) -> list[str]:
    return [check.name for check in assessed.checks if not check.passed]


def test_one_run_to_a_verified_receipt_on_a_machine_whose_boot_was_measured(world: World, tmp_path: Path) -> None:
    with world.coordinator(OWN_IMAGE) as tcti:
        assert read_registers(tcti, [8])[8] == sha256(bytes(32) + world.code)
        careful = world.inspected("south", world.boot, "careful.toml")
        assert failed(careful) == ["visible_memory"], "a TPM hides no memory, and somebody has to say that it may"
        world.scene.wait("the uploads", lambda: world.stages() == {"loaded"})
        world.says("university", "run", "by_grade", "--wait")
        world.says("university", "results", "--out", tmp_path)
    receipt = tmp_path / "by_grade-1.receipt.json"
    verified = json.loads(world.says("university", "verify", receipt, "--json"))
    appraisal = {check["check"]: check for check in verified["appraisal"]}
    assert verified["outcome"] == "released"
    assert appraisal["measured_by"]["found"] == "boot"
    assert "self_measured" not in appraisal


def test_code_changed_by_accident_is_refused_by_every_party(world: World) -> None:
    changed = changed_copy(world.scene.folder / "accident")
    with world.coordinator(OWN_IMAGE, changed):
        world.scene.wait("every daemon's refusal", lambda: world.troubles() == {"evidence.pcr8"})
        for party in PARTIES:
            assert failed(world.inspected(party, world.self_measured)) == ["pcr8"]
            with pytest.raises(Refusal, match=r"evidence\.pcr8"):
                world.says(party, "attest", f"127.0.0.1:{world.port}", "--contract", world.boot)


@pytest.mark.usefixtures("liar")
def test_a_liar_passes_where_contract_and_party_accept_self_measurement_and_not_elsewhere(world: World) -> None:
    asked = ("attest", f"127.0.0.1:{world.port}", "--contract", world.self_measured)
    for party in PARTIES:
        assert json.loads(world.says(party, *asked, "--json"))["passed"], "who accepts self-measurement believes liars"
        careful = world.inspected(party, world.self_measured, "careful.toml")
        assert failed(careful) == ["self_measured", "visible_memory"]
    with pytest.raises(Refusal, match=r"evidence\.self_measured"):
        world.says("south", *asked, file="careful.toml")


@pytest.mark.usefixtures("liar")
def test_the_same_liar_is_refused_by_every_party_where_the_boot_chain_measures(world: World) -> None:
    world.scene.wait("every daemon's refusal", lambda: world.troubles() == {"evidence.pcr9"})
    for party in PARTIES:
        assert failed(world.inspected(party, world.boot)) == ["pcr9", "measured_by"]
