"""What leaves: its bytes, its words, its order, and what it must not depend on."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mpc.disclosure import History, Release, control, failed_release, question_digest
from mpc.disclosure.rounding import rounded
from mpc.errors import Forbidden, Malformed
from mpc.questions.terms import SqlQuestion
from mpc.results import Measure, Presentation, RawResult

Make = Callable[..., Any]

GROUPS = {"g": ["a", "b", "c", "d"]}


def shown(raw: RawResult, terms: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = control(raw, terms).tables[0].data.to_pylist()
    return rows


def test_a_release_reads_back_and_has_one_spelling(rules: Make, counts: Make) -> None:
    table = counts(GROUPS, {"north": [5, 60, 70, 0], "south": [50, 60, 9, 0]}, complete=True)
    release = control(RawResult((table,)), rules())
    again = Release.from_bytes(release.to_bytes())
    assert again.to_bytes() == release.to_bytes()
    assert again.tables[0].withheld == release.tables[0].withheld
    assert (release.status, release.tables[0].measures[0].statbarn) == ("fail", "Frequencies")
    assert {one.risk for one in release.tables[0].withheld} == {"Differencing"}


def test_bytes_hold_nothing_of_what_is_withheld(rules: Make, counts: Make) -> None:
    """Two results that differ in withheld values only have the very same release."""
    first, second = (
        counts(GROUPS, {"north": [50, few, 50, 50], "south": [50, 0, 50, 50]}, complete=True) for few in (4, 7)
    )
    assert control(RawResult((first,)), rules()).to_bytes() == control(RawResult((second,)), rules()).to_bytes()


def test_neither_the_engines_order_nor_its_chunks_show(rules: Make, counts: Make) -> None:
    forward = counts(GROUPS, {"north": [50, 60, 70, 80]})
    backward = counts({"g": GROUPS["g"][::-1]}, {"north": [80, 70, 60, 50]})
    assert control(RawResult((forward,)), rules()).to_bytes() == control(RawResult((backward,)), rules()).to_bytes()


def test_intervals_rise_from_the_one_below_to_the_one_above(rules: Make, counts: Make) -> None:
    keys = {"g": ["a"] * 3 + ["b"] * 3, "from": ["1", None, "2"] * 2, "to": ["2", "1", None] * 2}
    found = shown(RawResult((counts(keys, {"north": [50] * 6}),)), rules())
    assert [(row["g"], row["from"]) for row in found] == [(g, low) for g in "ab" for low in (None, "1", "2")]


def test_a_key_that_stands_only_in_the_data_goes_with_its_row(rules: Make, counts: Make) -> None:
    keys = {"g": ["common", "Morbus Zanzibar"]}
    found = control(RawResult((counts(keys, {"north": [100, 1]}),)), rules())
    assert b"Zanzibar" not in found.to_bytes()
    assert [(one.rule, one.cells) for one in found.tables[0].withheld] == [("threshold", 1)]
    declared = control(RawResult((counts(keys, {"north": [100, 1]}, complete=True),)), rules())
    assert declared.tables[0].data.to_pylist() == [{"g": "Morbus Zanzibar", "n": None}, {"g": "common", "n": 100}]


def test_a_result_whose_parts_do_not_fit_is_not_controlled(rules: Make, counts: Make) -> None:
    table = replace(counts(GROUPS, {"north": [50] * 4}), contributors={})
    with pytest.raises(Malformed):
        control(RawResult((table,)), rules())


def test_every_failed_run_looks_alike() -> None:
    failed = failed_release("ages")
    assert (failed.failure, failed.tables, failed.status) == ("run.failed", (), "fail")
    assert Release.from_bytes(failed.to_bytes()) == failed


@given(st.binary(max_size=200))
def test_any_bytes_are_a_release_or_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        Release.from_bytes(raw)


# --- rounding


@given(st.floats(), st.integers(1, 15))
@example(1.7976931348623157e308, 1)
@example(-0.0, 3)
def test_a_released_float_has_the_digits_of_the_contract_is_finite_and_no_negative_zero(x: float, digits: int) -> None:
    (value,) = rounded(pa.chunked_array([[x]]), digits).to_pylist()
    if value is None:
        assert not abs(x) < 1e308
        return
    assert len(Decimal(repr(value)).normalize().as_tuple().digits) <= digits
    assert abs(Decimal(value) - Decimal(x)) <= abs(Decimal(x)) * Decimal("0.500001") * Decimal(10) ** (1 - digits)
    assert np.isfinite(value)
    assert str(value) != "-0.0"


def test_integers_stay_exact() -> None:
    assert rounded(pa.chunked_array([[123456789]]), 3).to_pylist() == [123456789]


def test_sums_that_differ_in_their_last_bits_are_released_alike(rules: Make, counts: Make) -> None:
    mean = (Measure("n", "mean", "age", extensive=False),)
    first, second = (
        replace(counts({"g": ["a"]}, {"north": [50]}), measures=mean, data=pa.table({"g": ["a"], "n": [x]}))
        for x in (0.1 + 0.2, 0.3)
    )
    assert control(RawResult((first,)), rules()).digest == control(RawResult((second,)), rules()).digest


# --- presentation


@pytest.mark.parametrize(
    ("having", "kept"),
    [
        ("n > 50", "cd"), ("n >= 50", "bcd"), ("n = 60", "c"), ("n <> 60", "bd"), ("n BETWEEN 50 AND 60", "bc"),
        ("n * 2 - 1 > 100 AND NOT n = 60", "d"), ("n = 60 OR n = 70", "cd"), ("n / 0 > 1", ""), ("-n < -60", "d"),
        ("g = 'b' OR (n + 0.5) > 70", "bd"), ("n IS NULL", ""), ("NOT n IS NULL", "bcd"), ("TRUE", "bcd"),
        ("n IS NULL OR TRUE", "bcd"), ("n < 10", ""), ('"n" > 50.0', "cd"),
    ],
)  # fmt: skip
def test_having_reads_released_cells_and_a_withheld_one_never_passes(
    rules: Make, counts: Make, having: str, kept: str
) -> None:
    table = counts(GROUPS, {"north": [5, 50, 60, 70]}, complete=True)
    raw = RawResult((table,), Presentation(having))
    expected = "abcd" if having == "TRUE" else kept
    assert "".join(row["g"] for row in shown(raw, rules())) == expected


@pytest.mark.parametrize("having", ["upper(g) = 'A'", "n > (SELECT 1)", "random() > 0", "n > 'x'", "x > 1"])
def test_having_takes_no_more_than_its_list(rules: Make, counts: Make, having: str) -> None:
    with pytest.raises(Forbidden, match="presentation"):
        control(RawResult((counts(GROUPS, {"north": [50] * 4}),), Presentation(having)), rules())


@pytest.mark.parametrize(
    ("order", "limit", "expected"),
    [
        ((("n", True),), None, "cbda"), ((("n", False),), None, "dbca"), ((("n", False), ("g", True)), 2, "db"),
        ((("g", True),), None, "dcba"), ((), 2, "ab"), ((), 0, ""),
    ],
)  # fmt: skip
def test_order_and_limit_act_on_the_release_and_withheld_cells_come_last(
    rules: Make, counts: Make, order: Any, limit: int | None, expected: str
) -> None:
    table = counts(GROUPS, {"north": [5, 50, 60, 40]}, complete=True)
    raw = RawResult((table,), Presentation(None, order, limit))
    assert "".join(row["g"] for row in shown(raw, rules())) == expected


def test_what_was_withheld_is_reported_although_it_is_not_presented(rules: Make, counts: Make) -> None:
    raw = RawResult((counts(GROUPS, {"north": [5, 50, 60, 40]}),), Presentation("n > 55"))
    release = control(raw, rules())
    assert [(one.rule, one.cells) for one in release.tables[0].withheld] == [("threshold", 1)]


# --- history

QUESTION = SqlQuestion(kind="sql", text="SELECT count(*) FROM t WHERE age > $age")
ROWS = {"t/north": b"\x01" * 32, "t/south": b"\x02" * 32}


def test_the_same_question_gets_the_same_bytes(rules: Make, counts: Make) -> None:
    asked = question_digest(QUESTION, {"age": "50"}, ROWS, rules())
    first = control(RawResult((counts(GROUPS, {"north": [50] * 4}),)), rules())
    later = control(RawResult((counts(GROUPS, {"north": [51] * 4}),)), rules())
    history = History().remember(asked, first).remember(asked, later)
    assert history.recall(asked) == first.to_bytes()
    assert History.from_bytes(history.to_bytes()).recall(asked) == first.to_bytes()
    assert History().recall(asked) is None


def test_another_question_parameter_row_or_rule_is_another_question(rules: Make) -> None:
    digests = {
        question_digest(QUESTION, {"age": "50"}, ROWS, rules()),
        question_digest(QUESTION.model_copy(update={"text": "SELECT 1"}), {"age": "50"}, ROWS, rules()),
        question_digest(QUESTION, {"age": "51"}, ROWS, rules()),
        question_digest(QUESTION, {"age": "50"}, {**ROWS, "t/south": b"\x03" * 32}, rules()),
        question_digest(QUESTION, {"age": "50"}, ROWS, rules(threshold=11)),
    }
    assert len(digests) == 5
    assert question_digest(QUESTION, {"age": "50"}, dict(reversed(ROWS.items())), rules()) in digests


def test_a_failure_is_not_remembered() -> None:
    assert History().remember(b"\0" * 32, failed_release("ages")).recall(b"\0" * 32) is None


@given(st.binary(max_size=100))
def test_any_bytes_are_a_history_or_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        History.from_bytes(raw)
