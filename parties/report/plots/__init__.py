"""The plots of a report, one module a kind. Adding one is adding a file and a line.

A plot is a function of a released table: it returns drawings, or none when the table does not suit it. A table of a
method with a plot of its own gets that one; every other table is drawn by its groups.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from parties.report.plots import forest, groups, histogram, parties, residuals, risk, roc, survival
from parties.report.plots.drawing import Plot
from parties.report.plots.groups import MOST_GROUPS
from parties.report.view import ReportTable

FITTED = ("linear", "logistic", "poisson", "negative_binomial", "cox")


PLOTS: Mapping[tuple[str, str], Callable[[ReportTable], tuple[Plot, ...]]] = MappingProxyType({
    ("kaplan_meier", "survival"): survival.plots,
    ("kaplan_meier", "median"): lambda _: (),  # the curve above it shows it
    ("histogram", "histogram"): histogram.plots,
    **{(model, "residuals"): residuals.plots for model in FITTED},
    ("crosstab", "chi_square"): lambda _: (),  # the table above it is drawn
    ("cox", "proportional_hazards"): lambda _: (),  # each term is tested on the same rows
    ("roc", "roc"): roc.plots,
    ("risk", "comparison"): risk.plots,
    **{(model, "models"): lambda _: () for model in FITTED},  # figures of models are read, not looked at
    **{(model, "coefficients"): forest.plots for model in FITTED},
    **{(model, "parties"): parties.plots for model in FITTED},
})  # fmt: skip
"""By method and name of its table, what draws it."""


def plots(table: ReportTable) -> tuple[Plot, ...]:
    """Return the plots that suit ``table``; none where there is nothing to look at."""
    draw = None if table.method is None else PLOTS.get((table.method, table.name))
    return groups.plots(table) if draw is None else draw(table)


__all__ = ["MOST_GROUPS", "PLOTS", "Plot", "plots"]
