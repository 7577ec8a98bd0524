"""Constants of a question: literals and parameters, held against the declared domain of what they compare with."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from sqlglot import exp

from mpc.errors import Forbidden
from mpc.questions.sql.refusals import forbidden
from mpc.questions.sql.scope import Scope
from mpc.questions.terms import Parameter
from mpc.table.schema import Column, ColumnType

ConstantKind = Literal["number", "text", "boolean", "date", "timestamp", "null"]

_NUMBER = re.compile(r"-?[0-9]{1,38}(\.[0-9]{1,38})?")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,15}(Z|\+00(:00)?)")
_TEXT_MAX = 1_000
_PARAMETER_SQL: dict[ColumnType, tuple[ConstantKind, str]] = {
    "integer": ("number", "BIGINT"), "float": ("number", "DOUBLE"), "decimal": ("number", "DECIMAL(38, 9)"),
    "boolean": ("boolean", "BOOLEAN"), "text": ("text", "VARCHAR"), "category": ("text", "VARCHAR"),
    "date": ("date", "DATE"), "timestamp": ("timestamp", "TIMESTAMPTZ"),
}  # fmt: skip


@dataclass(frozen=True)
class Constant:
    """A literal (its spelling in ``values``) or a parameter (its declared domain in ``values``), printed anew.

    ``values`` are the values that it can take, or the two ends of their range.
    """

    text: str
    kind: ConstantKind
    values: tuple[str, ...]
    is_parameter: bool = False

    def as_kind(self, kind: ConstantKind) -> "Constant":
        """Return the constant as one of ``kind``: quoted text may be a date or a timestamp, nothing else changes."""
        if kind == self.kind:
            return self
        if self.kind == "text" and not self.is_parameter and kind in {"date", "timestamp"}:
            (spelled,) = self.values
            parsed = _PARSE[kind](spelled)
            word = "DATE" if kind == "date" else "TIMESTAMPTZ"
            return replace(self, text=f"{word} '{parsed.isoformat()}'", kind=kind, values=(parsed.isoformat(),))
        raise forbidden(
            "kind", f"a constant of kind {self.kind} is compared with a value of kind {kind}",
            why="the engine would fail on it, and its errors speak of data", remedy=f"write a constant of kind {kind}",
        )  # fmt: skip

    def whole_text(self, low: int, high: int) -> str:
        """Return the text of a literal that is a whole number from ``low`` to ``high``."""
        (spelled,) = self.values if len(self.values) == 1 and not self.is_parameter else ("",)
        if not re.fullmatch(r"-?[0-9]{1,3}", spelled) or not low <= int(spelled) <= high:
            raise forbidden(
                "whole", "something else than a small whole number", why="it says how many digits are kept",
                remedy=f"write a number from {low} to {high}",
            )  # fmt: skip
        return spelled

    def check_within(self, column: Column) -> None:
        """Raise ``Forbidden`` unless every value is in the codes or the range that the contract declares."""
        codes = {code.value for code in column.codes}
        if codes and not codes.issuperset(self.values):
            raise _outside(column, f"one of its codes: {', '.join(sorted(codes)[:20])}")
        parse = _PARSE[self.kind]
        low = None if column.minimum is None else parse(column.minimum)
        high = None if column.maximum is None else parse(column.maximum)
        for value in (parse(spelled) for spelled in self.values):
            if (low is not None and value < low) or (high is not None and value > high):
                raise _outside(column, f"a value from {column.minimum} to {column.maximum}")


def constant_of(node: exp.Expr, scope: Scope) -> Constant:
    """Return the constant that a literal, a negated number or a placeholder spells."""
    match node:
        case exp.Placeholder():
            return _parameter(scope.parameter(node))
        case exp.Literal(is_string=True) if len(node.this) <= _TEXT_MAX and "\x00" not in node.this:
            return Constant("'" + node.this.replace("'", "''") + "'", "text", (node.this,))
        case exp.Neg(this=exp.Literal(is_string=False, this=digits)) if _NUMBER.fullmatch(f"-{digits}"):
            return Constant(f"(-{digits})", "number", (f"-{digits}",))
        case exp.Literal(is_string=False, this=digits) if _NUMBER.fullmatch(digits):
            return Constant(digits, "number", (digits,))
        case _:
            raise forbidden(
                "constant", "a constant that is not on the list", why="constants are plain numbers and short texts",
                remedy="write digits with an optional fraction, or a quoted text",
            )  # fmt: skip


def _parameter(parameter: Parameter) -> Constant:
    kind, sql = _PARAMETER_SQL[parameter.type]
    ends = tuple(end for end in (parameter.minimum, parameter.maximum) if end is not None)
    values = parameter.allowed if parameter.allowed is not None else ends
    if not values and kind == "boolean":
        values = ("false", "true")
    is_range = parameter.allowed is None and kind != "boolean"
    if not values or (is_range and (len(ends) != 2 or kind != "number")):  # noqa: PLR2004 - two ends
        raise forbidden(
            "parameter_domain", f"${parameter.name} has no declared domain", why="parameters are an adversary's input",
            remedy="write its allowed values, or its minimum and maximum",
        )  # fmt: skip
    return Constant(f"CAST(${parameter.name} AS {sql})", kind, tuple(values), is_parameter=True)


def _outside(column: Column, wanted: str) -> Forbidden:
    return forbidden(
        "domain", f"a constant lies outside of what {column.name} can be", why="the contract declares its domain",
        remedy=f"write {wanted}",
    )  # fmt: skip


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise forbidden(
            "number", "a constant that is compared with a number is none", why="it has to be one number and no other",
            remedy="write digits with an optional fraction",
        )  # fmt: skip
    return Decimal(text)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _bad_time("a date as YYYY-MM-DD") from None


def _timestamp(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text if _TIMESTAMP.fullmatch(text) else "").astimezone(UTC)
    except ValueError:
        raise _bad_time("a timestamp with zone, as 2026-01-31T00:00:00Z") from None


def _bad_time(wanted: str) -> Forbidden:
    return forbidden(
        "time", "a constant that is compared with a time is none", why="it has to be one time and no other",
        remedy=f"write {wanted}",
    )  # fmt: skip


_PARSE: dict[str, Callable[[str], Any]] = {
    "number": _number, "text": str, "boolean": str, "date": _date, "timestamp": _timestamp,
}  # fmt: skip
