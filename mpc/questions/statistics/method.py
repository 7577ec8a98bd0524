"""What a statistical method declares: its arguments, and the sentence that explains it to people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from mpc.errors import Forbidden
from mpc.questions.uses import ColumnUse, Role
from mpc.table.schema import Column, ColumnType, Dataset

Arguments = Mapping[str, tuple[str, ...]]

NUMBERS: frozenset[ColumnType] = frozenset({"integer", "float", "decimal"})
DECLARED: frozenset[ColumnType] = frozenset({"category", "boolean"})
"""Types whose values stand in the contract, so that a table of them has the same rows whatever the data are."""
GROUPS: frozenset[ColumnType] = DECLARED | {"integer", "text", "date"}


class Argument(Protocol):
    """One argument of a method, a list of texts in the contract."""

    @property
    def name(self) -> str:
        """What the contract calls the argument."""

    def uses(self, values: tuple[str, ...], dataset: Dataset) -> tuple[ColumnUse, ...]:
        """Return what the values make of columns, or raise ``Forbidden``; no values at all are an absent argument."""


@dataclass(frozen=True)
class Columns:
    """An argument that names ``least`` to ``most`` columns of one of ``types``, all used in one ``role``."""

    name: str
    role: Role
    types: frozenset[ColumnType]
    least: int
    most: int

    def uses(self, values: tuple[str, ...], dataset: Dataset) -> tuple[ColumnUse, ...]:
        """Return one use a column; ``Forbidden`` for a column that may not be asked about in this way."""
        if not self.least <= len(values) <= self.most or len(set(values)) != len(values):
            raise forbidden(
                "arguments", f"{self.name} does not name the right number of columns",
                why="the method declares how many", remedy="name each column once", field=self.name,
                expected=f"{self.least} to {self.most} different columns", found=str(len(values)),
            )  # fmt: skip
        return tuple(self._use(dataset, value) for value in values)

    def _use(self, dataset: Dataset, name: str) -> ColumnUse:
        column = dataset.column(name)
        if column is None:
            raise forbidden(
                "column", f"{dataset.name} has no column {name}", why="the dataset does not declare it",
                remedy="name a column of the dataset", field=self.name,
            )  # fmt: skip
        if column.identifier or column.name == dataset.subject.column:
            raise forbidden(
                "identifier", f"{name} may not be asked about", why="it tells subjects apart",
                remedy="use identifiers in joins and distinct counts only", field=self.name,
            )  # fmt: skip
        if column.type not in self.types:
            raise forbidden(
                "type", f"{name} has the wrong type for {self.name}", why="the method has no meaning for it",
                remedy="name a column of an accepted type", field=self.name,
                expected=" or ".join(sorted(self.types)), found=column.type,
            )  # fmt: skip
        if self.role == "grouped" and not column.filterable:
            raise forbidden(
                "filterable", f"{name} may not be grouped by", why="the contract does not mark it filterable",
                remedy="mark the column filterable, or group by another", field=self.name,
            )  # fmt: skip
        return ColumnUse(dataset.name, name, self.role)


@dataclass(frozen=True)
class Method:
    """A method as parties read it. ``check`` refuses what single arguments cannot show, or does nothing."""

    name: str
    arguments: tuple[Argument, ...]
    sentence: Callable[[Arguments, Dataset], str]
    check: Callable[[Arguments, Dataset], None]


def no_further_check(_arguments: Arguments, _dataset: Dataset) -> None:
    """Accept whatever the single arguments accept."""


def listed(names: tuple[str, ...]) -> str:
    """Return names as words: ``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def levels(column: Column) -> tuple[str | bool | None, ...] | None:
    """Return every value that the contract lets a column have, None for NULL last; None when it does not list them."""
    if column.type not in DECLARED:
        return None
    values = (False, True) if column.type == "boolean" else tuple(code.value for code in column.codes)
    return (*values, None) if column.nullable else values


def forbidden(  # noqa: D103 - one spelling of the refusals of this package
    code: str, what: str, *, why: str, remedy: str, field: str | None = None,
    expected: str | None = None, found: str | None = None,
) -> Forbidden:  # fmt: skip
    return Forbidden(f"statistics.{code}", what, why=why, remedy=remedy, field=field, expected=expected, found=found)
