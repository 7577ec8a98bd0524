"""How the command line speaks: results on standard output, everything about the work on standard error."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mpc.errors import Misconfigured, Refusal

if TYPE_CHECKING:
    from mpc.evidence.claims import Check

PASSED, FAILED = "✓", "✗"
PIPE_WIDTH = 160


def output() -> Console:
    """Return the console of results; what reads a pipe gets wide lines, so that little is broken."""
    return Console(highlight=False, width=_width(sys.stdout.isatty()))


def messages() -> Console:
    """Return the console of progress, notes and refusals."""
    return Console(stderr=True, highlight=False, width=_width(sys.stderr.isatty()))


def _width(watched: bool) -> int | None:
    return None if watched or "COLUMNS" in os.environ else PIPE_WIDTH


def show(*parts: RenderableType) -> None:
    """Print parts of a result."""
    console = output()
    for part in parts:
        console.print(part)


def show_data(value: Any) -> None:  # noqa: ANN401 - JSON is a format of arbitrary plain values
    """Print a result as one JSON value, for programs."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def tell(text: str) -> None:
    """Print one note about the work; rich markup is honoured, so foreign text goes through ``plain`` first."""
    messages().print(text)


def plain(text: str) -> str:
    """Return foreign text so that it prints as it is: no markup, no control characters."""
    return escape("".join(char if char.isprintable() or char == "\n" else "�" for char in text))


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show that something is going on for as long as the block runs: a spinner, or a line where nobody watches."""
    console = messages()
    if console.is_terminal:
        with console.status(plain(text)):
            yield
    else:
        console.print(plain(text) + " …")
        yield


def typed(question: str, *, what: str, instead: str) -> str:
    """Return what a person types; refuses with ``what`` where nobody can, and says what does it ``instead``."""
    try:
        answer: str = typer.prompt(question, err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise KeyboardInterrupt from None
        messages().print()
        raise Misconfigured(
            "argument.typed", what, why="nobody could type the confirmation: the input has ended",
            remedy=f"type it in a terminal, or give {instead}",
        ) from None  # fmt: skip
    return answer


def print_refusal(refusal: Refusal, *, as_json: bool) -> None:
    """Print what was refused, why, and what to do."""
    if as_json:
        show_data({"refusal": refusal.as_data()})
        return
    console = messages()
    console.print(f"[bold red]Refused:[/] {plain(refusal.what)}")
    rows = [("why", refusal.why), ("remedy", refusal.remedy), ("code", refusal.code)]
    if refusal.expected is not None:
        rows[1:1] = [("expected", refusal.expected), ("found", refusal.found or "nothing")]
    if refusal.field is not None:
        rows.insert(1, ("field", refusal.field))
    for name, value in rows:
        console.print(Text.assemble((f"{name:>10}  ", "dim"), Text.from_markup(plain(value))), soft_wrap=True)


def grid(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table of foreign text, one that neither wraps words apart nor reads markup in them."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text.from_markup(plain(cell)) for cell in row))
    return table


def check_table(checks: "Sequence[Check]", title: str | None = None) -> Table:
    """Return checks as people read them: what, expected, found, verdict."""
    table = grid(title, ("check", "expected", "found"), ())
    table.add_column("verdict", no_wrap=True)
    for check in checks:
        verdict = Text(f"{PASSED} passed", "green") if check.passed else Text(f"{FAILED} failed", "bold red")
        cells = (Text.from_markup(plain(_brief(text))) for text in (check.name, check.expected, check.found))
        table.add_row(*cells, verdict)
    return table


def check_data(checks: "Iterable[Check]") -> list[dict[str, str | bool]]:
    """Return checks as plain data."""
    return [
        {"check": check.name, "expected": check.expected, "found": check.found, "passed": check.passed}
        for check in checks
    ]


def _brief(text: str) -> str:
    """Return long digests shortened in the middle where a person reads; ``--json`` gives them whole."""
    return text if len(text) <= 48 else f"{text[:24]}…{text[-16:]}"  # noqa: PLR2004 - a column's width
