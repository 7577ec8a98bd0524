"""Columns of a dataset, one constructor a type: ``integer("age at surgery", unit="years", minimum=18, maximum=110)``.

A description says what the column means. ``minimum`` and ``maximum`` are inclusive. ``missing`` lists the source's
spellings of "not known" and makes the column nullable. ``filterable`` columns may stand in WHERE and GROUP BY.
``identifier`` columns name somebody and may stand only in joins and distinct counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import date as Date  # noqa: N812 - `date` is the constructor's name here
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from mpc.canonical import format_time
from mpc.table.schema import ColumnType

WELL_TYPED = ConfigDict(strict=True, extra="forbid")
"""What a scenario is made of checks its types where it is written, so that a slip is told with its line."""

Bound = int | float | Decimal | Date | datetime | None


@dataclass(frozen=True, config=WELL_TYPED)
class Column:
    """One column of a scenario's dataset; made by the functions of this module."""

    type: ColumnType
    description: str
    unit: str | None = None
    minimum: Bound = None
    maximum: Bound = None
    precision: int | None = None
    scale: int | None = None
    codes: Mapping[str, str] = field(default_factory=dict)
    nullable: bool = False
    missing: Sequence[str] = ()
    filterable: bool = False
    identifier: bool = False

    def as_data(self, name: str) -> dict[str, Any]:
        """Return the column as it stands in a contract (``mpc.table.schema.Column``)."""
        return {
            "name": name,
            "description": self.description,
            "type": self.type,
            "precision": self.precision,
            "scale": self.scale,
            "unit": self.unit,
            "nullable": self.nullable or bool(self.missing),
            "missing": sorted(self.missing),
            "minimum": spelled_bound(self.minimum),
            "maximum": spelled_bound(self.maximum),
            "codes": [{"value": value, "label": label} for value, label in self.codes.items()],
            "filterable": self.filterable,
            "identifier": self.identifier,
        }


def integer(
    description: str,
    *,
    unit: str | None = None,
    minimum: int | None = None,
    maximum: int | None = None,
    nullable: bool = False,
    missing: Sequence[str] = (),
    filterable: bool = False,
    identifier: bool = False,
) -> Column:
    """Return a column of 64-bit whole numbers."""
    return Column(
        "integer",
        description,
        unit=unit,
        minimum=minimum,
        maximum=maximum,
        nullable=nullable,
        missing=missing,
        filterable=filterable,
        identifier=identifier,
    )


def real(
    description: str,
    *,
    unit: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    nullable: bool = False,
    missing: Sequence[str] = (),
    filterable: bool = False,
) -> Column:
    """Return a column of IEEE 754 doubles; infinities and NaN refuse at upload."""
    return Column(
        "float",
        description,
        unit=unit,
        minimum=minimum,
        maximum=maximum,
        nullable=nullable,
        missing=missing,
        filterable=filterable,
    )


def decimal(
    description: str,
    *,
    precision: int,
    scale: int,
    unit: str | None = None,
    minimum: int | Decimal | None = None,
    maximum: int | Decimal | None = None,
    nullable: bool = False,
    missing: Sequence[str] = (),
    filterable: bool = False,
) -> Column:
    """Return a column of exact numbers of at most ``precision`` digits, ``scale`` of them after the point."""
    return Column(
        "decimal",
        description,
        unit=unit,
        minimum=minimum,
        maximum=maximum,
        precision=precision,
        scale=scale,
        nullable=nullable,
        missing=missing,
        filterable=filterable,
    )


def category(
    description: str,
    codes: Mapping[str, str],
    *,
    nullable: bool = False,
    missing: Sequence[str] = (),
    filterable: bool = False,
) -> Column:
    """Return a column of few values: ``codes`` maps each to what it means, in the order that tables show."""
    return Column("category", description, codes=codes, nullable=nullable, missing=missing, filterable=filterable)


def text(
    description: str,
    *,
    nullable: bool = False,
    missing: Sequence[str] = (),
    filterable: bool = False,
    identifier: bool = False,
) -> Column:
    """Return a column of Unicode text."""
    return Column("text", description, nullable=nullable, missing=missing, filterable=filterable, identifier=identifier)


def date(
    description: str,
    *,
    minimum: Date | None = None,
    maximum: Date | None = None,
    nullable: bool = False,
    missing: Sequence[str] = (),
    filterable: bool = False,
) -> Column:
    """Return a column of calendar days."""
    return Column(
        "date", description, minimum=minimum, maximum=maximum, nullable=nullable, missing=missing, filterable=filterable
    )


def timestamp(
    description: str,
    *,
    minimum: datetime | None = None,
    maximum: datetime | None = None,
    nullable: bool = False,
    missing: Sequence[str] = (),
    filterable: bool = False,
) -> Column:
    """Return a column of moments in UTC, to the microsecond; bounds are aware times."""
    return Column(
        "timestamp",
        description,
        minimum=minimum,
        maximum=maximum,
        nullable=nullable,
        missing=missing,
        filterable=filterable,
    )


def boolean(
    description: str, *, nullable: bool = False, missing: Sequence[str] = (), filterable: bool = False
) -> Column:
    """Return a column of true and false."""
    return Column("boolean", description, nullable=nullable, missing=missing, filterable=filterable)


def spelled_bound(value: Bound) -> str | None:
    """Return a bound in its one spelling: decimal text without exponent or trailing zeros, or ISO text."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Date):
        return value.isoformat()
    spelled = format(Decimal(str(value)), "f")
    spelled = spelled.rstrip("0").rstrip(".") if "." in spelled else spelled
    return "0" if spelled == "-0" else spelled
