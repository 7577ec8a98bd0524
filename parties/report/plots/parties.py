"""A forest plot of each term of a model: every party's own estimate, and that of all parties together."""

from dataclasses import replace

from parties.report.plots import forest
from parties.report.plots.drawing import Plot
from parties.report.view import Cell, ReportTable
from parties.report.words import written

MOST_PLOTS = 9
TOGETHER = "all parties together"
_POOLED, _LEFT_OUT = "(all)", frozenset({"(intercept)", "dispersion"})
"""How the table names the model of all rows, and the rows in which nobody looks for a difference."""


def plots(table: ReportTable) -> tuple[Plot, ...]:
    """Return a plot for each of the first terms; those of which every estimate is withheld have none."""
    party, term = table.keys
    terms = dict.fromkeys(str(row[term].value) for row in table.rows)
    shown = [name for name in terms if name not in _LEFT_OUT][:MOST_PLOTS]
    return tuple(
        replace(plot, caption=caption, description=plot.description.replace(plot.caption, caption, 1))
        for place, name in enumerate(shown)
        for plot in forest.plots(_of(table, name, party, term, place))
        for caption in [f"{written(Cell(name), table.columns[term])}: estimates of each party, with their intervals"]
    )


def _of(table: ReportTable, name: str, party: int, term: int, number: int) -> ReportTable:
    """Return the rows of one term without it, that of all parties last."""
    rows = [row for row in table.rows if row[term].value == name]
    rows.sort(key=lambda row: row[party].value == _POOLED)
    for i, row in enumerate(rows):
        own = Cell(TOGETHER) if row[party].value == _POOLED else row[party]
        rows[i] = tuple(own if place == party else cell for place, cell in enumerate(row) if place != term)
    columns = tuple(column for i, column in enumerate(table.columns) if i != term)
    return replace(table, name=f"{table.name} {number}", columns=columns, rows=tuple(rows), totals=())
