"""``missing``: how many values of each column are missing, by groups."""

from typing import get_args

from mpc.questions.statistics.method import GROUPS, Arguments, Columns, Method, key_names_are_free, listed
from mpc.table.schema import ColumnType, Dataset


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    by = arguments["by"]
    groups = f", in each group of {listed(by)}" if by else ""
    return (
        f"How many rows of {dataset.name} have a value of {listed(arguments['columns'])}, each, how many have none, "
        f"and the share that has none{groups}."
    )


METHOD = Method(
    name="missing",
    arguments=(
        Columns("columns", "aggregated", frozenset(get_args(ColumnType)), least=1, most=64),
        Columns("by", "grouped", GROUPS, least=0, most=8),
    ),
    sentence=_sentence,
    check=key_names_are_free("column", "present", "present_subjects", "missing", "missing_subjects", "missing_share"),
)
