import hashlib
import re
import textwrap
from base64 import b64encode
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scenarios.breast_cancer
import scenarios.flights
import scenarios.scenario
from mpc.canonical import format_time, parse_time
from mpc.contract.document import contract_bytes, parse_contract, strictest
from mpc.contract.explain import explain
from mpc.contract.terms import Contract, Superseded
from mpc.errors import Malformed, Misconfigured, Refusal
from mpc.evidence.claims import SimulatedReference
from scenarios import disclosure
from scenarios.columns import spelled_bound
from scenarios.rehearsal import rehearsal_contract
from scenarios.scenario import (
    ADS,
    CMS,
    Dataset,
    Party,
    Scenario,
    Subject,
    between,
    boolean,
    category,
    decimal,
    integer,
    one_of,
    real,
    sql,
    statistics,
    text,
    timestamp,
)  # fmt: skip
from scenarios.scenario import (
    date as day,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 500, tzinfo=UTC)
NOWHERE = SimulatedReference(format="simulated", code_digest="ab" * 32, measured_by="self", memory_protected=False)

north, south, university = Party("north", "North"), Party("south", "South"), Party("university", "University")

patients = Dataset(
    "patients",
    "Patients",
    owners=[south, north],
    subject=Subject("pid", domain="patient", identity="disjoint", rows="one"),
    columns={
        "pid": text("number", identifier=True),
        "grade": category("grade", {"1": "one", "2": "two"}, filterable=True),
        "nodes": integer("nodes", minimum=0, maximum=60, missing=["-9"]),
    },
)


def study(**changes: Any) -> Scenario:
    told: dict[str, Any] = {
        "title": "Nodes", "purpose": "To know.", "parties": [university, south, north], "datasets": [patients],
        "recipients": [university],
        "computations": {"nodes": statistics.summary(patients["nodes"], by=["grade"])},
    }  # fmt: skip
    return Scenario(**(told | changes))


def card(name: str, **changes: str) -> dict[str, str]:
    plain = {
        "format": "sealroom.party", "name": name, "label": name,
        "signing_key": hashlib.sha256(name.encode()).hexdigest(),
        "sealing_key": b64encode(hashlib.shake_256(name.encode()).digest(1216)).decode(),
    }  # fmt: skip
    return plain | changes


CARDS = {name: card(name) for name in ("north", "south", "university")}


def contract_of(scenario: Scenario, **changes: Any) -> Contract:
    told: dict[str, Any] = {"parties": CARDS, "enclaves": [NOWHERE], "now": NOW} | changes
    return scenario.contract(**told)


@pytest.mark.parametrize("scenario", [study(), scenarios.breast_cancer.scenario, scenarios.flights.scenario])
def test_a_scenario_makes_a_contract_that_parses_to_itself(scenario: Scenario) -> None:
    contract = rehearsal_contract(scenario)
    raw = contract_bytes(contract)
    assert parse_contract(raw) == contract
    assert explain(contract, b"", party=contract.parties[0].name).text


def test_what_the_scenario_says_stands_in_the_contract() -> None:
    contract = contract_of(
        study(valid_for=timedelta(days=3), appraisal_for=timedelta(minutes=2)), supersedes=b"\1" * 32
    )
    assert [party.name for party in contract.parties] == ["north", "south", "university"]
    assert contract.datasets[0].owners == ("north", "south")
    assert (contract.valid_from, contract.valid_until) == ("2026-03-01T12:00:00Z", "2026-03-04T12:00:00Z")
    assert contract.attested_key_seconds == 120
    assert contract.supersedes == Superseded(contract="01" * 32, history="follows")
    assert contract.computations[0].recipients == ("university",)
    assert contract.computations[0].purpose == "Nodes"
    assert (contract.computations[0].runs, contract.computations[0].unattended) == (1, 0)
    assert contract.datasets[0].columns[2].nullable


def test_the_standard_rules_are_those_of_a_careful_user() -> None:
    rules = strictest(contract_of(study()))
    assert (rules.threshold, rules.coalition, rules.zeros, rules.significant_digits) == (10, 1, "withhold", 6)


