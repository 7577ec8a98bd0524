"""Measures of one source in one row determine each other: a count and a mean give the sum."""

import numpy as np

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Mask, Rule, nothing
from mpc.results import RawResult


def find(raw: RawResult, _rules: Rules, hidden: Hidden) -> Hidden:
    """Return, for every withheld cell, the cells of the same source in the same row."""
    found = nothing(raw)
    for table in raw.tables:
        shared: dict[str, Mask] = {}
        for measure in table.measures:
            mask = hidden[table.name, measure.name]
            shared[measure.source] = shared.get(measure.source, np.zeros_like(mask)) | mask
        for measure in table.measures:
            found[table.name, measure.name] |= shared[measure.source]
    return found


RULE = Rule(
    name="companions",
    risk="ImplicitTables",
    check="measures of one source",
    why="it could be worked out with a withheld number beside it",
    guarantees="In a row, either all measures of one source are released or none is.",
    remedy="group more coarsely; the measure that was too small takes those of its source with it",
    find=find,
)
