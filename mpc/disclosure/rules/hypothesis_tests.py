"""A test statistic is a function of the cells that it was computed from, so it shares their fate."""

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Rule, nothing
from mpc.results import RawResult


def find(raw: RawResult, _rules: Rules, hidden: Hidden) -> Hidden:
    """Return every test statistic of a result in which any other cell is withheld."""
    tests = {(t.name, m.name) for t in raw.tables for m in t.measures if m.kind == "test"}
    withheld = any(mask.any() for column, mask in hidden.items() if column not in tests)
    found = nothing(raw)
    for column in tests:
        found[column][:] = withheld
    return found


RULE = Rule(
    name="tests",
    risk="ImplicitTables",
    check="statistic of withheld cells",
    why="it is computed from cells of which some are withheld",
    guarantees="No test statistic is released beside a table that it could complete.",
    remedy="group more coarsely, until no cell of the table is withheld",
    find=find,
)
