"""``linear``: least squares, perhaps weighted, with classical or robust standard errors."""

from decimal import Decimal

from mpc.questions.statistics.method import NUMBERS, Arguments, Choice, Columns, Method, forbidden
from mpc.questions.statistics.regression import (
    CONFIDENCE,
    PARTIES,
    RESIDUALS,
    FormulaText,
    bands,
    check_model,
    parsed,
    sentence,
)
from mpc.table.schema import Dataset


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    weights = f", weighted by {arguments['weights'][0]}" if arguments["weights"] else ""
    errors = "" if arguments["errors"] == ("classical",) else f" with {arguments['errors'][0]} standard errors"
    told = sentence(f"Linear regression{weights}{errors}", arguments, dataset)
    return f"{told}{bands(arguments, 'residuals')}"


def _check(arguments: Arguments, dataset: Dataset) -> None:
    check_model(arguments, dataset)
    for name in arguments["weights"]:
        column = dataset.column(name)
        if column is None or column.minimum is None or Decimal(column.minimum) <= 0:
            raise forbidden(
                "weights", f"{name} may hold a weight that is not positive",
                why="the contract declares no minimum above 0 of it", remedy="declare such a minimum", field="weights",
            )  # fmt: skip
        if name in parsed(arguments, dataset).columns:
            raise forbidden(
                "weights", f"{name} is both a weight and a term", why="a weight says how much a row counts",
                remedy="use it as one of them", field="weights",
            )  # fmt: skip


METHOD = Method(
    name="linear",
    arguments=(
        FormulaText("formula", "number", offsets=False),
        Columns("weights", "aggregated", NUMBERS, least=0, most=1),
        Choice("errors", ("classical", "HC1", "HC3")),
        RESIDUALS,
        PARTIES,
        CONFIDENCE,
    ),
    sentence=_sentence,
    check=_check,
)
