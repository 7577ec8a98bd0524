"""An output that no rule speaks of is withheld: its kind, its type or its contributors are unknown here."""

import pyarrow as pa

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Rule, nothing
from mpc.results import Measure, RawResult, RawTable

COVERED = frozenset({"count", "sum", "mean", "spread", "quantile", "moment", "association", "test"})
"""The kinds whose rules stand in this package."""

_QUANTILE_COUNTS = 3
"""A quantile's contributors are counted in all, at or below it, and at or above it: the rules hold on each side."""


def find(raw: RawResult, _rules: Rules, _hidden: Hidden) -> Hidden:
    """Return every cell of the measures that no rule covers."""
    found = nothing(raw)
    for table in raw.tables:
        for measure in table.measures:
            found[table.name, measure.name][:] = not _is_covered(table, measure)
    return found


def _is_covered(table: RawTable, measure: Measure) -> bool:
    arrow = table.data.schema.field(measure.name).type
    is_number = pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow)
    counts = _QUANTILE_COUNTS if measure.kind == "quantile" else 1
    has_contributors = table.public or len(table.contributors[measure.name]) >= counts
    return measure.kind in COVERED and is_number and has_contributors


RULE = Rule(
    name="coverage",
    risk="ImplicitTables",
    check="known output kind",
    guarantees="Nothing is released whose kind no rule covers, or whose contributors nobody counted.",
    remedy="ask for counts, sums, means, spreads or tests of numbers",
    find=find,
)
