"""``quantiles``: exact quantiles of numeric columns, by groups."""

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
    by = arguments["by"]
    groups = f" in each group of {listed(by)}" if by else ""
    return (
        f"The quantiles {listed(arguments['at'])} of {listed(arguments['columns'])} in {dataset.name}{groups}, "
        "between two values in proportion; missing values are left out."
    )


METHOD = Method(
    name="quantiles",
    arguments=(
        Columns("columns", "aggregated", NUMBERS, least=1, most=16),
        Columns("by", "grouped", GROUPS, least=0, most=8),
        # No closer to the ends: the smallest and the largest value are some subject's own.
        Numbers("at", "0.05", "0.95", least=1, most=19),
    ),
    sentence=_sentence,
    check=key_names_are_free("quantile", suffixes=("", "_n", "_subjects")),
)
