"""The two cohorts as their hospitals have them, through each hospital's own mapping, engine and disclosure rules."""

import csv
import tomllib
from statistics import mean, stdev
from typing import Any

import pytest

from mpc.contract.document import strictest
from mpc.contract.terms import Contract
from mpc.disclosure import Release, control
from mpc.engines import answer
from mpc.table.batches import Table, checked_table
from parties.config import DatasetSettings
from parties.sources import batches
from scenarios.breast_cancer import DATA, SOURCES, scenario
from scenarios.rehearsal import rehearsal_contract
from tests.engines.statistics.r_survival import r

Row = dict[str, str]


def rows_of(name: str) -> list[Row]:
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROTTERDAM, GBSG = rows_of("rotterdam"), rows_of("gbsg")


@pytest.fixture(scope="module")
def contract() -> Contract:
    return rehearsal_contract(scenario)


@pytest.fixture(scope="module")
def tables(contract: Contract) -> dict[str, tuple[Table, ...]]:
    dataset = contract.datasets[0]
    loaded = []
    for owner in dataset.owners:
        told = tomllib.loads(SOURCES[owner].read_text(encoding="utf-8"))["datasets"]["patients"]
        settings = DatasetSettings.model_validate(told | {"source": DATA / told["source"]})
        loaded.append(checked_table(dataset, owner, batches(dataset, settings)))
    return {"patients": tuple(loaded)}


def released(contract: Contract, tables: dict[str, tuple[Table, ...]], computation: str) -> Release:
    raw = answer(contract, computation, {}, tables, memory_bytes=1 << 30, threads=1)
    return control(raw, strictest(contract))


def rows_by(release: Release, *keys: str) -> dict[tuple[str, ...], dict[str, Any]]:
    return {tuple(row[key] for key in keys): row for row in release.tables[0].data.to_pylist()}


def test_the_files_are_the_two_published_cohorts() -> None:
    assert (len(ROTTERDAM), len(GBSG)) == (2982, 686)
    assert list(ROTTERDAM[0])[:5] == ["pid", "year", "age", "meno", "size"]
    assert list(GBSG[0])[-2:] == ["rfstime", "status"]
    assert sum(row["recur"] == "1" for row in ROTTERDAM) == 1518
    assert sum(row["status"] == "1" for row in GBSG) == 299


def test_both_hospitals_map_to_the_same_columns(tables: dict[str, tuple[Table, ...]]) -> None:
    sizes = {table.owner: table.whole().num_rows for table in tables["patients"]}
    assert sizes == {"gbsg": 686, "rotterdam": 2982}


def test_recurrence_free_survival_in_rotterdam_is_the_conservative_one(tables: dict[str, tuple[Table, ...]]) -> None:
    (table,) = (table.whole() for table in tables["patients"] if table.owner == "rotterdam")
    assert table is not None
    derived = {row["pid"]: (row["rfs_days"], row["rfs_event"]) for row in table.to_pylist()}
    unsure = 0
    for row in ROTTERDAM:
        rtime, recur, dtime, death = (int(row[name]) for name in ("rtime", "recur", "dtime", "death"))
        if recur:
            expected = (rtime, 1)
        elif death and rtime < dtime:
            expected = (rtime, 0)
            unsure += 1
        else:
            expected = (dtime, death)
        assert derived[int(row["pid"])] == expected
    assert unsure == 43


def test_counts_by_therapy_and_size_are_those_of_the_two_files(
    contract: Contract, tables: dict[str, tuple[Table, ...]]
) -> None:
    release = released(contract, tables, "patients_by_hormone_therapy")
    assert release.status == "pass"
    found = {key: row["patients"] for key, row in rows_by(release, "hormon", "size_class").items()}
    classes = {"<=20": "T1", "20-50": "T2", ">50": "T3"}
    expected: dict[tuple[str, ...], int] = {}
    for row in ROTTERDAM:
        key = ("yes" if row["hormon"] == "1" else "no", classes[row["size"]])
        expected[key] = expected.get(key, 0) + 1
    for row in GBSG:
        size = int(row["size"])
        key = ("yes" if row["hormon"] == "1" else "no", "T1" if size <= 20 else "T2" if size <= 50 else "T3")
        expected[key] = expected.get(key, 0) + 1
    assert found == expected


