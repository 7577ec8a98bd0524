"""How many residuals lie in each band about 0: the histogram of a table that has a total as well."""

from dataclasses import replace

from parties.report.plots import histogram
from parties.report.plots.drawing import Plot
from parties.report.view import ReportTable


def plots(table: ReportTable) -> tuple[Plot, ...]:
    """Return the histogram of the bands, in standard deviations."""
    bands = tuple(row for i, row in enumerate(table.rows) if not table.totalled(i))
    columns = tuple(replace(each, unit="standard deviations") if each.is_key else each for each in table.columns)
    caption = "Number of residuals in each band, in standard deviations"
    return tuple(
        replace(plot, caption=caption, description=plot.description.replace(plot.caption, caption, 1))
        for plot in histogram.plots(replace(table, columns=columns, rows=bands, totals=()))
    )
