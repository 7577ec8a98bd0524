"""What a dataset of the contract promises: columns, subject, keys and freshness.

These are terms of the contract. They name types and ranges, never where an owner keeps its rows.
"""

from typing import Annotated, Literal

from pydantic import Field

from mpc.canonical import Decimal, Identifier, Term, Text, Timestamp

ColumnType = Literal["integer", "float", "decimal", "boolean", "text", "category", "date", "timestamp"]


class Code(Term):
    """One value of a category and what it means."""

    value: Text
    label: Text


class Column(Term):
    """One column. Types: ``integer`` 64-bit signed, ``float`` IEEE 754 double, ``decimal`` (precision, scale),
    ``boolean``, ``text`` UTF-8, ``category`` text out of ``codes``, ``date``, ``timestamp`` UTC microseconds.

    ``minimum`` and ``maximum`` are inclusive, decimal text for numbers, ISO text for dates and times.
    ``missing`` lists source spellings that mean NULL. ``filterable`` columns may stand in WHERE, FILTER and
    GROUP BY; ``identifier`` columns only in joins and distinct counts.
    """  # noqa: D205

    name: Identifier
    description: Text
    type: ColumnType
    precision: Annotated[int, Field(ge=1, le=38)] | None
    scale: Annotated[int, Field(ge=0, le=37)] | None
    unit: Text | None
    nullable: bool
    missing: Annotated[tuple[Text, ...], Field(max_length=64)]
    minimum: Decimal | Text | None
    maximum: Decimal | Text | None
    codes: Annotated[tuple[Code, ...], Field(max_length=1024)]
    filterable: bool
    identifier: bool


class Subject(Term):
    """Whom disclosure control protects in a dataset.

    ``identity``: ``shared`` the same identifiers at all owners, after ``normalisation``; ``disjoint`` owners
    assert that nobody occurs twice, counts add up; ``unknown`` only the largest single owner counts; ``none``
    public data, nobody to protect (``column`` is null). ``rows`` says whether an upload may hold ``one`` or
    ``many`` rows of a subject; ``one`` is checked at upload and makes counting cheap.
    """

    domain: Identifier
    column: Identifier | None
    identity: Literal["shared", "disjoint", "unknown", "none"]
    normalisation: Literal["exact", "trim_casefold"]
    rows: Literal["one", "many"]


class Key(Term):
    """Columns that datasets are joined by; ``unique`` keys occur once in the whole dataset, which is checked."""

    columns: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=8)]
    unique: bool


class Freshness(Term):
    """How often an owner may replace its rows: ``refreshes`` 0 is a fixed dataset, with ``until`` null."""

    refreshes: Annotated[int, Field(ge=0, le=10_000)]
    until: Timestamp | None


class Dataset(Term):
    """A named table; its rows are the union of what its ``owners`` upload."""

    name: Identifier
    description: Text
    owners: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=256)]
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=1024)]
    subject: Subject
    keys: Annotated[tuple[Key, ...], Field(max_length=16)]
    freshness: Freshness

    def column(self, name: str) -> Column | None:
        """Return the column called ``name``, or None."""
        return next((column for column in self.columns if column.name == name), None)
