"""HAVING, ORDER BY and LIMIT: what a recipient asks to see of a release.

They act on released cells, after disclosure control: acting on the data they would be oracles (``HAVING max(x) >
447`` tells about one person). So they may name output columns and constants, and nothing else.
"""

from collections.abc import Callable, Sequence

from sqlglot import exp

from mpc.questions.sql.aggregates import aggregate, is_aggregate, split_filter
from mpc.questions.sql.checked import Shown, SqlMeasure
from mpc.questions.sql.constants import constant_of
from mpc.questions.sql.expressions import Kind, RowExpressions
from mpc.questions.sql.grouping import Grouping
from mpc.questions.sql.refusals import forbidden
from mpc.questions.sql.scope import Scope

LIMIT_MAX = 1_000_000

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
}  # fmt: skip


def read_shown(select: exp.Select, scope: Scope, grouping: Grouping, measures: Sequence[SqlMeasure]) -> Shown:
    """Return HAVING, ORDER BY and LIMIT over the output columns, or raise ``Forbidden``."""
    outputs = _Outputs(scope, grouping, measures)
    having, order, limit = (select.args.get(part) for part in ("having", "order", "limit"))
    return Shown(
        None if having is None else _Having(outputs, scope).condition(having.this),
        () if order is None else tuple(_ordered(node, outputs, grouping) for node in order.expressions),
        None if limit is None else _limit(limit.expression),
    )


class _Outputs:
    """Finds the output column that an expression names, by its name or by being printed alike."""

    def __init__(self, scope: Scope, grouping: Grouping, measures: Sequence[SqlMeasure]) -> None:
        self._scope = scope
        self._grouping = grouping
        self._measures = measures
        self._kinds: dict[str, Kind] = {measure.name: "number" for measure in measures}
        self._kinds |= {key.name: kind for key, kind in zip(grouping.keys, grouping.kinds, strict=True)}

    @property
    def names(self) -> list[str]:
        return list(self._kinds)

    def kind(self, name: str) -> Kind:
        return self._kinds[name]

    def find(self, node: exp.Expr) -> str:
        name = self._named(node) or (self._measured(node) if is_aggregate(node) else self._grouped(node))
        if name is None:
            raise forbidden(
                "not_released", "HAVING or ORDER BY uses something that is not released",
                why="they act on the release, after disclosure control", remedy="select it as well, and name it",
            )  # fmt: skip
        return name

    def _named(self, node: exp.Expr) -> str | None:
        if isinstance(node, exp.Column) and node.args.get("table") is None and node.name.lower() in self._kinds:
            self._scope.met.add(id(node))
            return node.name.lower()
        return None

    def _measured(self, node: exp.Expr) -> str | None:
        bare, condition, _ = split_filter(node, self._scope)
        wanted = aggregate(bare, self._scope).measure("", condition, ()).text
        return next((measure.name for measure in self._measures if measure.text == wanted), None)

    def _grouped(self, node: exp.Expr) -> str | None:
        position = self._grouping.key_at(RowExpressions(self._scope, "grouped").scalar(node).total)
        return None if position is None else self._grouping.keys[position].name


class _Having:
    """Prints a condition over output columns."""

    def __init__(self, outputs: _Outputs, scope: Scope) -> None:
        self._outputs = outputs
        self._scope = scope
        self._conditions: dict[type[exp.Expr], Callable[[exp.Expr], str]] = {
            exp.Paren: lambda node: self.condition(node.this),
            exp.And: lambda node: f"({self.condition(node.this)} AND {self.condition(node.expression)})",
            exp.Or: lambda node: f"({self.condition(node.this)} OR {self.condition(node.expression)})",
            exp.Not: lambda node: f"(NOT {self.condition(node.this)})",
            exp.Between: self._between,
            exp.Is: self._is,
        }
        self._conditions |= dict.fromkeys(_COMPARISONS, self._comparison)

    def condition(self, node: exp.Expr) -> str:
        check = self._conditions.get(type(node))
        if check is None:
            raise forbidden(
                "having", f"{type(node).__name__} stands in HAVING", why="HAVING chooses among released cells",
                remedy="write comparisons of output columns, with AND, OR and NOT",
            )  # fmt: skip
        return check(node)

    def _comparison(self, node: exp.Expr) -> str:
        left, right = self._compared([node.this, node.expression])
        return f"({left} {_COMPARISONS[type(node)]} {right})"

    def _between(self, node: exp.Expr) -> str:
        value, low, high = self._compared([node.this, node.args["low"], node.args["high"]])
        return f"({value} BETWEEN {low} AND {high})"

    def _is(self, node: exp.Expr) -> str:
        if not isinstance(node.expression, exp.Null):
            raise forbidden(
                "having", "IS with something else than NULL", why="one form will do", remedy="write IS NULL"
            )
        return f'("{self._outputs.find(node.this.unnest())}" IS NULL)'

    def _compared(self, nodes: Sequence[exp.Expr]) -> list[str]:
        sides = [node.unnest() for node in nodes]
        constants = [isinstance(side, exp.Literal | exp.Neg | exp.Cast) for side in sides]
        names = [self._outputs.find(side) for side, constant in zip(sides, constants, strict=True) if not constant]
        kinds = {self._outputs.kind(name) for name in names}
        if len(kinds) != 1:
            raise forbidden(
                "kind", "HAVING compares different kinds, or constants alone", why="no released cell would decide it",
                remedy="compare an output column with a constant of its kind",
            )  # fmt: skip
        (kind,) = kinds
        waiting = iter(names)
        return [
            self._constant(side, kind) if constant else f'"{next(waiting)}"'
            for side, constant in zip(sides, constants, strict=True)
        ]

    def _constant(self, node: exp.Expr, kind: Kind) -> str:
        literal = node.this if isinstance(node, exp.Cast) else node
        constant = constant_of(literal, self._scope).as_kind(kind)
        # Released dates and times are compared with their ISO spelling.
        return f"'{constant.values[0]}'" if kind in {"date", "timestamp"} else constant.text


def _ordered(node: exp.Expr, outputs: _Outputs, grouping: Grouping) -> tuple[str, bool]:
    descending = bool(node.args.get("desc"))
    wanted = node.this.unnest()
    if isinstance(wanted, exp.Literal) and not wanted.is_string:
        return _ordinal(wanted.this, outputs, grouping), descending
    return outputs.find(wanted), descending


def _ordinal(digits: str, outputs: _Outputs, grouping: Grouping) -> str:
    at = int(digits) - 1 if digits.isdigit() and len(digits) <= 3 else -1  # noqa: PLR2004
    if not 0 <= at < len(grouping.columns):
        raise forbidden(
            "ordinal", "ORDER BY has a number that is no output column's position", why="it names an output column",
            remedy="write the column's name",
        )  # fmt: skip
    alias, node = grouping.columns[at]
    return alias if alias is not None else outputs.find(node)


def _limit(node: exp.Expr) -> int:
    digits = node.this if isinstance(node, exp.Literal) and not node.is_string else ""
    if not (digits.isdigit() and len(digits) <= 7 and int(digits) <= LIMIT_MAX):  # noqa: PLR2004
        raise forbidden(
            "limit", "LIMIT is no plain number", why="it says how many released rows are shown",
            remedy=f"write a number up to {LIMIT_MAX}",
        )  # fmt: skip
    return int(digits)
