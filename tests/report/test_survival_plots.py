"""Curves with numbers at risk, and forest plots: what is withheld is never drawn, and every mark is told in words."""

import re
from dataclasses import replace

import pytest

from parties.report.plots import plots
from parties.report.view import Cell, ReportColumn, ReportTable

HELD = Cell(None, withheld=True)
MEASURES = ("survival", "standard_error", "lower", "upper", "at_risk", "events")

CURVES = ReportTable(
    name="survival",
    columns=(
        ReportColumn("arm", "key"), ReportColumn("time", "key"),
        *(ReportColumn(name, "survival") for name in MEASURES),
    ),
    rows=tuple(
        (Cell(arm), Cell(time), *([HELD] * 6 if held else map(Cell, (at, 0.01, at - 0.02, at + 0.02, n, 20))))
        for arm, time, at, n, held in (
            ("no", 730.0, 0.75, 4321, False), ("no", 365.0, 0.875, 5432, False), ("yes", 365.0, 0.9, 321, False),
            ("yes", 730.0, 0.123, 99, True),
        )
    ),
    method="kaplan_meier",
)  # fmt: skip

FOREST = ReportTable(
    name="coefficients",
    columns=(
        ReportColumn("term", "key"), ReportColumn("estimate", "parameter"), ReportColumn("hazard_ratio", "parameter"),
        ReportColumn("ratio_lower", "uncertainty"), ReportColumn("ratio_upper", "uncertainty"),
    ),
    rows=(
        (Cell("age"), Cell(0.1), Cell(1.105), Cell(1.0), Cell(1.25)),
        (Cell("grade[3]"), HELD, HELD, HELD, HELD),
        (Cell("nodes"), Cell(None), Cell(None), Cell(None), Cell(None)),
    ),
    method="cox",
)  # fmt: skip


def drawn(svg: str) -> str:
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))


def test_curves_are_drawn_in_time_with_numbers_at_risk() -> None:
    (plot,) = plots(CURVES)
    assert {"5432", "4321", "321"} <= set(drawn(plot.svg).split())
    assert "yes, 365.0: 0.9" in plot.description
    assert plot.description.index("no, 365.0") < plot.description.index("no, 730.0")


def test_a_withheld_step_leaves_its_place_and_no_mark() -> None:
    (plot,) = plots(CURVES)
    # Three steps are released: a line, their dots and an interval each; of the fourth only the word is there.
    assert "yes, 730.0: withheld" in plot.description
    assert drawn(plot.svg).split().count("withheld") == 1
    (without,) = plots(replace(CURVES, rows=CURVES.rows[:3]))
    assert plot.svg.count("<use") == without.svg.count("<use")
    assert "0.123" not in plot.svg


def test_numbers_at_risk_stand_beside_the_name_of_their_group_and_the_time_has_its_unit() -> None:
    columns = (CURVES.columns[0], replace(CURVES.columns[1], unit="days"), *CURVES.columns[2:])
    (plot,) = plots(replace(CURVES, columns=columns))
    words = re.findall(r"<text[^>]*>([^<]*)</text>", plot.svg)
    assert words.count("no") == words.count("yes") == 2  # in the legend, and below the axis
    assert "time (days)" in words


def test_a_forest_has_a_line_for_each_term_and_says_which_is_withheld() -> None:
    (plot,) = plots(FOREST)
    shown = drawn(plot.svg)
    assert "grade[3]" in shown
    assert "withheld" in shown
    assert "not estimated" in shown
    assert "1.1" in shown
    assert "age: 1.105 (1 to 1.25)" in plot.description


@pytest.mark.parametrize("table", [CURVES, FOREST])
def test_nothing_is_drawn_where_everything_is_withheld(table: ReportTable) -> None:
    rows = tuple(
        tuple(cell if column.is_key else HELD for cell, column in zip(row, table.columns, strict=True))
        for row in table.rows
    )
    assert plots(replace(table, rows=rows)) == ()


def test_a_parameter_that_is_no_ratio_stands_in_the_table_alone() -> None:
    names = ("estimate", "rate_ratio", "ratio_lower", "ratio_upper")
    columns = (ReportColumn("term", "key"), *(ReportColumn(name, "parameter") for name in ("lower", "upper", *names)))
    rows = (
        (Cell("age"), *map(Cell, (0.1, 0.3, 0.2, 1.25, 1.125, 1.375))),
        (Cell("dispersion"), *map(Cell, (0.6, 0.8, 0.7, None, None, None))),
        (Cell("nodes"), *map(Cell, (None,) * 6)), (Cell("grade"), *[HELD] * 6),
    )  # fmt: skip
    (plot,) = plots(ReportTable("coefficients", columns, rows, method="negative_binomial"))
    assert "dispersion" not in plot.svg + plot.description
    assert "not estimated" in plot.svg
    assert "withheld" in plot.svg


def test_coefficients_without_a_ratio_are_drawn_as_they_are() -> None:
    columns = (
        ReportColumn("term", "key"), ReportColumn("estimate", "parameter"), ReportColumn("lower", "uncertainty"),
        ReportColumn("upper", "uncertainty"),
    )  # fmt: skip
    rows = (
        (Cell("(intercept)"), Cell(100.0), Cell(90.0), Cell(110.0)),
        (Cell("age"), Cell(-1.5), Cell(-2.0), Cell(-1.0)),
    )
    (plot,) = plots(ReportTable("coefficients", columns, rows, method="cox"))
    assert "(intercept)" not in plot.svg
    assert plot.caption.startswith("Estimate")