def test_one_owner_may_be_stricter() -> None:
    contract = contract_of(study(rules=CMS, rules_of={"south": ADS}))
    assert [entry.rules.profile for entry in contract.disclosure] == ["cms", "ads"]
    assert strictest(contract).threshold == 50


def test_every_profile_stands_under_its_own_name() -> None:
    assert {name: rules.threshold for name, rules in disclosure.PROFILES.items()} == {
        "standard": 10, "datashield": 3, "scql": 4, "cms": 11, "ads": 50,
    }  # fmt: skip


def test_refreshes_end_when_they_are_said_to() -> None:
    refreshed = Dataset(**{**vars(patients), "refreshes": 2, "refresh_for": timedelta(days=7)})
    contract = contract_of(study(datasets=[refreshed]))
    assert contract.datasets[0].freshness.until == "2026-03-08T12:00:00Z"


def test_parameters_have_their_declared_domain() -> None:
    asked = sql(
        "SELECT avg(nodes) AS nodes FROM patients WHERE grade = $grade",
        parameters={"grade": one_of("which grade", ["1", "2"])},
        recipients=[north, university],
        runs=5,
        unattended=2,
    )
    (computation,) = contract_of(study(computations={"nodes": asked})).computations
    (parameter,) = computation.parameters
    assert (parameter.name, parameter.allowed, parameter.minimum) == ("grade", ("1", "2"), None)
    assert (computation.recipients, computation.runs, computation.unattended) == (("north", "university"), 5, 2)


def test_a_numeric_parameter_is_whole_when_its_bounds_are() -> None:
    assert (between("n", 1, 9).type, between("n", 1, 9).maximum) == ("integer", "9")
    assert (between("n", Decimal("0.5"), 9).type, between("n", Decimal("0.5"), 9).minimum) == ("decimal", "0.5")


@pytest.mark.parametrize(
    ("cards", "code"),
    [
        ({name: CARDS[name] for name in ("north", "south")}, "scenario.party"),
        (CARDS | {"east": card("east")}, "scenario.party"),
        (CARDS | {"south": CARDS["north"]}, "scenario.party.name"),
        (CARDS | {"south": {"format": "sealroom.key", "name": "south"}}, "scenario.party.card"),
        (CARDS | {"south": {"format": "sealroom.party", "name": "south"}}, "scenario.party.card"),
    ],
)
def test_cards_that_are_not_the_parties_refuse(cards: dict[str, dict[str, str]], code: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        contract_of(study(), parties=cards)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"recipients": []}, "contract.protection.empty"),
        ({"title": "\ud800"}, "scenario.value"),
        ({"title": ""}, "scenario.field"),
        ({"valid_for": timedelta(0)}, "scenario.field"),
        ({"computations": {}}, "scenario.field"),
        ({"computations": {"Nodes!": statistics.summary(patients["nodes"])}}, "scenario.field"),
        ({"datasets": [patients, patients]}, "contract.duplicate"),
        ({"parties": [north, south, university, north]}, "contract.duplicate"),
    ],
)
def test_a_study_that_is_no_contract_refuses(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Malformed) as caught:
        contract_of(study(**changes))
    assert caught.value.code == code


def test_a_field_that_breaks_its_form_is_told_by_the_names_in_the_file() -> None:
    with pytest.raises(Malformed) as caught:
        contract_of(study(computations={"nodes": statistics.summary(patients["nodes"], runs=0)}))
    assert caught.value.field == "computations.nodes.runs"
    assert caught.value.remedy == "correct computations.nodes.runs in the scenario"


def test_a_word_where_a_list_belongs_is_told_and_not_read_letter_by_letter() -> None:
    with pytest.raises(Misconfigured) as caught:
        statistics.summary(patients["nodes"], by="grade")
    assert caught.value.code == "scenario.list"
    assert 'by=["grade"]' in caught.value.remedy


