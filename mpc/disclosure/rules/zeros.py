"""Cells that nobody stands behind, in all or at all parties but one, when the contract wants them withheld."""

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
    check="zero cells",
    guarantees="Where zeros are withheld, no released cell is empty, or empty without one party.",
    remedy="group more coarsely, so that no cell is empty, or filter less",
    find=find,
)
