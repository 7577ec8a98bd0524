"""``summary``: number of values, mean and standard deviation of numeric columns, by groups."""

from mpc.questions.statistics.method import GROUPS, NUMBERS, Arguments, Columns, Method, key_names_are_free, listed
from mpc.table.schema import Dataset


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    by = arguments["by"]
    groups = f" in each group of {listed(by)}" if by else ""
    return (
        f"Number of values, mean and standard deviation of {listed(arguments['columns'])} "
        f"in {dataset.name}{groups}; missing values are left out."
    )


METHOD = Method(
    name="summary",
    arguments=(
        Columns("columns", "aggregated", NUMBERS, least=1, most=64),
        Columns("by", "grouped", GROUPS, least=0, most=8),
    ),
    sentence=_sentence,
    check=key_names_are_free(suffixes=("_n", "_subjects", "_mean", "_sd")),
)
