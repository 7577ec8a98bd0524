"""How one value is written for people, the same in every rendering."""

import math
from dataclasses import dataclass

from parties.report.view import Cell, ReportColumn, ReportTable

WITHHELD = "withheld"
NO_VALUE = "\N{EN DASH}"
TOTAL = "all"


def written(cell: Cell, column: ReportColumn, *, total: bool = False) -> str:
    """Return a cell as text: a number with thin grouping, a code with its label, or a clear mark."""
    if total:
        return TOTAL
    if cell.withheld:
        return WITHHELD
    if cell.value is None:
        return NO_VALUE
    if column.is_key:
        return _labelled(_key(cell.value), column)
    if isinstance(cell.value, bool) or not isinstance(cell.value, int | float):
        return str(cell.value)
    return number(cell.value)


@dataclass(frozen=True)
class Said:
    """One cell as it is shown: its text, and whether that only says that something is withheld."""

    text: str
    withheld: bool


def said(table: ReportTable, row: int) -> tuple[Said, ...]:
    """Return the cells of one row of ``table`` as text, in the order of its columns."""
    over = table.totalled(row)
    return tuple(
        Said(written(cell, column, total=column.name in over), cell.withheld)
        for cell, column in zip(table.rows[row], table.columns, strict=True)
    )


def number(value: float) -> str:
    """Return a number with its thousands apart, and no digit that the release did not hold."""
    if isinstance(value, int):
        return grouped(str(value))
    if not math.isfinite(value):
        return str(value)
    text = repr(value)
    if "e" in text:
        return text
    whole, _, fraction = text.partition(".")
    return grouped(whole) + (f".{fraction}" if fraction != "0" else "")


def grouped(digits: str) -> str:
    """Return whole digits in groups of three, set apart by a narrow space from five digits on."""
    bare = digits.lstrip("-")
    return digits if len(bare) < 5 else f"{int(digits):,}".replace(",", "\u202f")  # noqa: PLR2004 - typography


def _labelled(text: str, column: ReportColumn) -> str:
    label = column.labels.get(text, text)
    has_code = label != text and len(text) < len(label) and not column.labels_alone
    return f"{label} ({text})" if has_code else label


def _key(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else str(value)
