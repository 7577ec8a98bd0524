"""Which rows belong together: pass by pass, by equal keys that are unique.

Keys are joined by value, never by a hash of them, so that no two rows are ever linked whose keys differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.sql.database import Database

Rows = npt.NDArray[np.integer[Any]]
"""Numbers of rows, no wider than they need to be."""
Outcomes = npt.NDArray[np.int16]

NO_KEY, NO_PARTNER, AMBIGUOUS = 0, 1, 2
FIRST_PASS = 3
"""What became of a row; from ``FIRST_PASS`` on, the pass that linked it."""


@dataclass(frozen=True)
class Matches:
    """Linked pairs of row numbers, by the left and then the right, and what became of every row of each side."""

    left: Rows
    right: Rows
    left_outcome: Outcomes
    right_outcome: Outcomes


def match(
    left: Sequence[pa.Table], right: Sequence[pa.Table], *, many: bool, memory_bytes: int, threads: int
) -> Matches:
    """Return the pairs of ``left`` and ``right``, each one table of keys a pass, all of equal length.

    With ``many``, a left key may repeat; a right key that repeats links nobody.
    """
    outcomes = [np.full(side[0].num_rows, NO_KEY, np.int16) for side in (left, right)]
    partner = np.full(left[0].num_rows, -1, _width(right[0].num_rows))
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


def _width(rows: int) -> type[np.int32 | np.int64]:
    """Return the type of numbers of so many rows: memory that nobody touched yet costs more than what is done in it."""
    return np.int32 if rows <= np.iinfo(np.int32).max else np.int64


def _with_key(keys: pa.Table, outcome: Outcomes) -> pa.Table:
    """Return the keys of rows that are not linked yet and have all parts of one, with their row numbers."""
    numbered = keys.append_column("row", pa.array(np.arange(keys.num_rows, dtype=_width(keys.num_rows))))
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
    """Join two sides by their keys.

    Most keys are of one row, and those that are surely so need no grouping: a key of several rows has a hash of several
    rows. Rows whose hash is, on a side where that matters, are few and are joined by groups; all others as they are.
    """
    database.hold("l", left)
    database.hold("r", right)
    keys = _Keys(left.column_names[:-1])
    # Equal values of unlike types may have unlike hashes, and would go separate ways.
    if left.schema.types != right.schema.types:
        return _by_groups(database, keys, "l", "r", many=many)
    hashes = np.unique(np.concatenate([_repeated(database, keys, side) for side in (("r",) if many else ("l", "r"))]))
    if not len(hashes):
        return _pairs(database, keys, "l", "r")
    database.hold("repeated", pa.table({"hash": hashes}))
    once = [keys.rows(side, "ANTI") for side in ("l", "r")]
    often = [keys.rows(side, "SEMI") for side in ("l", "r")]
    one, other = _pairs(database, keys, *once), _by_groups(database, keys, *often, many=many)
    return _Joined(np.concatenate([one.left, other.left]), np.concatenate([one.right, other.right]), other.several)


@dataclass(frozen=True)
class _Keys:
    """The columns of a key; all names in the SQL are made here."""

    names: list[str]

    @property
    def listed(self) -> str:
        return ", ".join(self.names)

    @property
    def equal(self) -> str:
        return " AND ".join(f"a.{name} = b.{name}" for name in self.names)

    def rows(self, side: str, kind: str) -> str:
        """Return the rows of ``side`` whose hash is (SEMI) or is not (ANTI) among the repeated ones."""
        return f"(SELECT * FROM {side} {kind} JOIN repeated ON hash({self.listed}) = repeated.hash)"  # noqa: S608


def _repeated(database: Database, keys: _Keys, side: str) -> npt.NDArray[np.uint64]:
    """Return the hashes that several rows of ``side`` have."""
    hashes = np.sort(np.asarray(database.answer(f"SELECT hash({keys.listed}) AS hash FROM {side}", {}).column("hash")))  # noqa: S608
    again: npt.NDArray[np.uint64] = hashes[1:][hashes[1:] == hashes[:-1]]
    return again


def _pairs(database: Database, keys: _Keys, left: str, right: str) -> _Joined:
    """Join rows of which none has a key that counts as repeated."""
    found = database.answer(f"SELECT a.row AS l, b.row AS r FROM {left} AS a JOIN {right} AS b ON {keys.equal}", {})  # noqa: S608
    nobody = np.zeros(0, np.int64)
    return _Joined(np.asarray(found.column("l")), np.asarray(found.column("r")), (nobody, nobody))


def _by_groups(database: Database, keys: _Keys, left: str, right: str, *, many: bool) -> _Joined:
    """Join rows of any keys: first those of one key together, so that repeated ones do not multiply."""
    grouped = f"(SELECT {keys.listed}, min(row) AS row, count(*) AS n FROM {{}} GROUP BY {keys.listed})"  # noqa: S608
    first = f"(SELECT {keys.listed}, row, 1 AS n FROM {left})" if many else grouped.format(left)  # noqa: S608
    second = grouped.format(right)
    text = (
        f"SELECT a.row AS l, b.row AS r, a.n = 1 AND b.n = 1 AS alone "  # noqa: S608
        f"FROM {first} AS a JOIN {second} AS b ON {keys.equal}"
    )
    found = database.answer(text, {})
    alone = np.asarray(found.column("alone"))
    rows = [np.asarray(found.column(name)) for name in ("l", "r")]
    nobody = np.zeros(0, np.int64)
    if alone.all():
        return _Joined(rows[0], rows[1], (nobody, nobody))
    # Keys of several rows are few, so their rows are looked up by them alone.
    database.hold("several", pa.table({"row": np.unique(rows[1][~alone])}))
    shared = f"(SELECT {keys.listed} FROM {right} SEMI JOIN several USING (row))"  # noqa: S608
    looked_up = (
        database.answer(f"SELECT a.row FROM {side} AS a SEMI JOIN {shared} AS b ON {keys.equal}", {})  # noqa: S608
        for side in (left, right)
    )
    several = tuple(np.asarray(each.column("row")) for each in looked_up)
    return _Joined(rows[0][alone], rows[1][alone], (several[0], several[1]))
