"""``negative_binomial``: counts that vary more than Poisson's; the dispersion is estimated with the coefficients."""

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
    name="negative_binomial",
    arguments=(FormulaText("formula", "count", offsets=True), RESIDUALS, PARTIES, CONFIDENCE),
    sentence=lambda arguments, dataset: (
        sentence("Negative binomial regression", arguments, dataset) + bands(arguments, "deviance residuals")
    ),
    check=check_model,
)
