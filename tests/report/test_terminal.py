import io
from dataclasses import replace

from rich.console import Console

from parties.report.terminal import terminal
from parties.report.view import Report
from tests.report.reports import REPORT


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
