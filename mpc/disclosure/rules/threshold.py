"""Enough distinct subjects behind every cell, in every domain that it touches."""

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Mask, Rule, nothing
from mpc.results import Counts, RawResult


def too_few(counts: Counts, rules: Rules) -> Mask:
    """Return where somebody is counted, but fewer than the threshold; nobody at all is the rule on zeros'."""
    return (counts > 0) & (counts < rules.threshold)


def find(raw: RawResult, rules: Rules, _hidden: Hidden) -> Hidden:
    """Return every cell with some subjects of a domain behind it, but fewer than the threshold."""
    found = nothing(raw)
    for table in raw.tables:
        for measure in table.measures:
            for one in table.contributors[measure.name]:
                found[table.name, measure.name] |= too_few(one.total, rules)
    return found


RULE = Rule(
    name="threshold",
    risk="LowCount",
    check="minimum threshold",
    why="too few subjects stand behind the cell",
    guarantees="Every released cell has no subject, or at least the threshold of distinct subjects, in each domain.",
    remedy="group more coarsely, or filter less, so that more subjects stand behind each cell",
    find=find,
)
