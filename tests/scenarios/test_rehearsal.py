from dataclasses import replace
from pathlib import Path

import pytest

import scenarios.breast_cancer
import scenarios.flights
from mpc.errors import Exhausted, Forbidden
from scenarios.cli import TEMPLATE
from scenarios.loading import load_scenario
from scenarios.rehearsal import rehearse
from scenarios.scenario import Scenario, statistics


@pytest.fixture
def template(tmp_path: Path) -> Scenario:
    path = tmp_path / "study.py"
    path.write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    return load_scenario(path)


@pytest.mark.parametrize("scenario", [scenarios.breast_cancer.scenario, scenarios.flights.scenario])
def test_every_question_of_a_shipped_scenario_can_be_rehearsed(scenario: Scenario) -> None:
    rehearsal = rehearse(scenario, rows=1000, seed=1)
    assert list(rehearsal.releases) == sorted(scenario.computations)
    for release in rehearsal.releases.values():
        assert release.failure is None
        assert all(table.data.num_rows for table in release.tables)
    assert len(rehearsal.reports()) == len(scenario.computations)


def test_the_template_works_and_is_a_page(template: Scenario) -> None:
    rehearsal = rehearse(template, rows=400, seed=1)
    assert all(release.status == "pass" for release in rehearsal.releases.values())
    assert len([line for line in TEMPLATE.read_text(encoding="utf-8").splitlines() if line.strip()]) <= 45


def test_a_question_that_refuses_at_the_run_is_named() -> None:
    patients = scenarios.breast_cancer.patients
    asked = {"table": statistics.crosstab(patients["grade"], patients["size_class"], fisher=True)}
    with pytest.raises(Exhausted) as caught:
        rehearse(replace(scenarios.breast_cancer.scenario, computations=asked), rows=2000, seed=1)
    assert (caught.value.code, caught.value.field) == ("statistics.fisher", "computations.table")


def test_few_rows_are_withheld_in_a_rehearsal_too(template: Scenario) -> None:
    rehearsal = rehearse(template, rows=5, seed=1)
    for release in rehearsal.releases.values():
        assert release.status == "fail"
        for table in release.tables:
            assert table.withheld
            assert all(all(mask) for mask in table.masks)


def test_a_seed_gives_the_same_rehearsal_again(template: Scenario) -> None:
    first, again, other = (rehearse(template, rows=300, seed=seed) for seed in (1, 1, 2))
    assert first.releases == again.releases
    assert first.releases != other.releases


def test_parameters_are_chosen_out_of_their_domain() -> None:
    flights = scenarios.flights.scenario
    name = "delay_by_visibility_at"
    assert rehearse(flights, rows=300, seed=1).parameters[name] == {"airport": "EWR"}
    assert rehearse(flights, rows=300, seed=1, parameters={name: {"airport": "JFK"}}).parameters[name] == {
        "airport": "JFK"
    }
    with pytest.raises(Forbidden):
        rehearse(flights, rows=300, seed=1, parameters={name: {"airport": "SFO"}})
