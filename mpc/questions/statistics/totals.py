"""``totals``: number of rows, and sums of numeric columns, by groups."""

from mpc.questions.statistics.method import GROUPS, NUMBERS, Arguments, Columns, Method, listed, no_further_check
from mpc.table.schema import Dataset


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    by = f" in each group of {listed(arguments['by'])}" if arguments["by"] else ""
    sums = f", and sum of {listed(arguments['columns'])} over those that have one" if arguments["columns"] else ""
    return f"Number of rows of {dataset.name}{by}{sums}."


METHOD = Method(
    name="totals",
    arguments=(
        Columns("columns", "aggregated", NUMBERS, least=0, most=64),
        Columns("by", "grouped", GROUPS, least=0, most=8),
    ),
    sentence=_sentence,
    check=no_further_check,
)
