"""`coordinator serve --attester`: what it offers, and that it never falls back on what anybody can forge."""

import re
from pathlib import Path

from typer.testing import CliRunner

from mpc.attesters import ATTESTERS
from mpc.coordinator.cli import app
from mpc.errors import Malformed, Misconfigured

WORDS = ["serve", "--listen", "127.0.0.1:0"]


def test_the_help_names_every_attester() -> None:
    shown = re.sub(r"[\s│]+", " ", CliRunner().invoke(app, ["serve", "--help"]).stdout)
    assert ", ".join(ATTESTERS) in shown


def test_auto_refuses_on_a_machine_without_hardware_and_leaves_no_state(tmp_path: Path) -> None:
    words = [*WORDS, "--attester", "auto", "--device-root", str(tmp_path / "bare"), "--state", str(tmp_path / "state")]
    refused = CliRunner().invoke(app, words).exception
    assert isinstance(refused, Misconfigured)
    assert refused.code == "attester.none"
    assert not (tmp_path / "state").exists()


def test_collateral_that_cannot_be_read_or_is_damaged_refuses_at_the_start(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.collateral"
    damaged.write_bytes(b'{"format":"sealroom collateral",')
    words = [*WORDS, "--attester", "nitro", "--state", str(tmp_path / "state"), "--endorsements"]
    assert isinstance(CliRunner().invoke(app, [*words, str(damaged)]).exception, Malformed)
    assert isinstance(CliRunner().invoke(app, [*words, str(tmp_path / "absent")]).exception, Misconfigured)
