"""Steps of survival curves: what lies between two released ones is nobody, or at least the threshold."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from mpc.contract.terms import Rules
from mpc.disclosure.control import control
from mpc.disclosure.rules import steps
from mpc.results import Contributors, Measure, RawResult, RawTable

Moves = Sequence[tuple[int, int]]
"""Subjects with the event, and subjects that leave in all, at each step."""


def rules(*, zeros: str = "release") -> Rules:
    return Rules.model_validate({
        "profile": "standard", "threshold": 10, "coalition": 1, "zeros": zeros, "complementary": "suppress",
        "significant_digits": 6,
    })  # fmt: skip


def released(moves: Moves, *, of_one: Moves | None = None, arms: Sequence[str] = ("a",)) -> list[bool]:
    """Return which steps of every arm's curve are released; ``of_one`` is what is left without one party."""
    rows = len(moves) * len(arms)
    keys = {"arm": [arm for arm in arms for _ in moves], "time": [float(i) for _ in arms for i in range(len(moves))]}
    at_risk = 1000 - np.cumsum([left for _, left in moves])
    behind = tuple(
        Contributors(
            "person", np.tile(np.array(total, np.int64), len(arms)),
            {} if of_one is None else {"north": np.tile(np.array(left, np.int64), len(arms))},
        )
        for total, left in (
            (at_risk, at_risk),
            ([events for events, _ in moves], [events for events, _ in of_one or moves]),
            ([left for _, left in moves], [left for _, left in of_one or moves]),
        )
    )  # fmt: skip
    measure = Measure("survival", "survival", "survival", extensive=False)
    table = RawTable(
        "survival", ("arm", "time"), (measure,), pa.table({**keys, "survival": np.linspace(1, 0.5, rows)}),
        {"survival": behind}, np.zeros(rows, np.int64), complete=True,
    )  # fmt: skip
    (shown,) = control(RawResult((table,)), rules()).tables
    places = zip(shown.data["arm"].to_pylist(), shown.data["time"].to_pylist(), strict=True)
    withheld = dict(zip(places, shown.masks[0], strict=True))
    return [not withheld[arm, time] for arm, time in zip(keys["arm"], keys["time"], strict=True)]


def test_the_rule_guarantees_what_these_tests_hold_it_to() -> None:
    assert steps.RULE.guarantees == (
        "At a released survival step, nobody or at least the threshold are at risk, have the event, and leave."
    )


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([(20, 30), (20, 30), (20, 30)], [True, True, True]),
        ([(20, 30), (9, 30), (20, 30)], [True, False, True]),
        ([(20, 30), (20, 30), (3, 30)], [True, True, False]),
        # Censored ones are few, but those who leave are enough: what output checkers ask for.
        ([(20, 22), (20, 30), (20, 30)], [True, True, True]),
        # Nobody moves: nothing is told.
        ([(20, 30), (0, 0), (20, 30)], [True, True, True]),
        ([(0, 12), (20, 30), (0, 12)], [True, True, True]),
        # The step before is withheld, so a step at which nobody has the event tells who had it there.
        ([(20, 30), (3, 30), (0, 30), (0, 0), (15, 30), (0, 15)], [True, False, False, False, True, True]),
        ([(20, 30), (3, 3), (0, 0), (20, 30)], [True, False, False, True]),
    ],
)  # fmt: skip
def test_a_released_step_is_far_enough_from_the_last(moves: Moves, expected: list[bool]) -> None:
    assert released(moves) == expected


def test_the_same_holds_without_any_one_party() -> None:
    moves = [(40, 60), (40, 60), (40, 60), (40, 60)]
    assert released(moves, of_one=[(20, 30), (4, 30), (0, 30), (20, 30)]) == [True, False, False, True]


def test_every_curve_is_looked_at_by_itself() -> None:
    moves = [(20, 30), (20, 30), (3, 30)]
    assert released(moves, arms=("a", "b")) == [True, True, False] * 2
