"""``mann_whitney``: whether values of one group tend to be larger than those of another, by ranks."""

from mpc.questions.statistics.method import (
    DECLARED,
    NUMBERS,
    Arguments,
    Columns,
    Levels,
    Method,
    key_names_are_free,
)
from mpc.table.schema import Dataset


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    first, second = arguments["levels"]
    by = arguments["by"][0]
    return (
        f"Whether {arguments['column'][0]} in {dataset.name} tends to be larger where {by} is {first} than where it is "
        f"{second}: the Mann-Whitney U test, and how probable it is; missing values are left out."
    )


METHOD = Method(
    name="mann_whitney",
    arguments=(
        Columns("column", "aggregated", NUMBERS, least=1, most=1),
        Columns("by", "grouped", DECLARED, least=1, most=1),
        Levels("levels", "by", least=2, most=2),
    ),
    sentence=_sentence,
    check=key_names_are_free("n", "subjects", "mean_rank"),
)
