"""Many rows are read with plain doubles, and again without rounding wherever that could be seen."""

from collections.abc import Iterator
from fractions import Fraction
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.engines.statistics import run_statistics
from mpc.engines.statistics.gram import Gram
from mpc.engines.statistics.rounded_gram import ROUNDING, Reach, RoundedGram, reach
from mpc.engines.statistics.solutions import Solved
from mpc.engines.statistics.sweep import Solution, solve
from mpc.errors import Malformed
from mpc.results import RawResult
from mpc.table.batches import arrow_schema, loaded_table
from mpc.table.schema import Column, Dataset
from tests.statistics.models import checked, column, dataset, rows_of

Floats = npt.NDArray[np.float64]

ROWS = 70_000


def columns_of(kind: str, rows: int, seed: int = 1) -> Floats:
    draw = np.random.default_rng(seed)
    shape = (rows, 4)
    made: dict[str, Floats] = {
        "normal": draw.normal(3, 2, shape), "far": draw.normal(0, 1, shape) + 1e7,
        "few": draw.choice([0.1, 0.7], shape), "ascending": np.sort(draw.normal(50, 10, shape), axis=0),
        "wide": np.exp(draw.normal(0, 6, shape)),
        "small": draw.normal(1, 1, shape) * 1e-90,
    }  # fmt: skip
    made[kind][:, 0] = 1.0
    return np.asfortranarray(made[kind])


def exact(columns: Floats) -> list[list[Fraction]]:
    gram = Gram(columns.shape[1])
    gram.add(columns)
    return gram.matrix()


@pytest.mark.parametrize("kind", ["normal", "far", "few", "ascending", "wide", "small"])
@pytest.mark.parametrize("centred", [True, False])
def test_an_entry_is_off_by_no_more_than_is_promised(kind: str, centred: bool) -> None:
    columns = columns_of(kind, 50_000)
    whole, *lanes = (RoundedGram(4, centred=centred) for _ in range(4))
    for turn, start in enumerate(range(0, 50_000, 1777)):
        lanes[turn % 3].add(columns[start : start + 1777].copy("F"))
    lanes[1].merge(lanes[2])
    whole.merge(lanes[1])
    whole.merge(lanes[0])
    expected, found = exact(columns), whole.matrix()
    assert whole.rows == 50_000
    assert found[0][0] == 50_000
    mean = [Fraction(0), *(each / 50_000 for each in expected[0][1:])]
    lengths = np.sqrt(whole.lengths(np.array(mean, np.float64)))
    off = [[found[i][j] - expected[i][j] for j in range(4)] for i in range(4)]
    for i in range(4):
        for j in range(4):
            about_means = off[i][j] - mean[i] * off[0][j] - mean[j] * off[i][0]
            assert abs(float(about_means)) <= ROUNDING * lengths[i] * lengths[j]


@given(st.lists(st.tuples(*[st.integers(-(2**20), 2**20)] * 2), min_size=1, max_size=200), st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_whole_numbers_lose_nothing(values: list[tuple[int, ...]], cut: int) -> None:
    rows = np.array([(1, *row) for row in values], np.float64)
    gram, other = RoundedGram(3, centred=False), RoundedGram(3, centred=False)
    gram.add(np.asfortranarray(rows[:cut]))
    other.add(np.asfortranarray(rows[cut:]))
    gram.merge(other)
    assert gram.matrix() == exact(rows)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e180, 1e-140, 1e-180])
def test_what_doubles_cannot_square_is_not_sound(bad: float) -> None:
    columns = columns_of("normal", 1000)
    gram = RoundedGram(4, centred=False)
    gram.add(columns.copy("F"))
    assert gram.is_sound
    columns[:, 2] = bad
    other = RoundedGram(4, centred=False)
    other.add(columns)
    gram.merge(other)
    assert not gram.is_sound


def test_a_hundred_million_rows_of_twenty_columns_are_read_once() -> None:
    """What rounding can do grows with the root of the rows, as standard errors shrink."""
    rows, draw = 1 << 16, np.random.default_rng(6)
    columns = np.ones((rows, 22), order="F")
    columns[:, 1:21] = draw.normal(range(20), [1 + i / 10 for i in range(20)], (rows, 20))
    columns[:, 21] = 0.1 * columns[:, 1:21].sum(axis=1) + draw.normal(0, 1, rows)
    gram = RoundedGram(22, centred=True)
    gram.add(columns)
    solution = solve(gram.matrix(), constant=True)
    found = reach(solution, gram.matrix(), [gram], rows)
    more = Reach(found.estimates * sqrt(1e8 / rows), found.variances, found.inverse)
    assert Solved(solution, rows, more).is_unseen


# --- the plan


