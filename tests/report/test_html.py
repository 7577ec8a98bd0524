import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from parties.report.html import html
from parties.report.view import Cell, ReportColumn, ReportTable
from tests.report.reports import PROVENANCE, REPORT


class Page(HTMLParser):
    """What a browser would do with the page: which elements it holds, what it would load, what it would run."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)
        self.close()
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


TEXT = html([REPORT])
PAGE = Page(TEXT)
SAID = " ".join(" ".join(PAGE.text).split())


def test_every_element_is_closed() -> None:
    assert PAGE.unbalanced == []


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    assert "script" not in PAGE.elements
    assert "link" not in PAGE.elements
    assert "img" not in PAGE.elements
    loading = [
        value
        for _, name, value in PAGE.attributes
        if name in {"src", "href", "xlink:href", "action", "srcset"} and not value.startswith("#")
    ]
    assert loading == []
    assert not [name for _, name, _ in PAGE.attributes if name.startswith("on")]
    assert "@import" not in TEXT
    assert not re.search(r"url\((?!#)", TEXT)
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in PAGE.attributes


def test_foreign_text_is_shown_and_not_read_as_markup() -> None:
    assert "Two <cohorts> & one answer" in SAID
    assert "cohorts" not in PAGE.elements


def test_simulated_evidence_is_said_to_protect_nobody() -> None:
    assert "No protection: simulated evidence" in SAID
    assert ("aside", "class", "banner none") in PAGE.attributes


def test_withheld_cells_are_marked_and_explained_with_rule_and_remedy() -> None:
    assert ("span", "class", "withheld") in PAGE.attributes
    assert "threshold" in SAID
    assert "ask for coarser groups" in SAID
    assert "4 of 16 cells" in SAID


def test_contract_signers_appraisal_and_receipt_are_told() -> None:
    for said in ("3f" * 32, "ab" * 32, "99" * 32, "code digest", "2026-11-23T21:00:00Z", "German Breast Cancer"):
        assert said in SAID


def test_a_receipt_file_comes_with_the_command_that_verifies_it() -> None:
    named = replace(REPORT, provenance=replace(PROVENANCE, file="patients_by_grade-1.receipt.json"))
    assert "sealroom verify patients_by_grade-1.receipt.json" in html([named])


def test_a_result_without_receipt_is_not_called_verified() -> None:
    said = html([replace(REPORT, provenance=None)])
    assert "not verified" in said
    assert "✓ verified" not in said


def test_a_failed_check_is_not_shown_as_passed() -> None:
    failed = tuple(replace(check, passed=False) for check in PROVENANCE.checks)
    said = html([replace(REPORT, provenance=replace(PROVENANCE, checks=failed))])
    assert "✗ failed" in said
    assert "✓ verified" not in said


def test_every_plot_has_its_words_for_those_who_do_not_see_it() -> None:
    described = [
        value for tag, name, value in PAGE.attributes if tag == "div" and name == "aria-label" and ":" in value
    ]
    assert len(described) == PAGE.elements.count("svg") == 3


def test_tables_are_tables_with_scopes_and_captions() -> None:
    assert PAGE.elements.count("table") >= 6
    heads = PAGE.elements.count("th")
    assert sum(1 for tag, name, _ in PAGE.attributes if tag == "th" and name == "scope") == heads


def test_results_of_two_contracts_never_share_a_page() -> None:
    with pytest.raises(ValueError, match="exactly one contract"):
        html([REPORT, replace(REPORT, contract_digest="00" * 32)])
    with pytest.raises(ValueError, match="exactly one contract"):
        html([])


def test_one_row_of_many_numbers_stands_upright() -> None:
    columns = tuple(ReportColumn(f"number_{place}", "goodness") for place in range(7))
    one = ReportTable("models", columns, (tuple(Cell(place) for place in range(7)),))
    page = Page(html([replace(REPORT, tables=(one,))]))
    assert ("table", "class", "upright") in page.attributes
    assert "number 6 6" in " ".join(" ".join(page.text).split())
    assert page.unbalanced == []


def test_a_page_of_several_answers_begins_with_its_contents() -> None:
    page = Page(html([REPORT, replace(REPORT, computation="another")]))
    targets = {value for _, name, value in page.attributes if name == "id"}
    linked = {value[1:] for tag, name, value in page.attributes if tag == "a" and name == "href"}
    assert {"another-counts", "receipts"} <= linked <= targets
    assert "nav" not in PAGE.elements


def test_receipts_fold_but_one_that_does_not_verify_stands_open() -> None:
    second = replace(REPORT, computation="second")
    third = replace(REPORT, computation="third", provenance=replace(PROVENANCE, checks=()))
    page = Page(html([REPORT, second, third]))
    assert page.elements.count("details") == 3
    assert sum(1 for tag, name, _ in page.attributes if tag == "details" and name == "open") == 2
    assert "all 2 checks passed" in " ".join(page.text)
