"""An output that no rule speaks of is withheld: its kind, its type or its contributors are unknown here."""

from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Rule, nothing
from mpc.results import Measure, MeasureKind, RawResult, RawTable

COVERED: Mapping[MeasureKind, int] = MappingProxyType({
    "count": 1, "sum": 1, "mean": 1, "spread": 1, "moment": 1, "association": 1, "test": 1, "rate": 1,
    "concentration": 1, "inequality": 1, "parameter": 1, "uncertainty": 1, "goodness": 1,
    "quantile": 3,  # in all, at or below it, and at or above it: the rules hold on each side
    "survival": 3,  # at risk, with the event, leaving: the rules hold for each step
})  # fmt: skip
"""The kinds whose rules stand in this package, and in how many ways each cell's contributors have to be counted."""

SIZED: frozenset[MeasureKind] = frozenset({"parameter", "goodness"})
"""Kinds that are of a model, whose size has to be told."""

WEIGHED: frozenset[MeasureKind] = frozenset({"sum", "mean", "spread", "moment", "concentration", "inequality"})
"""Kinds that are of magnitudes, whose largest contributions have to be told."""


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
    return measure.kind in COVERED and is_number and (table.public or _is_counted(table, measure))


def _is_counted(table: RawTable, measure: Measure) -> bool:
    """Tell whether everything that rules on the measure's kind look at is there."""
    has_contributors = len(table.contributors[measure.name]) >= COVERED[measure.kind]
    has_size = measure.kind not in SIZED or bool(table.models)
    has_largest = measure.kind not in WEIGHED or bool(table.largest.get(measure.name))
    return has_contributors and has_size and has_largest


RULE = Rule(
    name="coverage",
    risk="ImplicitTables",
    check="known output kind",
    why="no rule covers this kind of number",
    guarantees="Nothing is released whose kind no rule covers, or whose contributors nobody counted.",
    remedy="ask for counts, sums, means, spreads or tests of numbers",
    find=find,
)
