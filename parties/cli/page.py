"""The page that a data officer reads before signing, in a terminal: warnings red, questions as they will run."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from mpc.contract.page import Explanation, Line

INDENT = (0, 0, 0, 2)
BULLET = Text("•")


def page(explanation: Explanation) -> RenderableType:
    """Return the whole page for a rich console."""
    return Group(*(part for line in explanation.lines for part in _shown(line)))


def summary(explanation: Explanation) -> RenderableType:
    """Return the page in short: the warnings, who takes part, each question in a sentence, the rules."""
    parts: list[RenderableType] = [Text(explanation.title, "bold")]
    parts.extend(
        _item(
            Text("!", "bold red"), Text(f"{enclave.format}: its evidence could be forged by {enclave.forged_by}", "red")
        )
        for enclave in explanation.enclaves
        if enclave.warning
    )
    for dataset in explanation.datasets:
        never = ", ".join(column.name for column in dataset.columns if not column.uses)
        parts.append(
            _item(BULLET, Text(f"{dataset.name}: {len(dataset.columns)} columns, never read: {never or 'none'}"))
        )
    parts.extend(
        _item(BULLET, Text(f"{computation.name} → {', '.join(computation.recipients)}"))
        for computation in explanation.computations
    )
    parts.extend(_item(BULLET, Text(rule, "dim")) for rule in explanation.rules)
    return Group(*parts)


def _item(mark: Text, text: Text) -> RenderableType:
    """Return a text beside its mark; what does not fit on the line goes on below the text."""
    line = Table.grid(padding=(0, 1))
    line.add_row(mark, text)
    return Padding(line, INDENT)


def _shown(line: Line) -> Iterator[RenderableType]:
    if line.kind == "title":
        yield Panel(Text(line.text, "bold"), expand=False)
    elif line.kind == "heading":
        yield Text(f"\n{line.text}", "bold cyan")
    elif line.kind == "item":
        yield _item(BULLET, Text(line.text))
    elif line.kind == "code":
        yield Padding(Syntax(line.text, "sql", theme="ansi_dark", background_color="default", word_wrap=True), INDENT)
    elif line.kind == "warning":
        yield _item(Text("⚠", "bold red"), Text(line.text, "bold red"))
    else:
        yield Text(line.text)
