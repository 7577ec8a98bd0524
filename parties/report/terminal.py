"""A report in a terminal: tables, and under each what was withheld and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from parties.report.view import Report, ReportTable, Trust
from parties.report.words import Said, said

ENDLESS = 10_000
LONGEST_KEY = 32
"""Characters of a key that are kept on one line."""

STYLES = {"none": "red", "partial": "yellow", "full": "green"}


def terminal(report: Report, *, trust: bool = True) -> RenderableType:
    """Return one report for a rich console; ``trust`` puts the statement on what the evidence proves above it."""
    return Group(*_parts(report, trust=trust))


def trust_panel(trust: Trust) -> RenderableType:
    """Return what the evidence proves, red where it protects nobody."""
    style = STYLES[trust.severity]
    return Panel(Text(trust.text), title=Text(trust.headline, f"bold {style}"), title_align="left", border_style=style)


def result_table(table: ReportTable) -> RenderableType:
    """Return one table; a withheld cell says so. What is wider than the screen goes on below, with its keys again."""
    return _upright(table) if table.stands_upright else _Wide(table)


def _upright(table: ReportTable) -> Table:
    shown = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2))
    shown.add_column()
    shown.add_column(justify="right", no_wrap=True)
    for column, cell in zip(table.columns, said(table, 0), strict=True):
        shown.add_row(Text(column.heading, "bold"), _cell(cell))
    return shown


@dataclass(frozen=True)
class _Wide:
    """A table of which as many measures stand beside each other as fit: no number is ever cut."""

    table: ReportTable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        left = list(self.table.measures)
        while True:
            fitting = self._fitting(console, options, left)
            yield self._part(left[: max(fitting, 1)], whole=fitting > 0)
            left = left[max(fitting, 1) :]
            if not left:
                return

    def _fitting(self, console: Console, options: ConsoleOptions, measures: list[int]) -> int:
        """Return how many of ``measures`` fit beside the keys."""
        endless = options.update(width=ENDLESS)
        return max(
            (
                count
                for count in range(1, len(measures) + 1)
                if console.measure(self._part(measures[:count]), options=endless).minimum <= options.max_width
            ),
            default=0,
        )

    def _part(self, measures: Sequence[int], *, whole: bool = True) -> Table:
        """Return the keys with some measures; only where a screen is narrower than that are cells folded."""
        positions = [*self.table.keys, *measures]
        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        rows = [said(self.table, row) for row in range(len(self.table.rows))]
        for position in positions:
            column = self.table.columns[position]
            longest = max((len(row[position].text) for row in rows), default=0)
            shown.add_column(
                Text(column.heading), justify="left" if column.is_key else "right", overflow="fold",
                min_width=longest if whole and (longest <= LONGEST_KEY or not column.is_key) else None,
            )  # fmt: skip
        for index, row in enumerate(rows):
            cells = [_cell(row[position]) for position in positions]
            shown.add_row(*cells, style="bold" if self.table.totalled(index) else None)
        return shown


def _cell(cell: Said) -> Text:
    return Text(cell.text, "dim italic" if cell.withheld else "")


def withheld_table(table: ReportTable) -> Table:
    """Return what was withheld from a table, by which rule, and what would help."""
    shown = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("withheld", "cells", "why", "what would help"):
        shown.add_column(heading, justify="right" if heading == "cells" else "left", overflow="fold")
    for measures, cells, why, remedy in table.reasons:
        shown.add_row(Text(measures), str(cells), Text(why), Text(remedy))
    return shown


def _parts(report: Report, *, trust: bool) -> Iterator[RenderableType]:
    if trust:
        yield from map(trust_panel, report.trust)
    for table in report.tables:
        name = f" · {table.name}" if len(report.tables) > 1 else ""
        yield Text(f"{report.purpose}{name}", "bold")
        yield result_table(table)
        if table.withheld:
            yield Text(table.in_words)
            yield withheld_table(table)
    yield Text(_footing(report), "dim")


def _footing(report: Report) -> str:
    held = report.withheld_cells
    words = f"{held} of {report.cells} cells withheld" if held else "nothing was withheld"
    if report.provenance is None:
        receipt = "no receipt"
    else:
        receipt = f"receipt {'verified' if report.provenance.verified else 'NOT verified'}: {report.provenance.shown}"
    return f"{words} · {receipt} · contract {report.contract_digest[:8]}…"
