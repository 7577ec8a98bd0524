"""Accumulators that are merged in any tree come to what one of them makes of all rows, to 1e-12."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.engines.statistics.comoments import CoMoments
from mpc.engines.statistics.counting import GroupRows
from mpc.engines.statistics.moments import Moments
from mpc.engines.statistics.numbers import Numbers
from mpc.engines.statistics.ordered import OrderedCounts
from mpc.engines.statistics.quantiles import Digits

GROUPS = 3
OFFSETS = st.sampled_from([0.0, 1.0, 1e9, -1e12])


def rows(seed: int, count: int, offset: float) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return offset + draw.normal(size=(count, 2)), draw.integers(0, GROUPS, count)


def merged(parts: list[Any], draw: np.random.Generator) -> Any:
    """Merge parts two at a time, in a tree that is drawn."""
    while len(parts) > 1:
        left, right = sorted(draw.choice(len(parts), 2, replace=False).tolist())
        other = parts.pop(right)
        parts[left].merge(other)
    return parts[0]


def pieces(count: int, seed: int) -> list[np.ndarray]:
    """Cut the places of ``count`` rows, shuffled, into pieces; some are empty."""
    draw = np.random.default_rng(seed)
    cuts = np.sort(draw.integers(0, count + 1, draw.integers(0, 9)))
    return list(np.split(draw.permutation(count), cuts))


def batch(values: np.ndarray) -> pa.RecordBatch:
    return pa.record_batch({"x": values[:, 0]})


@given(seed=st.integers(0, 10_000), count=st.integers(0, 120), offset=OFFSETS)
@settings(max_examples=150, deadline=None)
def test_moments_against_exact_arithmetic(seed: int, count: int, offset: float) -> None:
    values, codes = rows(seed, count, offset)
    parts = []
    for piece in pieces(count, seed):
        part = Moments()
        part.add(values[piece, 0], codes[piece], GROUPS)
        parts.append(part)
    found = merged(parts, np.random.default_rng(seed))
    for group in range(GROUPS):
        own = [Fraction(float(value)) for value in values[codes == group, 0]]
        assert found.count[group] == len(own)
        if len(own) > 1:
            mean = sum(own) / len(own)
            variance = sum((value - mean) ** 2 for value in own) / (len(own) - 1)
            assert found.mean[group] == pytest.approx(float(mean), rel=1e-12, abs=1e-13)
            assert found.variance[group] == pytest.approx(float(variance), rel=1e-12)


@given(seed=st.integers(0, 10_000), count=st.integers(2, 120), offset=OFFSETS)
@settings(max_examples=150, deadline=None)
def test_comoments_against_exact_arithmetic(seed: int, count: int, offset: float) -> None:
    values, codes = rows(seed, count, offset)
    parts = []
    for piece in pieces(count, seed):
        part = CoMoments(2)
        part.add(values[piece].T, codes[piece], GROUPS)
        parts.append(part)
    found = merged(parts, np.random.default_rng(seed))
    for group in range(GROUPS):
        own = [[Fraction(float(value)) for value in pair] for pair in values[codes == group]]
        if len(own) > 1:
            means = [sum(pair[i] for pair in own) / len(own) for i in (0, 1)]
            exact = [[sum((p[i] - means[i]) * (p[j] - means[j]) for p in own) for j in (0, 1)] for i in (0, 1)]
            scale = float(exact[0][0] * exact[1][1]) ** 0.5
            assert found.products[group] == pytest.approx(np.array(exact, float), rel=1e-12, abs=1e-12 * scale)


def _values_and_counts(part: OrderedCounts) -> list[list[list[float]]]:
    return [[values.tolist(), counts.tolist()] for values, counts in part.by_group(GROUPS)]


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (GroupRows, lambda part: part.counts.tolist()),
        (lambda: OrderedCounts(Numbers("x")), _values_and_counts),
        (lambda: Digits((Numbers("x"),), 8, {"x": []}), lambda part: part.counts["x"].tolist()),
    ],
)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 80))
@settings(max_examples=60, deadline=None)
def test_what_is_counted_is_the_same_to_the_bit(
    start: Callable[[], Any], told: Callable[[Any], Any], seed: int, count: int
) -> None:
    values, codes = rows(seed, count, 0.0)
    values = np.round(values, 1)
    whole = start()
    whole.update(batch(values), codes, GROUPS)
    parts = []
    for piece in pieces(count, seed):
        part = start()
        part.update(batch(values[piece]), codes[piece], GROUPS)
        parts.append(part)
    assert told(merged(parts, np.random.default_rng(seed))) == told(whole)


def test_values_that_repeat_are_kept_once_however_many_rows_come() -> None:
    draw = np.random.default_rng(5)
    values = np.floor(draw.normal(0, 200, 3_000_000))
    values[::7] = draw.normal(0, 200, len(values[::7]))
    values[::11] = -0.0
    halves = OrderedCounts(Numbers("x")), OrderedCounts(Numbers("x"))
    for i, piece in enumerate(np.array_split(values, 30)):
        halves[i % 2].update(pa.record_batch({"x": piece}), np.zeros(len(piece), np.int64), 1)
    halves[0].merge(halves[1])
    ((found, counts),) = halves[0].by_group(1)
    exact, many = np.unique(values + 0.0, return_counts=True)
    assert (found == exact).all()
    assert (counts == many).all()
