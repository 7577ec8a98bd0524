"""The worked example of docs/adding-a-method.md is a method: it is checked, computed and released."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc.contract.terms import Rules
from mpc.disclosure import control
from mpc.disclosure.rules.coverage import COVERED
from mpc.engines.statistics.executor import execute
from mpc.questions.statistics import check_statistics
from mpc.questions.terms import StatisticsQuestion
from scenarios.methods import descriptive
from scenarios.scenario import ColumnOf
from tests.statistics_examples import dataset, rows, tables

PAGE = (Path(__file__).parents[3] / "docs/adding-a-method.md").read_text(encoding="utf-8")
RULES = Rules(
    profile="standard", threshold=10, coalition=1, zeros="withhold", complementary="suppress", significant_digits=6
)


def run(text: str, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {**(known or {}), "__name__": "example"}
    exec(compile(text, "docs/adding-a-method.md", "exec"), made)  # noqa: S102 - our own page
    return made


def test_the_worked_example_works(monkeypatch: pytest.MonkeyPatch) -> None:
    question_text, engine_text, scenario_text = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    method, plan = run(question_text)["METHOD"], run(engine_text)["Variation"]
    monkeypatch.setattr("mpc.questions.statistics.METHODS", {method.name: method})
    terms, whole = dataset(), rows(300)
    question = StatisticsQuestion(
        kind="statistics", method="variation", dataset="patients", arguments={"column": ("cost",), "by": ("grade",)}
    )
    made = run(scenario_text, vars(descriptive))["variation"]
    told = made(None, ColumnOf("patients", "cost"), by=["grade"]).question
    assert told["arguments"] == {name: list(values) for name, values in question.arguments.items()}
    checked = check_statistics("asked", question, {"patients": terms})
    assert checked.sentence.startswith("Standard deviation of cost in patients in parts of its mean in each group")
    release = control(execute(plan(checked), terms, tables(terms, whole, 50)), RULES)
    for line in release.tables[0].data.to_pylist():
        own = np.array([float(r["cost"]) for r in whole.to_pylist() if r["grade"] == line["grade"]])
        assert line["n"] == len(own)
        assert line["variation"] == pytest.approx(own.std(ddof=1) / own.mean(), rel=1e-5)


def test_the_page_names_every_kind() -> None:
    table = PAGE[PAGE.index("| kind |") :]
    assert all(f"`{kind}`" in table for kind in COVERED)
