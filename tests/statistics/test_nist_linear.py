"""The reference sets of NIST for linear regression, through the method as a contract asks for it."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest
import statsmodels.api as sm

from mpc.table.schema import Column
from tests.statistics.models import column, dataset, fit, model, rows_of
from tests.statistics.nist.digits import lre
from tests.statistics.nist.linear import SETS, LinearSet


def certified(each: LinearSet) -> dict[str, str]:
    """Return every certified value of one set by its name."""
    found = {term: estimate for term, (estimate, _) in each.estimates.items()}
    found |= {f"error of {term}": error for term, (_, error) in each.estimates.items()}
    return found | {"residual standard deviation": each.residual, "R squared": each.r_squared}


def decimals(name: str, values: Sequence[Decimal]) -> Column:
    """Return a column of decimals that are not rounded to doubles, as NIST's data are none."""
    scale = max(-int(value.as_tuple().exponent) for value in values)
    return column(name, "decimal", precision=15, scale=scale)


def linear_digits(each: LinearSet, owners: Sequence[str]) -> dict[str, float]:
    """Return the digits of each certified value, of rows that ``owners`` hold in turns."""
    data = {name: [Decimal(repr(value)) for value in values] for name, values in each.data().items()}
    parts = [range(place, len(data["y"]), len(owners)) for place in range(len(owners))]
    terms = dataset([decimals(name, values) for name, values in data.items()], owners)
    result = fit(terms, data, "linear", formula=each.formula, parts=parts, batch=11)
    rows = rows_of(result, "coefficients")
    found = {term: row["estimate"] for term, row in rows.items()}
    found |= {f"error of {term}": row["standard_error"] for term, row in rows.items()}
    found |= {"residual standard deviation": model(result)["residual_sd"], "R squared": model(result)["r_squared"]}
    assert found.keys() == certified(each).keys()
    return {name: lre(value, certified(each)[name]) for name, value in found.items()}


def statsmodels_digits(each: LinearSet) -> dict[str, float]:
    """Return what statsmodels gives for the columns as they stand in the formula: the better of its two methods."""
    data = {name: np.array(values) for name, values in each.data().items()}
    columns = [
        np.ones_like(data["y"]) if term == "(intercept)" else data[name] ** int(power or 1)
        for term in each.estimates
        for name, _, power in [term.partition("^")]
        for name in [name if name in data else "x"]
    ]
    digits: dict[str, float] = {}
    for method in ("pinv", "qr"):
        fitted = sm.OLS(data["y"], np.column_stack(columns)).fit(method=method)
        found = dict(zip(each.estimates, fitted.params, strict=True))
        # On some machines a variance of Filip's comes out negative there.
        with np.errstate(invalid="ignore"):
            errors = fitted.bse
        found |= {f"error of {term}": error for term, error in zip(each.estimates, errors, strict=True)}
        found |= {"residual standard deviation": np.sqrt(fitted.scale), "R squared": fitted.rsquared}
        for name, value in found.items():
            digits[name] = max(digits.get(name, 0.0), lre(float(value), certified(each)[name]))
    return digits


@pytest.mark.parametrize("each", SETS, ids=lambda each: each.name)
@pytest.mark.parametrize("parties", [1, 7])
def test_every_certified_value(each: LinearSet, parties: int) -> None:
    found = linear_digits(each, [f"party_{i}" for i in range(parties)])
    assert min(found.values()) >= 13, found


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
# Filip's columns as they stand: on some processors statsmodels finds variances below 0.
@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")
@pytest.mark.parametrize("each", SETS, ids=lambda each: each.name)
def test_never_less_than_statsmodels(each: LinearSet) -> None:
    found, theirs = linear_digits(each, ["north", "south"]), statsmodels_digits(each)
    assert {name: (found[name], digits) for name, digits in theirs.items() if found[name] < digits} == {}


def test_there_are_eleven_sets() -> None:
    assert len(SETS) == 11
