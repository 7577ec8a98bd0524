"""``anova``: whether the means of several groups differ, by one-way analysis of variance."""

from mpc.questions.statistics.method import DECLARED, NUMBERS, Arguments, Columns, Method, key_names_are_free
from mpc.table.schema import Dataset


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    return (
        f"Mean and standard deviation of {arguments['column'][0]} in {dataset.name} for each {arguments['by'][0]}, and "
        "the one-way analysis of variance between and within them; missing values are left out."
    )


METHOD = Method(
    name="anova",
    arguments=(
        Columns("column", "aggregated", NUMBERS, least=1, most=1),
        Columns("by", "grouped", DECLARED, least=1, most=1),
    ),
    sentence=_sentence,
    check=key_names_are_free("n", "subjects", "mean", "sd"),
)
