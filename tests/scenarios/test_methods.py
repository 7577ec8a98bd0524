"""Every method can be asked for in a scenario: what the builders write is what the contract takes."""

import inspect
from typing import Any

import pytest

from mpc.errors import Misconfigured
from mpc.questions.statistics import METHODS
from scenarios.computation import Computation
from scenarios.methods import Statistics
from scenarios.rehearsal import rehearsal_contract, rehearse
from scenarios.scenario import (
    Dataset,
    Party,
    Scenario,
    Subject,
    boolean,
    category,
    integer,
    real,
    statistics,
)

north, south, university = Party("north", "North"), Party("south", "South"), Party("university", "University")
patients = Dataset(
    "patients",
    "patients",
    owners=[north, south],
    subject=Subject("pid", domain="patient", identity="disjoint", rows="one"),
    columns={
        "pid": integer("number", identifier=True, minimum=0, maximum=1_000_000),
        "grade": category("grade", {"1": "well", "2": "moderately", "3": "poorly"}, filterable=True),
        "treated": boolean("whether treated", filterable=True),
        "ill": boolean("whether ill", filterable=True),
        "age": integer("age", minimum=18, maximum=90, nullable=True),
        "score": real("score", minimum=0, maximum=1),
        "visits": integer("visits", minimum=0, maximum=9),
        "years": real("years", minimum=1, maximum=5),
    },
)
ASKED: dict[str, Computation] = {
    "quantiles": statistics.quantiles(patients["age"], patients["score"], by=["grade"]),
    "histogram": statistics.histogram(patients["score"], edges=[0.25, 0.5, 0.75]),
    "crosstab": statistics.crosstab(patients["grade"], patients["treated"], by=["ill"], fisher=False),
    "missing": statistics.missing(patients["age"], by=["grade"]),
    "concentration": statistics.concentration(patients["score"], by=["treated"]),
    "standardised_rates": statistics.standardised_rates(
        patients["visits"], exposure=patients["years"], strata=patients["grade"], standard=[2, 1.5, 1], by=["treated"]
    ),
    "correlation": statistics.correlation(patients["age"], patients["score"], coefficient="spearman"),
    "t_test": statistics.t_test(patients["age"], patients["treated"], levels=(True, False), confidence=0.9),
    "anova": statistics.anova(patients["age"], patients["grade"]),
    "mann_whitney": statistics.mann_whitney(patients["score"], patients["grade"], levels=("3", "1")),
    "risk": statistics.risk(patients["grade"], patients["ill"], exposed=["2", "3"], by=["treated"]),
    "roc": statistics.roc(patients["score"], patients["ill"], thresholds=[0.25, 0.5]),
    "summary": statistics.summary(patients["age"], by=["grade"], purpose="to test", runs=3, unattended=2),
}
STUDY = Scenario(
    title="Methods", purpose="To ask of everything.", parties=[north, south, university], datasets=[patients],
    recipients=[university], computations=ASKED,
)  # fmt: skip


def test_every_method_is_a_function_of_a_scenario_that_explains_itself() -> None:
    for name in METHODS:
        function = getattr(Statistics, name)
        assert inspect.getdoc(function)


@pytest.fixture(scope="module")
def rehearsal() -> Any:
    return rehearse(STUDY, rows=600, seed=3)


@pytest.mark.parametrize("name", sorted(ASKED))
def test_a_rehearsal_answers_each(rehearsal: Any, name: str) -> None:
    release = rehearsal.releases[name]
    assert release.failure is None
    assert any(not hidden for table in release.tables for mask in table.masks for hidden in mask)


def test_terms_beside_the_question_stand_in_the_contract() -> None:
    contract = rehearsal_contract(STUDY)
    summary = contract.computation("summary")
    assert summary is not None
    assert (summary.purpose, summary.runs, summary.unattended) == ("to test", 3, 2)
    t_test = contract.computation("t_test")
    assert t_test is not None
    assert t_test.question.kind == "statistics"
    assert t_test.question.arguments == {
        "column": ("age",), "by": ("treated",), "levels": ("true", "false"), "confidence": ("0.9",),
    }  # fmt: skip


def test_columns_of_two_datasets_are_refused() -> None:
    others = Dataset("others", "others", owners=[north], subject=patients.subject, columns=patients.columns)
    with pytest.raises(Misconfigured, match=r"scenario\.statistics"):
        statistics.anova(patients["age"], others["grade"])
