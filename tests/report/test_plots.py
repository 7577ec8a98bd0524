import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from parties.report.plots import MOST_GROUPS, plots
from parties.report.view import Cell, ReportColumn, ReportTable
from tests.report.reports import COUNTS, HELD, SPREADS


def test_counts_become_bars_and_means_with_their_deviation_become_dots() -> None:
    assert [plot.caption for plot in plots(COUNTS)] == [
        "patients, by grade and hormon",
        "recurrence rate, by grade and hormon",
    ]
    assert [plot.caption for plot in plots(SPREADS)] == ["mean age (years) ± standard deviation, by grade"]


def test_every_drawing_is_well_formed_and_loads_nothing() -> None:
    drawn = [*plots(COUNTS), *plots(SPREADS)]
    assert len(drawn) == 3
    for plot in drawn:
        ET.fromstring(plot.svg)  # noqa: S314 - our own drawing
        assert not re.search(r'(href|src)="(?!#)', plot.svg)
        assert "url(http" not in plot.svg


def test_drawings_follow_the_page_in_light_and_dark() -> None:
    svg = plots(COUNTS)[0].svg
    assert "var(--series-1)" in svg
    assert "var(--ink)" in svg
    left = set(re.findall(r"#[0-9a-f]{6}\b", svg))
    assert left <= {"#000000", "#ffffff"}, "no colour that only suits one theme"


def test_two_drawings_on_one_page_share_no_name() -> None:
    first, second = (set(re.findall(r'\bid="([^"]+)"', plot.svg)) for plot in plots(COUNTS)[:2])
    assert first
    assert first.isdisjoint(second)


def test_a_withheld_cell_is_drawn_as_withheld_and_described_as_withheld() -> None:
    plot = plots(COUNTS)[0]
    assert "withheld" in plot.svg
    assert "well differentiated (1), yes: withheld" in plot.description


def test_totals_are_not_drawn_beside_their_parts() -> None:
    assert "12557" not in plots(COUNTS)[0].svg.replace("\u202f", "")


def test_groups_stand_in_the_codebook_s_order() -> None:
    svg = plots(SPREADS)[0].svg
    places = [svg.index(word) for word in ("well", "moderately", "poorly")]
    assert places == sorted(places)


def test_the_same_table_gives_the_same_drawing() -> None:
    assert plots(COUNTS) == plots(COUNTS)


def test_text_of_a_party_stays_text() -> None:
    hostile = ReportColumn("grade", "key", labels={"1": "<script>alert(1)</script>", "2": "$x_1$"})
    table = replace(SPREADS, columns=(hostile, *SPREADS.columns[1:]))
    svg = plots(table)[0].svg
    assert "<script" not in svg
    assert "$x_1$" in svg


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(replace(COUNTS, rows=COUNTS.rows[:1], totals=()), id="one group is no picture"),
        pytest.param(
            ReportTable("t", (ReportColumn("n", "count"),), ((Cell(5),),)), id="a table without groups is no picture"
        ),
        pytest.param(replace(SPREADS, rows=((Cell("1"), HELD, HELD), (Cell("2"), HELD, HELD))), id="nothing to draw"),
        pytest.param(
            replace(SPREADS, rows=tuple((Cell(str(at)), Cell(1.0), Cell(1.0)) for at in range(MOST_GROUPS + 1))),
            id="too many groups to read",
        ),
    ],
)
def test_what_no_picture_suits_has_none(table: ReportTable) -> None:
    assert plots(table) == ()
