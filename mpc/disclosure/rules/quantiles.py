"""A quantile is some subject's value, so enough others have to lie on either side of it."""

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Rule, nothing
from mpc.results import RawResult


def find(raw: RawResult, rules: Rules, _hidden: Hidden) -> Hidden:
    """Return every quantile with too few subjects at or below it, or at or above it, also without any one party.

    A side that nobody is on is too few as well, unless nobody is in the cell at all: that is the rule on zeros'.
    """
    found = nothing(raw)
    for table in raw.tables:
        for measure in table.measures:
            if measure.kind != "quantile" or not table.contributors[measure.name]:
                continue
            cell, *sides = table.contributors[measure.name]
            for side in sides:
                found[table.name, measure.name] |= (cell.total > 0) & (side.total < rules.threshold)
                for party, left in side.without.items():
                    somebody = cell.without.get(party, cell.total) > 0
                    found[table.name, measure.name] |= somebody & (left < rules.threshold)
    return found


RULE = Rule(
    name="quantiles",
    risk="LowCount",
    check="subjects on each side of a quantile",
    why="too few subjects lie on one side of the quantile",
    guarantees="At or below and at or above a released quantile lie at least the threshold of subjects.",
    remedy="ask for quantiles nearer to the median, or group more coarsely",
    find=find,
)
