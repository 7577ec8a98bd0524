"""Expressions of one row: conditions and groupings, over columns that the contract marks ``filterable``.

Every function here takes a node that is on the list and returns it printed anew. Kinds are told apart before the
engine sees anything: a comparison of text with a number is an error there, and errors speak of data.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from mpc.questions.sql.constants import Constant, constant_of
from mpc.questions.sql.refusals import forbidden
from mpc.questions.sql.scope import Place, Scope
from mpc.questions.uses import Role
from mpc.table.schema import ColumnType

Kind = Literal["number", "text", "boolean", "date", "timestamp", "null"]

KINDS: dict[ColumnType, Kind] = {
    "integer": "number", "float": "number", "decimal": "number", "boolean": "boolean", "text": "text",
    "category": "text", "date": "date", "timestamp": "timestamp",
}  # fmt: skip

UNITS = frozenset({"year", "quarter", "month", "week", "day", "hour", "minute", "dow", "isodow", "doy", "isoyear"})

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM", exp.NullSafeNEQ: "IS DISTINCT FROM",
}  # fmt: skip
_ARITHMETIC: dict[type[exp.Expr], str] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.IntDiv: "//", exp.Mod: "%",
}  # fmt: skip
_NUMERIC_FUNCTIONS: dict[type[exp.Expr], str] = {
    exp.Abs: "abs", exp.Floor: "floor", exp.Ceil: "ceil", exp.Ln: "ln", exp.Sqrt: "sqrt",
}  # fmt: skip
_GUARDS: dict[type[exp.Expr], str] = {exp.Ln: "> 0", exp.Sqrt: ">= 0"}
_TEXT_FUNCTIONS: dict[type[exp.Expr], str] = {exp.Lower: "lower", exp.Upper: "upper", exp.Trim: "trim"}
_PARTS: dict[type[exp.Expr], str] = {exp.Year: "year", exp.Month: "month", exp.Day: "day", exp.Quarter: "quarter"}
_CASTS: dict[str, tuple[str, Kind]] = {
    "INT": ("BIGINT", "number"), "BIGINT": ("BIGINT", "number"), "SMALLINT": ("BIGINT", "number"),
    "DOUBLE": ("DOUBLE", "number"), "FLOAT": ("DOUBLE", "number"), "TEXT": ("VARCHAR", "text"),
    "VARCHAR": ("VARCHAR", "text"), "DATE": ("DATE", "date"), "TIMESTAMPTZ": ("TIMESTAMPTZ", "timestamp"),
    "BOOLEAN": ("BOOLEAN", "boolean"),
}  # fmt: skip


@dataclass(frozen=True)
class Printed:
    """An expression printed anew: its kind, the columns in it, and whether evaluating it may fail on some row.

    ``place`` is set when it is one bare column, ``constant`` when it is a literal or a parameter.
    """

    text: str
    kind: Kind
    places: frozenset[Place] = frozenset()
    partial: bool = False
    place: Place | None = None
    constant: Constant | None = None

    @property
    def total(self) -> str:
        """The text, made NULL where evaluating it would fail: an abort would speak of a row."""
        return f"TRY({self.text})" if self.partial else self.text


class RowExpressions:
    """Prints expressions of one row, recording each column in ``role``."""

    def __init__(self, scope: Scope, role: Role) -> None:
        self._scope = scope
        self._role: Role = role
        self._scalars: dict[type[exp.Expr], Callable[[exp.Expr], Printed]] = {
            exp.Column: self._column,
            exp.Paren: lambda node: self.scalar(node.this),
            exp.Try: lambda node: self.scalar(node.this),
            exp.Literal: self._constant,
            exp.Placeholder: self._constant,
            exp.Null: lambda _: Printed("NULL", "null"),
            exp.Boolean: lambda node: Printed("TRUE" if node.this else "FALSE", "boolean"),
            exp.Neg: self._negated,
            exp.Case: self._case,
            exp.If: self._if,
            exp.Coalesce: self._coalesced,
            exp.Least: self._extreme,
            exp.Greatest: self._extreme,
            exp.Nullif: self._nullif,
            exp.Round: self._rounded,
            exp.TimestampTrunc: self._truncated,
            exp.DateTrunc: self._truncated,
            exp.Extract: lambda node: self._part(_word(node.this), node.expression),
            exp.DateDiff: self._difference,
            exp.Cast: self._cast,
            exp.TryCast: self._cast,
            exp.Anonymous: self._anonymous,
        }
        self._scalars |= dict.fromkeys(_ARITHMETIC, self._arithmetic)
        self._scalars |= dict.fromkeys(_NUMERIC_FUNCTIONS, self._numeric)
        self._scalars |= dict.fromkeys(_TEXT_FUNCTIONS, self._textual)
        self._scalars |= dict.fromkeys(_PARTS, lambda node: self._part(_PARTS[type(node)], node.this))
        self._predicates: dict[type[exp.Expr], Callable[[exp.Expr], Printed]] = {
            exp.And: lambda node: self._joined(node, "AND"),
            exp.Or: lambda node: self._joined(node, "OR"),
            exp.Not: self._not,
            exp.Paren: lambda node: self.predicate(node.this),
            exp.Between: self._between,
            exp.In: self._in,
            exp.Is: self._is,
            exp.Like: self._like,
        }
        self._predicates |= dict.fromkeys(_COMPARISONS, self._comparison)

    def predicate(self, node: exp.Expr) -> Printed:
        """Return a condition printed anew, of kind ``boolean``."""
        check = self._predicates.get(type(node))
        if check is not None:
            return check(node)
        printed = self.scalar(node)
        if printed.kind != "boolean":
            raise _wrong_kind("a condition", "a comparison or a boolean column")
        return Printed(printed.total, "boolean", printed.places)

    def scalar(self, node: exp.Expr) -> Printed:
        """Return a value of one row printed anew."""
        check = self._scalars.get(type(node))
        if check is not None:
            return check(node)
        if type(node) in self._predicates:
            return self.predicate(node)
        if isinstance(node, exp.Star):
            raise forbidden(
                "star", "* stands for columns that nobody wrote down", why="a data officer has to read each of them",
                remedy="name the columns; rows are counted by count(*)",
            )  # fmt: skip
        raise forbidden(
            "not_in_row", f"{type(node).__name__} stands where a value of one row is wanted",
            why="conditions and groupings look at one row at a time",
            remedy="compare columns of the row with constants; conditions on aggregates belong into HAVING",
        )  # fmt: skip

    # -- values ------------------------------------------------------------------------------------------------

    def _column(self, node: exp.Expr) -> Printed:
        assert isinstance(node, exp.Column)  # noqa: S101 - the table above says so
        place = self._scope.use(node, self._role)
        if place.is_key:
            raise forbidden(
                "key_column", f"{place.column.name} is a subject or identifier column in a condition or grouping",
                why="it singles out one person", remedy="use it in joins and count(DISTINCT …) only",
            )  # fmt: skip
        if not place.column.filterable:
            raise forbidden(
                "not_filterable", f"{place.column.name} is not marked filterable in the contract",
                why="its owners did not agree that rows are chosen or grouped by it",
                remedy="choose a filterable column, or have the contract mark this one",
            )  # fmt: skip
        return Printed(place.text, KINDS[place.column.type], frozenset({place}), place=place)

    def _constant(self, node: exp.Expr) -> Printed:
        constant = constant_of(node, self._scope)
        return Printed(constant.text, constant.kind, constant=constant)

    def _negated(self, node: exp.Expr) -> Printed:
        if isinstance(node.this, exp.Literal):
            return self._constant(node)
        value = self._number(node.this)
        return Printed(f"(-{value.text})", "number", value.places, partial=True)

    def _arithmetic(self, node: exp.Expr) -> Printed:
        left, right = self._number(node.this), self._number(node.expression)
        may_be_zero = isinstance(node, exp.Div | exp.IntDiv | exp.Mod)
        divisor = f"nullif({right.text}, 0)" if may_be_zero else right.text
        text = f"({left.text} {_ARITHMETIC[type(node)]} {divisor})"
        return Printed(text, "number", left.places | right.places, partial=True)

    def _numeric(self, node: exp.Expr) -> Printed:
        value = self._number(node.this)
        text = f"{_NUMERIC_FUNCTIONS[type(node)]}({value.text})"
        guard = _GUARDS.get(type(node))
        guarded = text if guard is None else f"CASE WHEN ({value.text} {guard}) THEN {text} END"
        return Printed(guarded, "number", value.places, partial=True)

    def _textual(self, node: exp.Expr) -> Printed:
        value = self._of_kind(node.this, "text")
        return Printed(f"{_TEXT_FUNCTIONS[type(node)]}({value.text})", "text", value.places, value.partial)

    def _rounded(self, node: exp.Expr) -> Printed:
        value = self._number(node.this)
        digits = node.args.get("decimals")
        places = "0" if digits is None else constant_of(digits, self._scope).whole_text(-18, 18)
        return Printed(f"round({value.text}, {places})", "number", value.places, partial=True)

    def _case(self, node: exp.Expr) -> Printed:
        if node.this is not None:
            raise forbidden(
                "case_form", "CASE column WHEN value is not on the list", why="one form is enough to check",
                remedy="write CASE WHEN column = value THEN …",
            )  # fmt: skip
        branches = [(self.predicate(branch.this), self.scalar(branch.args["true"])) for branch in node.args["ifs"]]
        otherwise = node.args.get("default")
        return self._cases(branches, None if otherwise is None else self.scalar(otherwise))

    def _if(self, node: exp.Expr) -> Printed:
        otherwise = node.args.get("false")
        branch = (self.predicate(node.this), self.scalar(node.args["true"]))
        return self._cases([branch], None if otherwise is None else self.scalar(otherwise))

    def _cases(self, branches: list[tuple[Printed, Printed]], otherwise: Printed | None) -> Printed:
        values = [value for _, value in branches] + ([] if otherwise is None else [otherwise])
        whens = " ".join(f"WHEN {condition.text} THEN {value.text}" for condition, value in branches)
        end = "" if otherwise is None else f" ELSE {otherwise.text}"
        conditions = [condition for condition, _ in branches]
        return _together(f"CASE {whens}{end} END", values, also=conditions)

    def _coalesced(self, node: exp.Expr) -> Printed:
        values = [self.scalar(value) for value in (node.this, *node.expressions)]
        return _together(f"coalesce({', '.join(value.text for value in values)})", values)

    def _extreme(self, node: exp.Expr) -> Printed:
        values = [self.scalar(value) for value in (node.this, *node.expressions)]
        name = "least" if isinstance(node, exp.Least) else "greatest"
        return _together(f"{name}({', '.join(value.text for value in values)})", values)

    def _nullif(self, node: exp.Expr) -> Printed:
        values = [self.scalar(node.this), self.scalar(node.expression)]
        return _together(f"nullif({values[0].text}, {values[1].text})", values)

    def _truncated(self, node: exp.Expr) -> Printed:
        unit = _unit(_word(node.args["unit"]))
        value = self._time(node.this)
        name = "DATE" if value.kind == "date" else "TIMESTAMPTZ"
        text = f"TRY_CAST(date_trunc('{unit}', {value.text}) AS {name})"
        return Printed(text, value.kind, value.places, partial=True)

    def _part(self, unit: str, node: exp.Expr) -> Printed:
        value = self._time(node)
        return Printed(f"date_part('{_unit(unit)}', {value.text})", "number", value.places, partial=True)

    def _difference(self, node: exp.Expr) -> Printed:
        unit = _unit(_word(node.args["unit"]))
        # The parser turns the two times around: `this` is the later one.
        later, earlier = self._time(node.this), self._time(node.expression)
        text = f"date_diff('{unit}', {earlier.text}, {later.text})"
        return Printed(text, "number", later.places | earlier.places, partial=True)

    def _cast(self, node: exp.Expr) -> Printed:
        target = _CASTS.get(node.args["to"].this.name)
        if target is None or node.args["to"].expressions:
            raise forbidden(
                "cast", "a cast to a type that is not on the list", why="only declared types can be cast to",
                remedy="cast to bigint, double, varchar, boolean, date or timestamptz",
            )  # fmt: skip
        name, kind = target
        if isinstance(node.this, exp.Literal) and kind in {"date", "timestamp"}:
            constant = constant_of(node.this, self._scope).as_kind(kind)
            return Printed(constant.text, constant.kind, constant=constant)
        value = self.scalar(node.this)
        return Printed(f"TRY_CAST({value.text} AS {name})", kind, value.places, value.partial)

    def _anonymous(self, node: exp.Expr) -> Printed:
        match str(node.this).lower(), node.expressions:
            case "date_part", [exp.Literal(is_string=True) as unit, value]:
                return self._part(unit.this, value)
            case _:
                raise forbidden(
                    "not_in_row", f"{node.this} stands where a value of one row is wanted",
                    why="conditions and groupings look at one row at a time",
                    remedy="write date_part('year', column) or another function that docs/sql lists",
                )  # fmt: skip

    # -- conditions --------------------------------------------------------------------------------------------

    def _joined(self, node: exp.Expr, word: str) -> Printed:
        left, right = self.predicate(node.this), self.predicate(node.expression)
        return Printed(f"({left.text} {word} {right.text})", "boolean", left.places | right.places)

    def _not(self, node: exp.Expr) -> Printed:
        inner = self.predicate(node.this)
        return Printed(f"(NOT {inner.text})", "boolean", inner.places)

    def _comparison(self, node: exp.Expr) -> Printed:
        left, right = compared([self.scalar(node.this), self.scalar(node.expression)])
        text = f"({left.total} {_COMPARISONS[type(node)]} {right.total})"
        return Printed(text, "boolean", left.places | right.places)

    def _between(self, node: exp.Expr) -> Printed:
        sides = [self.scalar(node.this), self.scalar(node.args["low"]), self.scalar(node.args["high"])]
        value, low, high = compared(sides)
        text = f"({value.total} BETWEEN {low.total} AND {high.total})"
        return Printed(text, "boolean", value.places | low.places | high.places)

    def _in(self, node: exp.Expr) -> Printed:
        if not node.expressions:
            raise forbidden(
                "in", "IN without a list of constants", why="subqueries have no contributors that could be counted",
                remedy="write column IN (constant, …)",
            )  # fmt: skip
        value, *listed = compared([self.scalar(part) for part in (node.this, *node.expressions)])
        if any(part.constant is None for part in listed):
            raise _wrong_kind("an entry of IN", "a constant")
        return Printed(f"({value.total} IN ({', '.join(part.text for part in listed)}))", "boolean", value.places)

    def _is(self, node: exp.Expr) -> Printed:
        value = self.scalar(node.this)
        words = {exp.Null: "NULL", exp.Boolean: "TRUE" if node.expression.this else "FALSE"}
        word = words.get(type(node.expression))
        if word is None or (word != "NULL" and value.kind != "boolean"):
            raise _wrong_kind("the right side of IS", "NULL, TRUE or FALSE")
        return Printed(f"({value.total} IS {word})", "boolean", value.places)

    def _like(self, node: exp.Expr) -> Printed:
        value = self._of_kind(node.this, "text")
        pattern = node.expression
        if not (isinstance(pattern, exp.Literal) and pattern.is_string):
            raise _wrong_kind("the pattern of LIKE", "a constant text")
        return Printed(f"({value.total} LIKE {constant_of(pattern, self._scope).text})", "boolean", value.places)

    # -- kinds -------------------------------------------------------------------------------------------------

    def _number(self, node: exp.Expr) -> Printed:
        return self._of_kind(node, "number")

    def _of_kind(self, node: exp.Expr, kind: Kind) -> Printed:
        value = self.scalar(node)
        if value.kind != kind:
            raise _wrong_kind(f"an operand of kind {value.kind}", f"one of kind {kind}")
        return value

    def _time(self, node: exp.Expr) -> Printed:
        value = self.scalar(node)
        if value.kind not in {"date", "timestamp"}:
            raise _wrong_kind(f"an operand of kind {value.kind}", "a date or a timestamp")
        return value


def compared(sides: list[Printed]) -> list[Printed]:
    """Return the sides of a comparison, constants in the kind of the others and within their column's domain."""
    kinds = {side.kind for side in sides if side.constant is None}
    if not any(side.places for side in sides):
        raise forbidden(
            "constant_comparison", "a comparison of constants", why="it chooses no rows by what the contract declares",
            remedy="compare a filterable column with a constant",
        )  # fmt: skip
    if len(kinds) != 1:
        raise _wrong_kind("a comparison of different kinds", "the same kind on each side")
    (kind,) = kinds
    settled = [_settled(side, kind) for side in sides]
    places = [side.place for side in sides if side.place is not None]
    for constant in (side.constant for side in settled if side.constant is not None):
        for place in places:
            constant.check_within(place.column)
    return settled


def _settled(side: Printed, kind: Kind) -> Printed:
    if side.constant is None:
        return side
    constant = side.constant.as_kind(kind)
    return Printed(constant.text, constant.kind, constant=constant)


def _together(text: str, values: list[Printed], *, also: list[Printed] | None = None) -> Printed:
    kinds = {value.kind for value in values} - {"null"}
    if len(kinds) != 1:
        raise _wrong_kind("values of different kinds", "values of one kind")
    places = frozenset[Place]().union(*(value.places for value in values), *(one.places for one in also or []))
    return Printed(text, kinds.pop(), places, any(value.partial for value in values))


def _word(node: exp.Expr) -> str:
    return str(node.this).lower()


def _unit(word: str) -> str:
    if word.lower() not in UNITS:
        raise forbidden(
            "unit", "a part of a date that is not on the list", why="finer parts single out rows",
            remedy=f"write one of: {', '.join(sorted(UNITS))}",
        )  # fmt: skip
    return word.lower()


def _wrong_kind(found: str, wanted: str) -> Exception:
    return forbidden(
        "kind", f"{found} cannot stand here", why="the engine would fail on it, and its errors speak of data",
        remedy=f"write {wanted}",
    )  # fmt: skip
