"""Attacks by questions in SQL, from rows to answer: magnitudes that are nearly one person's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from mpc.disclosure import Release, control
from mpc.table.schema import Dataset
from tests.sql_questions import check, people, run_sql, table

Make = Callable[..., Any]


def patients(owner: str, size: int, amt: float = 1.0) -> list[Mapping[str, Any]]:
    return [{"pid": f"{owner}{i}", "city": "x", "flag": 1, "amt": amt} for i in range(size)]


def ask(rules: Any, text: str, owned: Mapping[str, Sequence[Mapping[str, Any]]], **terms: Any) -> Release:
    dataset: Dataset = people(owners=tuple(owned), **terms)
    tables = {"people": tuple(table(dataset, owner, rows) for owner, rows in owned.items())}
    raw = run_sql(check(text, {"people": dataset}), tables, {}, memory_bytes=1 << 30, threads=1)
    return control(raw, rules)


def released(release: Release) -> dict[str, Any]:
    (row,) = release.tables[0].data.to_pylist() or [{}]
    return dict(row)


MAGNITUDES = ["sum(amt)", "avg(amt)", "stddev_samp(amt)", "skewness(amt)", "sum(amt * flag)", "regr_avgx(flag, amt)"]


@pytest.mark.parametrize(("amount", "shown"), [(16.2, True), (16.4, False)])
@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_nobody_makes_up_nearly_half_of_a_magnitude(rules: Make, magnitude: str, amount: float, shown: bool) -> None:
    """Beside twenty people with 1 each, one may have 45 % of all and no more."""
    rows = {"a": [*patients("a", 20), {"pid": "rich", "city": "x", "flag": 1, "amt": amount}]}
    release = ask(rules(), f"select count(*) n, {magnitude} m from people", rows)  # noqa: S608 - from the list above
    assert released(release)["n"] == len(rows["a"])  # how many there are is no magnitude
    assert (released(release)["m"] is not None) == shown
    assert {one.rule for one in release.tables[0].withheld} == (set() if shown else {"dominance"})


@pytest.mark.parametrize("amount", [float("inf"), float("nan")])
def test_what_cannot_be_weighed_is_withheld(rules: Make, amount: float) -> None:
    rows = {"a": [*patients("a", 20), {"pid": "odd", "city": "x", "flag": 1, "amt": amount}]}
    release = ask(rules(), "select sum(amt) m from people", rows)
    assert {one.rule for one in release.tables[0].withheld} == {"dominance"}


def test_an_owner_cannot_subtract_its_own_rows_to_see_who_dominates_the_rest(rules: Make) -> None:
    """In all nobody has much; beside the thousand of its own, an owner would see one person with half of the rest."""
    rest = [*patients("b", 20), {"pid": "rich", "city": "x", "flag": 1, "amt": 20.0}]
    ask_for = "select count(*) n, sum(amt) m from people"
    release = ask(rules(), ask_for, {"a": patients("a", 1000), "b": rest})
    assert released(release) == {"n": 1021, "m": None}
    assert {one.rule for one in release.tables[0].withheld} == {"dominance"}
    assert released(ask(rules(), ask_for, {"a": [*patients("a", 1000), *rest]}))["m"] == 1040.0


@pytest.mark.parametrize("identity", ["disjoint", "shared", "unknown"])
def test_many_small_rows_of_one_person_are_that_persons(rules: Make, identity: str) -> None:
    payments = [{"pid": "rich", "city": "x", "flag": 1, "amt": 1.0} for _ in range(40)]
    rows = {"a": [*patients("a", 20), *payments[:20]], "b": [*patients("b", 20), *payments[20:]]}
    release = ask(rules(), "select sum(amt) m from people", rows, rows="many", identity=identity)
    assert released(release).get("m") is None
    apart = {owner: each[:20] for owner, each in rows.items()}
    assert released(ask(rules(), "select sum(amt) m from people", apart, rows="many", identity=identity))["m"] == 40.0


def test_a_withheld_magnitude_does_not_follow_from_its_total(rules: Make) -> None:
    rows = [*patients("a", 20), {"pid": "rich", "city": "x", "flag": 1, "amt": 99.0}]
    rows += [{"pid": f"y{i}", "city": "y", "flag": 1, "amt": 50.0} for i in range(20)]
    release = ask(rules(), "select city, sum(amt) m from people group by rollup (city)", {"a": rows})
    shown = {row["city"]: row["m"] for row in release.tables[0].data.to_pylist()}
    assert shown.get("x") is None
    assert None in {shown.get("y"), shown.get(None)}
