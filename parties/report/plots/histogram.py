"""A histogram: counts over the agreed intervals, those below and above at the ends; several groups as outlines."""

from itertools import pairwise
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
    themed,
)
from parties.report.view import Cell, ReportTable
from parties.report.words import written

WIDTH, HEIGHT = 7.2, 3.4  # inches
STUMP = 0.09
LEGEND_LINE = 0.08
"""The part of the height that one group takes in the legend, which stands above all bars."""
MOST_EDGES = 12

Bar = tuple[float, float, Cell]
"""From, to, and the count."""


def plots(table: ReportTable) -> tuple[Plot, ...]:
    """Return the histogram, or nothing when every count is withheld or there are too many groups."""
    groups = _groups(table)
    counts = [float(bar[2].value or 0) for bars in groups.values() for bar in bars if is_number(bar[2])]
    if not counts or len(groups) > MOST_SERIES:
        return ()
    top = max(counts) or 1.0
    with drawing((WIDTH, HEIGHT), salt=f"{table.name}/histogram") as (axes, svg):
        for place, (name, bars) in enumerate(groups.items()):
            _draw(axes, name, bars, SERIES[place], top, filled=len(groups) == 1)
        axes.set_xticks(*_ticks(next(iter(groups.values()))))
        axes.set_ylim(0, top * (1.12 if len(groups) == 1 else 1.12 + LEGEND_LINE * (1 + len(groups))))
        axes.set_ylabel("rows")
        axes.set_xlabel(literal(next((c.unit for c in table.columns if c.name == "from" and c.unit), "")))
        if len(groups) > 1:
            axes.legend(loc="upper right", frameon=False, labelcolor=INK)
    caption = "Number of rows in each interval" + (", by group" if len(groups) > 1 else "")
    return (Plot(themed(svg.getvalue(), 0, table.name), caption, _described(groups, caption)),)


def _groups(table: ReportTable) -> dict[str, list[Bar]]:
    places = {column.name: i for i, column in enumerate(table.columns)}
    others = [key for key in table.keys if table.columns[key].name not in {"from", "to"}]
    found: dict[str, list[tuple[Cell, Cell, Cell]]] = {}
    for row in table.rows:
        name = " · ".join(written(row[key], table.columns[key]) for key in others)
        found.setdefault(name, []).append((row[places["from"]], row[places["to"]], row[places["n"]]))
    return {name: sorted(map(_ends, bars), key=lambda bar: bar[0]) for name, bars in found.items()}


def _ends(bar: tuple[Cell, Cell, Cell]) -> Bar:
    """Return the bar with ends; one without is infinite there."""
    low, high, count = bar
    return (
        float(low.value) if is_number(low) and low.value is not None else float("-inf"),
        float(high.value) if is_number(high) and high.value is not None else float("inf"),
        count,
    )


def _draw(axes: Any, name: str, bars: list[Bar], colour: str, top: float, *, filled: bool) -> None:  # noqa: ANN401
    finite = [high - low for low, high, _ in bars if high - low < float("inf")]
    width = min(finite, default=1.0)
    label: str | None = literal(name)
    for low, high, count in bars:
        start = low if low > float("-inf") else high - width
        end = high if high < float("inf") else low + width
        if count.withheld:
            axes.bar(
                start, top * STUMP, end - start, align="edge", facecolor="none", edgecolor=FAINT, hatch="////",
                linewidth=1,
            )  # fmt: skip
            axes.annotate(
                "withheld", ((start + end) / 2, top * STUMP), (0, 3), textcoords="offset points", ha="center",
                color=FAINT, fontsize=FONT - 3, rotation=90,
            )  # fmt: skip
        elif is_number(count):
            axes.bar(
                start, float(count.value or 0), end - start, align="edge", facecolor=colour if filled else "none",
                edgecolor=PAPER if filled else colour, linewidth=1.6, label=label,
            )  # fmt: skip
            label = None


def _ticks(bars: list[Bar]) -> tuple[list[float], list[str]]:
    """Return where the axis is marked: edges, as many as fit, and a word for each interval without an end."""
    edges = [low for low, _, _ in bars if low > float("-inf")]
    half = min((later - edge for edge, later in pairwise(edges)), default=1.0) / 2
    some = edges[:: 1 + len(edges) // MOST_EDGES]
    ends = [edges[0] - half, edges[-1] + half]
    return [ends[0], *some, ends[1]], ["below", *(f"{edge:g}" for edge in some), "above"]


def _described(groups: dict[str, list[Bar]], caption: str) -> str:
    told = []
    for name, bars in groups.items():
        for low, high, count in bars:
            where = f"from {low:g} to {high:g}".replace("from -inf to", "below").replace(" to inf", " on")
            value = "withheld" if count.withheld else str(count.value)
            told.append(f"{', '.join(part for part in (name, where) if part)}: {value}")
    return f"{caption}. {'; '.join(told)}."