def test_no_accepted_enclave_says_what_to_write() -> None:
    with pytest.raises(Malformed) as caught:
        contract_of(study(), enclaves=[])
    assert caught.value.code == "contract.protection.empty"
    assert "at least one enclave" in caught.value.remedy


def test_a_column_that_the_dataset_lacks_refuses_where_it_is_named() -> None:
    with pytest.raises(Misconfigured) as caught:
        patients["nodse"]
    assert "nodes" in caught.value.remedy


def test_a_method_takes_columns_of_one_dataset() -> None:
    flights = scenarios.flights.flights
    with pytest.raises(Misconfigured) as caught:
        statistics.crosstab(patients["grade"], flights["airport"])
    assert caught.value.code == "scenario.statistics"


def test_every_column_type_has_its_constructor() -> None:
    columns = {
        "pid": text("number", identifier=True),
        "whole": integer("whole", minimum=-5, maximum=5),
        "broken": real("broken", unit="mm", minimum=-0.25, maximum=1e6),
        "exact": decimal("exact", precision=12, scale=2, minimum=Decimal("-0.50"), maximum=100),
        "kind": category("kind", {"b": "second", "a": "first"}),
        "words": text("words", missing=["?", "-"]),
        "day": day("day", minimum=date(2020, 2, 29)),
        "moment": timestamp("moment", maximum=datetime(2020, 1, 1, 12, tzinfo=UTC)),
        "flag": boolean("flag", nullable=True),
    }
    dataset = Dataset("patients", "All types", [north], columns, Subject("pid", "patient", "unknown"))
    asked = {"n": sql("SELECT count(*) AS n FROM patients")}
    contract = contract_of(study(datasets=[dataset], computations=asked))
    terms = {column.name: column for column in contract.datasets[0].columns}
    assert list(terms) == list(columns)
    assert [terms[name].type for name in columns] == [
        "text", "integer", "float", "decimal", "category", "text", "date", "timestamp", "boolean",
    ]  # fmt: skip
    assert (terms["broken"].minimum, terms["broken"].maximum) == ("-0.25", "1000000")
    assert (terms["exact"].minimum, terms["exact"].maximum, terms["exact"].scale) == ("-0.5", "100", 2)
    assert terms["day"].minimum == "2020-02-29"
    assert terms["moment"].maximum == "2020-01-01T12:00:00Z"
    assert [code.value for code in terms["kind"].codes] == ["b", "a"]
    assert (terms["words"].missing, terms["words"].nullable) == (("-", "?"), True)


@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.decimals(-(10**20), 10**20)))
def test_a_bound_has_the_one_spelling_of_its_value(value: float | Decimal) -> None:
    spelled = spelled_bound(value)
    assert spelled is not None
    assert re.fullmatch(r"0|-?(0\.[0-9]*[1-9]|[1-9][0-9]*(\.[0-9]*[1-9])?)", spelled)
    assert Decimal(spelled) == Decimal(str(value))


@given(st.integers(0, 2**32 * 10**6))
def test_a_contract_begins_at_the_whole_second(microseconds: int) -> None:
    now = datetime(1990, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    assert parse_time(format_time(now)) == now.replace(microsecond=0)


def test_the_question_of_the_demo_that_is_refused_is_refused() -> None:
    asked = scenarios.breast_cancer.scenario
    spoiled = {**asked.computations, "patients_over_80": sql(scenarios.breast_cancer.REFUSED_QUESTION)}
    with pytest.raises(Refusal) as caught:
        rehearsal_contract(Scenario(**{**vars(asked), "computations": spoiled}))
    assert caught.value.code.startswith("sql.")


def test_the_example_of_the_documentation_is_a_whole_study() -> None:
    example = textwrap.dedent((scenarios.scenario.__doc__ or "").partition("\n\n")[2].rpartition("\n\n")[0])
    defined: dict[str, Any] = dict(vars(scenarios.scenario))
    exec(example, defined)  # noqa: S102 - it is our own
    assert len(rehearsal_contract(defined["scenario"]).computations) == 2
    assert len([line for line in example.splitlines() if line.strip()]) <= 35
