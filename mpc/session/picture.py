"""The page ``docs/session.md``, drawn from the table."""

from collections.abc import Iterable
from typing import Any

from mpc.session.table import TABLE, Row

_PAGE = """\
# The session

The life of a contract in the enclave is one transition table, `mpc/session/table.py`; its theory stands at the top of
`mpc/session/__init__.py`. This page is drawn from that table, and a test holds it current.

## States of the session, stages of a run

{picture}
## The table

What no row allows is refused and changes nothing.

{transitions}"""


def document() -> str:
    """Return the whole of ``docs/session.md``."""
    return _PAGE.format(picture=picture(), transitions=transitions())


def picture() -> str:
    """Return two mermaid diagrams, of the session and of a run, as they stand in the documentation."""
    session = [f"    {source} --> {target}: {label}" for source, target, label in _moves()]
    runs = [
        f"    {source if row.word != 'run' else '[*]'} --> {target}: {_labelled(row)}"
        for row in TABLE
        for source, target in row.stages
    ]
    return "\n".join(
        ["```mermaid", "stateDiagram-v2", "    [*] --> boot", *session, "    ended --> [*]", "```", "",
         "```mermaid", "stateDiagram-v2", *runs, "    released --> [*]", "```", ""]
    )  # fmt: skip


def transitions() -> str:
    """Return the table itself in Markdown: event, states, what must hold, and where it leads."""
    lines = [
        "| event | in | refused, because | leads to |",
        "| --- | --- | --- | --- |",
        *(
            f"| {row.word} | {', '.join(row.sources)} | {'; '.join(guard.says for guard in row.guards) or 'never'} "
            f"| {_leads_to(row)} |"
            for row in TABLE
        ),
    ]
    return "\n".join([*lines, ""])


def _moves() -> Iterable[tuple[str, str, str]]:
    for row in TABLE:
        for source in row.sources:
            target = row.target or source
            if source == target or row.when_says:
                yield source, source, row.word
            if source != target:
                yield source, target, _labelled(row)


def _labelled(row: Row[Any]) -> str:
    return f"{row.word} {row.when_says}".strip()


def _leads_to(row: Row[Any]) -> str:
    moves = [f"run: {target}" for _, target in row.stages]
    if row.target:
        moves.append(f"{row.target} {row.when_says}".strip())
    elif row.when_says:
        moves = [f"{move} {row.when_says}" for move in moves]
    return "; ".join(moves) or "stays"
