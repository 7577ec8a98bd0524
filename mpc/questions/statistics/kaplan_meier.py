"""``kaplan_meier``: the share that is still without the event at declared times, and the median time."""

from mpc.questions.statistics.method import DECLARED, Arguments, Columns, Method, Numbers, key_names_are_free, listed
from mpc.questions.statistics.survival import ENTRY, EVENT, TIME, check_groups, check_survival, followed
from mpc.table.schema import Dataset

STEPS_MAX = 120


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    by = f" in each group of {listed(arguments['by'])}" if arguments["by"] else ""
    at = arguments["at"]
    times = f"{len(at)} times from {at[0]} to {at[-1]}" if len(at) > 1 else f"time {at[0]}"
    return (
        f"Kaplan-Meier survival of {dataset.name} ({followed(arguments)}){by} at {times}, with 95 % intervals, numbers "
        "at risk and events, and the median time; rows with a missing value are left out."
    )


_NAMES_ARE_FREE = key_names_are_free(
    "time", "survival", "standard_error", "lower", "upper", "at_risk", "subjects", "events", "n", "median",
    "median_lower", "median_upper",
)  # fmt: skip


def _check(arguments: Arguments, dataset: Dataset) -> None:
    check_survival(arguments, dataset)
    _NAMES_ARE_FREE(arguments, dataset)
    check_groups(arguments["by"], dataset)


METHOD = Method(
    name="kaplan_meier",
    arguments=(
        TIME,
        EVENT,
        ENTRY,
        Columns("by", "grouped", DECLARED, least=0, most=3),
        Numbers("at", minimum="0", maximum=None, least=1, most=STEPS_MAX),
    ),
    sentence=_sentence,
    check=_check,
)
