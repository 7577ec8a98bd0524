"""A step of a survival curve tells who had the event there, and the risk table who left."""

import numpy as np

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Rule, nothing
from mpc.disclosure.rules.threshold import too_few
from mpc.results import RawResult


def find(raw: RawResult, rules: Rules, _hidden: Hidden) -> Hidden:
    """Return every step with a few subjects at risk, with the event or leaving, also without any one party.

    In one row, all cells of the step go: the survival before and after it tells the events there.
    """
    found = nothing(raw)
    for table in raw.tables:
        few = np.zeros(table.data.num_rows, np.bool_)
        steps = [measure.name for measure in table.measures if measure.kind == "survival"]
        for name in steps:
            for one in table.contributors[name]:
                for counts in (one.total, *one.without.values()):
                    few |= too_few(counts, rules)
        for name in steps:
            found[table.name, name] |= few
    return found


RULE = Rule(
    name="steps",
    risk="LowCount",
    check="subjects at risk, with the event and leaving at each step",
    guarantees="At a released survival step, nobody or at least the threshold are at risk, have the event, and leave.",
    remedy="use wider steps, fewer groups, or a shorter follow-up",
    find=find,
)
