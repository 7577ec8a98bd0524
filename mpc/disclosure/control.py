"""The only door out of a run: rules, then rounding, then presentation, and a ``Release`` at the end.

Guarantees: a release is a function of the cells that no rule withholds, the rules, and the presentation, and of
nothing else; in particular neither order nor selection of its rows depends on a withheld value.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.contract.terms import Rules
from mpc.disclosure.presentation import presented
from mpc.disclosure.release import STATBARNS, Release, ReleasedMeasure, ReleasedTable, Status, Withheld
from mpc.disclosure.rounding import rounded
from mpc.disclosure.rules import RULES
from mpc.disclosure.rules.rule import Column, Mask, Rule, nothing
from mpc.results import Measure, RawResult, RawTable, check_shape
from mpc.table.plain import settled

_REVIEWED = frozenset({"moment"})
"""Kinds that an output checker looks at although every rule passes (spec: skewness and kurtosis)."""

_INTERVAL = ["from", "to"]
"""Keys that are ends of intervals: the first has no lower one, and NULL is sorted last, so upper ends are sorted by."""


def control(raw: RawResult, rules: Rules) -> Release:
    """Return what may leave of ``raw`` under ``rules``; ``Malformed`` when its parts do not fit each other."""
    for table in raw.tables:
        check_shape(table)
    found = _apply(raw, rules)
    released = (_released(table, found, rules) for table in raw.tables)
    return Release(tuple(presented(table, raw.presentation) for table in released))


def _apply(raw: RawResult, rules: Rules) -> dict[Column, dict[str, Mask]]:
    """Return, for each measure, the cells that each rule withheld first; rules repeat until nothing is added."""
    hidden = nothing(raw)
    found: dict[Column, dict[str, Mask]] = {column: {} for column in hidden}
    settled_down = False
    while not settled_down:
        settled_down = True
        for rule in RULES:
            for column, mask in rule.find(raw, rules, hidden).items():
                fresh = mask & ~hidden[column]
                if fresh.any():
                    found[column][rule.name] = found[column].get(rule.name, np.zeros_like(mask)) | fresh
                    hidden[column] = hidden[column] | fresh
                    settled_down = False
    return found


def _released(table: RawTable, found: dict[Column, dict[str, Mask]], rules: Rules) -> ReleasedTable:
    masks = {m.name: _union(found[table.name, m.name], table.data.num_rows) for m in table.measures}
    columns = {key: table.data.column(key) for key in table.keys}
    for measure in table.measures:
        shown = pc.if_else(pa.array(masks[measure.name]), None, table.data.column(measure.name))
        columns[measure.name] = rounded(shown, rules.significant_digits)
    rows = _rows(table, masks)
    return ReleasedTable(
        name=table.name,
        keys=table.keys,
        measures=tuple(_measure(measure, masks[measure.name]) for measure in table.measures),
        data=settled(pa.table(columns).take(rows)),
        masks=tuple(tuple(masks[measure.name][rows].tolist()) for measure in table.measures),
        margins=tuple(table.margins[rows].tolist()),
        withheld=tuple(
            _withheld(rule, measure, found[table.name, measure.name][rule.name])
            for measure in table.measures
            for rule in RULES
            if rule.name in found[table.name, measure.name]
        ),
    )


def _union(masks: dict[str, Mask], rows: int) -> Mask:
    together = np.zeros(rows, np.bool_)
    for mask in masks.values():
        together |= mask
    return together


def _rows(table: RawTable, masks: dict[str, Mask]) -> npt.NDArray[np.int64]:
    """Return the rows to show, in an order of their own: the engine's may come from withheld values.

    A row that is withheld whole goes without its keys as well, unless every combination of the keys' declared
    values has a row anyway: a key that stands in the data alone would tell that somebody is there.
    """
    order = _order_of_keys(table)
    if table.complete or not table.measures:
        return order
    wholly: Mask = np.logical_and.reduce([masks[measure.name] for measure in table.measures])
    return order[~wholly[order]]


def _order_of_keys(table: RawTable) -> npt.NDArray[np.int64]:
    names = [f"k{i}" for i in range(len(table.keys))]
    ordered = list(table.keys)
    if ordered[-2:] == _INTERVAL:
        ordered[-2:] = reversed(_INTERVAL)
    keys = pa.table([pa.array(table.margins), *table.data.select(ordered).columns], names=["margin", *names])
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
    rows: npt.NDArray[np.int64] = np.asarray(order, dtype=np.int64)
    return rows


def _measure(measure: Measure, mask: Mask) -> ReleasedMeasure:
    status: Status = "fail" if mask.any() else "review" if measure.kind in _REVIEWED else "pass"
    return ReleasedMeasure(measure.name, measure.kind, STATBARNS[measure.kind], measure.unit, status)


def _withheld(rule: Rule, measure: Measure, mask: Mask) -> Withheld:
    return Withheld(rule.name, rule.risk, rule.check, measure.name, int(mask.sum()), rule.remedy)