class Counted:
    """Tables of columns of doubles, split among owners; ``readings`` is how often all of them were read."""

    def __init__(
        self, data: dict[str, Floats], parts: list[npt.NDArray[np.int64]], batch: int = 1 << 14, **terms: Column
    ) -> None:
        owners = [f"party_{i}" for i in range(len(parts))]
        self.terms: Dataset = dataset([terms.get(name) or column(name) for name in data], owners)
        self._data, self._batch, self._begun = data, batch, 0
        self.tables = tuple(
            loaded_table(self.terms, owner, lambda part=part: self._read(part))  # type: ignore[misc]
            for owner, part in zip(owners, parts, strict=True)
        )

    def _read(self, part: npt.NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
        self._begun += 1
        schema = arrow_schema(self.terms)
        for start in range(0, len(part), self._batch):
            rows = part[start : start + self._batch]
            arrays = [pa.array(self._data[field.name][rows], field.type) for field in schema]
            yield pa.record_batch(arrays, schema=schema)

    def asked(self, method: str, **arguments: Any) -> RawResult:
        return run_statistics(
            checked(self.terms, method, **{"formula": "y ~ x + z", **arguments}), {"rows": self.tables}
        )

    @property
    def readings(self) -> float:
        return self._begun / len(self.tables)


def asked(data: dict[str, Floats], *, parties: int = 1, batch: int = 1 << 14) -> tuple[RawResult, float]:
    """Return the result of one question, and how often it read the rows."""
    dealt = np.random.default_rng(parties).integers(0, parties, len(data["y"]))
    counted = Counted(data, [np.flatnonzero(dealt == i) for i in range(parties)], batch)
    return counted.asked("linear"), counted.readings


def drawn(rows: int = ROWS, *, noise: float = 1.0, offset: float = 0.0) -> dict[str, Floats]:
    draw = np.random.default_rng(3)
    x, z = draw.normal(offset, 1, rows), draw.choice([0.1, 0.7], rows)
    return {"y": 2 * x - z + draw.normal(0, noise, rows) if noise else 2 * x, "x": x, "z": z}


def exactly(data: dict[str, Floats]) -> Solution:
    return solve(exact(np.column_stack([np.ones(len(data["y"])), data["x"], data["z"], data["y"]])), constant=True)


def assert_near(found: RawResult, expected: Solution, rows: int) -> None:
    for place, row in enumerate(rows_of(found, "coefficients").values()):
        error = float(expected.residual / (rows - 3) * expected.inverse[place][place]) ** 0.5
        assert abs(row["estimate"] - float(expected.coefficients[place])) <= 1e-9 * error
        assert row["standard_error"] == pytest.approx(error, rel=1e-11)


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_many_rows_are_read_once_and_splits_change_nothing_that_is_seen(offset: float) -> None:
    data = drawn(offset=offset)
    expected = exactly(data)
    for parties, batch in ((1, 1 << 16), (2, 999), (7, 5000), (100, 300)):
        found, readings = asked(data, parties=parties, batch=batch)
        assert readings == 1
        assert_near(found, expected, ROWS)


def test_the_same_batches_give_the_same_bits() -> None:
    once, again = (asked(drawn(), parties=3)[0].tables[0].data for _ in range(2))
    assert once.equals(again)


@pytest.mark.parametrize(
    "data",
    [
        drawn(60_000),  # few rows
        drawn(noise=1e-9),  # next to no residual
        drawn(noise=0.0),  # none
        drawn() | {"z": drawn()["x"] * 2},  # collinear
        drawn() | {"z": drawn()["x"] + 1e-4 * drawn()["z"]},  # nearly so
        drawn() | {"z": drawn()["x"] * 1e-180},  # squares underflow
        drawn() | {"z": drawn()["z"] * 1e170},  # squares overflow
    ],
    ids=["few", "residual", "perfect", "collinear", "nearly", "underflow", "overflow"],
)
def test_rows_are_read_again_where_rounding_could_be_seen(data: dict[str, Floats]) -> None:
    found, readings = asked(data)
    assert readings == 2
    expected = exactly(data)
    if len(expected.kept) == 3 and expected.residual:
        assert_near(found, expected, len(data["y"]))


def test_one_party_whose_own_model_needs_it_is_enough() -> None:
    counted = Counted(drawn(), [np.arange(3), np.arange(3, ROWS)])
    counted.asked("linear", parties="compared")
    assert counted.readings == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_among_many(bad: float) -> None:
    data = drawn()
    data["x"][ROWS // 2] = bad
    with pytest.raises(Malformed, match=r"statistics\.finite"):
        asked(data)


def test_a_model_without_a_constant_is_read_once_and_exactly() -> None:
    data = drawn()
    counted = Counted(data, [np.arange(ROWS)])
    found = counted.asked("linear", formula="y ~ x + z - 1")
    expected = solve(exact(np.column_stack([data["x"], data["z"], data["y"]])), constant=False)
    assert counted.readings == 1
    assert [row["estimate"] for row in found.tables[0].data.to_pylist()] == [float(b) for b in expected.coefficients]


def test_weighted_rows_are_read_for_extents_and_once_more() -> None:
    data = drawn(offset=1e5) | {"w": np.random.default_rng(4).uniform(0.5, 2, ROWS)}
    counted = Counted(data, [np.arange(ROWS)], w=column("w", minimum="0.1"))
    found = counted.asked("linear", weights="w")
    assert counted.readings == 2
    root = np.sqrt(data["w"])
    near = data["x"] - 1e5  # the slopes are the same about any middle, and rounding of x times the root is not met
    expected = solve(exact(np.column_stack([root, near * root, data["z"] * root, data["y"] * root])), constant=True)
    rows = rows_of(found, "coefficients")
    for place, name in ((1, "x"), (2, "z")):
        assert abs(rows[name]["estimate"] - float(expected.coefficients[place])) <= 1e-9 * rows[name]["standard_error"]


@pytest.mark.parametrize("doubled", [False, True])
def test_columns_of_counts_are_told_apart_by_doubles_only_where_that_is_certain(doubled: bool) -> None:
    data = drawn()
    data["y"] = np.random.default_rng(5).poisson(np.exp(data["z"])).astype(np.float64)
    if doubled:
        data["z"] = data["x"] * 2
    counted = Counted(data, [np.arange(ROWS)], y=column("y", "integer", minimum="0"))
    found = counted.asked("poisson")
    assert (rows_of(found, "coefficients")["z"]["estimate"] is None) is doubled
