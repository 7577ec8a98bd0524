"""The reference sets of NIST for linear regression, through the method as a contract asks for it."""

import math

import pytest

from tests.statistics.models import column, dataset, fit, model, rows_of
from tests.statistics.nist.linear import SETS, LinearSet


def lre(value: float, certified: str) -> float:
    """Return how many digits agree, at most 15, which is all that NIST gives."""
    exact = float(certified)
    error = abs(value - exact) / (abs(exact) or 1.0)
    return 15.0 if error == 0 else min(15.0, -math.log10(error))


@pytest.mark.parametrize("each", SETS, ids=lambda each: each.name)
@pytest.mark.parametrize("parties", [1, 7])
def test_every_certified_value(each: LinearSet, parties: int) -> None:
    data = each.data()
    owners = [f"party_{i}" for i in range(parties)]
    terms = dataset([column(name) for name in data], owners)
    count = len(data["y"])
    found = fit(terms, data, "linear", formula=each.formula, parts=[range(i, count, parties) for i in range(parties)])
    coefficients = rows_of(found, "coefficients")
    assert set(coefficients) == set(each.estimates)
    for term, (estimate, deviation) in each.estimates.items():
        assert lre(coefficients[term]["estimate"], estimate) >= 13, term
        assert lre(coefficients[term]["standard_error"], deviation) >= 13, term
    assert lre(model(found)["residual_sd"], each.residual) >= 13
    assert lre(model(found)["r_squared"], each.r_squared) >= 13


def test_there_are_eleven_sets() -> None:
    assert len(SETS) == 11
