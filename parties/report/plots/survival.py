"""Survival at the declared times of each group, with its interval, and how many are still at risk below the axis."""

from collections.abc import Iterator
from textwrap import shorten
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
from parties.report.words import WITHHELD, written

WIDTH, HEIGHT, LINE = 7.2, 3.4, 0.2  # inches
FIRST_LINE, LINE_STEP = -0.24, 0.075  # parts of the height of the axes
LONGEST_NAME = 28
MOST_AT_RISK = 9
"""Numbers at risk that fit below the axis."""

APART = 0.009
"""How far curves stand beside each other, as a part of the time."""

Step = dict[str, Cell]


def plots(table: ReportTable) -> tuple[Plot, ...]:
    """Return the curves, or nothing when there are too many, or every step is withheld."""
    curves = _curves(table)
    shown = any(is_number(step["survival"]) for steps in curves.values() for step in steps)
    if not shown or len(curves) > MOST_SERIES:
        return ()
    height = HEIGHT + LINE * (len(curves) + 1)
    with drawing((WIDTH, height), salt=f"{table.name}/survival") as (axes, svg):
        last = max(_number(step["time"]) for steps in curves.values() for step in steps)
        for place, (name, steps) in enumerate(curves.items()):
            # Side by side, so that no interval hides another.
            aside = (place - (len(curves) - 1) / 2) * APART * last
            _curve(axes, name, steps, SERIES[place], aside)
        axes.set_ylim(0, 1.03)
        axes.set_xlim(0, last * 1.04)  # also as far as the times whose steps are withheld
        axes.set_xticks([0, *(_number(step["time"]) for step in _spaced(next(iter(curves.values()))))])
        axes.set_ylabel("survival")
        axes.set_xlabel(literal(next(table.columns[i].heading for i in reversed(table.keys))))
        if len(curves) > 1:
            axes.legend(loc="lower left", frameon=False, labelcolor=INK)
        _risk_table(axes, curves)
    caption = "Survival with 95 % intervals at the declared times; below, how many are at risk"
    return (Plot(themed(svg.getvalue(), 0, table.name), caption, _described(curves, caption)),)


def _curves(table: ReportTable) -> dict[str, list[Step]]:
    """Return the steps of each group in time; the last key is the time."""
    curves: dict[str, list[Step]] = {}
    for row in table.rows:
        name = " · ".join(written(row[key], table.columns[key]) for key in table.keys[:-1])
        curves.setdefault(name, []).append({column.name: row[i] for i, column in enumerate(table.columns)})
    for steps in curves.values():
        steps.sort(key=lambda step: float(step["time"].value or 0))
    return curves


def _spaced(steps: list[Step]) -> list[Step]:
    """Return as many steps as numbers fit below the axis."""
    return steps[:: -(-len(steps) // MOST_AT_RISK)]


def _curve(axes: Any, name: str, steps: list[Step], colour: str, aside: float) -> None:  # noqa: ANN401 - matplotlib is untyped here
    told = [step for step in steps if is_number(step["survival"])]
    times = [_number(step["time"]) + aside for step in told]
    # Between the declared times nothing is known of the curve: thin lines only lead the eye.
    axes.plot([0.0, *times], [1.0, *(_number(step["survival"]) for step in told)], color=colour, linewidth=1, alpha=0.6)
    axes.plot(
        times, [_number(step["survival"]) for step in told], "o", color=colour, markersize=6, label=literal(name),
        markeredgecolor=PAPER, markeredgewidth=1.0, zorder=3,
    )  # fmt: skip
    for step, time in zip(told, times, strict=True):
        if is_number(step["lower"]) and is_number(step["upper"]):
            axes.plot([time, time], [_number(step["lower"]), _number(step["upper"])], color=colour, linewidth=2)


def _risk_table(axes: Any, curves: dict[str, list[Step]]) -> None:  # noqa: ANN401 - matplotlib is untyped here
    """Write how many are at risk below the axis, a line a group, each with its name; what is withheld says so."""
    below = axes.get_xaxis_transform()
    axes.annotate(
        "at risk", (0, FIRST_LINE), xycoords="axes fraction", color=FAINT, fontsize=FONT - 2, va="center", ha="left"
    )
    for line, (name, steps) in enumerate(curves.items(), 1):
        height = FIRST_LINE - LINE_STEP * line
        axes.annotate(
            literal(shorten(name, LONGEST_NAME)), (0, height), (-8, 0), xycoords="axes fraction",
            textcoords="offset points", color=SERIES[line - 1], fontsize=FONT - 2, ha="right", va="center",
        )  # fmt: skip
        for step in _spaced(steps):
            told = str(step["at_risk"].value) if is_number(step["at_risk"]) else WITHHELD
            if is_number(step["at_risk"]) or step["at_risk"].withheld:
                axes.text(
                    _number(step["time"]), height, told, transform=below, ha="center", va="center",
                    color=SERIES[line - 1] if is_number(step["at_risk"]) else FAINT,
                    fontsize=FONT - (2 if is_number(step["at_risk"]) else 3),
                )  # fmt: skip


def _described(curves: dict[str, list[Step]], caption: str) -> str:
    return f"{caption}. {'; '.join(_told(curves))}."


def _told(curves: dict[str, list[Step]]) -> Iterator[str]:
    for name, steps in curves.items():
        for step in steps:
            where = f"{name}, " if name else ""
            survival = f"{_number(step['survival']):.3g}" if is_number(step["survival"]) else "withheld"
            yield f"{where}{step['time'].value}: {survival}"


def _number(cell: Cell) -> float:
    return float(cell.value or 0)
