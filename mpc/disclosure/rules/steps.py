"""A step of a survival curve tells who had the event there, and the risk table who left.

What lies between two released steps is told by their difference, so a step that nobody moves at is not harmless when
the step before it is withheld: the difference to the last released one is what was withheld. ACRO looks at the same
thing in its survival tables: from step to step, the threshold of subjects has to leave (``survival_threshold``).
"""

from collections import defaultdict

import numpy as np

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Mask, Rule, nothing
from mpc.disclosure.rules.threshold import too_few
from mpc.results import Counts, RawResult, RawTable


def find(raw: RawResult, rules: Rules, hidden: Hidden) -> Hidden:
    """Return every step with a few subjects at risk, with the event or leaving, also without any one party.

    In one row, all cells of the step go: the survival before and after it tells the events there. The steps of a curve
    are the rows that agree in every key but the last.
    """
    found = nothing(raw)
    for table in raw.tables:
        steps = [measure.name for measure in table.measures if measure.kind == "survival"]
        few = np.zeros(table.data.num_rows, np.bool_)
        for name in steps:
            few |= hidden[table.name, name]
        for name in steps:
            for one in table.contributors[name]:
                for counts in (one.total, *one.without.values()):
                    few |= too_few(counts, rules)
        if steps:
            few |= _uncovered(table, steps, few)
        for name in steps:
            found[table.name, name] |= few
    return found


def _uncovered(table: RawTable, steps: list[str], few: Mask) -> Mask:
    """Return the steps at which nobody moves in some way, and somebody did at the withheld ones right before them."""
    moves: list[Counts] = []
    for one in (one for name in steps for one in table.contributors[name][1:]):
        moves += [one.total, *one.without.values()]
    uncovered = np.zeros(len(few), np.bool_)
    for rows in _curves(table):
        since = [False] * len(moves)
        for row in rows:
            since = [before or counts[row] > 0 for before, counts in zip(since, moves, strict=True)]
            if not few[row] and any(before and counts[row] == 0 for before, counts in zip(since, moves, strict=True)):
                uncovered[row] = True
            if not few[row] and not uncovered[row]:
                since = [False] * len(moves)
    return uncovered


def _curves(table: RawTable) -> list[list[int]]:
    """Return the rows of each curve in the order of its steps."""
    keys = [table.data.column(key).to_pylist() for key in table.keys]
    curves: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for row in range(table.data.num_rows):
        curves[tuple(key[row] for key in keys[:-1])].append(row)
    if not keys:
        return list(curves.values())
    return [sorted(rows, key=keys[-1].__getitem__) for rows in curves.values()]


RULE = Rule(
    name="steps",
    risk="LowCount",
    check="subjects at risk, with the event and leaving at each step",
    why="too few subjects are at risk, have the event or leave at that time, or would without one party's rows",
    guarantees="At a released survival step, nobody or at least the threshold are at risk, have the event, and leave.",
    remedy="use wider steps, fewer groups, or a shorter follow-up",
    find=find,
)
