"""Plots of regressions: a forest a term with all parties last, residuals in bands, and nothing that is withheld."""

import re
from dataclasses import replace

from parties.report.plots import plots
from parties.report.plots.parties import MOST_PLOTS
from parties.report.view import Cell, ReportColumn, ReportTable

HELD = Cell(None, withheld=True)
PARTIES = ReportTable(
    name="parties",
    columns=(
        ReportColumn("party", "key"), ReportColumn("term", "key"), ReportColumn("estimate", "parameter"),
        ReportColumn("lower", "uncertainty"), ReportColumn("upper", "uncertainty"),
    ),
    rows=tuple(
        (Cell(party), Cell(term), *(Cell(start + offset) for offset in (0.0, -0.25, 0.25)))
        for party, start in (("(all)", 1.5), ("north", 1.125), ("south", 2.0))
        for term in ("(intercept)", "age", "grade[2]", "dispersion")
    ),
    method="linear",
)  # fmt: skip


def test_each_term_has_a_plot_of_its_own() -> None:
    age, grade = plots(PARTIES)
    assert age.caption == "age: estimates of each party, with their intervals"
    assert grade.caption.startswith("grade[2]: ")
    order = [age.description.index(name) for name in ("north: 1.125", "south: 2", "all parties together: 1.5")]
    assert order == sorted(order)
    assert "age" not in age.description.removeprefix(age.caption)
    names = [set(re.findall(r'id="([^"]+)"', plot.svg)) for plot in (age, grade)]
    assert names[0].isdisjoint(names[1])


def test_nothing_is_drawn_of_what_is_withheld() -> None:
    held = tuple((*row[:2], HELD, HELD, HELD) if row[0].value != "(all)" else row for row in PARTIES.rows)
    for plot in plots(replace(PARTIES, rows=held)):
        assert "withheld" in plot.svg
        assert "1.125" not in plot.svg + plot.description
    assert plots(replace(PARTIES, rows=tuple((*row[:2], HELD, HELD, HELD) for row in PARTIES.rows))) == ()


def test_there_are_so_many_plots_at_most() -> None:
    rows = tuple((row[0], Cell(f"{row[1].value}{i}"), *row[2:]) for row in PARTIES.rows for i in range(9))
    assert len(plots(replace(PARTIES, rows=rows))) == MOST_PLOTS


BANDS = ReportTable(
    name="residuals",
    columns=(ReportColumn("from", "key"), ReportColumn("to", "key"), ReportColumn("n", "count")),
    rows=(
        (Cell(None), Cell(-1.0), Cell(123)), (Cell(-1.0), Cell(1.0), HELD), (Cell(1.0), Cell(None), Cell(117)),
        (Cell(None), Cell(None), Cell(98765)),
    ),
    totals=(frozenset(), frozenset(), frozenset(), frozenset({"from", "to"})),
    method="linear",
)  # fmt: skip


def test_deviance_residuals_are_called_so() -> None:
    (plot,) = plots(replace(BANDS, method="cox"))
    assert plot.caption == "Number of deviance residuals in each band"
    assert "deviance residuals" in plot.svg
    assert "standard deviations" not in plot.svg + plot.description


def test_residuals_are_drawn_in_bands_without_their_total() -> None:
    (plot,) = plots(BANDS)
    assert plot.caption == "Number of residuals in each band, in standard deviations"
    assert "123" in plot.description
    assert "withheld" in plot.description
    assert "98765" not in plot.description + plot.svg
