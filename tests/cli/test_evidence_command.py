"""`sealroom evidence verify`, over the shared vectors: real evidence, and what a correct verifier says of it.

The folder is the one that ``SEALROOM_VECTORS`` names, or ``../shared/vectors`` beside the checkout.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mpc.canonical import sha256
from mpc.errors import KINDS
from parties.cli.application import app
from tests.cli.command import sealroom
from tests.evidence.snp_forge import MEASUREMENT, SnpForge

VECTORS = Path(os.environ.get("SEALROOM_VECTORS") or Path(__file__).parents[3] / "shared" / "vectors")
STAGES = ("parse", "verify", "appraise")
SOFTWARE_TPM = "tpm-swtpm-"


@pytest.fixture(scope="module")
def entries() -> list[dict[str, Any]]:
    if not (VECTORS / "index.json").is_file():
        pytest.skip(f"there are no vectors at {VECTORS}: name their folder in SEALROOM_VECTORS")
    every = json.loads((VECTORS / "index.json").read_text(encoding="utf-8"))
    return [entry for entry in every if entry["id"].startswith(SOFTWARE_TPM)]


def arguments(entry: dict[str, Any], **changed: str) -> list[str]:
    """Return what a person types for an entry of the index."""
    options = {"nonce": entry["given"]["nonce"], "format": entry["format"]}
    if entry["verify_at"]:
        options["at"] = entry["verify_at"]
    given = [f"--{name}={value}" for name, value in (options | changed).items()]
    given += [f"--endorsements={VECTORS / name}" for name in entry["endorsements"]]
    return ["evidence", "verify", str(VECTORS / entry["file"]), *given]


def asked(entry: dict[str, Any], **changed: str) -> Result:
    return CliRunner().invoke(app, [*arguments(entry, **changed), "--json"], catch_exceptions=False)


def test_every_vector_of_a_software_tpm_gets_its_verdict_stage_reason_and_facts(entries: list[dict[str, Any]]) -> None:
    ran = []
    for entry in entries:
        assert sha256((VECTORS / entry["file"]).read_bytes()).hex() == entry["sha256"]
        result, expected = asked(entry), entry["expect"]
        said = json.loads(result.stdout)
        assert {"verdict", "stage", "reason", "checks", "claims"} <= set(said)
        assert (said["verdict"], said["reason"]) == (expected["verdict"], expected.get("reason", ""))
        assert all({"check", "expected", "found", "passed"} <= set(check) for check in said["checks"])
        if expected["verdict"] == "accept":
            assert result.exit_code == 0
            assert said["stage"] == expected["stage"]
            assert said["checks"]
            assert all(check["passed"] for check in said["checks"])
            _check_facts(said["claims"], expected)
        else:
            assert result.exit_code in {kind.exit_code for kind in KINDS.values()}
            assert STAGES.index(said["stage"]) <= STAGES.index(expected["stage"])
            assert not said["checks"] or not all(check["passed"] for check in said["checks"])
        ran.append(entry["id"])
    assert ran == ["tpm-swtpm-rsa", "tpm-swtpm-ecc", "tpm-swtpm-empty"]


def _check_facts(claims: dict[str, Any], expected: dict[str, Any]) -> None:
    assert claims["bound"] == expected["nonce"]
    assert claims["facts"]["selection"] == ",".join(map(str, expected["selection"]))
    assert claims["facts"]["bank"] == expected["bank"]
    assert (claims["facts"]["ak_endorsed"] == "yes") == expected["ak_endorsed"]
    for index, value in expected["pcrs"].items():
        assert claims["measurements"][f"pcr{index}"] == value


def test_another_nonce_is_refused_and_the_exit_code_says_so(entries: list[dict[str, Any]]) -> None:
    result = asked(entries[0], nonce="00ff")
    said = json.loads(result.stdout)
    assert (said["verdict"], said["stage"], said["reason"]) == ("refuse", "verify", "wrong nonce")
    assert result.exit_code == KINDS["untrusted"].exit_code


def test_a_person_reads_the_checks_and_the_verdict(entries: list[dict[str, Any]]) -> None:
    by_id = {entry["id"]: entry for entry in entries}
    accepted = sealroom(*arguments(by_id["tpm-swtpm-ecc"]))
    assert accepted.code == 0
    assert "Accepted" in accepted.err
    assert "passed" in accepted.out
    refused = sealroom(*arguments(by_id["tpm-swtpm-empty"]))
    assert refused.code == KINDS["untrusted"].exit_code
    assert "empty PCR selection" in refused.err
    assert "Traceback" not in refused.err


@pytest.mark.parametrize(
    ("option", "code"),
    [("--nonce=xyz", "argument.hex"), ("--at=yesterday", "argument.time"), ("--root=absent", "file.unreadable")],
)
def test_options_that_are_not_understood_refuse(tmp_path: Path, option: str, code: str) -> None:
    (tmp_path / "evidence").write_bytes(b"evidence")
    said = sealroom("evidence", "verify", "evidence", option, folder=tmp_path)
    assert said.code == KINDS["misconfigured"].exit_code
    assert code in said.err


def test_what_was_believed_is_told_in_a_few_lines(tmp_path: Path) -> None:
    forge, files = SnpForge(), []
    for name, data in zip(("leaf", "issuer", "root", "report"), (*forge.endorsements, forge.report()), strict=True):
        (tmp_path / name).write_bytes(data)
        files.append(str(tmp_path / name))
    leaf, issuer, root, report = files
    told = sealroom(
        "evidence", "verify", report, "--at=2026-06-01T00:00:00Z", f"--root={root}",
        f"--endorsements={leaf}", f"--endorsements={issuer}", f"--endorsements={root}",
    )  # fmt: skip
    for words in (MEASUREMENT.hex(), "hidden from its host", "hardware", "Accepted", "sev-snp"):
        assert words in told.out + told.err
    (tmp_path / "log").write_bytes(bytes(4) + b"\4\0\0\0" + bytes(20) + b"\4\0\0\0" + bytes(4))
    read = sealroom("evidence", "verify", str(tmp_path / "log"))
    assert "Read, signed by nobody: event log, which by itself is evidence of no enclave" in read.err
    assert "Accepted" not in read.err


def test_a_chain_that_ends_early_is_told_by_what_is_missing(tmp_path: Path) -> None:
    forge = SnpForge()
    (tmp_path / "leaf").write_bytes(forge.leaf)
    told = CliRunner().invoke(app, ["evidence", "verify", str(tmp_path / "leaf"), "--json"])
    assert json.loads(told.stdout)["reason"].endswith("a certificate of SEV-Milan was not given")
