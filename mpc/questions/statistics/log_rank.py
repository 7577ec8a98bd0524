"""``log_rank``: whether survival differs between groups."""

from mpc.questions.statistics.method import DECLARED, GROUPS, Arguments, Columns, Method, listed
from mpc.questions.statistics.survival import ENTRY, EVENT, TIME, check_groups, check_survival, followed
from mpc.table.schema import Dataset


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    strata = f", within each {listed(arguments['strata'])}" if arguments["strata"] else ""
    return (
        f"Log-rank test of whether survival in {dataset.name} ({followed(arguments)}) differs between groups of "
        f"{listed(arguments['by'])}{strata}; rows with a missing value are left out."
    )


def _check(arguments: Arguments, dataset: Dataset) -> None:
    check_survival(arguments, dataset)
    check_groups(arguments["by"], dataset)


METHOD = Method(
    name="log_rank",
    arguments=(
        TIME,
        EVENT,
        ENTRY,
        Columns("by", "grouped", DECLARED, least=1, most=3),
        Columns("strata", "grouped", GROUPS, least=0, most=3),
    ),
    sentence=_sentence,
    check=_check,
)
