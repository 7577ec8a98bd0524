"""What makes a dataset's schema hang together: its columns, subject, keys and freshness, and its domains."""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise

from mpc.canonical import parse_time
from mpc.errors import Malformed
from mpc.table.schema import Column, Dataset, Subject

NUMERIC = frozenset({"integer", "float", "decimal"})
RANGED = NUMERIC | {"date", "timestamp"}

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,37})(\.[0-9]{0,37}[1-9])?")
_SPELLINGS = {
    "integer": re.compile(r"0|-?[1-9][0-9]{0,18}"),
    "float": _NUMBER,
    "decimal": _NUMBER,
    "date": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
}


def check_set(field: str, members: Iterable[str]) -> None:
    """Refuse ``members`` that are not sorted (by code point) and unique: a set has one spelling."""
    for before, after in pairwise(members):
        if before == after:
            raise Malformed(
                "contract.duplicate", f"{field} names {_shown(after)} twice", why="each may stand once",
                remedy="remove the second", field=field,
            )  # fmt: skip
        if before > after:
            raise Malformed(
                "contract.unsorted", f"{field} is not sorted", why="a set has one spelling, so that digests agree",
                remedy=f"write {_shown(after)} before {_shown(before)}", field=field,
            )  # fmt: skip


def check_unique(field: str, members: Iterable[str]) -> None:
    """Refuse a second occurrence in a list whose order carries meaning."""
    seen: set[str] = set()
    for member in members:
        if member in seen:
            raise Malformed(
                "contract.duplicate", f"{field} names {_shown(member)} twice", why="each may stand once",
                remedy="remove the second", field=field,
            )  # fmt: skip
        seen.add(member)


def check_dataset(dataset: Dataset, *, until: datetime) -> None:
    """Refuse a schema that contradicts itself; ``until`` is when the contract ends."""
    at = f"datasets.{dataset.name}"
    check_unique(f"{at}.columns", (column.name for column in dataset.columns))
    for column in dataset.columns:
        _check_column(f"{at}.columns.{column.name}", column)
    _check_subject(f"{at}.subject", dataset)
    _check_keys(f"{at}.keys", dataset)
    _check_freshness(f"{at}.freshness", dataset, until)


def check_domains(datasets: Sequence[Dataset]) -> None:
    """Refuse datasets of one subject domain that disagree on how its subjects are told apart."""
    first: dict[str, tuple[Dataset, tuple[object, ...]]] = {}
    for dataset in datasets:
        named = (dataset.subject.identity, dataset.subject.normalisation, _subject_type(dataset))
        other, meant = first.setdefault(dataset.subject.domain, (dataset, named))
        if meant != named:
            raise _incoherent(
                "contract.domain", f"datasets.{dataset.name}.subject",
                f"{other.name} and {dataset.name} share the domain {dataset.subject.domain} and mean different things",
                "give both the same identity, normalisation and type of subject column, or two domains",
            )  # fmt: skip


def _check_column(at: str, column: Column) -> None:
    decimal = column.type == "decimal"
    if decimal != (column.precision is not None) or decimal != (column.scale is not None):
        raise _incoherent("contract.column.decimal", at, "precision and scale belong to decimals, and they need both",
                          "write both for a decimal, null for every other type")  # fmt: skip
    if column.precision is not None and column.scale is not None and column.scale > column.precision:
        raise _incoherent("contract.column.decimal", at, "the scale is larger than the precision",
                          "write a scale of at most the precision")  # fmt: skip
    if (column.type == "category") != bool(column.codes):
        raise _incoherent("contract.column.codes", at, "a codebook belongs to a category, and a category needs one",
                          "list the codes with their meaning, or choose another type")  # fmt: skip
    check_unique(f"{at}.codes", (code.value for code in column.codes))
    check_set(f"{at}.missing", column.missing)
    if column.missing and not column.nullable:
        raise _incoherent("contract.column.missing", at, "missing codes stand on a column that may not be empty",
                          "write nullable true, or no missing codes")  # fmt: skip
    if column.identifier and column.filterable:
        raise _incoherent("contract.column.identifier", at, "an identifier in a filter would single somebody out",
                          "mark the column as identifier or as filterable")  # fmt: skip
    _check_range(at, column)


