"""Rows drawn from a schema alone: right in form, ranges, codes and keys, and otherwise nobody's.

They are for rehearsing a study before any real row is touched. Values are uniform over what the schema allows:
nothing of the real distribution is in them, and nothing can be concluded from an answer over them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.canonical import parse_time
from mpc.contract.terms import Contract
from mpc.table.batches import Table, arrow_schema, checked_table
from mpc.table.schema import Column, Dataset

NULL_SHARE = 0.05
"""The share of empty values in a nullable column that is no key."""

ROWS_PER_SUBJECT = 5
"""The mean number of rows of a subject that may have many."""

MANY = 1 << 32
"""How many values are told apart in a column without a range."""

GRAINS = 1000
"""Into how many steps the range of a floating-point column is cut."""

HOUR = timedelta(hours=1)

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Domain:
    """The values that a column may take, by position: ``value(0)`` to ``value(size - 1)``, in their own order."""

    size: int
    value: Callable[[int], Any]


def synthetic_tables(contract: Contract, *, rows: int, seed: int) -> dict[str, tuple[Table, ...]]:
    """Return, for each dataset, one table an owner with ``rows`` synthetic rows; a seed gives the same rows again.

    Where a unique key or a subject's range allows fewer rows, there are fewer.
    """
    generator = np.random.default_rng(seed)
    return {
        dataset.name: tuple(
            checked_table(dataset, name, [_batch(dataset, owner, rows, generator)])
            for owner, name in enumerate(dataset.owners)
        )
        for dataset in contract.datasets
    }


def _batch(dataset: Dataset, owner: int, rows: int, generator: np.random.Generator) -> pa.RecordBatch:
    domains = {column.name: _domain(column) for column in dataset.columns}
    fixed = _key_positions(dataset, domains, owner, rows, generator)
    fixed |= _subject_positions(dataset, domains, owner, rows, generator)
    rows = min([rows, *map(len, fixed.values())])
    arrays = []
    for field, column in zip(arrow_schema(dataset), dataset.columns, strict=True):
        places = fixed.get(column.name, generator.integers(domains[column.name].size, size=rows))[:rows]
        empty = (generator.random(rows) < NULL_SHARE) & (column.nullable and column.name not in fixed)
        values = [domains[column.name].value(int(place)) for place in places]
        arrays.append(pa.array(values, type=field.type, mask=empty))
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(dataset))


def _key_positions(
    dataset: Dataset, domains: Mapping[str, _Domain], owner: int, rows: int, generator: np.random.Generator
) -> dict[str, Positions]:
    fixed: dict[str, Positions] = {}
    owners = len(dataset.owners)
    for key in sorted(dataset.keys, key=lambda key: key.unique):
        sizes = _pools([domains[name].size for name in key.columns], rows * owners if key.unique else rows)
        if key.unique:
            places = _never_again(sizes, owner, owners)
        else:
            places = [generator.integers(size, size=rows) for size in sizes]
        fixed |= dict(zip(key.columns, places, strict=True))
    return fixed


def _pools(sizes: Sequence[int], combinations: int) -> list[int]:
    """Return from how many values each column of a key draws: all, or so few that there are few enough combinations.

    It depends on the key and the number of rows alone, so datasets that share a key find partners in each other.
    """
    pools = list(sizes)
    for place in sorted(range(len(pools)), key=lambda place: -pools[place]):
        others = prod(pools) // pools[place]
        pools[place] = min(pools[place], max(1, combinations // others))
    return pools


def _never_again(sizes: Sequence[int], owner: int, owners: int) -> list[Positions]:
    """Return positions in each column whose combinations never repeat, not even between owners."""
    chosen = np.arange(owner, prod(sizes), owners)
    return list(np.unravel_index(chosen, sizes))


def _subject_positions(
    dataset: Dataset, domains: Mapping[str, _Domain], owner: int, rows: int, generator: np.random.Generator
) -> dict[str, Positions]:
    """Return whose each row is. Shared subjects are the same at every owner, all others are each owner's own."""
    subject = dataset.subject
    in_unique_key = any(key.unique and subject.column in key.columns for key in dataset.keys)
    if subject.column is None or (subject.rows == "many" and in_unique_key):
        return {}
    shared = subject.identity == "shared"
    space = domains[subject.column].size // (1 if shared else len(dataset.owners))
    if subject.rows == "one":
        people = np.arange(min(rows, space))
    else:
        people = generator.integers(min(space, max(1, rows // ROWS_PER_SUBJECT)), size=rows)
    return {subject.column: people if shared else people + owner * min(space, rows)}


def _domain(column: Column) -> _Domain:
    if column.type == "boolean":
        return _Domain(2, bool)
    if column.type == "category":
        return _Domain(len(column.codes), lambda position: column.codes[position].value)
    if column.type == "text":
        return _Domain(MANY, "text {}".format)
    return _ranged(column, *_span(column))


def _ranged(column: Column, low: Any, high: Any) -> _Domain:  # noqa: ANN401 - of the column's own type
    match column.type:
        case "integer":
            return _Domain(min(MANY, high - low + 1), lambda position: low + position)
        case "date":
            return _Domain((high - low).days + 1, lambda position: low + timedelta(days=position))
        case "timestamp":
            return _Domain((high - low) // HOUR + 1, lambda position: low + position * HOUR)
        case "decimal":
            grain = Decimal(1).scaleb(-(column.scale or 0))
            return _Domain(int((high - low) / grain) + 1, lambda position: (low + position * grain).quantize(grain))
    step = (high - low) / GRAINS
    return _Domain(GRAINS + 1, lambda position: min(high, low + position * step))  # rounding may overshoot


_USUAL: dict[str, tuple[Any, Any]] = {
    "integer": (0, MANY - 1),
    "float": (0.0, 1000.0),
    "decimal": (Decimal(0), Decimal(9)),
    "date": (date(2000, 1, 1), date(2029, 12, 31)),
    "timestamp": (datetime(2020, 1, 1, tzinfo=UTC), datetime(2029, 12, 31, tzinfo=UTC)),
}


def _span(column: Column) -> tuple[Any, Any]:
    """Return the column's range; a bound that is not given is the usual one, or the given one if that lies beyond."""
    if column.type not in _USUAL:
        return None, None
    low, high = _USUAL[column.type]
    if column.minimum is not None:
        low = _typed(column, column.minimum)
        high = max(low, high)
    if column.maximum is not None:
        high = _typed(column, column.maximum)
        low = min(low, high)
    return low, high


def _typed(column: Column, bound: str) -> Any:  # noqa: ANN401 - of the column's own type
    match column.type:
        case "integer":
            return int(bound)
        case "float":
            return float(bound)
        case "date":
            return date.fromisoformat(bound)
        case "timestamp":
            return parse_time(bound)
        case _:
            return Decimal(bound)
