"""The enrolment by hand, as its two people type it, against a real software TPM."""

import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpc.attesters.cli import tpm_app
from mpc.attesters.tpm import extend, extend_once, read_registers
from mpc.errors import Misconfigured, OutOfOrder, Refusal, Untrusted
from mpc.evidence.certificate import certificates_of, parse_certificate
from mpc.evidence.chain import is_signed_by
from mpc.evidence.tpm import extended
from tests.swtpm_machine import Machine, manufactured, require_swtpm


@dataclass(frozen=True)
class Desk:
    """A folder to work in, beside a machine that runs."""

    folder: Path
    machine: Machine
    tcti: str

    def type(self, *words: str) -> str:
        given = [word.replace("@", f"{self.folder}/") for word in words]
        done = CliRunner().invoke(tpm_app, given)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    @property
    def trust(self) -> list[str]:
        return [
            "--root",
            str(self.machine.endorsement_roots),
            "--endorsement",
            str(self.machine.endorsement_intermediates),
        ]

    def is_vouched_for(self, name: str) -> bool:
        leaf, root = (
            parse_certificate(certificates_of((self.folder / file).read_bytes())[0]) for file in (name, "ca.pem")
        )
        return is_signed_by(leaf, root)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    require_swtpm()
    with tempfile.TemporaryDirectory(prefix="tpm") as folder, manufactured(Path(folder)) as made:
        yield made


@pytest.fixture
def desk(machine: Machine, tmp_path: Path) -> Iterator[Desk]:
    with machine.booted() as tcti:
        desk = Desk(tmp_path, machine, tcti)
        desk.type("ca", "new", "Hospital A", "-o", "@ca")
        yield desk


@pytest.mark.swtpm
def test_one_step_where_the_authority_is_at_hand(desk: Desk) -> None:
    said = desk.type("enrol", "--ca", "@ca", *desk.trust, "--tcti", desk.tcti, "-o", "@key.pem")
    assert "certificate_path" in said
    assert desk.is_vouched_for("key.pem")


@pytest.mark.swtpm
def test_four_steps_where_the_authority_stays_with_the_party(desk: Desk) -> None:
    desk.type("request", "--tcti", desk.tcti, "-o", "@request")
    desk.type("challenge", "@request", *desk.trust, "-o", "@challenge")
    desk.type("activate", "@challenge", "--tcti", desk.tcti, "-o", "@answer")
    desk.type("issue", "@challenge.pending", "@answer", "--ca", "@ca", "-o", "@key.pem", "--days", "30")
    assert desk.is_vouched_for("key.pem")
    answer = (desk.folder / "answer").read_bytes()
    assert answer not in (desk.folder / "challenge.pending").read_bytes()
    (desk.folder / "wrong").write_bytes(bytes(len(answer)))
    with pytest.raises(Untrusted):
        desk.type("issue", "@challenge.pending", "@wrong", "--ca", "@ca", "-o", "@other.pem")
    assert not (desk.folder / "other.pem").exists()


@pytest.mark.swtpm
def test_a_launcher_measures_what_the_coordinator_then_finds(desk: Desk) -> None:
    digest = bytes.fromhex(desk.type("measure", "--tcti", desk.tcti).split()[-1])
    extend_once(desk.tcti, 8, digest)
    assert read_registers(desk.tcti, [8, 9]) == {8: extended(bytes(32), digest), 9: bytes(32)}
    extend(desk.tcti, 10, bytes(32))
    for register, kind in ((10, OutOfOrder), (16, Misconfigured)):
        with pytest.raises(kind):
            desk.type("measure", "--tcti", desk.tcti, "--code-pcr", str(register))


@pytest.mark.swtpm
def test_a_makers_root_has_to_be_trusted_by_name(desk: Desk) -> None:
    with pytest.raises(Refusal) as caught:
        desk.type("enrol", "--ca", "@ca", "--root", "@ca.pem", *desk.trust[2:], "--tcti", desk.tcti, "-o", "@key.pem")
    assert caught.value.code == "evidence.certificate_path"
    assert not (desk.folder / "key.pem").exists()


def desk_without_machine(folder: Path) -> Desk:
    return Desk(folder, Machine(folder, folder, folder), "")


def test_the_authoritys_key_is_secret_and_never_replaced(tmp_path: Path) -> None:
    desk = desk_without_machine(tmp_path)
    desk.type("ca", "new", "Hospital A", "-o", "@ca")
    key = tmp_path / "ca.key"
    before = key.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(Misconfigured):
        desk.type("ca", "new", "Hospital A", "-o", "@ca")
    assert key.read_bytes() == before


def test_wrong_files_are_named(tmp_path: Path) -> None:
    desk = desk_without_machine(tmp_path)
    desk.type("ca", "new", "A", "-o", "@ca")
    with pytest.raises(Misconfigured) as caught:
        desk.type("challenge", "@none", "--root", "@ca.pem", "-o", "@challenge")
    assert caught.value.code == "file.unreadable"
    for name in ("challenge", "activate"):
        with pytest.raises(Refusal) as caught:
            desk.type(name, "@ca.key", *(["--root", "@ca.pem"] if name == "challenge" else []), "-o", "@x")
        assert caught.value.kind == "malformed"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("command", ["enrol", "request", "challenge", "activate", "issue", "measure", "ca new"])
def test_every_command_explains_itself_with_an_example(command: str, tmp_path: Path) -> None:
    said = desk_without_machine(tmp_path).type(*command.split(), "--help")
    assert f"Example: sealroom tpm {command}" in said
