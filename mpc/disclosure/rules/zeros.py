"""Cells that nobody stands behind, in all or at all parties but one, when the contract wants them withheld.

Both are one rule with one name: were they told apart, a single empty cell would be known to be empty by its reason.
"""

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Rule, nothing
from mpc.results import RawResult


def find(raw: RawResult, rules: Rules, _hidden: Hidden) -> Hidden:
    """Return every cell with no subject in some domain, or with subjects of one party only."""
    found = nothing(raw)
    if rules.zeros == "release":
        return found
    for table in raw.tables:
        for measure in table.measures:
            for one in table.contributors[measure.name]:
                for counts in (one.total, *one.without.values()):
                    found[table.name, measure.name] |= counts == 0
    return found


RULE = Rule(
    name="zeros",
    risk="ClassDisclosure",
    check="no subject in the cell, or none without one party",
    why="no subject is in the cell, or none would be without one party's rows",
    guarantees="Where zeros are withheld, no released cell is empty, or empty without one party.",
    remedy="agree on coarser groups, in which every owner has subjects, or filter less",
    find=find,
)
