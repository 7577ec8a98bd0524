"""A report in a terminal: tables, and under each what was withheld and why."""

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from parties.report.view import Report, ReportTable, Trust
from parties.report.words import TOTAL, written

STYLES = {"none": "red", "partial": "yellow", "full": "green"}


def terminal(report: Report, *, trust: bool = True) -> RenderableType:
    """Return one report for a rich console; ``trust`` puts the statement on what the evidence proves above it."""
    return Group(*_parts(report, trust=trust))


def trust_panel(trust: Trust) -> RenderableType:
    """Return what the evidence proves, red where it protects nobody."""
    style = STYLES[trust.severity]
    return Panel(Text(trust.text), title=Text(trust.headline, f"bold {style}"), title_align="left", border_style=style)


def result_table(table: ReportTable) -> Table:
    """Return one table; a withheld cell says so."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        shown.add_column(Text(column.heading), justify="left" if column.is_key else "right")
    for index, row in enumerate(table.rows):
        over = table.totalled(index)
        cells = [
            Text(TOTAL) if column.name in over
            else Text(written(cell, column), "dim italic" if cell.withheld else "")
            for cell, column in zip(row, table.columns, strict=True)
        ]  # fmt: skip
        shown.add_row(*cells, style="bold" if over else None)
    return shown


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
