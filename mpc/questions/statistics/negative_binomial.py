"""``negative_binomial``: counts that vary more than Poisson's; the dispersion is estimated with the coefficients."""

from mpc.questions.statistics.method import Method
from mpc.questions.statistics.regression import CONFIDENCE, PARTIES, FormulaText, check_model, sentence

METHOD = Method(
    name="negative_binomial",
    arguments=(FormulaText("formula", "count", offsets=True), PARTIES, CONFIDENCE),
    sentence=lambda arguments, dataset: sentence("Negative binomial regression", arguments, dataset),
    check=check_model,
)
