"""HAVING, ORDER BY and LIMIT, on what was released.

Guarantees: whether and where a row is shown depends on its released cells only. A row whose condition names a
withheld cell is not shown; withheld cells come last in any order. Before disclosure the same clauses would be
oracles: ``HAVING max(x) > 447`` answers one bit about one row, whatever else is withheld.
"""

import operator
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import sqlglot
from sqlglot import exp

from mpc.disclosure.release import ReleasedTable
from mpc.errors import Forbidden
from mpc.results import Presentation

Cell = Fraction | str | bool | date | None
Row = Mapping[str, Cell]
_Form = Callable[[Any, Row], Cell]


def presented(table: ReleasedTable, presentation: Presentation) -> ReleasedTable:
    """Return ``table`` with the rows that the presentation asks for; ``Forbidden`` when it cannot be followed."""
    rows = [
        {name: _cell(value) for name, value in row.items()} for row in table.data.to_pylist(maps_as_pydicts="strict")
    ]
    shown = list(range(len(rows)))
    if presentation.having is not None:
        shown = _having(table, rows, sqlglot.parse_one(presentation.having, dialect="duckdb"))
    for column, descending in reversed(presentation.order):
        if column not in table.data.column_names:
            raise _unknown(column)
        shown = _sorted(shown, [row[column] for row in rows], descending=descending)
    if presentation.limit is not None:
        shown = shown[: presentation.limit]
    return _taken(table, shown)


def _taken(table: ReleasedTable, shown: list[int]) -> ReleasedTable:
    return ReleasedTable(
        name=table.name,
        keys=table.keys,
        measures=table.measures,
        data=table.data.take(pa.array(shown, pa.int64())),
        masks=tuple(tuple(mask[i] for i in shown) for mask in table.masks),
        margins=tuple(table.margins[i] for i in shown),
        withheld=table.withheld,
    )


def _sorted(shown: list[int], cells: list[Any], *, descending: bool) -> list[int]:
    present = [i for i in shown if cells[i] is not None]
    absent = [i for i in shown if cells[i] is None]
    return sorted(present, key=cells.__getitem__, reverse=descending) + absent


def _having(table: ReleasedTable, rows: list[dict[str, Cell]], condition: exp.Expr) -> list[int]:
    named = {column.name for column in condition.find_all(exp.Column)}
    for name in sorted(named - set(table.data.column_names)):
        raise _unknown(name)
    masks = [mask for measure, mask in zip(table.measures, table.masks, strict=True) if measure.name in named]
    return [i for i, row in enumerate(rows) if not any(mask[i] for mask in masks) and _value(condition, row) is True]


def _value(node: exp.Expr, row: Row) -> Cell:
    """Return the SQL value of ``node`` in ``row``, None for NULL and unknown."""
    evaluate = _FORMS.get(type(node))
    if evaluate is None:
        raise Forbidden(
            "presentation.having", "HAVING uses something that cannot be asked of a release",
            why=f"{node.key} has no meaning there",
            remedy="compare released columns with numbers, text or each other",
        )  # fmt: skip
    return evaluate(node, row)


def _negated(node: exp.Expr, row: Row) -> Cell:
    value = _value(node.this, row)
    return None if value is None else not value


def _between(node: exp.Expr, row: Row) -> Cell:
    value = _value(node.this, row)
    low, high = _value(node.args["low"], row), _value(node.args["high"], row)
    return _both(_combined(operator.ge, value, low), _combined(operator.le, value, high))


def _quotient(node: exp.Expr, row: Row) -> Cell:
    divisor = _value(node.expression, row)
    return None if divisor == 0 else _combined(operator.truediv, _value(node.this, row), divisor)


def _arithmetic(operation: Callable[[Any, Any], Any]) -> "_Form":
    return lambda node, row: _combined(operation, _value(node.this, row), _value(node.expression, row))


def _connected(node: exp.Expr, row: Row) -> Cell:
    left, right = _value(node.this, row), _value(node.expression, row)
    if isinstance(node, exp.And):
        return _both(left, right)
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def _both(left: Cell, right: Cell) -> Cell:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _combined(operation: Callable[[Any, Any], Any], left: Cell, right: Cell) -> Cell:
    if left is None or right is None:
        return None
    if type(left) is not type(right):
        left, right = _alike(left, right)
    result: Cell = operation(left, right)
    return result


def _alike(left: Any, right: Any) -> tuple[Any, Any]:  # noqa: ANN401 - dates meet their literals here
    """Return text read as the date or time that it is compared with."""
    try:
        if isinstance(left, str):
            return type(right).fromisoformat(left), right
        return left, type(left).fromisoformat(right)
    except (AttributeError, TypeError, ValueError):
        raise Forbidden(
            "presentation.having", "HAVING compares things of different types", why="they have no common order",
            remedy="compare numbers with numbers, text with text, dates with dates",
        ) from None  # fmt: skip


def _cell(value: object) -> Cell:
    # repr is the shortest decimal of a float: what the recipient reads is what is compared.
    if isinstance(value, float):
        return Fraction(repr(value))
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Fraction(value)
    if value is None or isinstance(value, bool | str | datetime | date):
        return value
    raise _unknown(type(value).__name__)


def _unknown(name: str) -> Forbidden:
    return Forbidden(
        "presentation.column", "the presentation names a column that is not released",
        why="the release has no such column", remedy="order by and filter on released columns", field=name,
    )  # fmt: skip


_FORMS: dict[type[exp.Expr], _Form] = {
    exp.Column: lambda node, row: row[node.name],
    exp.Literal: lambda node, _row: str(node.this) if node.is_string else Fraction(node.this),
    exp.Boolean: lambda node, _row: bool(node.this),
    exp.Null: lambda _node, _row: None,
    exp.Paren: lambda node, row: _value(node.this, row),
    exp.Neg: lambda node, row: _combined(operator.sub, Fraction(0), _value(node.this, row)),
    exp.Not: _negated,
    exp.And: _connected,
    exp.Or: _connected,
    exp.Is: lambda node, row: _value(node.this, row) is _value(node.expression, row),
    exp.Between: _between,
    exp.Div: _quotient,
    exp.Add: _arithmetic(operator.add),
    exp.Sub: _arithmetic(operator.sub),
    exp.Mul: _arithmetic(operator.mul),
    exp.EQ: _arithmetic(operator.eq),
    exp.NEQ: _arithmetic(operator.ne),
    exp.LT: _arithmetic(operator.lt),
    exp.LTE: _arithmetic(operator.le),
    exp.GT: _arithmetic(operator.gt),
    exp.GTE: _arithmetic(operator.ge),
}
"""All that may stand in HAVING: an allow-list, as everywhere that SQL is read."""
