"""The linear relations among the rows of a table with totals, and which withheld cells they give away.

Two grouping sets of one table describe the same rows. Wherever both can be summed to a common coarser set, the two
sums are equal: a total is the sum of its parts, and two breakdowns of one total that is not even shown agree as well.
Every linear dependence between cells follows from these.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from mpc.results import RawTable

Relation = tuple[frozenset[int], frozenset[int]]
"""Two disjoint sets of rows with the same sum."""

_PRIME = (1 << 31) - 1
"""Elimination is exact over this field; products of two elements fit 64 bits."""


def relations(table: RawTable) -> list[Relation]:
    """Return every pair of row sets of ``table`` that have the same sum, whatever the measure."""
    keys = [table.data.column(key).to_pylist() for key in table.keys]
    masks = sorted(set(table.margins.tolist()))
    rows = {mask: np.flatnonzero(table.margins == mask).tolist() for mask in masks}
    found: set[Relation] = set()
    for left, right in combinations(masks, 2):
        shown = [i for i in range(len(keys)) if not (left | right) >> i & 1]
        parts = [_by_cell(keys, shown, rows[mask]) for mask in (left, right)]
        found.update((frozenset(parts[0][cell]), frozenset(parts[1][cell])) for cell in {*parts[0], *parts[1]})
    return sorted(found, key=lambda relation: (sorted(relation[0]), sorted(relation[1])))


def _by_cell(keys: Sequence[Sequence[Any]], shown: list[int], rows: list[int]) -> dict[tuple[Any, ...], list[int]]:
    cells: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row in rows:
        cells[tuple(keys[i][row] for i in shown)].append(row)
    return cells


def determined(each: Sequence[Relation], hidden: npt.NDArray[np.bool_]) -> list[int]:
    """Return the hidden rows whose value follows from the rows that are not hidden.

    A value follows exactly when its unit vector is in the row space of the relations restricted to hidden rows; in
    reduced row echelon form that is a row with a single entry.
    """
    rows = np.flatnonzero(hidden)
    number = {int(row): i for i, row in enumerate(rows)}
    equations = {
        (
            frozenset(number[row] for row in left & number.keys()),
            frozenset(number[row] for row in right & number.keys()),
        )
        for left, right in each
    } - {(frozenset(), frozenset())}
    matrix = np.zeros((len(equations), len(rows)), np.int64)
    for i, (left, right) in enumerate(equations):
        matrix[i, list(left)] = 1
        matrix[i, list(right)] = _PRIME - 1
    reduced = _reduced(matrix)
    single = reduced[np.count_nonzero(reduced, axis=1) == 1]
    return [int(rows[i]) for i in np.flatnonzero(single.any(axis=0))]


def _reduced(matrix: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the reduced row echelon form over the field of ``_PRIME`` elements."""
    done = 0
    for column in range(matrix.shape[1]):
        nonzero = np.flatnonzero(matrix[done:, column])
        if len(nonzero) == 0:
            continue
        pivot = done + int(nonzero[0])
        matrix[[done, pivot]] = matrix[[pivot, done]]
        matrix[done] = matrix[done] * pow(int(matrix[done, column]), -1, _PRIME) % _PRIME
        others = np.flatnonzero(matrix[:, column])
        others = others[others != done]
        matrix[others] = (matrix[others] - matrix[others, column][:, None] * matrix[done]) % _PRIME
        done += 1
        if done == matrix.shape[0]:
            break
    return matrix[:done]
