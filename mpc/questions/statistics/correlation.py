"""``correlation``: how numeric columns go together, pair by pair, by Pearson's or Spearman's coefficient."""

from mpc.questions.statistics.method import (
    CONFIDENCE,
    GROUPS,
    NUMBERS,
    Arguments,
    Choice,
    Columns,
    Method,
    key_names_are_free,
    listed,
    percent,
)
from mpc.table.schema import Dataset


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    by = arguments["by"]
    groups = f" in each group of {listed(by)}" if by else ""
    return (
        f"{arguments['coefficient'][0].capitalize()}'s correlation of each two of {listed(arguments['columns'])} in "
        f"{dataset.name}{groups}, with its {percent(arguments)} interval and test; rows that miss any are left out."
    )


METHOD = Method(
    name="correlation",
    arguments=(
        Columns("columns", "aggregated", NUMBERS, least=2, most=32),
        Columns("by", "grouped", GROUPS, least=0, most=8),
        Choice("coefficient", ("pearson", "spearman")),
        CONFIDENCE,
    ),
    sentence=_sentence,
    check=key_names_are_free("first", "second", "n", "subjects", "correlation"),
)
