"""How the demo tells its story: headings, steps with the time they took, and a spinner where somebody watches."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mpc.errors import Refusal, Untrusted
from parties.cli.screen import FAILED, PASSED

NOTEWORTHY_SECONDS = 0.1


class Narrator:
    """Tells what happens; plain lines when the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the story has lasted."""
        return time.monotonic() - self._began

    def act(self, title: str) -> None:
        """Begin a part of the story."""
        self.console.print(Text(f"\n{title}", "bold cyan"))

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Tell that ``what`` happens, and when the block ends, that it happened."""
        began = time.monotonic()
        try:
            if self.console.is_terminal:
                with self.console.status(Text(what)):
                    yield
            else:
                yield
        except BaseException:
            self._marked(Text(FAILED, "red"), Text(what))
            raise
        self.done(what, seconds=time.monotonic() - began)

    def done(self, what: str, *, seconds: float = 0.0) -> None:
        """Tell that ``what`` has happened."""
        took = f"  {seconds:.1f} s" if seconds > NOTEWORTHY_SECONDS else ""
        self._marked(Text(PASSED, "green"), Text.assemble(what, (took, "dim")))

    def note(self, text: str, style: str = "") -> None:
        """Tell one more thing."""
        self.console.print(Padding(Text(text, style), (0, 0, 0, 4)))

    def cast(self, members: Iterable[tuple[str, str]]) -> None:
        """Introduce who takes part, and as what."""
        shown = Table.grid(padding=(0, 2))
        for who, what in members:
            shown.add_row(Text(who, "bold"), Text(what))
        self.console.print(Padding(shown, (1, 0, 0, 4)))

    def _marked(self, mark: Text, text: Text) -> None:
        """Print a line after a mark; what does not fit goes on below the text, not below the mark."""
        line = Table.grid(padding=(0, 1))
        line.add_row(mark, text)
        self.console.print(Padding(line, (0, 0, 0, 2)))

    def show(self, *parts: RenderableType) -> None:
        """Show tables and panels."""
        for part in parts:
            self.console.print(Padding(part, (0, 0, 0, 2)))

    def refused(self, by: str, refusal: Refusal) -> None:
        """Show a refusal that was promised."""
        compared = f"expected {_brief(refusal.expected)}, found {_brief(refusal.found)}\n" if refusal.expected else ""
        text = Text(f"{refusal.what}: {refusal.why}\n{compared}{refusal.remedy}")
        self.show(
            Panel(
                text, title=Text(f"refused by {by}"), title_align="left", subtitle=Text(f"code {refusal.code}"),
                subtitle_align="right", border_style="yellow",
            )
        )  # fmt: skip


def promise(kept: bool, what: str) -> None:
    """Refuse to go on when something that the demo promises did not happen."""
    if not kept:
        raise Untrusted(
            "demo.promise", f"the demo's promise is broken: {what}", why="what happened is not what was promised",
            remedy="run with --keep, and report it together with the logs",
        )  # fmt: skip


def _brief(text: str | None) -> str:
    return "nothing" if text is None else text if len(text) <= 24 else f"{text[:16]}…"  # noqa: PLR2004 - a line's width
