"""Questions that name a method: what parties read of them, and what they refuse."""

from typing import Any

import pytest

from mpc.engines.statistics import PLANS
from mpc.errors import Forbidden
from mpc.questions.statistics import METHODS, CheckedStatistics, check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.questions.uses import ColumnUse
from mpc.table.schema import Code, Column, Dataset, Freshness, Subject


def column(name: str, kind: Any, **terms: Any) -> Column:
    plain: dict[str, Any] = {
        "description": name, "precision": None, "scale": None, "unit": None, "nullable": True, "missing": (),
        "minimum": None, "maximum": None, "codes": (), "filterable": True, "identifier": False,
    }  # fmt: skip
    return Column(name=name, type=kind, **{**plain, **terms})


CODES = tuple(Code(value=str(i), label=str(i)) for i in range(1000))
PATIENTS = Dataset(
    name="patients", description="patients", owners=("north", "south"),
    columns=(
        column("pid", "integer"), column("insurance", "text", identifier=True), column("age", "integer"),
        column("grade", "category", codes=CODES[:3]), column("treated", "boolean"), column("born", "date"),
        column("secret", "category", codes=CODES[:3], filterable=False), column("icd", "category", codes=CODES),
        column("ward", "category", codes=CODES[:200]), column("note", "text", filterable=False),
        column("seen", "timestamp"),
    ),
    subject=Subject(domain="person", column="pid", identity="shared", normalisation="exact", rows="many"),
    keys=(), freshness=Freshness(refreshes=0, until=None),
)  # fmt: skip


def check(method: str, **arguments: tuple[str, ...]) -> CheckedStatistics:
    question = StatisticsQuestion(kind="statistics", method=method, dataset="patients", arguments=arguments)
    return check_statistics("asked", question, {"patients": PATIENTS})


def test_every_method_that_parties_can_read_can_be_computed() -> None:
    assert set(METHODS) == set(PLANS)


def test_a_summary_is_told_in_words_and_by_columns() -> None:
    checked = check("summary", columns=("age",), by=("grade", "treated"))
    assert checked.sentence == (
        "Number of values, mean and standard deviation of age in patients in each group of grade and treated; "
        "missing values are left out."
    )
    assert checked.datasets == ("patients",)
    assert set(checked.uses) == {
        ColumnUse("patients", "age", "aggregated"), ColumnUse("patients", "grade", "grouped"),
        ColumnUse("patients", "grade", "returned"), ColumnUse("patients", "treated", "grouped"),
        ColumnUse("patients", "treated", "returned"), ColumnUse("patients", "pid", "counted"),
    }  # fmt: skip


def test_a_crosstab_is_told_in_words_and_an_absent_argument_is_empty() -> None:
    checked = check("crosstab", row=("grade",), column=("treated",))
    assert checked.arguments["by"] == ()
    assert checked.sentence == (
        "Number of rows of patients for every combination of grade and treated, with totals, and Pearson's chi-square "
        "test of the two; rows with a missing value are left out."
    )


@pytest.mark.parametrize(
    ("method", "arguments", "code"),
    [
        ("medians", {"columns": ("age",)}, "method"),
        ("summary", {"columns": ("age",), "weights": ("age",)}, "arguments"),
        ("summary", {"columns": ()}, "arguments"), ("summary", {}, "arguments"),
        ("summary", {"columns": ("age", "age")}, "arguments"), ("summary", {"columns": ("height",)}, "column"),
        ("summary", {"columns": ("grade",)}, "type"), ("summary", {"columns": ("pid",)}, "identifier"),
        ("summary", {"columns": ("age",), "by": ("pid",)}, "identifier"),
        ("summary", {"columns": ("age",), "by": ("insurance",)}, "identifier"),
        ("summary", {"columns": ("age",), "by": ("note",)}, "filterable"),
        ("summary", {"columns": ("age",), "by": ("seen",)}, "type"),
        ("crosstab", {"row": ("grade",), "column": ("secret",)}, "filterable"),
        ("crosstab", {"row": ("grade",), "column": ("grade",)}, "repeated"),
        ("crosstab", {"row": ("grade",), "column": ("treated",), "by": ("grade",)}, "repeated"),
        ("crosstab", {"row": ("grade", "treated"), "column": ("icd",)}, "arguments"),
        ("crosstab", {"row": ("born",), "column": ("grade",)}, "type"),
        ("crosstab", {"row": ("icd",), "column": ("ward",)}, "cells"),
    ],
)  # fmt: skip
def test_what_a_method_does_not_take_is_refused(method: str, arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(Forbidden) as refused:
        check(method, **arguments)
    assert refused.value.code == f"statistics.{code}"
    assert refused.value.remedy


def test_a_dataset_that_the_contract_does_not_have_is_refused() -> None:
    question = StatisticsQuestion(kind="statistics", method="summary", dataset="visits", arguments={})
    with pytest.raises(Forbidden, match=r"statistics\.dataset"):
        check_statistics("asked", question, {"patients": PATIENTS})
