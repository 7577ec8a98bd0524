"""Regressions asked in a scenario: rehearsed through contract, engine, disclosure control and report."""

from typing import Any

import pytest

from mpc.errors import Refusal
from parties.report.view import term_in_words, terms
from scenarios.rehearsal import rehearsal_contract, rehearse
from scenarios.scenario import Dataset, Party, Scenario, Subject, boolean, category, integer, real, statistics

north, south, west = Party("north", "North"), Party("south", "South"), Party("west", "West")
patients = Dataset(
    "patients",
    "patients",
    owners=[north, south, west],
    subject=Subject("pid", domain="patient", identity="disjoint", rows="one"),
    columns={
        "pid": integer("number", identifier=True, minimum=0, maximum=1_000_000),
        "grade": category("grade", {"1": "well", "2": "moderately", "3": "poorly"}, filterable=True),
        "ill": boolean("whether ill", filterable=True),
        "age": integer("age", minimum=18, maximum=90, nullable=True),
        "score": real("score", unit="points", minimum=0, maximum=1),
        "weight": real("weight", minimum=0.5, maximum=2),
        "visits": integer("visits", minimum=0, maximum=9),
        "years": real("years", minimum=1, maximum=5),
    },
)
ASKED = {
    "linear": statistics.linear("score ~ poly(age, 2) + grade", patients, errors="HC3", parties="left_out"),
    "weighted": statistics.linear("score ~ age", patients, weights=patients["weight"], residuals=True, confidence=0.9),
    "logistic": statistics.logistic("ill ~ age * grade", patients, parties="effects"),
    "poisson": statistics.poisson("visits ~ grade + offset(log(years))", patients, parties="compared"),
    "negative_binomial": statistics.negative_binomial("visits ~ age", patients, purpose="to test", runs=2),
}


def study(**asked: Any) -> Scenario:
    return Scenario(
        title="Regressions", purpose="To explain.", parties=[north, south, west], datasets=[patients],
        recipients=[north], computations=asked,
    )  # fmt: skip


@pytest.fixture(scope="module")
def rehearsal() -> Any:
    return rehearse(study(**ASKED), rows=900, seed=3)


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("linear", {"coefficients", "models", "parties", "heterogeneity", "left_out"}),
        ("weighted", {"coefficients", "models", "residuals"}), ("logistic", {"coefficients", "models"}),
        ("poisson", {"coefficients", "models", "parties", "heterogeneity"}),
    ],
)  # fmt: skip
def test_a_rehearsal_answers_each(rehearsal: Any, name: str, tables: set[str]) -> None:
    release = rehearsal.releases[name]
    assert release.failure is None
    shown = {table.name: table for table in release.tables if table.name != "notes"}
    assert set(shown) == tables
    shown.pop("residuals", None)  # an even score has none beyond two deviations, and nobody is not told
    for table in shown.values():
        assert not any(hidden for mask in table.masks for hidden in mask), table.name


def test_an_effect_of_each_party_but_the_first(rehearsal: Any) -> None:
    table = rehearsal.releases["logistic"].tables[0]
    terms = set(table.data.column("term").to_pylist())
    assert {"party[south]", "party[west]"} <= terms
    assert "party[north]" not in terms


def test_estimates_of_least_squares_have_the_unit_of_the_response(rehearsal: Any) -> None:
    units = {measure.name: measure.unit for measure in rehearsal.releases["linear"].tables[0].measures}
    assert {units[name] for name in ("estimate", "standard_error", "lower", "upper")} == {"points"}
    assert units["p_value"] is None
    odds = {measure.unit for table in rehearsal.releases["logistic"].tables for measure in table.measures}
    assert odds == {None}


def test_a_report_has_words_for_booleans_and_parties() -> None:
    known = terms(rehearsal_contract(study(**ASKED)))
    assert term_in_words("ill[true]:party[west]", known) == "ill: yes \N{MULTIPLICATION SIGN} party: West"


def test_what_stands_in_the_contract() -> None:
    contract = rehearsal_contract(study(**ASKED))
    linear, negative = contract.computation("linear"), contract.computation("negative_binomial")
    assert linear is not None
    assert negative is not None
    assert linear.question.kind == "statistics"
    assert linear.question.arguments == {
        "formula": ("score ~ poly(age, 2) + grade",), "errors": ("HC3",), "residuals": ("none",),
        "parties": ("left_out",), "confidence": ("0.95",),
    }  # fmt: skip
    assert (negative.purpose, negative.runs) == ("to test", 2)


def test_a_formula_that_means_nothing_builds_no_contract() -> None:
    with pytest.raises(Refusal, match="cannot be read"):
        rehearsal_contract(study(bad=statistics.linear("score ~ age grade", patients)))