def _check_range(at: str, column: Column) -> None:
    bounds = [bound for bound in (column.minimum, column.maximum) if bound is not None]
    if bounds and column.type not in RANGED:
        raise _incoherent("contract.column.range", at, f"a {column.type} column has no order to bound",
                          "write null for minimum and maximum")  # fmt: skip
    try:
        values = [range_value(column, bound) for bound in bounds]
    except ValueError:
        raise _incoherent("contract.column.range", at, f"a bound is not a value of type {column.type}",
                          "write decimal text, YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SSZ") from None  # fmt: skip
    if len(values) > 1 and values[0] > values[1]:  # type: ignore[operator]  # both bounds are of the column's type
        raise _incoherent("contract.column.range", at, "the minimum is larger than the maximum", "exchange them")


def range_value(column: Column, bound: str) -> Decimal | int | date | datetime:
    """Return the typed value of one bound of ``column``; ``ValueError`` when it is none, or is spelt another way."""
    if column.type == "timestamp":
        return parse_time(bound)
    form = _SPELLINGS[column.type]
    if not form.fullmatch(bound):
        raise ValueError("not the one spelling of a value")
    if column.type == "date":
        return date.fromisoformat(bound)
    return int(bound) if column.type == "integer" else Decimal(bound)


def _check_subject(at: str, dataset: Dataset) -> None:
    subject: Subject = dataset.subject
    if (subject.identity == "none") != (subject.column is None):
        raise _incoherent("contract.subject", at, "a subject column and somebody to protect belong together",
                          'name the column, or write identity "none" and column null for public data')  # fmt: skip
    if subject.column is None:
        return
    column = dataset.column(subject.column)
    if column is None:
        raise _incoherent("contract.subject", at, "the subject column is not among the columns",
                          "name a column of the dataset")  # fmt: skip
    if not column.identifier or column.nullable:
        raise _incoherent("contract.subject", at, "the subject column must be an identifier that is never empty",
                          "write identifier true and nullable false for it")  # fmt: skip
    if column.type not in {"integer", "text"}:
        raise _incoherent("contract.subject", at, "subjects are told apart by integers or text",
                          "choose an integer or text column")  # fmt: skip


def _check_keys(at: str, dataset: Dataset) -> None:
    check_set(at, (" ".join(key.columns) for key in dataset.keys))
    for key in dataset.keys:
        check_set(f"{at}.columns", key.columns)
        unknown = [name for name in key.columns if dataset.column(name) is None]
        if unknown:
            raise _incoherent("contract.key", at, f"the key column {unknown[0]} is not among the columns",
                              "name columns of the dataset")  # fmt: skip


def _check_freshness(at: str, dataset: Dataset, until: datetime) -> None:
    freshness = dataset.freshness
    if (freshness.refreshes == 0) != (freshness.until is None):
        raise _incoherent("contract.freshness", at, "refreshes and their last day belong together",
                          "write until when rows may be replaced, or 0 refreshes and null")  # fmt: skip
    if freshness.until is not None and parse_time(freshness.until) > until:
        raise _incoherent("contract.freshness", at, "rows could be replaced after the contract has ended",
                          "write a time of at most valid_until")  # fmt: skip


def _subject_type(dataset: Dataset) -> str | None:
    column = None if dataset.subject.column is None else dataset.column(dataset.subject.column)
    return None if column is None else column.type


def _incoherent(code: str, field: str, why: str, remedy: str) -> Malformed:
    return Malformed(code, f"{field} contradicts itself", why=why, remedy=remedy, field=field)


def _shown(member: str) -> str:
    return member if len(member) <= 64 else f"{member[:61]}…"  # noqa: PLR2004 - as much as fits a line
