"""The questions of a scenario: ``sql("SELECT …")`` and ``statistics.summary(…)``, and parameters of them."""

import inspect
from collections.abc import Mapping, Sequence

from scenarios.computation import Computation, Named, Parameter, between, names, one_of
from scenarios.methods import link, linkage, statistics

__all__ = ["Computation", "Parameter", "between", "link", "linkage", "one_of", "sql", "statistics"]


def sql(
    text: str,
    *,
    purpose: str = "",
    recipients: Sequence[Named] = (),
    runs: int = 1,
    unattended: int = 0,
    parameters: Mapping[str, Parameter] | None = None,
) -> Computation:
    """Return one SELECT over the scenario's datasets as a computation; parameters are written ``$name``.

    Joins by equality on declared keys; WHERE, FILTER and GROUP BY on ``filterable`` columns; aggregates over one
    column or arithmetic of columns of one row. What may not be asked is refused when the contract is built.
    """
    question = {"kind": "sql", "text": inspect.cleandoc(text)}
    return Computation(question, purpose, names(recipients), runs, unattended, parameters or {})
