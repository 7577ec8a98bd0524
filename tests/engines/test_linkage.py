"""Linkage against joins by hand: who is linked, whose subjects count, and that no pair is ever told."""

import random
from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from mpc.contract.terms import Rules
from mpc.disclosure import control
from mpc.engines.linkage.normalisation import compared
from mpc.errors import OutOfOrder
from tests.engines.linkage_rows import MEMBERS, SALES, by_name, checked, link, pair, run, table

EMAIL = [pair("email", "email", "text")]
PHONE = [pair("phone", "mobile", "phone 31")]
PERSON = [pair("born", "birthday", "date"), pair("surname", "name", "name")]


def outcomes(result: Any, side: str) -> dict[str | None, int]:
    data = by_name(result)[f"match_{side}"].data
    return dict(zip(data["outcome"].to_pylist(), data["rows"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("how", "one", "other"),
    [
        ("exact", "Ab", "Ab"),
        ("text", "  Ann   Lee ", "ANN lee"),
        ("text", "Ångström Ørsted", "angstrom orsted"),
        ("text", "STRASSE", "straße"),
        ("text", "José", "Jose\u0301"),
        ("name", "O'Brien-Smith, J.", "obriensmithj"),
        ("name", "Łódź", "lodz"),
        ("digits", "NL 12.34", "1234"),
        ("phone 31", "06-1234 5678", "+31 6 12345678"),
        ("phone 31", "0031 612345678", "+31 (0)6 1234 5678"),
        ("phone 49", "0176 1234567", "+49176/1234567"),
        ("date", "31.1.2026", "2026-01-31"),
        ("date", "20260131", "31/01/2026"),
    ],
)
def test_spellings_of_one_key_become_equal(how: str, one: str, other: str) -> None:
    matched = pair("a", "b", how)
    made = [compared(pa.array([text, None]), matched).to_pylist() for text in (one, other)]
    assert made[0] == made[1]
    assert made[0][0] is not None
    assert made[0][1] is None


@pytest.mark.parametrize(
    ("how", "one", "other"),
    [
        ("exact", "Ab", "ab"),
        ("text", "Ann Lee", "AnnLee"),
        ("name", "Ann", "Anna"),
        ("digits", "12", "012"),
        ("phone 31", "06-12345678", "+32 6 12345678"),
        ("date", "2026-01-31", "2026-01-30"),
    ],
)
def test_other_keys_stay_apart(how: str, one: str, other: str) -> None:
    made = compared(pa.array([one, other]), pair("a", "b", how)).to_pylist()
    assert made[0] != made[1]


@pytest.mark.parametrize(
    ("how", "blank"),
    [("exact", "  "), ("text", " \u00a0 "), ("name", "-"), ("digits", "n/a"), ("phone 31", "12"),
     ("phone 31", "unknown"), ("date", "31.2.2026"), ("date", "soon")],
)  # fmt: skip
def test_what_is_no_key_links_nobody(how: str, blank: str) -> None:
    assert compared(pa.array([blank]), pair("a", "b", how)).to_pylist() == [None]


def test_days_of_dates_and_timestamps_are_days_of_texts() -> None:
    matched = pair("a", "b", "date")
    moments = pa.array([datetime(2024, 2, 29, 23, 59, tzinfo=UTC), datetime(1969, 12, 31, 0, 1, tzinfo=UTC), None])
    days = pa.array([date(2024, 2, 29), date(1969, 12, 31), None])
    texts = pa.array(["29.2.2024", "19691231", "29.2.2023"])
    for column in (moments.cast(pa.timestamp("us", tz="UTC")), days, texts):
        assert compared(column, matched).to_pylist() == ["2024-02-29", "1969-12-31", None]


def test_passes_link_who_is_left_and_ambiguous_keys_nobody() -> None:
    sales = [
        {"buyer": "1", "email": "A@x", "phone": "0612345678"},
        {"buyer": "2", "email": "b@x", "phone": "0611111111"},
        {"buyer": "3", "email": "b@x", "phone": "0622222222"},
        {"buyer": "4", "email": None, "phone": "0633333333"},
        {"buyer": "5", "email": "e@x", "phone": "0655555555"},
        {"buyer": "6"},
    ]
    members = [
        # Its number is buyer 2's, but it is linked by then.
        {"member": "a", "email": "a@X", "mobile": "+31611111111"},
        {"member": "b", "email": "B@x", "mobile": "+31622222222"},
        {"member": "c", "email": "c@x", "mobile": "+31633333333"},
        {"member": "d", "email": "d@x", "mobile": "+31633333333"},
        {"member": "e", "email": "none", "mobile": "+31699999999"},
    ]
    found = run(checked(link(EMAIL, PHONE)), {"shop_a": sales[:2], "shop_b": sales[2:]}, members)
    assert by_name(found)["totals"].data.to_pylist() == [{"n": 2, "subjects_sales": 2, "subjects_members": 2}]
    assert outcomes(found, "sales") == {
        "pass 1": 1, "pass 2": 1, "no key": 1, "no partner": 1, "ambiguous key": 2, None: 6
    }  # fmt: skip
    assert outcomes(found, "members") == {
        "pass 1": 1, "pass 2": 1, "no key": 0, "no partner": 1, "ambiguous key": 2, None: 5
    }  # fmt: skip


def drawn(seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    draw = random.Random(seed)  # noqa: S311 - rows, not keys
    sales = [
        {"buyer": f"b{i // 2}", "code": draw.choice([None, *range(60)]), "amount": float(draw.randrange(100))}
        for i in range(120)
    ]
    members = [
        {"member": f"m{i}", "code": draw.choice([None, *range(70)]), "region": draw.choice(["north", "south"]),
         "age": draw.randrange(18, 90)} for i in range(80)
    ]  # fmt: skip
    return sales, members


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("left_rows", ["one", "many"])
def test_sums_over_linked_rows_are_those_of_a_join_by_hand(seed: int, left_rows: Any) -> None:
    sales, members = drawn(seed)
    left, right = (Counter(row["code"] for row in rows if row["code"] is not None) for rows in (sales, members))
    expected: dict[str, list[float]] = {"north": [], "south": []}
    for row in sales:
        if right[row["code"]] == 1 and (left_rows == "many" or left[row["code"]] == 1):
            (member,) = [each for each in members if each["code"] == row["code"]]
            expected[member["region"]].append(row["amount"])
    question = checked(
        link([pair("code", "code")], left_rows=left_rows), columns=("sales_amount",), by=("members_region",)
    )
    found = by_name(
        run(question, {"shop_a": sales[::3], "shop_b": [r for i, r in enumerate(sales) if i % 3]}, members, batch=7)
    )
    lines = {row["members_region"]: row for row in found["totals"].data.to_pylist()}
    for region, amounts in expected.items():
        assert lines[region]["n"] == len(amounts)
        assert lines[region]["sales_amount_sum"] == pytest.approx(sum(amounts))


def test_the_subjects_of_both_sides_stand_behind_every_number() -> None:
    # Buyer 0 bought everything, from twenty members' accounts.
    sales = [{"buyer": "0", "code": i, "amount": 1.0} for i in range(20)]
    sales += [{"buyer": f"b{i}", "code": 100 + i} for i in range(15)]
    members = [{"member": f"m{i}", "code": i} for i in range(40)]
    found = by_name(
        run(checked(link([pair("code", "code")]), columns=("sales_amount",)), {"shop_a": sales, "shop_b": []}, members)
    )
    behind = found["totals"].contributors
    assert {(one.domain, int(one.total[0])) for one in behind["sales_amount_sum"]} == {("buyer", 1), ("member", 20)}
    # Beside a number of rows, those that are not linked: 15 buyers, 20 members.
    assert [(one.domain, int(one.total[0])) for one in behind["n"]] == [
        ("buyer", 1), ("member", 20), ("buyer", 15), ("member", 20)
    ]  # fmt: skip


def rules() -> Rules:
    return Rules.model_validate({
        "profile": "standard", "threshold": 10, "coalition": 1, "zeros": "release", "complementary": "suppress",
        "significant_digits": 6,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("common", "alone", "told"), [(30, 20, True), (9, 30, False), (30, 9, False), (30, 0, True), (0, 30, True)]
)
def test_an_intersection_is_told_when_those_inside_and_those_outside_are_enough(
    common: int, alone: int, told: bool
) -> None:
    sales = [{"buyer": f"b{i}", "code": i} for i in range(common + alone)]
    members = [{"member": f"m{i}", "code": i} for i in range(common)]
    members += [{"member": f"n{i}", "code": 1000 + i} for i in range(50)]
    released = control(run(checked(link([pair("code", "code")])), {"shop_a": sales, "shop_b": []}, members), rules())
    totals = next(each for each in released.tables if each.name == "totals")
    # Shops are two, and all buyers are one's: without it nobody is left, which is not too few.
    assert totals.data["n"].to_pylist() == [common if told else None]
    quality = next(each for each in released.tables if each.name == "match_sales")
    shown = dict(zip(quality.data["outcome"].to_pylist(), quality.data["rows"].to_pylist(), strict=True))
    assert shown["pass 1"] == (common if told else None)
    if not told:
        # What is withheld does not follow from the total of rows, which its owner knows.
        assert list(shown.values()).count(None) >= 3


def test_every_statistical_method_reads_linked_rows() -> None:
    sales, members = drawn(9)
    question = checked(
        link([pair("code", "code")], left_rows="many"),
        "linear",
        formula=("sales_amount ~ members_age + members_region",),
        parties=("pooled",),
        errors=("classical",),
        residuals=("none",),
        confidence=("0.95",),
    )
    found = by_name(run(question, {"shop_a": sales, "shop_b": []}, members))
    assert found["coefficients"].data["term"].to_pylist() == ["(intercept)", "members_age", "members_region[south]"]
    assert {"match_sales", "match_members"} <= set(found)
    (model,) = found["models"].models
    assert model.subjects <= model.observations
    assert {"shop_a", "shop_b"} == set(model.without)


def test_no_table_tells_a_key_or_a_pair() -> None:
    sales, members = drawn(3)
    found = run(checked(link([pair("code", "code")])), {"shop_a": sales, "shop_b": []}, members)
    told = {str(cell) for each in found.tables for key in each.keys for cell in each.data[key].to_pylist()}
    assert told == {"pass 1", "no key", "no partner", "ambiguous key", "None"}


def test_the_same_rows_in_another_order_are_the_same_answer() -> None:
    sales, members = drawn(5)
    question = checked(
        link([pair("code", "code")], left_rows="many"), columns=("sales_amount",), by=("members_region",)
    )
    first = run(question, {"shop_a": sales, "shop_b": []}, members)
    random.Random(1).shuffle(sales)  # noqa: S311 - likewise
    random.Random(2).shuffle(members)  # noqa: S311 - likewise
    second = run(question, {"shop_a": [], "shop_b": sales}, members, batch=9)
    assert [each.data for each in first.tables] == [each.data for each in second.tables]


def test_a_run_waits_for_every_owner_of_both_sides() -> None:
    question = checked(link(PERSON))
    with pytest.raises(OutOfOrder, match=r"run\.rows_missing"):
        run(question, {"shop_a": []}, [])


def test_dates_and_names_link_a_person() -> None:
    sales = [{"buyer": "1", "born": date(1980, 3, 4), "surname": "Müller"}]
    members = [{"member": "9", "birthday": "4.3.1980", "name": "MULLER"}]
    found = run(checked(link(PERSON)), {"shop_a": sales, "shop_b": []}, members)
    assert by_name(found)["totals"].data["n"].to_pylist() == [1]


def test_public_rows_have_nobody_to_count() -> None:
    open_members = MEMBERS.model_copy(
        update={"subject": MEMBERS.subject.model_copy(update={"column": None, "identity": "none"})}
    )
    question = checked(link([pair("code", "code")]), sides=(SALES, open_members))
    sales, members = drawn(4)
    found = by_name(run(question, {"shop_a": sales, "shop_b": []}, members))
    assert {one.domain for one in found["totals"].contributors["n"]} == {"buyer"}
    assert {one.domain for one in found["match_members"].contributors["rows"]} == {"buyer"}
    assert table(open_members, "club", members).owner == "club"
