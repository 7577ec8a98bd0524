"""`sealroom contract amend`: a successor with other enclaves, and not one other word changed."""

from pathlib import Path

import pytest

from mpc.canonical import canonical_json, sha256
from mpc.contract.diff import only_enclaves_differ
from mpc.contract.document import contract_bytes, parse_contract
from mpc.errors import KINDS
from mpc.evidence.claims import SimulatedReference
from scenarios import breast_cancer
from scenarios.rehearsal import rehearsal_contract
from tests.cli.command import sealroom


def written(path: Path, *codes: int) -> list[str]:
    """Write reference values for each code digest; return the options that name them."""
    options = []
    for code in codes:
        reference = SimulatedReference(
            format="simulated", code_digest=f"{code:02x}" * 32, measured_by="self", memory_protected=False
        )
        (path / f"{code}.json").write_bytes(canonical_json(reference))
        options += ["--enclave", str(path / f"{code}.json")]
    return options


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    path = tmp_path / "contract.json"
    path.write_bytes(contract_bytes(rehearsal_contract(breast_cancer.scenario)))
    return path


def test_only_the_enclaves_and_the_place_in_the_chain_change(tmp_path: Path, contract: Path) -> None:
    new = tmp_path / "contract2.json"
    said = sealroom("contract", "amend", str(contract), *written(tmp_path, 2, 1), "-o", str(new), "--json")
    assert said.code == 0, said.err
    before, after = parse_contract(contract.read_bytes()), parse_contract(new.read_bytes())
    assert only_enclaves_differ(before, after)
    assert after.predecessor == sha256(contract.read_bytes()).hex() == said.data["supersedes"]
    assert said.data["digest"] == sha256(new.read_bytes()).hex()
    assert [enclave.code_digest[:2] for enclave in after.enclaves] == ["01", "02"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("codes", "code", "kind"),
    [((0,), "contract.amend.same", "misconfigured"), ((1, 1), "contract.duplicate", "malformed")],
    ids=["the same", "one twice"],
)
def test_what_amends_nothing_or_repeats_is_refused_and_nothing_is_written(
    tmp_path: Path, contract: Path, codes: tuple[int, ...], code: str, kind: str
) -> None:
    new = tmp_path / "contract2.json"
    said = sealroom("contract", "amend", str(contract), *written(tmp_path, *codes), "-o", str(new))
    assert (said.code, code in said.err) == (KINDS[kind].exit_code, True), said.err
    assert not new.exists()
