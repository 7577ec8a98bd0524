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
    pairs: list[tuple[Rows, Rows]] = []
    for number, keys in enumerate(zip(left, right, strict=True)):
        waiting = [_with_key(side, outcome) for side, outcome in zip(keys, outcomes, strict=True)]
        for each, outcome in zip(waiting, outcomes, strict=True):
            rows = np.asarray(each.column("row"))
            outcome[rows] = np.maximum(outcome[rows], NO_PARTNER)
        with Database(memory_bytes=memory_bytes, threads=threads) as database:
            found = _Joined(database, waiting[0], waiting[1])
            pair = found.pairs(many=many)
            for outcome, rows in zip(outcomes, found.met(), strict=True):
                outcome[rows] = AMBIGUOUS
        for outcome, rows in zip(outcomes, pair, strict=True):
            outcome[rows] = FIRST_PASS + number
        pairs.append(pair)
    first, second = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    order = np.lexsort((second, first))
    return Matches(first[order], second[order], outcomes[0], outcomes[1])


def _with_key(keys: pa.Table, outcome: Rows) -> pa.Table:
    """Return the keys of rows that are not linked yet and have all parts of one, with their row numbers."""
    numbered = keys.append_column("row", pa.array(np.arange(keys.num_rows)))
    if (outcome >= FIRST_PASS).any():
        numbered = numbered.filter(pa.array(outcome < FIRST_PASS))
    return numbered.drop_null() if any(column.null_count for column in numbered.columns) else numbered


class _Joined:
    """The rows of two sides, ready to be joined by their keys. All names in its SQL are made here."""

    def __init__(self, database: Database, left: pa.Table, right: pa.Table) -> None:
        self._database = database
        names = left.column_names[:-1]
        self._keys = ", ".join(names)
        self._equal = " AND ".join(f"a.{name} = b.{name}" for name in names)
        database.hold("l", left)
        database.hold("r", right)

    def pairs(self, *, many: bool) -> tuple[Rows, Rows]:
        """Return the row numbers of the pairs that are linked."""
        unique = f"SELECT {self._keys}, min(row) AS row FROM {{}} GROUP BY {self._keys} HAVING count(*) = 1"  # noqa: S608
        left = "l" if many else f"({unique.format('l')})"
        right = f"({unique.format('r')})"
        joined = f"SELECT a.row AS l, b.row AS r FROM {left} AS a JOIN {right} AS b ON {self._equal}"  # noqa: S608
        found = self._database.answer(joined, {})
        return np.asarray(found.column("l")), np.asarray(found.column("r"))

    def met(self) -> tuple[Rows, Rows]:
        """Return the rows of each side whose key the other side has as well, be it ever so often."""
        met = "SELECT a.row FROM {} AS a SEMI JOIN {} AS b ON {}"
        return (
            np.asarray(self._database.answer(met.format("l", "r", self._equal), {}).column("row")),
            np.asarray(self._database.answer(met.format("r", "l", self._equal), {}).column("row")),
        )
