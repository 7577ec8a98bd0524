"""Which rows belong together: pass by pass, by equal keys that are unique.

Keys are joined by value, never by a hash of them, so that no two rows are ever linked whose keys differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.sql.database import Database

Rows = npt.NDArray[np.int64]

NO_KEY, NO_PARTNER, AMBIGUOUS = 0, 1, 2
FIRST_PASS = 3
"""What became of a row; from ``FIRST_PASS`` on, the pass that linked it."""


@dataclass(frozen=True)
class Matches:
    """Linked pairs of row numbers, by the left and then the right, and what became of every row of each side."""

    left: Rows
    right: Rows
    left_outcome: Rows
    right_outcome: Rows


def match(
    left: Sequence[pa.Table], right: Sequence[pa.Table], *, many: bool, memory_bytes: int, threads: int
) -> Matches:
    """Return the pairs of ``left`` and ``right``, each one table of keys a pass, all of equal length.

    With ``many``, a left key may repeat; a right key that repeats links nobody.
    """
    outcomes = [np.full(side[0].num_rows, NO_KEY, np.int64) for side in (left, right)]
    partner = np.full(left[0].num_rows, -1, np.int64)
    for number, keys in enumerate(zip(left, right, strict=True)):
        waiting = [_with_key(side, outcome) for side, outcome in zip(keys, outcomes, strict=True)]
        for each, outcome in zip(waiting, outcomes, strict=True):
            rows = np.asarray(each.column("row"))
            outcome[rows] = np.maximum(outcome[rows], NO_PARTNER)
        with Database(memory_bytes=memory_bytes, threads=threads) as database:
            joined = _joined(database, waiting[0], waiting[1], many=many)
        for outcome, several in zip(outcomes, joined.several, strict=True):
            outcome[several] = AMBIGUOUS
        partner[joined.left] = joined.right
        outcomes[0][joined.left] = outcomes[1][joined.right] = FIRST_PASS + number
    linked = np.flatnonzero(partner >= 0)
    return Matches(linked, partner[linked], outcomes[0], outcomes[1])


def _with_key(keys: pa.Table, outcome: Rows) -> pa.Table:
    """Return the keys of rows that are not linked yet and have all parts of one, with their row numbers."""
    numbered = keys.append_column("row", pa.array(np.arange(keys.num_rows)))
    if (outcome >= FIRST_PASS).any():
        numbered = numbered.filter(pa.array(outcome < FIRST_PASS))
    return numbered.drop_null() if any(column.null_count for column in numbered.columns) else numbered


@dataclass(frozen=True)
class _Joined:
    """Rows that one pass links, pair by pair, and on each side the rows of keys that several rows share."""

    left: Rows
    right: Rows
    several: tuple[Rows, Rows]


def _joined(database: Database, left: pa.Table, right: pa.Table, *, many: bool) -> _Joined:
    """Join two sides by their keys; all names in the SQL are made here."""
    names = left.column_names[:-1]
    keys, equal = ", ".join(names), " AND ".join(f"a.{name} = b.{name}" for name in names)
    database.hold("l", left)
    database.hold("r", right)
    grouped = f"(SELECT {keys}, min(row) AS row, count(*) AS n FROM {{}} GROUP BY {keys})"  # noqa: S608
    first = f"(SELECT {keys}, row, 1 AS n FROM l)" if many else grouped.format("l")  # noqa: S608
    second = grouped.format("r")
    text = (
        f"SELECT a.row AS l, b.row AS r, a.n = 1 AND b.n = 1 AS alone FROM {first} AS a JOIN {second} AS b ON {equal}"  # noqa: S608
    )
    found = database.answer(text, {})
    alone = np.asarray(found.column("alone"))
    rows = [np.asarray(found.column(name)) for name in ("l", "r")]
    nobody = np.zeros(0, np.int64)
    if alone.all():
        return _Joined(rows[0], rows[1], (nobody, nobody))
    # Keys of several rows are few, so their rows are looked up by them alone.
    numbers = np.unique(rows[1][~alone])
    places = np.searchsorted(np.asarray(right.column("row")), numbers)
    database.hold("several", right.select(names).take(pa.array(places)))
    looked_up = (
        database.answer(f"SELECT a.row FROM {side} AS a SEMI JOIN several AS b ON {equal}", {})  # noqa: S608
        for side in ("l", "r")
    )
    several = tuple(np.asarray(each.column("row")) for each in looked_up)
    return _Joined(rows[0][alone], rows[1][alone], (several[0], several[1]))
