"""The reference sets of NIST for univariate statistics and analysis of variance, through the methods as asked."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.weightstats import DescrStatsW

from mpc.engines.statistics import run_statistics
from mpc.questions.statistics import check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.results import RawResult
from mpc.table.batches import arrow_schema, loaded_table
from mpc.table.schema import Dataset
from tests.statistics.nist import analysis, univariate
from tests.statistics.nist.digits import lre
from tests.statistics_examples import study

DIGITS = 15


def measured(
    owners: Sequence[str], rows: Sequence[tuple[str, str]], method: str, **arguments: tuple[str, ...]
) -> RawResult:
    """Return what ``method`` says of (group, value) rows that ``owners`` hold in turns; values are decimals."""
    scale = max(len(value.partition(".")[2]) for _, value in rows)
    columns = {column["name"]: column for column in study()["columns"]}
    value = {**columns["cost"], "name": "value", "precision": DIGITS, "scale": scale, "minimum": None}
    codes = [{"value": group, "label": group} for group in sorted({group for group, _ in rows})]
    group = {**columns["grade"], "name": "level", "codes": codes}
    terms = {**study(tuple(owners)), "columns": [columns["pid"], group, value]}
    dataset = Dataset.model_validate_json(json.dumps(terms))
    schema = arrow_schema(dataset)
    tables = []
    for place, owner in enumerate(owners):
        part = list(rows[place :: len(owners)])
        cells: list[list[Any]] = [
            list(range(len(part))), [each for each, _ in part], [Decimal(each) for _, each in part],
        ]  # fmt: skip
        arrays = [pa.array(each, field.type) for each, field in zip(cells, schema, strict=True)]
        batch = pa.record_batch(arrays, schema=schema)
        tables.append(loaded_table(dataset, owner, [batch.slice(0, 11), batch.slice(11)]))
    question = StatisticsQuestion(kind="statistics", method=method, dataset="patients", arguments=arguments)
    checked = check_statistics("asked", question, {"patients": dataset})
    return run_statistics(checked, {"patients": tuple(tables)})


def univariate_digits(each: univariate.UnivariateSet, owners: Sequence[str]) -> dict[str, float]:
    """Return the digits of each certified value of one set."""
    rows = [("1", value) for value in each.data()]
    (line,) = measured(owners, rows, "summary", columns=("value",)).tables[0].data.to_pylist()
    return {"mean": lre(line["value_mean"], each.mean), "standard deviation": lre(line["value_sd"], each.deviation)}


def analysis_digits(each: analysis.AnalysisSet, owners: Sequence[str]) -> dict[str, float]:
    """Return the digits of each certified value of one set."""
    result = measured(owners, each.data, "anova", column=("value",), by=("level",))
    between, within = result.tables[1].data.to_pylist()
    fit = result.tables[2].data.drop_columns(["n", "subjects"]).to_pylist()[0]
    found = {
        "between sum of squares": between["sum_of_squares"], "between mean square": between["mean_square"],
        "f": between["f"], "within sum of squares": within["sum_of_squares"],
        "within mean square": within["mean_square"], **fit,
    }  # fmt: skip
    assert found.keys() == each.certified.keys()
    return {name: lre(value, each.certified[name]) for name, value in found.items()}


def univariate_statsmodels(each: univariate.UnivariateSet) -> dict[str, float]:
    """Return statsmodels' digits of a mean and a standard deviation."""
    described = DescrStatsW([float(value) for value in each.data()], ddof=1)
    return {"mean": lre(float(described.mean), each.mean), "standard deviation": lre(described.std, each.deviation)}


def anova_statsmodels(each: analysis.AnalysisSet) -> dict[str, float]:
    """Return statsmodels' digits of a one-way analysis of variance."""
    frame = pd.DataFrame(each.data, columns=["level", "value"]).astype({"value": float})
    fitted = smf.ols("value ~ C(level)", frame).fit()
    table = anova_lm(fitted)
    found = {
        "between sum of squares": table["sum_sq"].iloc[0], "between mean square": table["mean_sq"].iloc[0],
        "f": table["F"].iloc[0], "within sum of squares": table["sum_sq"].iloc[1],
        "within mean square": table["mean_sq"].iloc[1], "r_squared": fitted.rsquared,
        "residual_sd": np.sqrt(fitted.scale),
    }  # fmt: skip
    return {name: lre(float(value), each.certified[name]) for name, value in found.items()}


@pytest.mark.parametrize("each", univariate.SETS, ids=lambda each: each.name)
@pytest.mark.parametrize("parties", [1, 7])
def test_univariate(each: univariate.UnivariateSet, parties: int) -> None:
    found = univariate_digits(each, [f"party_{i}" for i in range(parties)])
    assert min(found.values()) >= 13, found


@pytest.mark.parametrize("name", analysis.NAMES)
@pytest.mark.parametrize("parties", [1, 7])
def test_analysis_of_variance(name: str, parties: int) -> None:
    found = analysis_digits(analysis.read(name), [f"party_{i}" for i in range(parties)])
    assert min(found.values()) >= 13, found


@pytest.mark.parametrize("parties", [1, 3, 7])
@pytest.mark.parametrize("each", univariate.SETS, ids=lambda each: each.name)
def test_means_have_never_less_than_statsmodels(each: univariate.UnivariateSet, parties: int) -> None:
    found, theirs = univariate_digits(each, [f"party_{i}" for i in range(parties)]), univariate_statsmodels(each)
    assert {name: (found[name], digits) for name, digits in theirs.items() if found[name] < digits} == {}


@pytest.mark.parametrize("parties", [1, 3, 7])
@pytest.mark.parametrize("name", analysis.NAMES)
def test_analyses_have_never_less_than_statsmodels(name: str, parties: int) -> None:
    each = analysis.read(name)
    found, theirs = analysis_digits(each, [f"party_{i}" for i in range(parties)]), anova_statsmodels(each)
    assert theirs.keys() == found.keys()
    assert {value: (found[value], digits) for value, digits in theirs.items() if found[value] < digits} == {}


def test_there_are_twenty_sets() -> None:
    assert len(univariate.SETS) + len(analysis.NAMES) == 20
