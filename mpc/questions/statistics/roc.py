"""``roc``: how well a score tells who has an outcome: the area under the curve, and the curve at agreed thresholds."""

from mpc.questions.statistics.method import (
    CONFIDENCE,
    DECLARED,
    NUMBERS,
    Arguments,
    Columns,
    Levels,
    Method,
    Numbers,
    listed,
    no_further_check,
    percent,
)
from mpc.table.schema import Dataset


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    outcome, many = arguments["outcome"][0], len(arguments["thresholds"])
    curve = f", and how many it finds at {many} thresholds" if many else ""
    return (
        f"How well {arguments['score'][0]} in {dataset.name} tells where {outcome} is {listed(arguments['event'])}: "
        f"the area under the ROC curve with its {percent(arguments)} interval{curve}; rows with a missing value are "
        "left out."
    )


METHOD = Method(
    name="roc",
    arguments=(
        Columns("score", "aggregated", NUMBERS, least=1, most=1),
        Columns("outcome", "grouped", DECLARED, least=1, most=1),
        Levels("event", "outcome", least=1, most=1023),
        # A curve with a step at each value is a list of values; thresholds that are agreed beforehand are not.
        Numbers("thresholds", None, None, least=0, most=100),
        CONFIDENCE,
    ),
    sentence=_sentence,
    check=no_further_check,
)
