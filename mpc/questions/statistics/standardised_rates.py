"""``standardised_rates``: rates of groups as if all had one age structure, by direct standardisation."""

from decimal import Decimal

from mpc.questions.statistics.method import (
    CONFIDENCE,
    DECLARED,
    NUMBERS,
    Arguments,
    Columns,
    Method,
    Numbers,
    check_cells,
    forbidden,
    key_names_are_free,
    levels,
    listed,
    percent,
)
from mpc.table.schema import Dataset

_NAMES_ARE_FREE = key_names_are_free("n", "subjects", "events", "exposure", "crude_rate", "rate", "lower", "upper")


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    events, strata, by = arguments["events"][0], arguments["strata"][0], arguments["by"]
    each = arguments["exposure"][0] if arguments["exposure"] else "rows"
    groups = f" in each group of {listed(by)}" if by else ""
    return (
        f"Sum of {events} for each {arguments['per'][0]} of {each} in {dataset.name}{groups}, as it is and as it would "
        f"be if {strata} were distributed as {listed(arguments['standard'])}, with its {percent(arguments)} interval; "
        "rows with a missing value are left out."
    )


def _check(arguments: Arguments, dataset: Dataset) -> None:
    _NAMES_ARE_FREE(arguments, dataset)
    names = (*arguments["by"], *arguments["strata"], *arguments["events"], *arguments["exposure"])
    if len(set(names)) != len(names):
        raise forbidden(
            "repeated", "standardised rates name a column twice", why="each column has one part in them",
            remedy="name different columns for events, exposure, strata and by",
        )  # fmt: skip
    check_cells((*arguments["by"], *arguments["strata"]), dataset)
    for name in (*arguments["events"], *arguments["exposure"]):
        column = dataset.column(name)
        if column is not None and (column.minimum is None or Decimal(column.minimum) < 0):
            raise forbidden(
                "sign", f"{name} could be negative", why="a rate is of numbers of events and of times at risk",
                remedy="declare a minimum of 0 or more for the column", field=name,
            )  # fmt: skip
    strata = dataset.column(arguments["strata"][0])
    known = [each for each in (levels(strata) if strata is not None else None) or () if each is not None]
    if len(arguments["standard"]) != len(known) or not any(map(Decimal, arguments["standard"])):
        raise forbidden(
            "standard", "the standard population does not fit the strata", why="each stratum has one weight",
            remedy="write one weight for each declared value of the strata, in the codebook's order", field="standard",
            expected=f"{len(known)} weights, not all 0", found=str(len(arguments["standard"])),
        )  # fmt: skip


METHOD = Method(
    name="standardised_rates",
    arguments=(
        Columns("events", "aggregated", NUMBERS, least=1, most=1),
        Columns("exposure", "aggregated", NUMBERS, least=0, most=1),
        Columns("strata", "grouped", DECLARED, least=1, most=1),
        Numbers("standard", "0", None, least=1, most=1024, ascending=False),
        Columns("by", "grouped", DECLARED, least=0, most=4),
        Numbers("per", "1", "1000000000"),
        CONFIDENCE,
    ),
    sentence=_sentence,
    check=_check,
)
