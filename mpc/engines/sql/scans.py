"""One reading of one table: which relation it is, and how its columns are read."""

from dataclasses import dataclass

from mpc.table.schema import Dataset

_BLANKS = " \t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
_BLANKS += "\u200a\u2028\u2029\u202f\u205f\u3000"
"""What ``trim_casefold`` trims: Unicode's White_Space and ASCII's separators, as ``mpc.table`` trims them."""


@dataclass(frozen=True)
class Scan:
    """One reading of one table: the relation ``name`` is ``columns`` of the rows of ``owner`` in ``dataset``.

    No relation is read twice, so that tables that stream can be opened anew for each.
    """

    name: str
    dataset: str
    owner: str
    columns: tuple[str, ...]


def scanned(column: str, dataset: Dataset) -> str:
    """Return the column as it is read: subjects in their normalisation, so that joins and counts compare alike."""
    declared, quoted = dataset.column(column), f'"{column}"'
    is_text = declared is not None and declared.type in {"text", "category"}
    if column != dataset.subject.column or dataset.subject.normalisation == "exact" or not is_text:
        return quoted
    return f"lower(trim({quoted}, '{_BLANKS}')) AS {quoted}"
