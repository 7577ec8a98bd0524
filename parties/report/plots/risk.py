"""Odds ratio and relative risk of each stratum, as a forest; the difference of risks has another scale and no place."""

from dataclasses import replace

from parties.report.plots import forest
from parties.report.plots.drawing import Plot
from parties.report.view import ReportTable

_WORDS = {"odds_ratio": "odds ratio", "relative_risk": "relative risk"}
_RATIO = {"estimate": "risk_ratio", "lower": "ratio_lower", "upper": "ratio_upper"}


def plots(table: ReportTable) -> tuple[Plot, ...]:
    """Return the forest of the ratios, or nothing when all of them are withheld."""
    measure = table.keys[-1]
    kept = tuple(i for i, row in enumerate(table.rows) if row[measure].value in _WORDS)
    columns = [replace(column, name=_RATIO.get(column.name, column.name)) for column in table.columns]
    columns[measure] = replace(columns[measure], labels=_WORDS, labels_alone=True)
    ratios = replace(
        table,
        columns=tuple(columns),
        rows=tuple(table.rows[i] for i in kept),
        totals=tuple(table.totals[i] for i in kept) if table.totals else (),
    )
    return forest.plots(ratios, named="ratio", caption="Odds ratio and relative risk, with their intervals")
