import io
from dataclasses import replace

import pytest
from rich.console import Console

from parties.report.terminal import result_table, terminal
from parties.report.view import Cell, Report, ReportColumn, ReportTable
from tests.report.reports import COUNTS, HELD, REPORT

MEASURES = tuple(ReportColumn(f"measure_{place}", "mean") for place in range(9))
WIDE = ReportTable(
    "wide",
    (ReportColumn("term", "key"), *MEASURES),
    tuple(
        (Cell(f"term{row}"), *(Cell(row + place / 8192) for place in range(1, 9)), HELD)
        for row in range(2)
    ),
)  # fmt: skip


def said(report: Report, **options: bool) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(terminal(report, **options))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_it_says_what_was_withheld_by_which_rule_and_what_would_help() -> None:
    text = said(REPORT)
    assert "withheld" in text
    assert "ask for coarser groups" in text
    assert "4 of 16 cells withheld" in text


def test_it_warns_before_it_shows() -> None:
    text = said(REPORT)
    assert text.index("No protection") < text.index("How many patients")
    assert "No protection" not in said(REPORT, trust=False)


def test_markup_in_foreign_text_is_text() -> None:
    assert "[red]x[/red]" in said(replace(REPORT, purpose="[red]x[/red]"))


def test_a_missing_receipt_is_said() -> None:
    assert "no receipt" in said(replace(REPORT, provenance=None))


def drawn(table: ReportTable, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(result_table(table))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_a_table_wider_than_the_screen_goes_on_below_and_no_number_is_cut(width: int) -> None:
    lines = drawn(WIDE, width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for row in WIDE.rows:
        for cell in row[1:]:
            assert ("withheld" if cell.withheld else str(cell.value)) in words
    heads = [line for line in lines if "term" in line and "measure" in line]
    assert len(heads) == sum("term0" in line for line in lines)  # every part has the keys again
    assert (len(heads) > 1) == (width < 140)


def test_a_screen_narrower_than_one_number_folds_it_and_loses_nothing() -> None:
    shown = "".join(drawn(COUNTS, 24)).replace(" ", "")
    for digits in ("212", "48", "557"):
        assert digits in shown


def test_one_row_of_many_numbers_is_read_from_top_to_bottom() -> None:
    lines = drawn(replace(WIDE, rows=WIDE.rows[:1]), 40)
    assert next(line.split()[-1] for line in lines if line.strip()) == "term0"
    assert [line.split() for line in lines if line.startswith("measure 8")] == [["measure", "8", "withheld"]]
