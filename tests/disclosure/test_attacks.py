"""Attacks on a release, from rows to answer: an analyst who subtracts, and owners who know their own rows."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest

from mpc.disclosure import Release, control
from mpc.engines.statistics import run_statistics
from mpc.questions.statistics import check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.table.batches import arrow_schema, checked_table
from mpc.table.schema import Code, Column, Dataset, Freshness, Subject

Make = Callable[..., Any]
Rows = Sequence[tuple[str, str, bool, float]]


def dataset(identity: Any = "disjoint") -> Dataset:
    def column(name: str, kind: Any, **terms: Any) -> Column:
        plain: dict[str, Any] = {
            "description": name, "precision": None, "scale": None, "unit": None, "nullable": False, "missing": (),
            "minimum": None, "maximum": None, "codes": (), "filterable": True, "identifier": False,
        }  # fmt: skip
        return Column(name=name, type=kind, **{**plain, **terms})

    codes = tuple(Code(value=value, label=value) for value in "123")
    return Dataset(
        name="patients", description="patients", owners=("north", "south"),
        columns=(
            column("pid", "text", identifier=True), column("grade", "category", codes=codes),
            column("treated", "boolean"), column("age", "float"),
        ),
        subject=Subject(domain="person", column="pid", identity=identity, normalisation="exact", rows="many"),
        keys=(), freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip


def ask(terms: Dataset, north: Rows, south: Rows, rules: Any, method: str, **arguments: tuple[str, ...]) -> Release:
    schema = arrow_schema(terms)
    tables = tuple(
        checked_table(
            terms, owner, [pa.record_batch([pa.array(each) for each in zip(*rows, strict=True)], schema=schema)]
        )
        for owner, rows in (("north", north), ("south", south))
    )
    question = StatisticsQuestion(kind="statistics", method=method, dataset="patients", arguments=arguments)
    return control(run_statistics(check_statistics("q", question, {"patients": terms}), {"patients": tables}), rules)


def group(owner: str, grade: str, size: int, *, treated: bool = True, age: float = 60.0) -> list[Any]:
    return [(f"{owner}-{grade}-{treated}-{i}", grade, treated, age) for i in range(size)]


def hospital(owner: str, size: int) -> list[Any]:
    return [row for grade in "123" for treated in (True, False) for row in group(owner, grade, size, treated=treated)]


def test_one_subject_is_not_singled_out_by_the_difference_of_margins(rules: Make) -> None:
    """One treated patient of grade 3: his cell goes, and totals must not give it back."""
    north = [row for row in hospital("north", 40) if row[1:3] != ("3", True)] + group("north", "3", 1)
    south = [row for row in hospital("south", 40) if row[1:3] != ("3", True)]
    release = ask(dataset(), north, south, rules(), "crosstab", row=("grade",), column=("treated",))
    cells = {(row["grade"], row["treated"]): row["n"] for row in release.tables[0].data.to_pylist()}
    assert cells["3", True] is None
    by_row = [cells["3", None], cells["3", False]]
    by_column = [cells[None, True], cells["1", True], cells["2", True]]
    assert None in by_row
    assert None in by_column
    whole = [cells[None, None], cells["1", None], cells["2", None], cells["3", False]]
    assert None in whole
    assert release.tables[1].data.num_rows == 0 or release.tables[1].data.column("p_value").to_pylist() == [None]
    assert {one.rule for table in release.tables for one in table.withheld} >= {"threshold", "complementary", "tests"}


@pytest.mark.parametrize(("others", "shown"), [(1, False), (9, False), (10, True)])
def test_a_dominant_party_cannot_subtract_its_own_rows(rules: Make, others: int, shown: bool) -> None:
    """North knows its 500 ages; with the joint count and mean it would know the rest's."""
    south = [row for row in hospital("south", 40) if row[1] != "3"] + group("south", "3", others, age=91.0)
    release = ask(dataset(), hospital("north", 250), south, rules(), "summary", columns=("age",), by=("grade",))
    line = {row["grade"]: row for row in release.tables[0].data.to_pylist()}["3"]
    assert (line["age_mean"] is not None) == shown
    assert (line["age_n"] is not None) == shown
    if not shown:
        alone = {"dominance"} if others == 1 else set()  # the rest's mean is one person's age
        assert {one.rule for one in release.tables[0].withheld} == {"coalition", *alone}


@pytest.mark.parametrize(("zeros", "told"), [("release", 0), ("withhold", None)])
def test_zero_cells_follow_the_contract(rules: Make, zeros: str, told: int | None) -> None:
    north, south = ([row for row in hospital(owner, 40) if row[1:3] != ("3", True)] for owner in ("north", "south"))
    release = ask(dataset(), north, south, rules(zeros=zeros), "crosstab", row=("grade",), column=("treated",))
    cells = {(row["grade"], row["treated"]): row["n"] for row in release.tables[0].data.to_pylist()}
    assert cells["3", True] == told
    if told is None:
        assert None in {cells["3", None], cells["3", False]}


def test_rows_at_only_one_hospital_do_not_say_which_one_where_zeros_are_withheld(rules: Make) -> None:
    """All 40 of grade 3 are north's: to south, the joint cell would be north's alone."""
    south = [row for row in hospital("south", 40) if row[1] != "3"]
    release = ask(
        dataset(), hospital("north", 20), south, rules(zeros="withhold"), "summary", columns=("age",), by=("grade",)
    )
    lines = {row["grade"]: row["age_n"] for row in release.tables[0].data.to_pylist()}
    assert lines == {"1": 120, "2": 120, "3": None}


def test_the_same_people_at_two_hospitals_are_not_counted_twice(rules: Make) -> None:
    """Six people at both hospitals are six subjects, not twelve, when identifiers are shared."""
    both = [(f"person-{i}", "3", True, 60.0) for i in range(6)]
    rest = [row for row in hospital("any", 40) if row[1:3] != ("3", True)]
    for identity, shown in (("shared", False), ("disjoint", False), ("unknown", False)):
        release = ask(
            dataset(identity), rest + both, rest + both, rules(), "summary", columns=("age",), by=("grade", "treated")
        )
        lines = {(row["grade"], row["treated"]): row["age_n"] for row in release.tables[0].data.to_pylist()}
        assert (lines["3", True] is not None) == shown, identity


def test_one_person_with_many_rows_is_one_subject(rules: Make) -> None:
    visits = [("north-visitor", "3", True, 60.0 + i) for i in range(500)]
    north = [row for row in hospital("north", 40) if row[1] != "3"] + visits
    south = [row for row in hospital("south", 40) if row[1] != "3"] + [("south-visitor", "3", True, 50.0)] * 500
    release = ask(dataset(), north, south, rules(), "summary", columns=("age",), by=("grade",))
    lines = {row["grade"]: row["age_n"] for row in release.tables[0].data.to_pylist()}
    assert lines == {"1": 160, "2": 160, "3": None}
