"""What a statistical method declares: its arguments, and the sentence that explains it to people."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from math import prod
from typing import Protocol

from mpc.errors import Forbidden
from mpc.questions.uses import ColumnUse, Role
from mpc.table.schema import Column, ColumnType, Dataset

Arguments = Mapping[str, tuple[str, ...]]

NUMBERS: frozenset[ColumnType] = frozenset({"integer", "float", "decimal"})
DECLARED: frozenset[ColumnType] = frozenset({"category", "boolean"})
"""Types whose values stand in the contract, so that a table of them has the same rows whatever the data are."""
GROUPS: frozenset[ColumnType] = DECLARED | {"integer", "text", "date"}

CELLS_MAX = 100_000
"""Combinations of declared values that one table may have."""

_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}|-?(0|[1-9][0-9]{0,17})\.[0-9]{0,17}[1-9]")


class Argument(Protocol):
    """One argument of a method, a list of texts in the contract."""

    @property
    def name(self) -> str:
        """What the contract calls the argument."""

    def uses(self, arguments: Arguments, dataset: Dataset) -> tuple[ColumnUse, ...]:
        """Return what the argument makes of columns, or raise ``Forbidden``.

        ``arguments`` has every argument of the method, so that one may depend on another; an absent one is empty.
        """


@dataclass(frozen=True)
class Columns:
    """An argument that names ``least`` to ``most`` columns of one of ``types``, all used in one ``role``."""

    name: str
    role: Role
    types: frozenset[ColumnType]
    least: int
    most: int

    def uses(self, arguments: Arguments, dataset: Dataset) -> tuple[ColumnUse, ...]:
        """Return one use a column; ``Forbidden`` for a column that may not be asked about in this way."""
        values = arguments[self.name]
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
class Choice:
    """An argument that is exactly one of ``options``; the contract always states it."""

    name: str
    options: tuple[str, ...]

    def uses(self, arguments: Arguments, _dataset: Dataset) -> tuple[ColumnUse, ...]:
        """Return no use; ``Forbidden`` for anything but one of the options."""
        values = arguments[self.name]
        expected = " or ".join(self.options)
        if not values:
            raise forbidden(
                "option", f"{self.name} is not stated", why="a contract leaves no option open; another release may not "
                "have had this one", remedy="name one of them, or use the release that made the contract",
                field=self.name, expected=expected, found="nothing",
            )  # fmt: skip
        if len(values) != 1 or values[0] not in self.options:
            raise forbidden(
                "option", f"{self.name} is none of its options", why="the method declares them",
                remedy="name one of them", field=self.name, expected=expected, found=", ".join(values),
            )  # fmt: skip
        return ()


@dataclass(frozen=True)
class Options:
    """An argument that is any of ``options``, each once, in their order; or none."""

    name: str
    options: tuple[str, ...]

    def uses(self, arguments: Arguments, _dataset: Dataset) -> tuple[ColumnUse, ...]:
        """Return no use; ``Forbidden`` for anything but options in their order."""
        values = arguments[self.name]
        if values != tuple(option for option in self.options if option in values):
            raise forbidden(
                "option", f"{self.name} are not its options", why="the method declares them",
                remedy="name each once, in this order", field=self.name, expected=", ".join(self.options),
                found=", ".join(values),
            )  # fmt: skip
        return ()


@dataclass(frozen=True)
class Numbers:
    """An argument of ``least`` to ``most`` decimal numbers from ``minimum`` to ``maximum``, different and ascending.

    Both bounds are decimal text and inclusive, None for none. A number has one spelling (``0.5``, ``10``, ``-3``).
    """

    name: str
    minimum: str | None
    maximum: str | None
    least: int = 1
    most: int = 1
    whole: bool = False
    ascending: bool = True

    def uses(self, arguments: Arguments, _dataset: Dataset) -> tuple[ColumnUse, ...]:
        """Return no use; ``Forbidden`` for numbers that are not spelled so, out of bounds or out of order."""
        values = arguments[self.name]
        numbers = [Decimal(value) for value in values if _NUMBER.fullmatch(value)]
        ascending = not self.ascending or all(one < next_one for one, next_one in pairwise(numbers))
        if len(numbers) != len(values) or not ascending or not self.least <= len(values) <= self.most:
            raise self._refused(values)
        if not all(map(self._is_within, numbers)):
            raise self._refused(values)
        return ()

    def _is_within(self, number: Decimal) -> bool:
        return (
            (self.minimum is None or number >= Decimal(self.minimum))
            and (self.maximum is None or number <= Decimal(self.maximum))
            and (not self.whole or number == number.to_integral_value())
        )

    def _refused(self, values: tuple[str, ...]) -> Forbidden:
        many = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
        kind = "whole numbers" if self.whole else "numbers"
        span = [f"from {self.minimum}"] * (self.minimum is not None) + [f"to {self.maximum}"] * (
            self.maximum is not None
        )
        return forbidden(
            "number", f"{self.name} are not numbers that the method takes", why="it declares how many, within what",
            remedy="write decimal numbers without superfluous zeros, ascending", field=self.name,
            expected=" ".join([many, kind, *span]), found=", ".join(values) or "nothing",
        )  # fmt: skip


CONFIDENCE = Numbers("confidence", "0.5", "0.9999")
"""How often an interval is to hold what is estimated."""


@dataclass(frozen=True)
class Levels:
    """An argument that names ``least`` to ``most`` of the declared values of the one column in argument ``of``.

    Values of a boolean are written ``true`` and ``false``.
    """

    name: str
    of: str
    least: int = 1
    most: int = 1

    def uses(self, arguments: Arguments, dataset: Dataset) -> tuple[ColumnUse, ...]:
        """Return no use; ``Forbidden`` for what is no declared value of the column."""
        values = arguments[self.name]
        column = dataset.column(arguments[self.of][0]) if arguments[self.of] else None
        known = [] if column is None else [spelled(level) for level in levels(column) or () if level is not None]
        if not self.least <= len(values) <= self.most or len(set(values)) != len(values) or set(values) - set(known):
            many = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
            raise forbidden(
                "level", f"{self.name} names no declared value of {self.of}", why="the contract declares the values",
                remedy="name values of the column's codebook, or true and false", field=self.name,
                expected=f"{many} of {', '.join(known) or 'nothing'}", found=", ".join(values) or "nothing",
            )  # fmt: skip
        return ()


@dataclass(frozen=True)
class Method:
    """A method as parties read it. ``check`` refuses what single arguments cannot show, or does nothing."""

    name: str
    arguments: tuple[Argument, ...]
    sentence: Callable[[Arguments, Dataset], str]
    check: Callable[[Arguments, Dataset], None]


def no_further_check(_arguments: Arguments, _dataset: Dataset) -> None:
    """Accept whatever the single arguments accept."""


def key_names_are_free(*taken: str, suffixes: tuple[str, ...] = ()) -> Callable[[Arguments, Dataset], None]:
    """Return the check that no column in argument ``by`` has the name of another column of the method's tables.

    Those are ``taken``, and each of argument ``columns`` with each of ``suffixes``.
    """

    def check(arguments: Arguments, _dataset: Dataset) -> None:
        made = {name + suffix for name in arguments.get("columns", ()) for suffix in suffixes} | set(taken)
        for name in sorted(made & set(arguments["by"])):
            raise forbidden(
                "name", f"a question cannot group by a column called {name}", why="a result column has that name",
                remedy="give the column another name in the contract", field="by",
            )  # fmt: skip

    return check


def check_cells(names: tuple[str, ...], dataset: Dataset) -> None:
    """Raise ``Forbidden`` when all combinations of the declared values of the columns ``names`` are too many."""
    declared = [levels(column) for column in map(dataset.column, names) if column is not None]
    if prod(len(each or ()) + 1 for each in declared) > CELLS_MAX:
        raise forbidden(
            "cells", "a question has too many cells", why="each combination of codes is one",
            remedy="use fewer columns, or columns with fewer codes", expected=f"at most {CELLS_MAX}",
        )  # fmt: skip


def listed(names: tuple[str, ...]) -> str:
    """Return names as words: ``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def levels(column: Column) -> tuple[str | bool | None, ...] | None:
    """Return every value that the contract lets a column have, None for NULL last; None when it does not list them."""
    if column.type not in DECLARED:
        return None
    values = (False, True) if column.type == "boolean" else tuple(code.value for code in column.codes)
    return (*values, None) if column.nullable else values


def spelled(level: str | bool) -> str:
    """Return how an argument names a declared value of a column."""
    return level if isinstance(level, str) else str(level).lower()


def level(text: str, column: Column) -> str | bool:
    """Return the value of ``column`` that an argument names ``text``."""
    return text == "true" if column.type == "boolean" else text


def percent(arguments: Arguments) -> str:
    """Return the argument ``confidence`` in words: ``95 %``."""
    return f"{(Decimal(arguments['confidence'][0]) * 100).normalize():f} %"


def forbidden(  # noqa: D103 - one spelling of the refusals of this package
    code: str, what: str, *, why: str, remedy: str, field: str | None = None,
    expected: str | None = None, found: str | None = None,
) -> Forbidden:  # fmt: skip
    return Forbidden(f"statistics.{code}", what, why=why, remedy=remedy, field=field, expected=expected, found=found)
