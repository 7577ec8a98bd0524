"""``histogram``: how many values of a numeric column fall between agreed edges, by groups."""

from mpc.questions.statistics.method import (
    GROUPS,
    NUMBERS,
    Arguments,
    Columns,
    Method,
    Numbers,
    key_names_are_free,
    listed,
)
from mpc.table.schema import Dataset


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    edges, by = arguments["edges"], arguments["by"]
    groups = f" in each group of {listed(by)}" if by else ""
    return (
        f"Number of rows of {dataset.name} with {arguments['column'][0]} in each of {len(edges) - 1} intervals from "
        f"{edges[0]} to {edges[-1]}, below and above{groups}; missing values are left out."
    )


METHOD = Method(
    name="histogram",
    arguments=(
        Columns("column", "aggregated", NUMBERS, least=1, most=1),
        Columns("by", "grouped", GROUPS, least=0, most=8),
        # Edges that are agreed beforehand tell nothing of the smallest and the largest value.
        Numbers("edges", None, None, least=2, most=101),
    ),
    sentence=_sentence,
    check=key_names_are_free("from", "to", "n", "subjects"),
)
