"""``concentration``: how unequally a total is shared: Herfindahl-Hirschman index and Gini coefficient."""

from decimal import Decimal

from mpc.questions.statistics.method import (
    GROUPS,
    NUMBERS,
    Arguments,
    Columns,
    Method,
    forbidden,
    key_names_are_free,
    listed,
)
from mpc.table.schema import Dataset

_NAMES_ARE_FREE = key_names_are_free("n", "subjects", "total", "hhi", "gini")


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    by = arguments["by"]
    groups = f" in each group of {listed(by)}" if by else ""
    unit = "row" if dataset.subject.column is None else dataset.subject.domain
    return (
        f"How unequally {arguments['column'][0]} of {dataset.name} is shared among all that have some, one total for "
        f"each {unit}: the total, the Herfindahl-Hirschman index and the Gini coefficient{groups}; missing values are "
        "left out."
    )


def _check(arguments: Arguments, dataset: Dataset) -> None:
    _NAMES_ARE_FREE(arguments, dataset)
    column = dataset.column(arguments["column"][0])
    if column is None or column.minimum is None or Decimal(column.minimum) < 0:
        raise forbidden(
            "sign", "a concentration is of values that cannot be negative", why="shares of a total have one sign",
            remedy="declare a minimum of 0 or more for the column", field="column",
        )  # fmt: skip


METHOD = Method(
    name="concentration",
    arguments=(
        Columns("column", "aggregated", NUMBERS, least=1, most=1),
        Columns("by", "grouped", GROUPS, least=0, most=8),
    ),
    sentence=_sentence,
    check=_check,
)
