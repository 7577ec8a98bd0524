"""``logistic``: the log odds of a binary outcome, by maximum likelihood."""

from mpc.questions.statistics.method import Method
from mpc.questions.statistics.regression import CONFIDENCE, PARTIES, FormulaText, check_model, sentence

METHOD = Method(
    name="logistic",
    arguments=(FormulaText("formula", "binary", offsets=True), PARTIES, CONFIDENCE),
    sentence=lambda arguments, dataset: sentence("Logistic regression", arguments, dataset),
    check=check_model,
)
