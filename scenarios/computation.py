"""A question of a scenario before it is a contract's: what is asked, why, of whom, how often, with which parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from typing import Any, Protocol, TypedDict, Unpack

from pydantic.dataclasses import dataclass

from mpc.errors import Misconfigured
from mpc.table.schema import ColumnType
from scenarios.columns import WELL_TYPED, spelled_bound


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


@dataclass(frozen=True, config=WELL_TYPED)
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


@dataclass(frozen=True, config=WELL_TYPED)
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


class Terms(TypedDict, total=False):
    """What may be said of any computation beside its question; see ``Computation``."""

    purpose: str
    recipients: Sequence[Named]
    runs: int
    unattended: int


def asked(
    method: str,
    columns: Sequence[ColumnNamed | None],
    arguments: Mapping[str, Sequence[str]],
    **terms: Unpack[Terms],
) -> Computation:
    """Return a statistical ``method`` over the one dataset that all ``columns`` are of, as a computation.

    Empty arguments are left out of the contract; columns that are None are no columns.
    """
    datasets = sorted({column.dataset for column in columns if column is not None})
    if len(datasets) != 1:
        raise Misconfigured(
            "scenario.statistics", f"{method} takes columns of one dataset", why=f"these are of {len(datasets)}",
            remedy="join datasets with sql(…), or ask about each of them", field=method,
            expected="1 dataset", found=", ".join(datasets) or "none",
        )  # fmt: skip
    for name, values in arguments.items():
        if isinstance(values, str):
            raise Misconfigured(
                "scenario.list", f"{name} of {method} takes a list", why="one word stands there, not a list of words",
                remedy=f'write {name}=["{values}"]', field=f"{method}.{name}",
            )  # fmt: skip
    question = {
        "kind": "statistics", "method": method, "dataset": datasets[0],
        "arguments": {name: list(values) for name, values in arguments.items() if values},
    }  # fmt: skip
    return Computation(
        question, terms.get("purpose", ""), names(terms.get("recipients", ())), terms.get("runs", 1),
        terms.get("unattended", 0),
    )  # fmt: skip


def named(*columns: ColumnNamed | None) -> list[str]:
    """Return the names of ``columns``, without those that are None."""
    return [column.name for column in columns if column is not None]


def spelled(value: str | bool | float | Decimal) -> str:
    """Return how an argument of a contract writes a level or a number."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(spelled_bound(Decimal(str(value))))


def names(parties: Sequence[Named]) -> tuple[str, ...]:
    """Return the names of ``parties``."""
    return tuple(party.name for party in parties)
