"""`sealroom steward serve` as an operator starts it."""

import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.cli.command import sealroom
from tests.evidence.enarx_forge import snp_request
from tests.evidence.snp_forge import NOW, YEAR
from tests.steward.operators import FORGE, OPERATOR, authority_certificate, pem_of

pytestmark = pytest.mark.slow
POLICY = f"[snp]\nhash = ['{'ab' * 48}']\n"


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    key, certificate, policy = tmp_path / "ca.key", tmp_path / "ca.pem", tmp_path / "steward.toml"
    key.touch(mode=0o600)
    key.write_bytes(pem_of(OPERATOR))
    certificate.write_bytes(authority_certificate(OPERATOR, ends=NOW + 10 * YEAR))
    policy.write_text(POLICY)
    return [
        "--policy", str(policy), "--key", str(key), "--certificate", str(certificate), "--san", "keep.example",
        "--listen", "127.0.0.1:0",
    ]  # fmt: skip


def test_it_answers_until_it_is_told_to_end(options: list[str]) -> None:
    command = [sys.executable, "-m", "parties.cli", "steward", "serve", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split("//")[1].strip("/\n")
        connection = HTTPConnection(address, timeout=10)
        try:
            connection.request("POST", "/", snp_request(FORGE), {"content-type": "application/pkcs10"})
            answer = connection.getresponse()
            assert (answer.status, b"evidence." in answer.read()) == (400, True)  # a false vendor's keep
        finally:
            connection.close()
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) in {0, -signal.SIGTERM}


def test_it_does_not_start_with_a_key_that_others_may_read(options: list[str]) -> None:
    Path(options[3]).chmod(0o644)
    said = sealroom("steward", "serve", *options)
    assert said.code == 9
    assert "others may read the authority's key" in said.err


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--listen", "somewhere"], "the address is not understood"),
        (["--san", "no name"], "is no DNS name"),
        (["--accept", "everything"], "malformed"),
        (["--tls-key", "key.pem"], "TLS needs both"),
        (["--policy", "absent.toml"], "cannot be read"),
    ],
)
def test_it_says_what_is_wrong_with_its_settings(options: list[str], more: list[str], why: str) -> None:
    said = sealroom("steward", "serve", *options, *more)
    assert said.code in {3, 9}
    assert why in said.err
