"""Gramine's settings: read as they are written, refused where they say nothing, turned into reference values."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpc.errors import Malformed
from mpc.evidence.formats import recognise
from mpc.evidence.ratls.gramine_settings import parse_settings
from mpc.evidence.ratls.reference import references_of_settings
from mpc.evidence.verdict import examine, parse_reference
from parties.cli.application import app
from tests.evidence.intel_forge import NOW

BASE = {
    "RA_TLS_MRENCLAVE": "e1" * 32,
    "RA_TLS_MRSIGNER": "any",
    "RA_TLS_ISV_PROD_ID": "any",
    "RA_TLS_ISV_SVN": "2",
}


def text(**changed: str | None) -> bytes:
    lines = [f"{name}={value}" for name, value in (BASE | changed).items() if value is not None]
    return ("# whom to believe\nPATH=/bin\n" + "\n".join(lines) + "\n").encode()


def test_settings_are_read_as_shells_containers_and_manifests_write_them() -> None:
    plain = parse_settings(text())
    assert (plain.mrenclave, plain.mrsigner, plain.isv_prod_id, plain.isv_svn) == (b"\xe1" * 32, None, None, 2)
    for form in ("export {}", "ENV {}", "loader.env.{}", "  {}  # why", "{};"):
        lines = [form.format(f"{name}={value}") for name, value in BASE.items()]
        assert parse_settings("\n".join(lines).encode()) == plain
    for form in ("{}='{}'", '{} = "{}"'):
        assert parse_settings("\n".join(form.format(*pair) for pair in BASE.items()).encode()) == plain


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (text(RA_TLS_MRSIGNER=None), "missing field"),
        (text(RA_TLS_MRENCLAVE="e1"), "malformed hex"),
        (text(RA_TLS_MRENCLAVE=""), "malformed hex"),
        (text(RA_TLS_ISV_SVN="-1"), "value out of range"),
        (text(RA_TLS_ISV_SVN="65536"), "value out of range"),
        (text(RA_TLS_ISV_SVN="0x2"), "value out of range"),
        (text(RA_TLS_ALLOW_OUTDATED_TCB_INSECURE="yes"), "value out of range"),
        (text(RA_TLS_ALLOW_OUTDATED_TCB="1"), "unknown key"),
        (text() + b"RA_TLS_ISV_SVN=2\n", "a setting stands twice"),
        (text(RA_TLS_MRENCLAVE="$(cat mr)"), "a line that is no setting"),
        (text() + b"#" * (1 << 20), "it is over the limit of size, or no plain text"),
        (text() + b"\xff", "it is over the limit of size, or no plain text"),
    ],
)
def test_settings_that_say_something_else_refuse_by_their_reason(raw: bytes, why: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_settings(raw)
    assert refused.value.why == why


def test_settings_are_recognised_and_shown() -> None:
    assert recognise(text()) == "gramine"
    verdict = examine(text(), at=NOW)
    assert (verdict.accepted, verdict.stage) == (True, "parse")
    assert verdict.document is not None
    assert verdict.document.facts["mrsigner"] == "any"


def test_allowances_are_waivers_where_all_that_a_status_needs_are_given() -> None:
    named = {
        "RA_TLS_ALLOW_OUTDATED_TCB_INSECURE": {"tcb:OutOfDate"},
        "RA_TLS_ALLOW_HW_CONFIG_NEEDED": {"tcb:ConfigurationNeeded"},
        "RA_TLS_ALLOW_SW_HARDENING_NEEDED": {"tcb:SWHardeningNeeded"},
    }
    for name, waived in named.items():
        (reference,) = references_of_settings(parse_settings(text(**{name: "1"})), minimum_evaluation=1)
        assert set(reference.accepted) == waived
    (every,) = references_of_settings(parse_settings(text(**dict.fromkeys(named, "1"))), minimum_evaluation=1)
    both = {"tcb:OutOfDateConfigurationNeeded", "tcb:ConfigurationAndSWHardeningNeeded"}
    assert set(every.accepted) == set().union(*named.values(), both)
    (none,) = references_of_settings(parse_settings(text(**dict.fromkeys(named, "0"))), minimum_evaluation=1)
    assert none.accepted == ()


def test_a_debug_enclave_has_reference_values_of_its_own() -> None:
    settings = parse_settings(text(RA_TLS_ALLOW_DEBUG_ENCLAVE_INSECURE="1"))
    careful, debug = references_of_settings(settings, minimum_evaluation=1)
    assert (careful.accepted, careful.attributes[:2]) == ((), "00")
    assert (debug.accepted, debug.attributes[:2]) == (("debug",), "02")


@pytest.mark.parametrize(
    "changed",
    [
        {"RA_TLS_MRENCLAVE": "any"},
        {"RA_TLS_MRENCLAVE": "00" * 32},
        {"RA_TLS_MRENCLAVE": "any", "RA_TLS_MRSIGNER": "e2" * 32},  # which of its products?
    ],
)
def test_settings_that_believe_anybody_make_no_reference_values(changed: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        references_of_settings(parse_settings(text(**changed)), minimum_evaluation=1)


def test_the_command_writes_reference_values_that_read_back(tmp_path: Path) -> None:
    (tmp_path / "settings").write_bytes(text(RA_TLS_ALLOW_DEBUG_ENCLAVE_INSECURE="1"))
    (tmp_path / "one").write_bytes(text())

    def write(name: str, output: str, form: str = "gramine"):
        words = ["evidence", "reference", str(tmp_path / name), "--format", form, "--minimum-evaluation", "19"]
        return CliRunner().invoke(app, [*words, "-o", str(tmp_path / output)])

    assert write("one", "enclave.json").exit_code == 0
    read = parse_reference((tmp_path / "enclave.json").read_bytes())
    assert (read,) == references_of_settings(parse_settings(text()), minimum_evaluation=19)
    assert json.loads((tmp_path / "enclave.json").read_bytes())["format"] == "sgx"
    assert write("settings", "both.json").exit_code == 0
    assert {path.name for path in tmp_path.glob("both*")} == {"both-1.json", "both-2.json"}
    assert write("one", "other.json", form="nobody").exit_code != 0
