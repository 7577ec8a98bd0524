"""How one value is written for people, the same in every rendering."""

import math

from parties.report.view import Cell, ReportColumn

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
        text = _key(cell.value)
        label = column.labels.get(text)
        return text if label is None or label == text else f"{label} ({text})" if len(text) < len(label) else label
    if isinstance(cell.value, bool) or not isinstance(cell.value, int | float):
        return str(cell.value)
    return number(cell.value)


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


def _key(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else str(value)
