"""``poisson``: the logarithm of an expected count, by maximum likelihood; exposure stands in an offset."""

from mpc.questions.statistics.method import Method
from mpc.questions.statistics.regression import CONFIDENCE, PARTIES, FormulaText, check_model, sentence

METHOD = Method(
    name="poisson",
    arguments=(FormulaText("formula", "count", offsets=True), PARTIES, CONFIDENCE),
    sentence=lambda arguments, dataset: sentence("Poisson regression", arguments, dataset),
    check=check_model,
)
