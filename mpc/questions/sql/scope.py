"""The one scope of a question: which columns its names mean, and what it does with each.

Resolution is done here and not by a library's optimiser: there is one scope and no star, and afterwards every
column node of the tree must have been met, else the question is refused.
"""

import re
from dataclasses import dataclass, field

from sqlglot import exp

from mpc.questions.sql.refusals import forbidden
from mpc.questions.terms import Parameter
from mpc.questions.uses import ColumnUse, Role
from mpc.table.schema import Column, Dataset

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Place:
    """A column of one source."""

    alias: str
    dataset: Dataset
    column: Column

    @property
    def text(self) -> str:
        """The column as it is printed."""
        return f'"{self.alias}"."{self.column.name}"'

    @property
    def is_key(self) -> bool:
        """Whether the column tells who somebody is: a subject or an identifier."""
        subject = self.dataset.subject
        return self.column.identifier or (subject.identity != "none" and subject.column == self.column.name)


def name_of(identifier: exp.Expr | str | None, *, what: str) -> str:
    """Return the lower-case name that ``identifier`` spells; ``Forbidden`` unless it has the form of a name."""
    spelled = identifier.this if isinstance(identifier, exp.Identifier) else identifier
    name = spelled.lower() if isinstance(spelled, str) else ""
    if not _NAME.fullmatch(name):
        raise forbidden(
            "name", f"{what} has no plain name", why="names are lower-case letters, digits and _, at most 63",
            remedy="give it such a name",
        )  # fmt: skip
    return name


@dataclass
class Scope:
    """Sources by alias, parameters by name, and what was met so far while the tree is read."""

    sources: dict[str, Dataset] = field(default_factory=dict)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    uses: set[ColumnUse] = field(default_factory=set)
    read: dict[str, set[str]] = field(default_factory=dict)
    met: set[int] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)

    def add(self, alias: str, dataset: Dataset) -> None:
        """Add one source; ``Forbidden`` when its alias is taken."""
        if alias in self.sources:
            raise forbidden(
                "alias", f"two sources are called {alias}", why="a column would have two meanings",
                remedy=f"write another alias: {dataset.name} AS other_name",
            )  # fmt: skip
        self.sources[alias] = dataset
        self.read[alias] = set()

    def find(self, node: exp.Column) -> Place | None:
        """Return the column that ``node`` names, or None when no source has one of this name."""
        name = name_of(node.this, what="a column")
        if node.args.get("table") is not None:
            alias = name_of(node.args["table"], what="a source")
            dataset = self.sources.get(alias)
            column = None if dataset is None else dataset.column(name)
            return None if dataset is None or column is None else Place(alias, dataset, column)
        places = [
            Place(alias, dataset, column)
            for alias, dataset in self.sources.items()
            if (column := dataset.column(name)) is not None
        ]
        if len(places) > 1:
            raise forbidden(
                "ambiguous", f"{name} is a column of several sources", why="it could mean either",
                remedy=f"write source.{name}",
            )  # fmt: skip
        return places[0] if places else None

    def use(self, node: exp.Column, role: Role) -> Place:
        """Return the column that ``node`` names and record its use in ``role``."""
        place = self.find(node)
        if place is None:
            raise forbidden(
                "unknown_column", f"{node.name.lower()} is no column of the sources",
                why="only columns that the contract declares can be read",
                remedy="write one of: " + ", ".join(sorted({c.name for d in self.sources.values() for c in d.columns})),
            )  # fmt: skip
        self.met.add(id(node))
        self.record(place, role)
        return place

    def record(self, place: Place, role: Role) -> None:
        """Record that the column of ``place`` is used in ``role``."""
        self.read[place.alias].add(place.column.name)
        self.uses.add(ColumnUse(place.dataset.name, place.column.name, role))

    def parameter(self, node: exp.Placeholder) -> Parameter:
        """Return the declared parameter that ``node`` names."""
        name = node.this if isinstance(node.this, str) else ""
        parameter = self.parameters.get(name)
        if parameter is None:
            raise forbidden(
                "unknown_parameter", f"${name} is no parameter of the computation",
                why="what an analyst may choose is declared", remedy="declare it with its domain, or write a value",
            )  # fmt: skip
        self.bound.add(name)
        return parameter
