"""Tables of groups: the plot is chosen by the shape of the table.

Means with their standard deviation are drawn as dots with bars, means alone as dots, counts and sums as grouped bars.
The first key is the axis, the others are the series. A withheld cell keeps its place: a hatched stump that says so,
never a height.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from parties.report.plots.drawing import (
    FAINT,
    FONT,
    INK,
    MOST_SERIES,
    PAPER,
    SERIES,
    Plot,
    drawing,
    is_number,
    literal,
    short,
    themed,
)
from parties.report.view import Cell, ReportColumn, ReportTable
from parties.report.words import written

MOST_GROUPS = 24
MOST_PANELS = 9
STATISTIC_WORDS = frozenset(
    [
        "mean",
        "avg",
        "average",
        "sd",
        "std",
        "stddev",
        "samp",
        "pop",
        "spread",
        "deviation",
        "standard",
        "n",
        "count",
        "subjects",
        "",
    ]
)
_SUBJECTS = "subjects"
BARS = frozenset({"count", "sum"})
DOTS = frozenset({"mean", "quantile", "moment"})

TICK_WIDTH = 15  # characters in a line of an axis label
AXES_HEIGHT = 3.1  # inches, with the labels below
LEGEND_LINE = 0.21  # inches
LEGEND_MARK = 5  # characters that the mark and the space beside it take
CHARACTERS_AN_INCH = 11


@dataclass(frozen=True)
class _Panel:
    """What one drawing shows: for each series and group a cell, and perhaps its spread."""

    measure: ReportColumn
    spread: ReportColumn | None
    groups: tuple[str, ...]
    series: tuple[str, ...]
    cells: dict[tuple[str, str], tuple[Cell, Cell | None]]


def plots(table: ReportTable) -> tuple[Plot, ...]:
    """Return the plots that suit ``table``; none for a table without groups or with too many of them."""
    panels = [panel for panel in _panels(table) if _fits(panel)]
    return tuple(_draw(panel, table, place) for place, panel in enumerate(panels[:MOST_PANELS]))


def _fits(panel: _Panel) -> bool:
    shown = any(cell.value is not None for cell, _ in panel.cells.values())
    return shown and 1 < len(panel.groups) <= MOST_GROUPS and len(panel.series) <= MOST_SERIES


def _panels(table: ReportTable) -> Iterator[_Panel]:
    if not table.keys:
        return
    drawn = {_quantity(column.name) for column in table.columns if column.kind in DOTS}
    counts = {_words(column.name) for column in table.columns if column.kind == "count"}
    for position in table.measures:
        measure = table.columns[position]
        # A mean or a number of rows is drawn, so how many stand behind it is left to the table.
        is_left = measure.kind == "count" and (
            _quantity(measure.name) in drawn
            or (_SUBJECTS in _words(measure.name) and any(_SUBJECTS not in words for words in counts))
        )
        if measure.kind in BARS | DOTS and not is_left:
            yield _panel(table, position, _spread_of(table, measure))


def _spread_of(table: ReportTable, measure: ReportColumn) -> int | None:
    """Return where the standard deviation of a mean stands: the one spread whose name speaks of the same quantity."""
    if measure.kind != "mean":
        return None
    quantity = _quantity(measure.name)
    found = [
        position
        for position in table.measures
        if table.columns[position].kind == "spread" and _quantity(table.columns[position].name) == quantity
    ]
    return found[0] if len(found) == 1 else None


def _quantity(name: str) -> frozenset[str]:
    """Return what a measure is of, by its name: ``mean_age``, ``sd_age`` and ``age_sd`` are all of ``age``."""
    return _words(name) - STATISTIC_WORDS


def _words(name: str) -> frozenset[str]:
    return frozenset(re.split(r"[\W_]+", name.lower()))


def _panel(table: ReportTable, position: int, spread: int | None) -> _Panel:
    first, *others = table.keys
    groups: dict[str, None] = {}
    series: dict[str, None] = {}
    cells: dict[tuple[str, str], tuple[Cell, Cell | None]] = {}
    for index, row in enumerate(table.rows):
        if table.totalled(index):
            continue  # a total beside its parts would be drawn as one of them
        group = written(row[first], table.columns[first])
        name = " · ".join(written(row[key], table.columns[key]) for key in others)
        groups[group] = series[name] = None
        cells[name, group] = (row[position], None if spread is None else row[spread])
    shown = None if spread is None else table.columns[spread]
    return _Panel(table.columns[position], shown, _in_codebook_order(groups, table, first), tuple(series), cells)


def _in_codebook_order(groups: Iterable[str], table: ReportTable, key: int) -> tuple[str, ...]:
    """Return the groups as the codebook lists them: grades rise, whatever order the table came in."""
    column = table.columns[key]
    order = [written(Cell(code), column) for code in column.labels]
    return tuple(sorted(groups, key=lambda group: order.index(group) if group in order else len(order)))


def _draw(panel: _Panel, table: ReportTable, place: int) -> Plot:
    first, *others = table.keys
    words = max(len(word) for group in panel.groups for word in group.split() or [""])
    room = max(0.52 * len(panel.series), min(words, TICK_WIDTH) / CHARACTERS_AN_INCH)  # inches a group
    width = min(9.0, max(4.6, 1.6 + room * len(panel.groups)))
    line = max(words, min(TICK_WIDTH, int((width - 1.6) / len(panel.groups) * CHARACTERS_AN_INCH)))
    legend = _Legend.of(panel.series, width)
    height = AXES_HEIGHT + LEGEND_LINE * legend.lines
    with drawing((width, height), salt=f"{table.name}/{panel.measure.name}/{place}") as (axes, svg):
        draw = _bars if panel.measure.kind in BARS else _dots
        draw(axes, panel)
        axes.set_xticks(
            range(len(panel.groups)), [literal(textwrap.fill(group, min(line, TICK_WIDTH))) for group in panel.groups]
        )
        axes.set_xlabel(literal(table.columns[first].heading))
        axes.set_xlim(-0.6, len(panel.groups) - 0.4)
        if len(panel.series) > 1:
            title = " · ".join(table.columns[key].heading for key in others)
            axes.legend(
                title=literal(title), alignment="left", loc="lower left", bbox_to_anchor=(0, 1.02), frameon=False,
                ncols=legend.columns, borderaxespad=0, handlelength=0.9, handleheight=0.9, columnspacing=1.6,
                labelcolor=INK,
            )  # fmt: skip
    caption = panel.measure.heading + (" ± standard deviation" if panel.spread else "") + f", by {_keys(table)}"
    return Plot(svg=themed(svg.getvalue(), place, table.name), caption=caption, description=_described(panel, caption))


@dataclass(frozen=True)
class _Legend:
    """How many columns of entries fit beside each other, and how many lines that makes with the title."""

    columns: int
    lines: int

    @classmethod
    def of(cls, series: tuple[str, ...], width: float) -> "_Legend":
        if len(series) <= 1:
            return cls(1, 0)
        longest = max(len(name) for name in series) + LEGEND_MARK
        columns = max(1, min(len(series), int((width - 1.0) * CHARACTERS_AN_INCH // longest)))
        return cls(columns, 1 + -(-len(series) // columns))


def _bars(axes: Any, panel: _Panel) -> None:  # noqa: ANN401 - matplotlib is untyped here
    width = 0.8 / len(panel.series)
    top = max((float(cell.value or 0) for cell, _ in panel.cells.values() if is_number(cell)), default=1.0)
    for place, name in enumerate(panel.series):
        for group, (x, cell, _) in enumerate(_placed(panel, name, place, width)):
            if cell.withheld:
                _stump(axes, x, width, top)
            elif is_number(cell):
                value = float(cell.value or 0)
                label = literal(name) if group == _first_drawn(panel, name) else None
                axes.bar(x, value, width * 0.92, color=SERIES[place], label=label, zorder=2)
                _note(axes, x, value, short(cell.value), small=width < 0.22)  # noqa: PLR2004 - inches of room
    axes.set_ylim(0, top * 1.12)
    axes.set_ylabel(literal(panel.measure.heading))


def _dots(axes: Any, panel: _Panel) -> None:  # noqa: ANN401 - matplotlib is untyped here
    width = 0.68 / len(panel.series)
    low, high = _reach(panel)
    for place, name in enumerate(panel.series):
        for group, (x, cell, spread) in enumerate(_placed(panel, name, place, width)):
            if cell.withheld:
                _stump(axes, x, width, high - low, floor=low)
            elif is_number(cell):
                bar = float(spread.value or 0) if spread is not None and is_number(spread) else None
                label = literal(name) if group == _first_drawn(panel, name) else None
                axes.errorbar(
                    x, float(cell.value or 0), yerr=bar, color=SERIES[place], label=label, zorder=2,
                    marker="o", markersize=7, markeredgecolor=PAPER, markeredgewidth=1.2, linewidth=2, capsize=0,
                )  # fmt: skip
                axes.annotate(
                    short(cell.value), (x, float(cell.value or 0)), (0, 7) if bar is None else (7, 0),
                    textcoords="offset points", ha="center" if bar is None else "left",
                    va="bottom" if bar is None else "center", color=INK, fontsize=FONT - 2,
                )  # fmt: skip
    axes.set_ylim(low, high)
    axes.set_ylabel(literal(panel.measure.heading))


def _reach(panel: _Panel) -> tuple[float, float]:
    """Return the span of the axis: from zero unless that would flatten everything, with room above."""
    ends = [
        float(cell.value or 0) + sign * (float(spread.value or 0) if spread is not None and is_number(spread) else 0.0)
        for cell, spread in panel.cells.values()
        if is_number(cell)
        for sign in (-1, 1)
    ]
    low, high = min([0.0, *ends]), max(ends)
    room = (high - low) * 0.12 or 1.0
    return (low - room if low < 0 else low), high + room


def _placed(panel: _Panel, name: str, place: int, width: float) -> Iterator[tuple[float, Cell, Cell | None]]:
    offset = (place - (len(panel.series) - 1) / 2) * width
    for position, group in enumerate(panel.groups):
        cell, spread = panel.cells.get((name, group), (Cell(None), None))
        yield position + offset, cell, spread


def _first_drawn(panel: _Panel, name: str) -> int:
    """Return the group whose mark carries the legend's entry, so that every series has exactly one."""
    return next(
        (
            index
            for index, group in enumerate(panel.groups)
            if is_number(panel.cells.get((name, group), (Cell(None),))[0])
        ),
        -1,
    )


