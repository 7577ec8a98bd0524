"""Plots of methods: drawn from what was released, withheld marks where something is withheld, nothing where all is."""

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from parties.report.plots import PLOTS, plots
from parties.report.view import Cell, ReportColumn, ReportTable

HELD = Cell(None, withheld=True)


def table(method: str, name: str, keys: str, measures: str, rows: list[list[Any]]) -> ReportTable:
    columns = [ReportColumn(key, "key") for key in keys.split()]
    columns += [ReportColumn(measure, "count") for measure in measures.split()]
    cells = tuple(tuple(value if isinstance(value, Cell) else Cell(value) for value in row) for row in rows)
    return ReportTable(name, tuple(columns), cells, method=method)


HISTOGRAM = table(
    "histogram", "histogram", "sex from to", "n subjects",
    [
        ["f", None, 10.0, 12, 12], ["f", 10.0, 20.0, 40, 40], ["f", 20.0, None, HELD, HELD], ["m", None, 10.0, 15, 15],
        ["m", 10.0, 20.0, 31, 31], ["m", 20.0, None, 11, 11],
    ],
)  # fmt: skip
ROC = table(
    "roc", "roc", "threshold", "true_positive_rate false_positive_rate",
    [[0.1, 0.9, 0.5], [0.5, 0.6, 0.2], [0.9, HELD, HELD]],
)  # fmt: skip
RISK = table(
    "risk", "comparison", "measure", "estimate lower upper p_value",
    [
        ["odds_ratio", 2.5, 1.4, 4.1, 0.01],
        ["relative_risk", HELD, HELD, HELD, HELD], ["risk_difference", 9.75, 1, 2, 0],
    ],
)  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        (HISTOGRAM, ("f, from 10 to 20: 40", "f, from 20 on: withheld", "m, below 10: 15")),
        (ROC, ("0.5: 0.6 true, 0.2 false", "0.9: withheld true, withheld false")),
        (RISK, ("odds ratio: 2.5 (1.4 to 4.1)", "relative risk: withheld (withheld to withheld)")),
    ],
)
def test_a_method_has_its_own_plot_that_says_what_it_shows(shown: ReportTable, told: tuple[str, ...]) -> None:
    (plot,) = plots(shown)
    ET.fromstring(plot.svg)  # noqa: S314 - our own drawing
    assert all(each in plot.description for each in told), plot.description
    assert "var(--ink)" in plot.svg
    assert "9.75" not in plot.svg
    assert plots(shown) == (plot,)


@pytest.mark.parametrize("shown", [HISTOGRAM, ROC, RISK])
def test_what_is_withheld_whole_is_not_drawn(shown: ReportTable) -> None:
    keys = len(shown.keys)
    rows = tuple((*row[:keys], *(HELD for _ in row[keys:])) for row in shown.rows)
    assert plots(ReportTable(shown.name, shown.columns, rows, method=shown.method)) == ()


def test_subjects_are_not_drawn_beside_the_rows_or_the_mean_that_is() -> None:
    (crosstab,) = plots(table("crosstab", "crosstab", "sex", "n subjects", [["f", 20, 19], ["m", 30, 28]]))
    assert crosstab.caption == "n, by sex"
    summary = table(
        "summary", "summary", "sex", "age_n age_subjects age_mean", [["f", 20, 19, 40.5], ["m", 30, 28, 50]]
    )
    mean = replace(summary.columns[-1], kind="mean")
    (dots,) = plots(replace(summary, columns=(*summary.columns[:-1], mean)))
    assert dots.caption == "age mean, by sex"


def test_withheld_intervals_are_marked_in_the_drawing() -> None:
    (plot,) = plots(HISTOGRAM)
    assert plot.svg.count("withheld") == 1


def test_a_table_of_sql_with_the_name_of_a_method_s_is_drawn_by_its_groups() -> None:
    assert ("roc", "roc") in PLOTS
    plain = ReportTable("roc", ROC.columns, ROC.rows)
    assert all("by threshold" in plot.caption for plot in plots(plain))
