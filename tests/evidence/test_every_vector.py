"""All real evidence beside the checkout: each piece gets its verdict and its reason, and no format is left out."""

import json
from collections import Counter

import pytest
from typer.testing import CliRunner

from mpc.evidence.formats import FORMATS
from parties.cli.application import app
from tests.vectors import VECTORS, Entry, assert_as_expected, entries, judge, needs_vectors

EXPECTED = {
    "tpm": (8, 6), "sgx": (9, 0), "tdx": (63, 17), "dcap-collateral": (23, 20), "sev-snp": (42, 28), "enarx": (10, 5),
    "nitro": (8, 3), "azure-vtpm": (10, 7), "ear": (10, 7), "cmw": (4, 4), "keystone": (4, 1), "veracruz": (24, 8),
    "ra-tls": (5, 0), "gramine": (2, 0), "open-enclave": (37, 0), "occlum": (6, 6),
}  # fmt: skip
"""How many there are of each format, and how many of them are accepted."""
SAMPLED = [entry for name in EXPECTED for entry in (*entries(name)[:1], *entries(name)[-1:])]


@needs_vectors
@pytest.mark.parametrize("name", EXPECTED)
def test_every_vector_of_a_format_gets_its_verdict_and_its_reason(name: str) -> None:
    said = Counter()
    for entry in entries(name):
        verdict = judge(entry)
        assert_as_expected(entry, verdict)
        said[verdict.accepted] += 1
    assert (said.total(), said[True]) == EXPECTED[name]


@needs_vectors
def test_every_format_is_covered_and_every_entry_counted() -> None:
    index = json.loads((VECTORS / "index.json").read_bytes())
    assert Counter(entry["format"] for entry in index) == {name: count for name, (count, _) in EXPECTED.items()}
    assert len(index) == 265
    assert set(FORMATS) - set(EXPECTED) == {"simulated"}


@needs_vectors
@pytest.mark.parametrize("entry", SAMPLED, ids=lambda entry: entry["id"])
def test_the_command_says_the_same(entry: Entry) -> None:
    told = entry.get("given") or {}
    options = [f"--{name}={told[name]}" for name in ("nonce", "bank", "form") if name in told]
    options += [f"--at={entry['verify_at']}"] if entry["verify_at"] else []
    options += [f"--endorsements={VECTORS / name}" for name in entry["endorsements"]]
    result = CliRunner().invoke(
        app, ["evidence", "verify", str(VECTORS / entry["file"]), f"--format={entry['format']}", *options, "--json"]
    )
    said = json.loads(result.stdout)
    assert (said["verdict"], said["reason"].partition(":")[0]) == (
        entry["expect"]["verdict"], entry["expect"].get("reason", ""),
    )  # fmt: skip
    assert (result.exit_code == 0) == (said["verdict"] == "accept")
    assert {"stage", "checks", "claims"} <= set(said)
