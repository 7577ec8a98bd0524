from dataclasses import replace

from tests.report.reports import COUNTS, REPORT, SPREADS


def test_what_is_withheld_is_said_in_a_sentence() -> None:
    assert COUNTS.in_words == "2 of 10 cells are withheld, and marked."
    assert replace(COUNTS, rows=COUNTS.rows[:1], withheld=()).in_words == "Nothing was withheld."


def test_groups_that_are_left_out_whole_are_counted_and_told() -> None:
    left_out = replace(COUNTS, rows=(*COUNTS.rows[:3], COUNTS.rows[4]), totals=())
    assert (left_out.marked_cells, left_out.withheld_cells, left_out.cells) == (0, 2, 10)
    assert "groups are left out whole" in left_out.in_words
    some = replace(COUNTS, withheld=(replace(COUNTS.withheld[0], cells=3), COUNTS.withheld[1]))
    assert "4 of 12 cells" in some.in_words
    assert "2 are marked" in some.in_words


def test_a_report_adds_up_its_tables() -> None:
    assert REPORT.cells == COUNTS.cells + SPREADS.cells == 16
    assert REPORT.withheld_cells == 4


def test_a_reason_is_told_once_with_all_it_concerns() -> None:
    one, *_ = COUNTS.withheld
    also, other = replace(one, measure="another", cells=2), replace(one, measure="third", rule="coalition")
    first, second = replace(COUNTS, withheld=(one, also, other)).reasons
    assert first == (f"{one.measure}, another", one.cells + 2, one.why, one.remedy)
    assert second == ("third", one.cells, other.why, one.remedy)
    assert other.why != one.why
