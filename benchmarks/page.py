"""Tables in ``docs/numerics.md`` that a command makes, between the command's mark and the next end."""

from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "numerics.md"
END = "<!-- end -->"


def put(command: str, lines: Sequence[str]) -> None:
    """Write ``lines`` as the table of ``make COMMAND``."""
    before, begin, _, after = _parts(command)
    PAGE.write_text("\n".join([before + begin, *lines, END]) + after, encoding="utf-8")


def put_row(command: str, head: tuple[str, str], row: str, *, order: Sequence[str]) -> None:
    """Write one row of the table of ``make COMMAND``, by its first cell; rows stand in ``order``."""
    *_, table, _ = _parts(command)
    rows = {_name(each): each for each in table.strip().splitlines()[2:]}
    rows[_name(row)] = row
    put(command, [*head, *(rows[name] for name in order if name in rows)])


def _parts(command: str) -> tuple[str, str, str, str]:
    begin = f"<!-- made by `make {command}` -->"
    before, found, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    table, end, after = rest.partition(END)
    if not (found and end):
        raise SystemExit(f"{PAGE} has no table of {command}")
    return before, begin, table, after


def _name(row: str) -> str:
    return row.split("|")[1].strip()
