"""How many residuals lie in each band about 0: the histogram of a table that has a total as well."""

from dataclasses import replace

from parties.report.plots import histogram
from parties.report.plots.drawing import Plot
from parties.report.view import ReportTable


def plots(table: ReportTable) -> tuple[Plot, ...]:
    """Return the histogram of the bands; those of models of likelihood are deviance residuals."""
    kind, unit = ("residuals", "standard deviations") if table.method == "linear" else ("deviance residuals", None)
    bands = tuple(row for i, row in enumerate(table.rows) if not table.totalled(i))
    columns = tuple(replace(each, unit=unit or kind) if each.is_key else each for each in table.columns)
    caption = f"Number of {kind} in each band" + (f", in {unit}" if unit else "")
    return tuple(
        replace(plot, caption=caption, description=plot.description.replace(plot.caption, caption, 1))
        for plot in histogram.plots(replace(table, columns=columns, rows=bands, totals=()))
    )
