"""Three parties with real keys, a contract of theirs, and sources with marked rows."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from mpc.canonical import canonical_json, sha256
from mpc.contract.document import contract_bytes
from mpc.contract.terms import Computation, Contract, Limits, PartyRules, Rules, Superseded
from mpc.evidence.claims import SimulatedReference
from mpc.questions.terms import SqlQuestion
from mpc.table.schema import Code, Column, Dataset, Freshness, Subject
from parties.config import Config, parse_config
from parties.keys import Card, Keys, load_keys, new_keys
from parties.ledger import Ledger

NAMES = ("north", "south", "university")
START = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
MARK = 0x0DB4_DA5F_7EF4_0000
"""Every row's identifier is this and less than 2**16: wherever its start shows, a row has leaked."""
MARKS = (str(MARK)[:-6].encode(), MARK.to_bytes(8, "little")[2:], MARK.to_bytes(8, "big")[:-2])


def column(name: str, kind: str, **changes: object) -> Column:
    plain = {
        "name": name, "description": f"the {name}", "type": kind, "precision": None, "scale": None, "unit": None,
        "nullable": False, "missing": (), "minimum": None, "maximum": None, "codes": (), "filterable": False,
        "identifier": False,
    }  # fmt: skip
    return Column.model_validate(plain | changes)


def patients(**changes: object) -> Dataset:
    plain = {
        "name": "patients",
        "description": "Patients",
        "owners": ("north", "south"),
        "columns": (
            column("pid", "integer", identifier=True),
            column("age", "integer", minimum="18", maximum="110", missing=("-9",), nullable=True),
            column(
                "grade", "category", codes=tuple(Code(value=code, label=code) for code in "123"), filterable=True
            ),
            column("weight", "float"),
        ),
        "subject": Subject(domain="patient", column="pid", identity="disjoint", normalisation="exact", rows="one"),
        "keys": (),
        "freshness": Freshness(refreshes=0, until=None),
    }  # fmt: skip
    return Dataset.model_validate(plain | changes)


RULES = Rules(
    profile="standard", threshold=10, coalition=1, zeros="withhold", complementary="suppress", significant_digits=6
)


def contract_of(cards: dict[str, Card], code_digest: bytes = bytes(32), **changes: object) -> Contract:
    plain = {
        "format": "sealroom.contract",
        "version": 1,
        "title": "Weight by grade",
        "purpose": "To describe both cohorts together.",
        "parties": tuple(cards[name].party() for name in NAMES),
        "datasets": (patients(),),
        "computations": (
            Computation(
                name="weight_by_grade",
                purpose="Mean weight at each grade",
                question=SqlQuestion(
                    kind="sql",
                    text="SELECT grade, count(*) AS patients, avg(weight) AS weight FROM patients GROUP BY grade",
                ),
                parameters=(),
                recipients=("university",),
                runs=3,
                unattended=2,
            ),
        ),
        "disclosure": tuple(PartyRules(party=name, rules=RULES) for name in ("north", "south")),
        "enclaves": (
            SimulatedReference(
                format="simulated", code_digest=code_digest.hex(), measured_by="self", memory_protected=False
            ),
        ),
        "attested_key_seconds": 600,
        "limits": Limits(upload_mib=64, resident_mib=64, run_memory_mib=512, run_seconds=30),
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2036-01-01T00:00:00Z",
        "supersedes": None,
    }
    return Contract.model_validate(plain | changes)


@dataclasses.dataclass
class Clock:
    """A clock that stands until it is moved."""

    time: datetime = START

    def __call__(self) -> datetime:
        return self.time

    def move(self, **span: float) -> None:
        self.time += timedelta(**span)


@dataclasses.dataclass(frozen=True)
class Member:
    """One party on disk: its folder, keys and configuration."""

    name: str
    folder: Path
    card: Card
    config: Config

    @property
    def keys(self) -> Keys:
        return load_keys(self.config.party.key)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cards(tmp_path: Path) -> dict[str, Card]:
    return {name: new_keys(name, name.capitalize(), tmp_path / name / "party.key") for name in NAMES}


@pytest.fixture
def contract(cards: dict[str, Card]) -> Contract:
    return contract_of(cards)


@pytest.fixture
def raw(contract: Contract) -> bytes:
    return contract_bytes(contract)


@pytest.fixture
def member(tmp_path: Path, cards: dict[str, Card]) -> Callable[..., Member]:
    """Make one party's folder: ``member("north", rows=1000, settings="[consent] …")``."""

    def make(name: str, *, address: str = "127.0.0.1:1", rows: int = 0, settings: str = "", source: str = "") -> Member:
        folder = tmp_path / name
        known = "\n".join(f'{other} = "{card.fingerprint}"' for other, card in cards.items() if other != name)
        if rows:
            write_rows(folder / "patients.csv", rows, offset=NAMES.index(name))
            source = source or '[datasets.patients]\nsource = "patients.csv"\n'
        text = f"""
            [party]
            name = "{name}"
            label = "{name.capitalize()}"
            state = "s"
            key = "party.key"
            [coordinator]
            address = "{address}"
            [known_parties]
            {known}
            [trust]
            accept_self_measured = ["simulated"]
            accept_visible_memory = ["simulated"]
            {settings}
            {source}
        """
        (folder / "party.toml").write_text(text)
        return Member(name, folder, cards[name], parse_config(text.encode(), folder=folder))

    return make


def write_rows(path: Path, rows: int, *, offset: int = 0) -> None:
    """Write a CSV of marked rows: each pid holds ``MARK``."""
    lines = ["pid,age,grade,weight"]
    lines += [f"{MARK + offset * 20_000 + row},{20 + row % 60},{1 + row % 3},{50 + row % 40}.5" for row in range(rows)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def superseding(digest: bytes, history: Literal["follows", "begins_anew"] = "follows") -> Superseded:
    return Superseded(contract=digest.hex(), history=history)


def digest_of(contract: Contract) -> bytes:
    return sha256(canonical_json(contract))
