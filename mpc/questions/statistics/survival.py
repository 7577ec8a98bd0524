"""What questions about times until an event have in common: the columns of time, event and entry."""

from mpc.questions.statistics.method import DECLARED, NUMBERS, Arguments, Columns, forbidden, levels
from mpc.table.schema import Column, ColumnType, Dataset

GROUPS_MAX = 64
"""Curves of one question."""

_PARTS = ("time", "event", "entry", "by", "strata", "covariates")

TIME = Columns("time", "aggregated", NUMBERS, least=1, most=1)
EVENT = Columns("event", "aggregated", frozenset[ColumnType]({"integer"}) | DECLARED, least=1, most=1)
ENTRY = Columns("entry", "aggregated", NUMBERS, least=0, most=1)


def event_value(column: Column) -> str | bool | int | None:
    """Return the value of ``column`` that means the event; None when it is not a yes or no.

    Of a boolean that is true, of a category of two codes the second, of a whole number from 0 to 1 it is 1.
    """
    if column.type == "boolean":
        return True
    if column.type == "category" and len(column.codes) == 2:  # noqa: PLR2004 - a yes or no
        return column.codes[1].value
    if column.type == "integer" and (column.minimum, column.maximum) == ("0", "1"):
        return 1
    return None


def check_survival(arguments: Arguments, dataset: Dataset) -> None:
    """Raise ``Forbidden`` unless the event is a yes or no, and every column has one part only."""
    column = dataset.column(arguments["event"][0])
    if column is None or event_value(column) is None:
        raise forbidden(
            "event", f"{arguments['event'][0]} does not tell an event", why="it is more than a yes or no",
            remedy="name a boolean, a category of two codes (the second is the event), or an integer from 0 to 1",
            field="event",
        )  # fmt: skip
    named = [name for part in _PARTS for name in arguments.get(part, ())]
    if len(set(named)) != len(named):
        raise forbidden(
            "repeated", "a question about survival names a column twice", why="each column has one part in it",
            remedy="name different columns for time, event, entry and groups",
        )  # fmt: skip


def check_groups(names: tuple[str, ...], dataset: Dataset) -> None:
    """Raise ``Forbidden`` when the declared values of columns make too many groups."""
    groups = 1
    for column in map(dataset.column, names):
        groups *= 1 if column is None else len(levels(column) or ())
    if groups > GROUPS_MAX:
        raise forbidden(
            "groups", "a question about survival has too many groups", why="each has a curve of its own",
            remedy="group by fewer columns, or by columns with fewer codes", expected=f"at most {GROUPS_MAX}",
        )  # fmt: skip


def followed(arguments: Arguments) -> str:
    """Return how rows are followed, in words: from what, to what, and what is left out."""
    entry = f" from {arguments['entry'][0]}" if arguments["entry"] else ""
    return f"time {arguments['time'][0]}{entry} until {arguments['event'][0]}"


def event_column(arguments: Arguments, dataset: Dataset) -> Column:
    """Return the column that tells the event, which ``check_survival`` has seen."""
    column = dataset.column(arguments["event"][0])
    assert column is not None  # noqa: S101 - checked questions name columns that are there
    return column
