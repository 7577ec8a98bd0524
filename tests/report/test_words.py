from parties.report.view import Cell, ReportColumn
from parties.report.words import number, written

GRADE = ReportColumn("grade", "key", labels={"1": "well differentiated"})
COUNT = ReportColumn("patients", "count")


def test_a_withheld_cell_an_empty_cell_and_a_zero_are_three_things() -> None:
    said = {written(cell, COUNT) for cell in (Cell(None, withheld=True), Cell(None), Cell(0))}
    assert said == {"withheld", "–", "0"}  # noqa: RUF001 - the dash that is shown


def test_a_withheld_cell_never_shows_a_value_even_if_one_were_there() -> None:
    assert written(Cell(7, withheld=True), COUNT) == "withheld"


def test_codes_are_read_as_their_labels() -> None:
    assert written(Cell("1"), GRADE) == "well differentiated (1)"
    assert written(Cell("9"), GRADE) == "9"


def test_numbers_keep_the_digits_that_were_released_and_no_more() -> None:
    assert number(0.5471) == "0.5471"
    assert number(54.0) == "54"
    assert number(1234) == "1234"
    assert number(-12_345) == "-12\u202f345"
    assert number(float("nan")) == "nan"


def test_a_total_says_so() -> None:
    assert written(Cell(None), GRADE, total=True) == "all"
