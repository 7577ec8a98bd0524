from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scenarios.flights
from mpc.contract.terms import Contract
from scenarios.columns import Column, boolean, category, decimal, integer, real, text, timestamp  # fmt: skip
from scenarios.columns import date as day
from scenarios.rehearsal import rehearsal_contract
from scenarios.scenario import Dataset, Party, Scenario, Subject, sql
from scenarios.synthetic import synthetic_tables

north, south = Party("north", "North"), Party("south", "South")


def contract_with(columns: dict[str, Column], **changes: Any) -> Contract:
    told: dict[str, Any] = {"subject": Subject("pid", "patient", "disjoint", rows="one")} | changes
    dataset = Dataset("patients", "All", [north, south], {"pid": integer("n", identifier=True)} | columns, **told)
    asked = {"n": sql("SELECT count(*) AS n FROM patients", recipients=[north])}
    return rehearsal_contract(Scenario("Study", "To test.", [north, south], [dataset], asked))


def subjects(contract: Contract, rows: int = 100) -> tuple[list[Any], list[Any]]:
    left, right = synthetic_tables(contract, rows=rows, seed=3)["patients"]
    return left.whole().column("pid").to_pylist(), right.whole().column("pid").to_pylist()


ordered = st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 10**6)).map(lambda pair: (pair[0], sum(pair)))
flags = st.booleans()
moments = st.datetimes(datetime(1950, 1, 1), datetime(2090, 1, 1)).map(lambda at: at.replace(microsecond=0, tzinfo=UTC))  # noqa: DTZ001
schemas = st.one_of(
    st.builds(lambda span, null: integer("x", minimum=span[0], maximum=span[1], nullable=null), ordered, flags),
    st.builds(lambda span, null: real("x", minimum=span[0] / 7, maximum=span[1] / 7, nullable=null), ordered, flags),
    st.builds(lambda low: integer("x", minimum=low), st.integers(-(2**62), 2**62)),
    st.builds(lambda high: real("x", maximum=high / 64), st.integers(-(10**9), 10**9)),
    st.builds(
        lambda span, scale: decimal(
            "x", precision=20, scale=scale,
            minimum=Decimal(span[0]).scaleb(-scale), maximum=Decimal(span[1]).scaleb(-scale),
        ),
        ordered, st.integers(0, 6),
    ),
    st.builds(lambda null: category("x", {"a": "A", "b": "B"}, nullable=null), flags),
    st.builds(lambda low, null: timestamp("x", minimum=low, nullable=null), moments, flags),
    st.builds(lambda high: timestamp("x", maximum=high), moments),
    st.builds(lambda low: day("x", minimum=low), st.dates(date(1900, 1, 1), date(2200, 1, 1))),
    st.builds(lambda null: boolean("x", nullable=null), flags),
    st.builds(lambda null: text("x", nullable=null), flags),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(column=schemas, seed=st.integers(0, 2**32))
def test_whatever_the_schema_its_rows_pass_the_check_of_an_upload(column: Column, seed: int) -> None:
    tables = synthetic_tables(contract_with({"x": column}), rows=40, seed=seed)["patients"]
    assert [table.whole().num_rows for table in tables] == [40, 40]


def test_one_seed_gives_the_same_rows_and_another_gives_others() -> None:
    contract = contract_with({"age": integer("age", minimum=0, maximum=100)})
    first, again, other = (synthetic_tables(contract, rows=50, seed=seed)["patients"][0] for seed in (1, 1, 2))
    assert first.whole() == again.whole()
    assert first.whole() != other.whole()


def test_nullable_columns_are_sometimes_empty_and_others_never() -> None:
    contract = contract_with({"a": integer("a", nullable=True), "b": integer("b")})
    table = synthetic_tables(contract, rows=500, seed=1)["patients"][0].whole()
    assert table is not None
    assert 0 < table.column("a").null_count < 100
    assert table.column("b").null_count == 0


@pytest.mark.parametrize(("identity", "same"), [("shared", True), ("disjoint", False), ("unknown", False)])
@pytest.mark.parametrize("rows", ["one", "many"])
def test_subjects_are_the_same_at_all_owners_only_if_shared(identity: Any, same: bool, rows: Any) -> None:
    left, right = subjects(contract_with({}, subject=Subject("pid", "patient", identity, rows=rows)))
    assert bool(set(left) & set(right)) is same
    assert (len(set(left)) == len(left)) is (rows == "one")


def test_a_narrow_range_of_subjects_makes_fewer_rows_rather_than_a_second_one() -> None:
    dataset_columns = {"pid": integer("n", identifier=True, minimum=1, maximum=30)}
    left, right = subjects(contract_with(dataset_columns))
    assert sorted(left + right) == list(range(1, 31))


def test_a_unique_key_never_repeats_and_joins_find_partners() -> None:
    contract = rehearsal_contract(scenarios.flights.scenario)
    tables = synthetic_tables(contract, rows=300, seed=1)
    flights, weather = tables["flights"][0].whole(), tables["weather"][0].whole()
    hours = weather.select(["airport", "hour"])
    assert hours.group_by(["airport", "hour"]).aggregate([]).num_rows == hours.num_rows
    joined = flights.select(["airport", "hour"]).join(hours, ["airport", "hour"], join_type="inner")
    assert joined.num_rows > flights.num_rows // 2
    assert pc.count_distinct(flights.column("aircraft")).as_py() <= 60


def test_a_broken_range_is_never_left_by_rounding() -> None:
    contract = contract_with({"x": real("x", minimum=-20713 / 7, maximum=18035 / 7)})
    synthetic_tables(contract, rows=5000, seed=1)
