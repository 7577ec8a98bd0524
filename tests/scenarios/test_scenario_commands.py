import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpc.canonical import sha256
from mpc.contract.document import contract_bytes, parse_contract
from mpc.contract.terms import Contract
from mpc.errors import Refusal
from parties.keys import card_path, new_keys
from scenarios.cli import app, contract_app

REFERENCE = {"format": "simulated", "code_digest": "ab" * 32, "measured_by": "self", "memory_protected": False}
PARTIES = ("north_hospital", "south_hospital", "university")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def study() -> Path:
    assert CliRunner().invoke(app, ["new", "study"]).exit_code == 0
    return Path("study.py")


@pytest.fixture
def given() -> list[str]:
    Path("enclave.json").write_text(json.dumps(REFERENCE, indent=2))
    options = ["--enclave", "enclave.json"]
    for name in PARTIES:
        new_keys(name, name, Path(f"{name}.key"))
        options += ["--party", f"{name}={card_path(Path(f'{name}.key'))}"]
    return options


def test_a_new_study_can_be_rehearsed_at_once(study: Path) -> None:
    shown = CliRunner().invoke(app, ["run", str(study), "--rows", "300"])
    assert shown.exit_code == 0
    assert "mean age" in shown.stdout
    assert "the numbers mean nothing" in shown.stderr


def test_a_rehearsal_gives_data(study: Path) -> None:
    shown = CliRunner().invoke(app, ["run", str(study), "--rows", "300", "--json"])
    data = json.loads(shown.stdout)
    assert data["synthetic"] is True
    assert [answer["computation"] for answer in data["answers"]] == ["nodes_by_grade", "patients_by_grade"]


def test_a_new_study_is_never_written_over_an_old_file(study: Path) -> None:
    study.write_text("mine")
    assert isinstance(CliRunner().invoke(app, ["new", "study.py"]).exception, Refusal)
    assert study.read_text() == "mine"


def test_a_study_becomes_a_contract(study: Path, given: list[str]) -> None:
    shown = CliRunner().invoke(contract_app, ["build", str(study), *given, "-o", "contract.json", "--json"])
    assert shown.exit_code == 0, shown.exception
    raw = Path("contract.json").read_bytes()
    assert json.loads(shown.stdout)["digest"] == sha256(raw).hex()
    contract = parse_contract(raw)
    assert tuple(party.name for party in contract.parties) == PARTIES
    assert contract.enclaves[0].code_digest == "ab" * 32

    superseded = ["--supersedes", "contract.json", "-o", "next.json"]
    assert CliRunner().invoke(contract_app, ["build", str(study), *given, *superseded]).exit_code == 0
    assert parse_contract(Path("next.json").read_bytes()).predecessor == sha256(raw).hex()


def test_a_successor_without_an_owner_of_the_contract_before_has_to_begin_anew(study: Path, given: list[str]) -> None:
    build = [str(study), *given, "-o"]
    assert CliRunner().invoke(contract_app, ["build", *build, "contract.json"]).exit_code == 0
    before = json.loads(Path("contract.json").read_bytes())
    (dataset,) = before["datasets"]
    left = dataset["owners"][0]
    dataset["owners"] = sorted(name if name != left else "zz_left" for name in dataset["owners"])
    for named in (*before["parties"], *before["disclosure"]):
        for key in ("name", "party"):
            if named.get(key) == left:
                named[key] = "zz_left"
    for named in ("parties", "disclosure"):
        before[named].sort(key=lambda entry: entry.get("name") or entry["party"])
    earlier = Contract.model_validate_json(json.dumps(before))
    Path("earlier.json").write_bytes(contract_bytes(earlier))
    superseding = ["--supersedes", "earlier.json"]
    refused = CliRunner().invoke(contract_app, ["build", *build, "next.json", *superseding])
    assert isinstance(refused.exception, Refusal)
    assert refused.exception.code == "contract.history.owner_left"
    assert "--history-begins-anew" in refused.exception.remedy
    assert not Path("next.json").exists()
    anew = CliRunner().invoke(contract_app, ["build", *build, "next.json", *superseding, "--history-begins-anew"])
    assert anew.exit_code == 0, anew.exception
    after = parse_contract(Path("next.json").read_bytes())
    assert (after.predecessor, after.supersedes and after.supersedes.history) == (None, "begins_anew")


def test_a_party_without_its_card_is_named(study: Path, given: list[str]) -> None:
    shown = CliRunner().invoke(contract_app, ["build", str(study), *given[:-2], "-o", "contract.json"])
    assert isinstance(shown.exception, Refusal)
    assert "university" in shown.exception.what
    assert not Path("contract.json").exists()
