"""``poisson``: the logarithm of an expected count, by maximum likelihood; exposure stands in an offset."""

from mpc.questions.statistics.method import Method
from mpc.questions.statistics.regression import (
    CONFIDENCE,
    PARTIES,
    RESIDUALS,
    FormulaText,
    bands,
    check_model,
    sentence,
)

METHOD = Method(
    name="poisson",
    arguments=(FormulaText("formula", "count", offsets=True), RESIDUALS, PARTIES, CONFIDENCE),
    sentence=lambda arguments, dataset: (
        sentence("Poisson regression", arguments, dataset) + bands(arguments, "deviance residuals")
    ),
    check=check_model,
)
