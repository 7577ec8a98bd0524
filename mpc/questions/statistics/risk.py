"""``risk``: how much likelier an outcome is with an exposure than without: odds ratio, relative risk, difference."""

from mpc.questions.statistics.method import (
    CONFIDENCE,
    DECLARED,
    Arguments,
    Columns,
    Levels,
    Method,
    check_cells,
    forbidden,
    key_names_are_free,
    listed,
    percent,
)
from mpc.table.schema import Dataset

_NAMES_ARE_FREE = key_names_are_free(
    "exposed", "measure", "n", "subjects", "events", "risk", "estimate", "lower", "upper", "p_value"
)


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    exposure, outcome, by = arguments["exposure"][0], arguments["outcome"][0], arguments["by"]
    pooled = f", and the odds ratio over all {listed(by)} by Mantel and Haenszel" if by else ""
    strata = f" in each group of {listed(by)}" if by else ""
    return (
        f"How often {outcome} is {listed(arguments['event'])} in {dataset.name} where {exposure} is "
        f"{listed(arguments['exposed'])} and where it is not{strata}: the odds ratio, relative risk and risk "
        f"difference with their {percent(arguments)} intervals{pooled}; rows with a missing value are left out."
    )


def _check(arguments: Arguments, dataset: Dataset) -> None:
    _NAMES_ARE_FREE(arguments, dataset)
    names = (*arguments["exposure"], *arguments["outcome"], *arguments["by"])
    if len(set(names)) != len(names):
        raise forbidden(
            "repeated", "a comparison of risks names a column twice", why="a column against itself says nothing",
            remedy="name different columns for exposure, outcome and by",
        )  # fmt: skip
    check_cells(arguments["by"], dataset)


METHOD = Method(
    name="risk",
    arguments=(
        Columns("exposure", "grouped", DECLARED, least=1, most=1),
        Levels("exposed", "exposure", least=1, most=1023),
        Columns("outcome", "grouped", DECLARED, least=1, most=1),
        Levels("event", "outcome", least=1, most=1023),
        Columns("by", "grouped", DECLARED, least=0, most=4),
        CONFIDENCE,
    ),
    sentence=_sentence,
    check=_check,
)
