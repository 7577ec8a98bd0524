"""A forest plot: each term's ratio with its interval on a logarithmic axis, or its estimate on a plain one."""

import textwrap
from typing import Any

from parties.report.plots.drawing import FAINT, FONT, INK, PAPER, SERIES, Plot, drawing, is_number, literal, themed
from parties.report.view import Cell, ReportColumn, ReportTable
from parties.report.words import written

WIDTH, LINE, FRAME = 7.2, 0.4, 1.1  # inches
MOST_TERMS = 40
LONGEST_LINE = 26  # characters


def plots(table: ReportTable, *, named: str | None = None, caption: str | None = None) -> tuple[Plot, ...]:
    """Return the plot, or nothing when every estimate is withheld or there are too many terms.

    Estimates are ``named`` as their column is, and the ``caption`` speaks of terms, unless they are told.
    """
    places = {column.name: i for i, column in enumerate(table.columns)}
    ratio = next((column.name for column in table.columns if column.name.endswith("_ratio")), None)
    names = ("estimate", "lower", "upper") if ratio is None else (ratio, "ratio_lower", "ratio_upper")
    estimate, lower, upper = (places[name] for name in names)
    plain = places.get("estimate", estimate)
    rows = [
        (_label(table, row), row[estimate], row[lower], row[upper])
        for row in table.rows
        if row[table.keys[-1]].value != "(intercept)" and not _has_no_ratio(row[estimate], row[plain])
    ]
    if not any(is_number(row[1]) for row in rows) or len(rows) > MOST_TERMS:
        return ()
    heading = table.columns[places[names[0]]]
    with drawing((WIDTH, FRAME + LINE * len(rows)), salt=f"{table.name}/forest") as (axes, svg):
        _draw(axes, rows, logarithmic=ratio is not None)
        axes.set_xlabel(literal(named or heading.heading))
    caption = caption or f"{heading.heading.capitalize()} of each term, with its interval"
    return (Plot(themed(svg.getvalue(), 0, table.name), caption, _described(rows, heading, caption)),)


def _has_no_ratio(ratio: Cell, estimate: Cell) -> bool:
    """Tell whether a parameter is estimated and has no ratio, as a dispersion; it is no comparison."""
    return is_number(estimate) and not is_number(ratio)


def _label(table: ReportTable, row: tuple[Cell, ...]) -> str:
    return " · ".join(written(row[key], table.columns[key]) for key in table.keys)


def _draw(axes: Any, rows: list[tuple[str, Cell, Cell, Cell]], *, logarithmic: bool) -> None:  # noqa: ANN401
    if logarithmic:
        _logarithmic(axes)
    else:
        axes.locator_params(axis="x", nbins=5)  # more labels of three digits would touch
    axes.axvline(1 if logarithmic else 0, color=FAINT, linewidth=1)
    axes.grid(visible=False, axis="y")
    for place, (_, estimate, lower, upper) in enumerate(rows):
        if is_number(lower) and is_number(upper):
            axes.plot([_number(lower), _number(upper)], [place, place], color=SERIES[0], linewidth=2)
        if is_number(estimate):
            axes.plot(
                [_number(estimate)], [place], "s", color=SERIES[0], markersize=7, markeredgecolor=PAPER,
                markeredgewidth=1.2,
            )  # fmt: skip
        axes.annotate(
            _told(estimate, lower, upper),
            (1, place),
            xycoords=("axes fraction", "data"),
            ha="left",
            va="center",
            color=INK,
            fontsize=FONT - 2,
        )
    axes.set_yticks(range(len(rows)), [literal(textwrap.fill(row[0], LONGEST_LINE)) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)


def _told(estimate: Cell, lower: Cell, upper: Cell) -> str:
    if not is_number(estimate):
        return "withheld" if estimate.withheld else "not estimated"
    if not (is_number(lower) and is_number(upper)):
        return f" {_number(estimate):#.3g}"
    return f" {_number(estimate):#.3g} ({_number(lower):#.3g} to {_number(upper):#.3g})"


def _logarithmic(axes: Any) -> None:  # noqa: ANN401 - matplotlib is untyped here
    from matplotlib.ticker import LogLocator  # noqa: PLC0415 - heavy, as all of it

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(LogLocator(subs=(1.5, 2, 3, 5, 7)))
    axes.xaxis.set_minor_formatter("{x:g}")
    # Labels of both kinds stand on one line.
    axes.tick_params(axis="x", which="both", labelsize=FONT, length=0, pad=4)


def _described(rows: list[tuple[str, Cell, Cell, Cell]], heading: ReportColumn, caption: str) -> str:
    told = [
        f"{name}: {written(estimate, heading)} ({written(lower, heading)} to {written(upper, heading)})"
        for name, estimate, lower, upper in rows
    ]
    return f"{caption}. {'; '.join(told)}."


def _number(cell: Cell) -> float:
    return float(cell.value or 0)
