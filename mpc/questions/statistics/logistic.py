"""``logistic``: the log odds of a binary outcome, by maximum likelihood."""

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
    name="logistic",
    arguments=(FormulaText("formula", "binary", offsets=True), RESIDUALS, PARTIES, CONFIDENCE),
    sentence=lambda arguments, dataset: (
        sentence("Logistic regression", arguments, dataset) + bands(arguments, "deviance residuals")
    ),
    check=check_model,
)