def test_means_and_spreads_are_those_of_the_pooled_patients(
    contract: Contract, tables: dict[str, tuple[Table, ...]]
) -> None:
    found = rows_by(released(contract, tables, "disease_by_therapy"), "hormon")
    for code, word in (("0", "no"), ("1", "yes")):
        ages = [int(row["age"]) for row in (*ROTTERDAM, *GBSG) if row["hormon"] == code]
        assert found[word,]["patients"] == len(ages)
        assert found[word,]["mean_age"] == pytest.approx(mean(ages), rel=1e-5)
        assert found[word,]["sd_age"] == pytest.approx(stdev(ages), rel=1e-5)


def test_what_one_hospital_alone_recorded_is_withheld(contract: Contract, tables: dict[str, tuple[Table, ...]]) -> None:
    release = released(contract, tables, "patients_by_grade")
    assert release.status == "fail"
    assert {key[0] for key, row in rows_by(release, "grade", "hormon").items() if row["patients"] is not None} == {
        "2",
        "3",
    }
    assert sum(held.cells for held in release.tables[0].withheld) == 2


def test_a_summary_withholds_grade_one_and_nothing_else(
    contract: Contract, tables: dict[str, tuple[Table, ...]]
) -> None:
    release = released(contract, tables, "nodes_by_grade")
    shown = {row["grade"]: row["nodes_mean"] for row in release.tables[0].data.to_pylist()}
    for grade in "23":
        nodes = [int(row["nodes"]) for row in (*ROTTERDAM, *GBSG) if row["grade"] == grade]
        assert shown[grade] == pytest.approx(mean(nodes), rel=1e-5)
    assert shown.get("1") is None


def test_the_joint_model_of_both_cohorts_is_that_of_r(contract: Contract, tables: dict[str, tuple[Table, ...]]) -> None:
    people = [{**row, "owner": table.owner} for table in tables["patients"] for row in table.whole().to_pylist()]
    expected = r(
        """
        d$grade <- factor(d$grade)
        f <- coxph(Surv(rfs_days, rfs_event) ~ age + size_class + grade + nodes + hormon + strata(owner), d, eps=1e-14)
        tell("estimate", coef(f)); tell("standard_error", sqrt(diag(f$var)))
        z <- cox.zph(f)$table; tell("chi_square", z[, 1])
        s <- survdiff(Surv(rfs_days, rfs_event) ~ hormon + strata(size_class), d); tell("log_rank", s$chisq)
        """,
        {name: [row[name] for row in people] for name in people[0]},
    )
    coefficients, _, proportional = answer(contract, "prognosis", {}, tables, memory_bytes=1 << 30, threads=1).tables
    terms = coefficients.data["term"].to_pylist()
    written = ["age", "size_class[T2]", "size_class[T3]", "grade[2]", "grade[3]", "nodes", "hormon[yes]"]
    for name in ("estimate", "standard_error"):
        found = dict(zip(terms, coefficients.data[name].to_pylist(), strict=True))
        assert [found[term] for term in written] == pytest.approx(expected[name], rel=1e-8)
    tests = dict(zip(proportional.data["term"].to_pylist(), proportional.data["chi_square"].to_pylist(), strict=True))
    by_term = ["age", "size_class", "grade", "nodes", "hormon", "(global)"]
    assert [tests[term] for term in by_term] == pytest.approx(expected["chi_square"], rel=1e-7)
    (log_rank,) = answer(contract, "survival_by_therapy", {}, tables, memory_bytes=1 << 30, threads=1).tables
    assert log_rank.data["chi_square"].to_pylist() == pytest.approx(expected["log_rank"], rel=1e-8)


def test_the_joint_model_and_most_of_the_curves_are_released(
    contract: Contract, tables: dict[str, tuple[Table, ...]]
) -> None:
    model = released(contract, tables, "prognosis")
    assert model.status == "pass"
    curves = released(contract, tables, "recurrence_free_survival").tables[0]
    told = {name: [] for name in ("no", "yes")}
    for row in curves.data.to_pylist():
        if row["survival"] is not None:
            told[row["hormon"]].append(row["time"])
    assert told == {"no": [365, 548, 730, 1096, 1461, 1826], "yes": [365, 548, 730, 1096, 1461]}