def _stump(axes: Any, x: float, width: float, height: float, floor: float = 0.0) -> None:  # noqa: ANN401
    axes.bar(
        x,
        height * 0.09,
        width * 0.92,
        bottom=floor,
        facecolor="none",
        edgecolor=FAINT,
        hatch="////",
        linewidth=1,
        zorder=2,
    )
    axes.annotate(
        "withheld", (x, floor + height * 0.09), (0, 3), textcoords="offset points", ha="center", va="bottom",
        color=FAINT, fontsize=FONT - 2.5, rotation=90 if width < 0.3 else 0,  # noqa: PLR2004 - no room to lie flat
    )  # fmt: skip


def _note(axes: Any, x: float, y: float, text: str, *, small: bool) -> None:  # noqa: ANN401
    axes.annotate(
        text, (x, y), (0, 3), textcoords="offset points", ha="center", va="bottom", color=INK,
        fontsize=FONT - (3 if small else 2),
    )  # fmt: skip


def _described(panel: _Panel, caption: str) -> str:
    """Return the plot in words: every mark with its value."""
    told = []
    for (series, group), (cell, spread) in panel.cells.items():
        value = written(cell, panel.measure)
        deviation = f" ± {written(spread, panel.measure)}" if spread is not None and is_number(spread) else ""
        told.append(f"{', '.join(part for part in (group, series) if part)}: {value}{deviation}")
    return f"{caption}. {'; '.join(told)}."


def _keys(table: ReportTable) -> str:
    return " and ".join(table.columns[key].heading for key in table.keys)
