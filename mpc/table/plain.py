"""Small tables as plain values, for CBOR: what crosses from a run's child, and what is digested and sealed.

Arrow IPC is not used here on purpose. Its bytes are not determined by the values (padding, and whatever lies under
a NULL: in a release, the withheld value itself), and reading it from a child that may have been taken over means
offsets, compression and dictionaries of that child's choice. Plain values have one spelling and no layout.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from mpc.errors import Malformed

Plain = list[Any]

_DECIMAL_MAX_DIGITS = 38
_TIMESTAMP = pa.timestamp("us", tz="UTC")

_TYPES: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.utf8(),
    "date": pa.date32(),
    "timestamp": _TIMESTAMP,
}
_PYTHON: dict[str, type] = {
    "integer": int, "float": float, "boolean": bool, "text": str, "date": int, "timestamp": int, "decimal": str,
}  # fmt: skip


def plain_table(table: pa.Table) -> Plain:
    """Return ``[[name, type, precision, scale, values], …]``, one entry a column; ``Malformed`` for other types.

    Dates are days, timestamps microseconds since 1970 UTC, decimals text. NULL is null, whatever lies under it.
    """
    return [_plain_column(field.name, table.column(i)) for i, field in enumerate(table.schema)]


def read_table(plain: object) -> pa.Table:
    """Return the table that ``plain`` spells; ``Malformed`` for anything that ``plain_table`` would not write."""
    if not isinstance(plain, list):
        raise _malformed()
    columns = [_read_column(column) for column in plain]
    names = [name for name, _ in columns]
    if len(set(names)) != len(names) or len({len(values) for _, values in columns}) > 1:
        raise _malformed()
    return pa.table([values for _, values in columns], names=names)


def settled(table: pa.Table) -> pa.Table:
    """Return ``table`` in the few types of a result, one chunk a column and nothing but zeros under a NULL."""
    return read_table(plain_table(table))


def _plain_column(name: str, values: pa.ChunkedArray) -> Plain:
    kind, wanted = _kind(values.type)
    precision, scale = (wanted.precision, wanted.scale) if kind == "decimal" else (None, None)
    settle: Callable[[Any], Any]
    if kind == "date":
        settle, wanted = int, pa.date32()
        cells = values.cast(wanted).cast(pa.int32()).to_pylist()
    elif kind == "timestamp":
        settle = int
        cells = values.cast(wanted).cast(pa.int64()).to_pylist()
    else:
        settle = str if kind == "decimal" else _PYTHON[kind]
        cells = values.cast(wanted).to_pylist()
    return [name, kind, precision, scale, [None if cell is None else settle(cell) for cell in cells]]


def _kind(arrow: pa.DataType) -> tuple[str, pa.DataType]:
    tests: Sequence[tuple[str, bool]] = (
        ("integer", pa.types.is_integer(arrow)),
        ("float", pa.types.is_floating(arrow)),
        ("boolean", pa.types.is_boolean(arrow)),
        ("text", pa.types.is_string(arrow) or pa.types.is_large_string(arrow)),
        ("date", pa.types.is_date(arrow)),
        ("timestamp", pa.types.is_timestamp(arrow) and arrow.tz is not None),
        ("decimal", pa.types.is_decimal128(arrow)),
    )
    kind = next((name for name, matches in tests if matches), None)
    if kind is None:
        raise Malformed(
            "result.type", "a result has a column of a type that results cannot have", why=str(arrow),
            remedy="ask for numbers, text, booleans, dates or times",
        )  # fmt: skip
    return kind, _TYPES.get(kind, arrow)


def _read_column(plain: object) -> tuple[str, pa.Array]:
    match plain:
        case [str() as name, str() as kind, precision, scale, list() as values] if kind in _PYTHON:
            pass
        case _:
            raise _malformed()
    wanted = _PYTHON[kind]
    # type() and not isinstance: True is an int to Python.
    if any(value is not None and type(value) is not wanted for value in values):
        raise _malformed()
    try:
        return name, _arrow_column(kind, precision, scale, values)
    except (pa.ArrowInvalid, ArithmeticError, UnicodeError, ValueError):
        raise _malformed() from None


def _arrow_column(kind: str, precision: object, scale: object, values: Plain) -> pa.Array:
    if kind == "decimal":
        if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision <= _DECIMAL_MAX_DIGITS:
            raise _malformed()
        cells = [None if value is None else Decimal(value) for value in values]
        return pa.array(cells, pa.decimal128(precision, scale))
    if precision is not None or scale is not None:
        raise _malformed()
    if kind == "date":
        return pa.array(values, pa.int32()).cast(pa.date32())
    if kind == "timestamp":
        return pa.array(values, pa.int64()).cast(_TIMESTAMP)
    return pa.array(values, _TYPES[kind])


def _malformed() -> Malformed:
    return Malformed(
        "result.invalid", "a result does not have the agreed form", why="its tables do not read as tables",
        remedy="run the computation again; if it stays so, report it with the code's digest",
    )  # fmt: skip
