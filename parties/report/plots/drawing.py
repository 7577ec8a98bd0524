"""Inline SVG that follows the page's colours, light and dark. matplotlib is imported when something is drawn."""

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from parties.report.view import Cell
from parties.report.words import number

MOST_SERIES = 6

# Placeholders in the drawing, exchanged for the page's own variables: that is what makes one SVG fit both themes.
INK, FAINT, PAPER = "#0a0b0c", "#0d0e0f", "#0f1011"
SERIES = tuple(f"#01020{digit}" for digit in range(1, MOST_SERIES + 1))
VARIABLES = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    PAPER: "var(--paper)",
    **{colour: f"var(--series-{index})" for index, colour in enumerate(SERIES, 1)},
}
FONT = 11.0
MAGNIFIED = 1.2


@dataclass(frozen=True)
class Plot:
    """One drawing: inline SVG, its caption, and what it shows in words for those who do not see it."""

    svg: str
    caption: str
    description: str


@contextmanager
def drawing(size: tuple[float, float], *, salt: str) -> Iterator[tuple[Any, io.StringIO]]:
    """Give bare axes, and the SVG of them afterwards; no state of matplotlib is left behind."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy: 0.6 s and only a report with plots pays for it
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    settings: Any = {  # matplotlib types this as a mapping of 300 literal names
        "svg.fonttype": "none", "svg.hashsalt": salt, "font.size": FONT, "font.family": "sans-serif", "text.color": INK,
        "axes.labelcolor": FAINT, "axes.edgecolor": FAINT, "xtick.color": FAINT, "ytick.color": FAINT,
        "xtick.labelcolor": INK, "ytick.labelcolor": INK, "hatch.linewidth": 0.8, "hatch.color": FAINT,
    }  # fmt: skip
    svg = io.StringIO()
    with mpl.rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
        axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.8)
        axes.set_axisbelow(True)
        yield axes, svg
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})


def themed(svg: str, place: int, table: str) -> str:
    """Return the drawing for a page: no prologue, the page's colours and font, names that no other drawing has."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    # The viewBox stays, so the drawing shrinks with the page; it grows to MAGNIFIED of its own size.
    widest = float(re.search(r'<svg[^>]* width="([0-9.]+)pt"', body)[1]) * MAGNIFIED  # type: ignore[index]
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', rf'\1 style="max-width: {widest:.0f}pt"', body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font-size: \1px", body)
    prefix = re.sub(r"\W", "_", f"{table}_{place}_")
    body = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', body)
    for placeholder, variable in VARIABLES.items():
        body = body.replace(placeholder, variable)
    return body


def is_number(cell: Cell) -> bool:
    """Tell whether ``cell`` holds a number that can be drawn."""
    return not cell.withheld and isinstance(cell.value, int | float) and math.isfinite(cell.value)


def short(value: Any) -> str:  # noqa: ANN401 - a cell's value
    """Return a value for a mark: three digits, or whole."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else number(round(value))  # noqa: PLR2004 - three digits
    return number(value)


def literal(text: str) -> str:
    """Return text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")
