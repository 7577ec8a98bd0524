"""Pairs of rows against a join by hand: whichever keys repeat, on whichever side, in however many columns."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.engines.linkage.matching import AMBIGUOUS, FIRST_PASS, NO_KEY, NO_PARTNER, match

PARTS = st.one_of(st.none(), st.integers(0, 9))
SIDE = st.lists(st.tuples(PARTS, PARTS), max_size=30)


def by_hand(left: list[Any], right: list[Any], *, many: bool) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Return the pairs of one pass and what became of the rows of each side."""
    counts = [Counter(side) for side in (left, right)]
    found = []
    outcomes = []
    for place, side in enumerate((left, right)):
        own, theirs = counts[place], counts[1 - place]
        outcome = []
        for key in side:
            if None in key:
                outcome.append(NO_KEY)
            elif not theirs[key]:
                outcome.append(NO_PARTNER)
            elif counts[1][key] > 1 or (counts[0][key] > 1 and not many):
                outcome.append(AMBIGUOUS)
            else:
                assert own[key] == 1 or (many and place == 0)
                outcome.append(FIRST_PASS)
        outcomes.append(outcome)
    for i, key in enumerate(left):
        if outcomes[0][i] == FIRST_PASS:
            found.append((i, right.index(key)))
    return found, outcomes[0], outcomes[1]


def keys(side: list[Any], types: tuple[pa.DataType, ...]) -> pa.Table:
    columns = {}
    for i, kind in enumerate(types):
        values = [key[i] for key in side]
        if pa.types.is_string(kind):
            values = [None if value is None else f"a key of more than twelve letters, {value}" for value in values]
        if pa.types.is_decimal(kind):
            values = [None if value is None else Decimal(value) for value in values]
        columns[f"k{i}"] = pa.array(values, kind)
    return pa.table(columns)


@settings(max_examples=60, deadline=None)
@given(SIDE, SIDE, st.booleans(), st.booleans())
def test_pairs_and_outcomes_are_those_of_a_join_by_hand(left: Any, right: Any, many: bool, text: bool) -> None:
    types = (pa.utf8() if text else pa.int64(), pa.int64())
    found = match([keys(left, types)], [keys(right, types)], many=many, memory_bytes=1 << 28, threads=1)
    expected = by_hand(left, right, many=many)
    assert list(zip(found.left.tolist(), found.right.tolist(), strict=True)) == expected[0]
    assert (found.left_outcome.tolist(), found.right_outcome.tolist()) == expected[1:]


@pytest.mark.parametrize("many", [False, True])
def test_equal_numbers_of_other_widths_are_equal(many: bool) -> None:
    sides = [[(1,), (2,), (2,), (3,)], [(1,), (2,), (3,), (3,)]]
    types = (pa.decimal128(9, 2), pa.decimal128(30, 2))
    tables = [keys(side, (kind,)) for side, kind in zip(sides, types, strict=True)]
    found = match([tables[0]], [tables[1]], many=many, memory_bytes=1 << 28, threads=1)
    expected = by_hand(sides[0], sides[1], many=many)
    assert list(zip(found.left.tolist(), found.right.tolist(), strict=True)) == expected[0]
    assert (found.left_outcome.tolist(), found.right_outcome.tolist()) == expected[1:]
