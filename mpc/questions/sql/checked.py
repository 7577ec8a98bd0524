"""What is left of a question in SQL once it is checked: frozen values, printed anew and free of any parser.

Every ``text`` in here was printed piece by piece from nodes on the allow-list. Columns are written
``"alias"."column"``, so that one text serves people and engine alike.
"""

from dataclasses import dataclass
from typing import Literal

from mpc.questions.uses import ColumnUse
from mpc.table.schema import ColumnType, Dataset

MeasureKind = Literal["count", "sum", "mean", "spread", "quantile", "moment", "association"]
Partial = Literal["count", "sum", "mean"]


@dataclass(frozen=True)
class Source:
    """One dataset in FROM. ``columns`` are the ones that the question names; ``multiplied`` tells whether a join may
    repeat its rows, so that rows no longer count subjects.
    """  # noqa: D205

    alias: str
    dataset: Dataset
    columns: tuple[str, ...]
    multiplied: bool


@dataclass(frozen=True)
class Join:
    """One equality join of ``alias`` to ``partner``: pairs of (partner's column, own column) that are declared keys."""

    kind: Literal["INNER", "LEFT"]
    alias: str
    partner: str
    pairs: tuple[tuple[str, str], ...]
    partner_unique: bool
    own_unique: bool
    condition: str


@dataclass(frozen=True)
class GroupKey:
    """One grouping: an expression over the filterable column ``column`` of ``alias``."""

    name: str
    text: str
    alias: str
    column: str


@dataclass(frozen=True)
class SqlMeasure:
    """One aggregate of the question.

    A row stands behind a cell when ``filter`` holds and the argument says something. ``conditions`` are SQL
    booleans, one a term of the argument, and the subjects of each are counted on their own: a sum tells every term
    once the others are known. ``weighed`` are the terms, each with its condition, of which no single subject may
    make up most. ``sources`` are the aliases whose subjects bear on the value. ``partial`` names how parts that were
    computed owner by owner make the whole, None when they cannot. ``result`` is the SQL type of the released column.
    """

    name: str
    kind: MeasureKind
    text: str
    filter: str | None
    argument: str
    conditions: tuple[str, ...]
    sources: tuple[str, ...]
    partial: Partial | None
    result: Literal["BIGINT", "DOUBLE", "DECIMAL"]
    extensive: bool
    unit: str | None
    quantile: bool = False
    weighed: tuple[tuple[str, str], ...] = ()

    @property
    def source(self) -> str:
        """Argument and filter, canonically printed."""
        return self.argument if self.filter is None else f"{self.argument} FILTER (WHERE {self.filter})"


@dataclass(frozen=True)
class Shown:
    """HAVING, ORDER BY and LIMIT: they choose among released cells, after disclosure control."""

    having: str | None = None
    order: tuple[tuple[str, bool], ...] = ()
    limit: int | None = None


@dataclass(frozen=True)
class CheckedSql:
    """A question that may run, made only by ``check_sql``.

    ``grouping_sets`` lists, for each set, which keys it groups by; a plain GROUP BY is one set with every key.
    ``parameters`` are the names and types that the text binds.
    """

    name: str
    text: str
    sources: tuple[Source, ...]
    joins: tuple[Join, ...]
    where: str | None
    keys: tuple[GroupKey, ...]
    grouping_sets: tuple[tuple[int, ...], ...]
    measures: tuple[SqlMeasure, ...]
    shown: Shown
    parameters: tuple[tuple[str, ColumnType], ...]
    uses: tuple[ColumnUse, ...]
    sentence: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the output columns: keys, then measures."""
        return (*(key.name for key in self.keys), *(measure.name for measure in self.measures))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the datasets that are read, sorted and unique."""
        return tuple(sorted({source.dataset.name for source in self.sources}))
