"""The questions of a scenario: ``sql("SELECT …")`` and ``statistics.summary(…)``, and parameters of them."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from mpc.errors import Misconfigured
from mpc.table.schema import ColumnType
from scenarios.columns import spelled_bound


class Named(Protocol):
    """Anything that has a name: a party."""

    @property
    def name(self) -> str:
        """The name."""


class ColumnNamed(Protocol):
    """A column of a dataset, as ``dataset["column"]`` gives it."""

    @property
    def dataset(self) -> str:
        """The dataset's name."""

    @property
    def name(self) -> str:
        """The column's name."""


@dataclass(frozen=True)
class Parameter:
    """A value that the analyst chooses at each run, out of a declared domain; made by ``one_of`` or ``between``."""

    description: str
    type: ColumnType
    allowed: tuple[str, ...] | None = None
    minimum: str | None = None
    maximum: str | None = None

    def as_data(self, name: str) -> dict[str, Any]:
        """Return the parameter as it stands in a contract."""
        allowed = None if self.allowed is None else list(self.allowed)
        return {"name": name, **vars(self), "allowed": allowed}


def one_of(description: str, allowed: Sequence[str], *, type: ColumnType = "category") -> Parameter:  # noqa: A002
    """Return a parameter that is one of the ``allowed`` values."""
    return Parameter(description, type, tuple(allowed))


def between(description: str, minimum: int | Decimal, maximum: int | Decimal) -> Parameter:
    """Return a numeric parameter between two inclusive bounds; whole if both of them are."""
    whole = isinstance(minimum, int) and isinstance(maximum, int)
    kind: ColumnType = "integer" if whole else "decimal"
    return Parameter(description, kind, None, spelled_bound(minimum), spelled_bound(maximum))


@dataclass(frozen=True)
class Computation:
    """One question of a scenario; made by ``sql`` and by the methods of ``statistics``.

    ``purpose`` says in a sentence why it is asked (else the computation's name in words). ``recipients`` receive the
    answer (else those of the scenario). It may be asked ``runs`` times, ``unattended`` of which a party's daemon may
    permit without a person.
    """

    question: Mapping[str, Any]
    purpose: str
    recipients: tuple[str, ...] = ()
    runs: int = 1
    unattended: int = 0
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def as_data(self, name: str) -> dict[str, Any]:
        """Return the computation as it stands in a contract."""
        return {
            "name": name,
            "purpose": self.purpose or name.replace("_", " ").capitalize(),
            "question": dict(self.question),
            "parameters": [self.parameters[parameter].as_data(parameter) for parameter in sorted(self.parameters)],
            "recipients": sorted(self.recipients),
            "runs": self.runs,
            "unattended": self.unattended,
        }


def sql(
    text: str,
    *,
    purpose: str = "",
    recipients: Sequence[Named] = (),
    runs: int = 1,
    unattended: int = 0,
    parameters: Mapping[str, Parameter] | None = None,
) -> Computation:
    """Return one SELECT over the scenario's datasets as a computation; parameters are written ``$name``.

    Joins by equality on declared keys; WHERE, FILTER and GROUP BY on ``filterable`` columns; aggregates over one
    column or arithmetic of columns of one row. What may not be asked is refused when the contract is built.
    """
    question = {"kind": "sql", "text": inspect.cleandoc(text)}
    return Computation(question, purpose, _names(recipients), runs, unattended, parameters or {})


class Statistics:
    """The statistical methods; use the ready instance ``statistics``."""

    def summary(
        self,
        *columns: ColumnNamed,
        by: Sequence[str] = (),
        purpose: str = "",
        recipients: Sequence[Named] = (),
        runs: int = 1,
        unattended: int = 0,
    ) -> Computation:
        """Return count, mean and standard deviation of each numeric column, in all or in each group of ``by``."""
        arguments = {"columns": [column.name for column in columns], "by": list(by)}
        return Computation(_question("summary", columns, arguments), purpose, _names(recipients), runs, unattended)

    def crosstab(
        self,
        row: ColumnNamed,
        column: ColumnNamed,
        *,
        purpose: str = "",
        recipients: Sequence[Named] = (),
        runs: int = 1,
        unattended: int = 0,
    ) -> Computation:
        """Return the table of two categories against each other, with Pearson's chi-square test."""
        arguments = {"row": [row.name], "column": [column.name]}
        question = _question("crosstab", (row, column), arguments)
        return Computation(question, purpose, _names(recipients), runs, unattended)


statistics = Statistics()


def _question(method: str, columns: Sequence[ColumnNamed], arguments: Mapping[str, list[str]]) -> dict[str, Any]:
    datasets = sorted({column.dataset for column in columns})
    if len(datasets) != 1:
        raise Misconfigured(
            "scenario.statistics", f"{method} takes columns of one dataset", why=f"these are of {len(datasets)}",
            remedy="join datasets with sql(…), or ask about each of them", field=method,
            expected="1 dataset", found=", ".join(datasets) or "none",
        )  # fmt: skip
    return {"kind": "statistics", "method": method, "dataset": datasets[0], "arguments": dict(arguments)}


def _names(parties: Sequence[Named]) -> tuple[str, ...]:
    return tuple(party.name for party in parties)
