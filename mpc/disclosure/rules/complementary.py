"""No withheld cell follows from released ones through totals."""

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Rule, nothing
from mpc.results import RawResult


def find(raw: RawResult, _rules: Rules, hidden: Hidden) -> Hidden:
    """Until relations are solved for: in a table with margins, any withheld cell of a measure takes all of them."""
    found = nothing(raw)
    for table in raw.tables:
        if table.margins.any():
            for measure in table.measures:
                found[table.name, measure.name][:] = hidden[table.name, measure.name].any()
    return found


RULE = Rule(
    name="complementary",
    risk="ImplicitTables",
    check="derivable through totals",
    guarantees="No linear combination of released cells and totals equals a withheld cell.",
    remedy="leave the totals out, or group more coarsely",
    find=find,
)
