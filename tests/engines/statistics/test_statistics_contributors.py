"""Who stands behind a cell, against sets of subjects counted by hand."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc.engines.statistics import contributors as module
from mpc.engines.statistics.contributors import Tallies
from mpc.engines.statistics.executor import execute
from mpc.engines.statistics.passes import Fold, Folded, Pass, SortedFold
from mpc.results import RawResult

Make = Callable[..., Any]
OWNERS = ("north", "south", "west")


def by_hand(identity: str, seen: dict[str, set[str]], left: str | None = None) -> int:
    sets = [subjects for owner, subjects in seen.items() if owner != left]
    if identity == "shared":
        return len(set().union(*sets))
    sizes = [len(subjects) for subjects in sets]
    return sum(sizes) if identity == "disjoint" else max(sizes, default=0)


ROWS = st.lists(
    st.tuples(st.sampled_from(OWNERS), st.sampled_from(["a", "b ", "B", "c", "d"]), st.integers(0, 4), st.booleans()),
    max_size=40,
)


@given(rows=ROWS, identity=st.sampled_from(["shared", "disjoint", "unknown"]), size=st.integers(1, 9))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_distinct_subjects_in_all_and_without_each_owner(
    patients: Make, rows: list[Any], identity: str, size: int
) -> None:
    terms = patients(identity=identity, rows="many", owners=OWNERS)
    tallies = Tallies(terms, (None, "age"))
    for owner in OWNERS:
        own = [row for row in rows if row[0] == owner]
        for i in range(0, len(own), size):
            part = own[i : i + size]
            batch = pa.record_batch({
                "pid": pa.array([row[1] for row in part], pa.utf8()),
                "age": pa.array([1.0 if row[3] else None for row in part], pa.float64()),
            })  # fmt: skip
            tallies.update(owner, batch, np.array([row[2] for row in part], np.int64))
    cells = np.array([0, 1, 0, -1, 2])  # groups 0 and 2 make one cell, group 3 is in none
    for counted in (None, "age"):
        (found,) = tallies.contributors(counted, cells, 3)
        for cell in range(3):
            seen = {
                owner: {
                    pid.strip().lower()
                    for who, pid, group, aged in rows
                    if who == owner and cells[group] == cell and (aged or counted is None)
                }
                for owner in OWNERS
            }
            assert found.total[cell] == by_hand(identity, seen)
            assert {p: counts[cell] for p, counts in found.without.items()} == {
                p: by_hand(identity, seen, p) for p in OWNERS
            }


WEIGHTS = st.lists(
    st.tuples(
        st.sampled_from(OWNERS), st.sampled_from(["a", "b ", "B", "c", "d"]), st.integers(0, 4),
        st.sampled_from([None, 0.0, 1.0, -2.5, 8.0]),
    ),
    max_size=40,
)  # fmt: skip


def weighed_by_hand(identity: str, held: dict[tuple[str, str], float], owners: list[str]) -> tuple[float, float]:
    """Return the whole, and what the largest subject may have of it, of the rows of ``owners``."""
    kept = {at: weight for at, weight in held.items() if at[0] in owners}
    by_subject = {pid: sum(w for (_, who), w in kept.items() if who == pid) for _, pid in kept}
    largest = max((by_subject if identity == "shared" else kept).values(), default=0.0)
    if identity == "unknown":
        largest = sum(max((w for (o, _), w in kept.items() if o == owner), default=0.0) for owner in owners)
    return sum(kept.values()), largest


@given(rows=WEIGHTS, identity=st.sampled_from(["shared", "disjoint", "unknown"]), size=st.integers(1, 9))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_largest_subject_in_all_and_without_each_owner(
    patients: Make, rows: list[Any], identity: str, size: int
) -> None:
    tallies = Tallies(patients(identity=identity, rows="many", owners=OWNERS), (None,), weighed=("age",))
    for owner in OWNERS:
        own = [row for row in rows if row[0] == owner]
        for i in range(0, len(own), size):
            part = own[i : i + size]
            batch = pa.record_batch({
                "pid": pa.array([row[1] for row in part], pa.utf8()),
                "age": pa.array([row[3] for row in part], pa.float64()),
            })  # fmt: skip
            tallies.update(owner, batch, np.array([row[2] for row in part], np.int64))
    cells = np.array([0, 1, 0, -1, 2])
    (found,) = tallies.largest("age", cells, 3)
    for cell in range(3):
        held: dict[tuple[str, str], float] = {}
        for owner, pid, group, age in rows:
            if cells[group] == cell:
                at = owner, pid.strip().lower()
                held[at] = held.get(at, 0.0) + abs(age or 0.0)
        assert (found.total[cell], found.first[cell]) == weighed_by_hand(identity, held, list(OWNERS))
        for left, one in found.without.items():
            others = [owner for owner in OWNERS if owner != left]
            assert (one.total[cell], one.first[cell]) == weighed_by_hand(identity, held, others)
        assert set(found.without) == set(OWNERS)


@pytest.mark.parametrize("identity", ["disjoint", "unknown"])
def test_rows_of_subjects_with_one_row_weigh_alike(patients: Make, identity: str) -> None:
    weighed = []
    for rows in ("one", "many"):
        tallies = Tallies(patients(identity=identity, rows=rows), (None,), weighed=("age",))
        for owner, start in (("north", 0), ("south", 100), ("north", 200)):
            ages = np.arange(30.0) - 10
            tallies.update(
                owner, pa.record_batch({"pid": [f"p{start + i}" for i in range(30)], "age": ages}), np.arange(30) % 4
            )
        (found,) = tallies.largest("age", np.arange(4), 4)
        each = {"": found, **found.without}
        weighed.append({party: (one.total.tolist(), one.first.tolist()) for party, one in each.items()})
    assert weighed[0] == weighed[1]


def test_what_is_not_finite_is_one_subjects_in_all(patients: Make) -> None:
    tallies = Tallies(patients(), (None,), weighed=("age",))
    tallies.update("north", pa.record_batch({"pid": ["a", "b"], "age": [1.0, np.inf]}), np.zeros(2, np.int64))
    (found,) = tallies.largest("age", np.zeros(1, np.int64), 1)
    assert (found.total.tolist(), found.first.tolist()) == ([1.0], [1.0])


@pytest.mark.parametrize("identity", ["disjoint", "unknown"])
def test_rows_of_subjects_with_one_row_are_counted_alike(patients: Make, identity: str) -> None:
    counted = []
    for rows in ("one", "many"):
        tallies = Tallies(patients(identity=identity, rows=rows), (None,))
        for owner, start in (("north", 0), ("south", 100), ("north", 200)):
            batch = pa.record_batch({"pid": [f"p{start + i}" for i in range(30)]})
            tallies.update(owner, batch, np.arange(30) % 4)
        (found,) = tallies.contributors(None, np.arange(4), 4)
        counted.append((found.total.tolist(), {p: left.tolist() for p, left in found.without.items()}))
    assert counted[0] == counted[1]


def test_a_single_owner_shares_the_domain_with_nobody(patients: Make) -> None:
    tallies = Tallies(patients(identity="shared", owners=("north",)), (None,))
    tallies.update("north", pa.record_batch({"pid": ["a", "b"]}), np.zeros(2, np.int64))
    (found,) = tallies.contributors(None, np.zeros(1, np.int64), 1)
    assert (found.total.tolist(), found.without) == ([2], {})


def test_public_data_have_nobody_behind_them(patients: Make) -> None:
    tallies = Tallies(patients(public=True), (None,))
    tallies.update("north", pa.record_batch({"pid": ["a"]}), np.zeros(1, np.int64))
    assert tallies.is_public
    assert tallies.contributors(None, np.zeros(1, np.int64), 1) == ()
    assert tallies.largest("age", np.zeros(1, np.int64), 1) == ()


def test_pairs_are_made_distinct_as_they_come(patients: Make) -> None:
    tallies = Tallies(patients(identity="shared"), (None,))
    batch = pa.record_batch({"pid": [f"p{i % 10}" for i in range(1000)]})
    for _ in range(50):
        tallies.update("north", batch, np.zeros(1000, np.int64))
    kept = sum(pairs.num_rows for pairs in tallies._kept[None, "north"]._pairs)
    assert kept <= 50 * 10 < module._PENDING_ROWS


# --- the other kinds of pass, through the executor


class _Ages:
    """Everything that a pass handed over, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []

    def update(self, batch: pa.RecordBatch) -> None:
        assert batch.schema.names == ["age", "town"]
        self.batches.append(batch.column("age").to_pylist())

    def merge(self, other: "_Ages") -> None:
        self.batches += other.batches


