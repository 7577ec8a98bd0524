"""Enough subjects also for whoever can take its own rows away from the cell."""

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Rule, nothing
from mpc.disclosure.rules.threshold import too_few
from mpc.results import RawResult


def find(raw: RawResult, rules: Rules, _hidden: Hidden) -> Hidden:
    """Return every cell that falls under the threshold once some single party's subjects are taken away."""
    found = nothing(raw)
    for table in raw.tables:
        for measure in table.measures:
            for one in table.contributors[measure.name]:
                for remaining in one.without.values():
                    found[table.name, measure.name] |= too_few(remaining, rules)
    return found


RULE = Rule(
    name="coalition",
    risk="Differencing",
    check="minimum threshold without any single party",
    why="too few subjects would be left behind the cell without one party's rows",
    guarantees="Without any one party's subjects, a released cell still has none or at least the threshold.",
    remedy="group more coarsely, so that every cell has enough subjects from at least two owners",
    find=find,
)
