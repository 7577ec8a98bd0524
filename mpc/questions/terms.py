"""The terms of a question, as they stand in a contract, and of its parameters."""

from typing import Annotated, Literal

from pydantic import Field

from mpc.canonical import Decimal, Identifier, Term, Text, canonical_cbor, sha256
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


Normalisation = Literal["exact", "text", "name", "digits", "phone", "date"]
"""How two spellings of one key become equal: as they are; without case, accents and outer or repeated spaces; letters
and digits only; digits only; an international telephone number; a calendar day."""


class MatchedColumns(Term):
    """A column of the left dataset and one of the right that have to agree after ``normalisation``.

    ``country`` is the calling code that telephone numbers without one are completed with, null for all else.
    """

    left: Identifier
    right: Identifier
    normalisation: Normalisation
    country: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}$")] | None


class LinkPass(Term):
    """Columns that all have to agree."""

    columns: Annotated[tuple[MatchedColumns, ...], Field(min_length=1, max_length=8)]


class Link(Term):
    """Rows of two datasets, linked in passes: who is linked in one takes no part in a later one.

    A key that several right rows have links nobody; one that several left rows have links them all if ``left_rows`` is
    ``many``, else nobody.
    """

    left: Identifier
    right: Identifier
    left_rows: Literal["one", "many"]
    passes: Annotated[tuple[LinkPass, ...], Field(min_length=1, max_length=8)]


class LinkageQuestion(Term):
    """One statistical method over linked rows, whose columns are named ``dataset_column``; with the match's quality."""

    kind: Literal["linkage"]
    link: Link
    method: Identifier
    arguments: dict[Identifier, tuple[Text, ...]]


Question = Annotated[SqlQuestion | StatisticsQuestion | LinkageQuestion, Field(discriminator="kind")]


def question_name(question: Question) -> bytes:
    """Return the 32 bytes by which a question is known in every contract that lists it: a digest of its terms."""
    return sha256(canonical_cbor(["sealroom question terms v1", question.model_dump(mode="json")]))


class Parameter(Term):
    """A value that the analyst chooses at each run, out of a declared domain: ``allowed``, or a closed range."""

    name: Identifier
    description: Text
    type: ColumnType
    allowed: Annotated[tuple[Text, ...], Field(max_length=256)] | None
    minimum: Decimal | None
    maximum: Decimal | None