class _Plan:
    """Two passes, so that the second is chosen from what the first came to."""

    def __init__(self, fold: Any) -> None:
        self.fold = fold
        self.seen: list[Folded] = []

    def first(self) -> Pass:
        return Pass(Fold(_Ages), ("age", "town"))

    def next(self, folded: Folded) -> Pass | RawResult:
        self.seen.append(folded)
        if len(self.seen) == 1:
            return Pass(self.fold, ("age", "town"), present=("age",), counted=(None,))
        return RawResult(())


def test_a_sorted_fold_meets_all_owners_rows_in_order_and_no_tie_twice(
    patients: Make, table: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpc.engines.statistics.executor.SORTED_ROWS", 4)
    terms = patients()
    draw = np.random.default_rng(1)
    ages = [None if i % 7 == 0 else float(draw.integers(0, 6)) for i in range(60)]
    rows = [(f"p{i}", None, None, age, None, "x") for i, age in enumerate(ages)]
    plan = _Plan(SortedFold(("age",), _Ages))
    execute(plan, terms, (table(terms, "north", [rows[:20], rows[20:31]]), table(terms, "south", [rows[31:]])))
    first, second = plan.seen
    assert sorted(map(str, [age for batch in first.accumulator.batches for age in batch])) == sorted(map(str, ages))
    batches = second.accumulator.batches
    assert [age for batch in batches for age in batch] == sorted(age for age in ages if age is not None)
    assert len(batches) > 1
    assert all(before[-1] < after[0] for before, after in pairwise(batches))
    (behind,) = second.tallies.contributors(None, np.zeros(1, np.int64), 1)
    assert behind.total.tolist() == [sum(age is not None for age in ages)]
