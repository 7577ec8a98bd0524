"""The page that a data officer reads before signing, in a terminal: warnings red, questions as they will run."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text

from mpc.contract.page import Explanation, Line

INDENT = (0, 0, 0, 2)


def page(explanation: Explanation) -> RenderableType:
    """Return the whole page for a rich console."""
    return Group(*(part for line in explanation.lines for part in _shown(line)))


def summary(explanation: Explanation) -> RenderableType:
    """Return the page in short: the warnings, who takes part, each question in a sentence, the rules."""
    lines = [Text(explanation.title, "bold")]
    lines.extend(
        Text(f"  ! {enclave.format}: its evidence could be forged by {enclave.forged_by}", "red")
        for enclave in explanation.enclaves
        if enclave.warning
    )
    for dataset in explanation.datasets:
        never = ", ".join(column.name for column in dataset.columns if not column.uses)
        lines.append(Text(f"  {dataset.name}: {len(dataset.columns)} columns, never read: {never or 'none'}"))
    lines.extend(
        Text(f"  {computation.name} → {', '.join(computation.recipients)}") for computation in explanation.computations
    )
    lines.extend(Text(f"  {rule}", "dim") for rule in explanation.rules)
    return Group(*lines)


def _shown(line: Line) -> Iterator[RenderableType]:
    if line.kind == "title":
        yield Panel(Text(line.text, "bold"), expand=False)
    elif line.kind == "heading":
        yield Text(f"\n{line.text}", "bold cyan")
    elif line.kind == "item":
        yield Padding(Text(f"• {line.text}"), INDENT)
    elif line.kind == "code":
        yield Padding(Syntax(line.text, "sql", theme="ansi_dark", background_color="default", word_wrap=True), INDENT)
    elif line.kind == "warning":
        yield Padding(Text(f"⚠ {line.text}", "bold red"), INDENT)
    else:
        yield Text(line.text)
