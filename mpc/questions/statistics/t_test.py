"""``t_test``: the difference of the means of two groups, by Welch's test."""

from mpc.questions.statistics.method import (
    CONFIDENCE,
    DECLARED,
    NUMBERS,
    Arguments,
    Columns,
    Levels,
    Method,
    key_names_are_free,
    percent,
)
from mpc.table.schema import Dataset


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    first, second = arguments["levels"]
    by = arguments["by"][0]
    return (
        f"Mean of {arguments['column'][0]} in {dataset.name} where {by} is {first} and where it is {second}, their "
        f"difference with its {percent(arguments)} interval, and Welch's t-test; missing values are left out."
    )


METHOD = Method(
    name="t_test",
    arguments=(
        Columns("column", "aggregated", NUMBERS, least=1, most=1),
        Columns("by", "grouped", DECLARED, least=1, most=1),
        Levels("levels", "by", least=2, most=2),
        CONFIDENCE,
    ),
    sentence=_sentence,
    check=key_names_are_free("n", "subjects", "mean", "sd"),
)
