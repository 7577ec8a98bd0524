"""The terms of a question, as they stand in a contract, and of its parameters."""

from typing import Annotated, Literal

from pydantic import Field

from mpc.canonical import Decimal, Identifier, Term, Text
from mpc.table.schema import ColumnType


class SqlQuestion(Term):
    """One SELECT over the contract's datasets; parameters are written ``$name``."""

    kind: Literal["sql"]
    text: Text


class StatisticsQuestion(Term):
    """One method over one dataset; ``arguments`` are lists of text, as the method declares them."""

    kind: Literal["statistics"]
    method: Identifier
    dataset: Identifier
    arguments: dict[Identifier, tuple[Text, ...]]


Question = Annotated[SqlQuestion | StatisticsQuestion, Field(discriminator="kind")]


class Parameter(Term):
    """A value that the analyst chooses at each run, out of a declared domain: ``allowed``, or a closed range."""

    name: Identifier
    description: Text
    type: ColumnType
    allowed: Annotated[tuple[Text, ...], Field(max_length=256)] | None
    minimum: Decimal | None
    maximum: Decimal | None
