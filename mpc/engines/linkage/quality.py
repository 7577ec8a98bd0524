"""How well rows were linked, and whose subjects stand behind what was computed of them: both sides'.

An owner knows how many rows it brought, so what was linked tells what was not. Both have to be enough, or nobody.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.linkage.linked import Linked, Side
from mpc.engines.linkage.matching import AMBIGUOUS, FIRST_PASS, NO_KEY, NO_PARTNER
from mpc.engines.statistics.contributors import Tallies
from mpc.results import Contributors, Counts, Measure, ModelSize, RawResult, RawTable

Rows = npt.NDArray[np.int64]
Behind = tuple[Contributors, ...]

_OUTCOMES = {NO_KEY: "no key", NO_PARTNER: "no partner", AMBIGUOUS: "ambiguous key"}
_TELLS_ROWS = frozenset({"count", "goodness"})
"""Kinds of measures from which the number of linked rows follows."""

_SUBJECTS = "subjects"
"""What statistical methods call their number of subjects; where a table has several, its end."""


def match_tables(linked: Linked, passes: int) -> tuple[RawTable, ...]:
    """Return for each side how many rows each of ``passes`` linked, and how many had no key, no partner or several."""
    outcomes = (linked.matches.left_outcome, linked.matches.right_outcome)
    every = np.array([*range(FIRST_PASS, FIRST_PASS + passes), *_OUTCOMES])
    names = [*(f"pass {number + 1}" for number in range(passes)), *_OUTCOMES.values()]
    found = [_by_outcome(_tallied(side, own), every) for side, own in zip(linked.sides, outcomes, strict=True)]
    tables = []
    for place, side in enumerate(linked.sides):
        counts = np.bincount(outcomes[place], minlength=len(every))[every]
        behind = (*found[place], *_where_linked(found[1 - place], found[place], every))
        cells = {
            "outcome": pa.array([*names, None], pa.utf8()),
            "rows": pa.array(np.append(counts, counts.sum()), pa.int64()),
        }
        measures = (Measure("rows", "count", "*", extensive=True),)
        margins = np.array([0] * len(every) + [1], np.int64)
        tables.append(
            RawTable(
                f"match_{side.dataset.name}", ("outcome",), measures, pa.table(cells), {"rows": behind}, margins,
                public=not behind, complete=True,
            )
        )  # fmt: skip
    return tuple(tables)


def with_both_sides(linked: Linked, left: RawResult, right: RawResult) -> RawResult:
    """Return ``left``, a method's result over linked rows, with the subjects of ``right``, the same of the other view.

    Where a number of rows is told, also those of either side that are not linked have to be enough.
    """
    beside = _unlinked(linked)
    names = (linked.sides[0].dataset.name, linked.sides[1].dataset.name)
    pairs = zip(left.tables, right.tables, strict=True)
    return RawResult(tuple(_of_both(one, other, beside, names) for one, other in pairs), left.presentation)


def _of_both(one: RawTable, other: RawTable, beside: Behind, names: tuple[str, str]) -> RawTable:
    """Return the table ``one`` with the subjects of both; each side's number of subjects has a column of its own."""
    data = {key: one.data.column(key) for key in one.keys}
    measures: list[Measure] = []
    contributors: dict[str, Behind] = {}
    for source, name in ((one, names[0]), (other, names[1])):
        for measure in source.measures:
            counts_subjects = measure.name == _SUBJECTS or measure.name.endswith(f"_{_SUBJECTS}")
            if source is other and not counts_subjects:
                continue
            shown = f"{measure.name}_{name}" if counts_subjects else measure.name
            measures.append(replace(measure, name=shown))
            data[shown] = source.data.column(measure.name)
            contributors[shown] = (
                *one.contributors.get(measure.name, ()), *other.contributors.get(measure.name, ()),
                *(_repeated(beside, one.data.num_rows) if measure.kind in _TELLS_ROWS else ()),
            )  # fmt: skip
    return replace(
        one, measures=tuple(measures), data=pa.table(data), contributors=contributors,
        models=tuple(_weaker(*pair) for pair in zip(one.models, other.models, strict=True)),
        largest={name: (*each, *other.largest.get(name, ())) for name, each in one.largest.items()},
        public=one.public and other.public,
    )  # fmt: skip


def _tallied(side: Side, outcome: npt.NDArray[np.integer[Any] | np.bool_]) -> Tallies:
    tallies = Tallies(side.dataset, (None,))
    if tallies.is_public:
        return tallies
    for owner, start, end in zip(side.owners, side.begins[:-1], side.begins[1:], strict=True):
        at = int(start)
        for batch in side.subjects.slice(at, int(end) - at).to_batches():
            tallies.update(owner, batch, outcome[at : at + batch.num_rows].astype(np.int64))
            at += batch.num_rows
    return tallies


def _by_outcome(tallies: Tallies, every: Rows) -> Behind:
    """Return the subjects of each of ``every`` outcome, and of all together."""
    cells = np.argsort(every)
    parts = tallies.contributors(None, cells, len(every))
    whole = tallies.contributors(None, np.zeros(len(every), np.int64), 1)
    return tuple(
        Contributors(
            part.domain, np.append(part.total, all_of.total),
            {party: np.append(left, all_of.without[party]) for party, left in part.without.items()},
        )
        for part, all_of in zip(parts, whole, strict=True)
    )  # fmt: skip


def _where_linked(theirs: Behind, own: Behind, every: Rows) -> Behind:
    """Return the other side's subjects in the outcomes that link; in all others its own stand for them."""
    apart = np.append(every < FIRST_PASS, True)

    def mixed(one: Contributors, counts: Counts) -> Counts:
        filled: Counts = np.where(apart, own[0].total if own else one.total[-1], counts)
        return filled

    return tuple(
        Contributors(
            one.domain, mixed(one, one.total), {party: mixed(one, left) for party, left in one.without.items()}
        )
        for one in theirs
    )  # fmt: skip


def _unlinked(linked: Linked) -> Behind:
    found: list[Contributors] = []
    outcomes = (linked.matches.left_outcome, linked.matches.right_outcome)
    for side, outcome in zip(linked.sides, outcomes, strict=True):
        tallies = _tallied(side, outcome >= FIRST_PASS)
        found += tallies.contributors(None, np.array([0, -1]), 1)
    return tuple(found)


def _repeated(behind: Behind, rows: int) -> Behind:
    """Return the counts of one row for so many."""
    return tuple(
        Contributors(
            one.domain, np.repeat(one.total, rows), {party: np.repeat(n, rows) for party, n in one.without.items()}
        )
        for one in behind
    )  # fmt: skip


def _weaker(one: ModelSize, other: ModelSize) -> ModelSize:
    """Return the size of a model by whichever side's subjects are fewer; parties of both sides are taken away."""
    levels = [size.smallest_level for size in (one, other) if size.smallest_level is not None]
    without: Mapping[str, ModelSize] = {**other.without, **one.without}
    for party in set(one.without) & set(other.without):
        without = {**without, party: _weaker(one.without[party], other.without[party])}
    known = one.leverage is not None and other.leverage is not None
    return replace(
        one, subjects=min(one.subjects, other.subjects), smallest_level=min(levels, default=None),
        leverage=max(one.leverage or 0.0, other.leverage or 0.0) if known else None, without=without,
    )  # fmt: skip
