"""Aggregates: what may be computed over a group, and which rows stand behind it.

An argument is one column, or + - * of columns of one source. Literals and conditions are kept out: with them one
person's value can be written into the low digits of everybody's sum. What is left can still be aimed: in
``sum(a * flag + b)`` the second term hides the first from a count, and ``sum(b)`` next to it takes the second away.
So an argument is multiplied out, and the subjects behind *each* term are counted on their own.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from mpc.errors import Forbidden
from mpc.questions.sql.checked import MeasureKind, Partial, SqlMeasure
from mpc.questions.sql.expressions import KINDS, RowExpressions
from mpc.questions.sql.refusals import forbidden
from mpc.questions.sql.scope import Place, Scope
from mpc.questions.uses import Role

TERMS_MAX = 16
FACTORS_MAX = 2
"""Columns in a product. A sum of high powers is nearly that of the largest value, so it would tell the maximum."""
QUANTILE_LOW, QUANTILE_HIGH = 0.05, 0.95

_ONE: dict[type[exp.Expr], tuple[str, MeasureKind]] = {
    exp.Sum: ("sum", "sum"), exp.Avg: ("avg", "mean"),
    exp.Stddev: ("stddev_samp", "spread"), exp.StddevSamp: ("stddev_samp", "spread"),
    exp.StddevPop: ("stddev_pop", "spread"), exp.Variance: ("var_samp", "spread"),
    exp.VariancePop: ("var_pop", "spread"), exp.Skewness: ("skewness", "moment"), exp.Kurtosis: ("kurtosis", "moment"),
}  # fmt: skip
_TWO: dict[type[exp.Expr], tuple[str, MeasureKind]] = {
    exp.CovarPop: ("covar_pop", "association"), exp.CovarSamp: ("covar_samp", "association"),
    exp.Corr: ("corr", "association"), exp.RegrSlope: ("regr_slope", "association"),
    exp.RegrIntercept: ("regr_intercept", "association"), exp.RegrR2: ("regr_r2", "association"),
    exp.RegrCount: ("regr_count", "count"), exp.RegrAvgx: ("regr_avgx", "mean"), exp.RegrAvgy: ("regr_avgy", "mean"),
    exp.RegrSxx: ("regr_sxx", "association"), exp.RegrSxy: ("regr_sxy", "association"),
    exp.RegrSyy: ("regr_syy", "association"),
}  # fmt: skip
_QUANTILES = (exp.PercentileCont, exp.Quantile, exp.Median)
AGGREGATES: tuple[type[exp.Expr], ...] = (*_ONE, *_TWO, *_QUANTILES, exp.Count, exp.CountIf, exp.Filter)

Term = tuple[Place, ...]


@dataclass(frozen=True)
class Argument:
    """An aggregate's argument, printed, and multiplied out into ``terms``, each a product of columns."""

    text: str
    terms: tuple[Term, ...]

    @property
    def places(self) -> frozenset[Place]:
        """Every column in the argument."""
        return frozenset(itertools.chain.from_iterable(self.terms))

    @property
    def is_bare(self) -> bool:
        """Whether the argument is one column as it is."""
        return len(self.terms) == 1 and len(self.terms[0]) == 1

    @property
    def products(self) -> tuple[str, ...]:
        """The terms, printed, each once."""
        return tuple(dict.fromkeys(_product(term) for term in self.terms))

    @property
    def conditions(self) -> tuple[str, ...]:
        """One condition a product: the argument is there, and the product adds something to it."""
        there = "" if self.is_bare else f"{self.text} IS NOT NULL AND "
        return tuple(f"({there}{product} <> 0)" for product in self.products)

    @property
    def is_there(self) -> str:
        """The condition that all columns of the argument are there, where that is not the product's own."""
        return "TRUE" if self.is_bare else f"({self.text} IS NOT NULL)"

    def weighed(self, there: str) -> tuple[tuple[str, str], ...]:
        """Return each product with the condition ``there`` under which it weighs."""
        return tuple((product, there) for product in self.products)


@dataclass(frozen=True)
class Aggregate:
    """An aggregate that was checked, before it has a name and a FILTER."""

    text: str
    kind: MeasureKind
    argument: str
    conditions: tuple[str, ...]
    aliases: frozenset[str]
    partial: Partial | None
    result: Literal["BIGINT", "DOUBLE", "DECIMAL"]
    extensive: bool
    unit: str | None = None
    quantile: bool = False
    weighed: tuple[tuple[str, str], ...] = ()

    def measure(self, name: str, filter_text: str | None, sources: tuple[str, ...]) -> SqlMeasure:
        """Return the aggregate as the measure ``name`` over the rows where ``filter_text`` holds."""
        over = "" if filter_text is None else f" FILTER (WHERE {filter_text})"
        return SqlMeasure(
            name=name, kind=self.kind, text=self.text + over, filter=filter_text, argument=self.argument,
            conditions=self.conditions, sources=sources, partial=self.partial, result=self.result,
            extensive=self.extensive, unit=self.unit, quantile=self.quantile, weighed=self.weighed,
        )  # fmt: skip


def is_aggregate(node: exp.Expr) -> bool:
    """Whether ``node`` is an aggregate, with or without FILTER."""
    return isinstance(node, AGGREGATES) or (isinstance(node, exp.Anonymous) and str(node.this).lower() == "mean")


def split_filter(node: exp.Expr, scope: Scope) -> tuple[exp.Expr, str | None, frozenset[str]]:
    """Return the aggregate without its FILTER, the printed condition, and the aliases that occur in it."""
    conditions = []
    if isinstance(node, exp.Filter):
        conditions.append(node.expression.this)
        node = node.this
    if isinstance(node, exp.CountIf):
        # count_if(c) is count(*) FILTER (WHERE c) by another name, and is held to the same rules.
        conditions.append(node.this)
        node = exp.Count(this=exp.Star())
    if not conditions:
        return node, None, frozenset()
    printed = [RowExpressions(scope, "filtered").predicate(condition) for condition in conditions]
    places = frozenset[Place]().union(*(one.places for one in printed))
    return node, " AND ".join(one.text for one in printed), frozenset(place.alias for place in places)


def aggregate(node: exp.Expr, scope: Scope) -> Aggregate:
    """Return the aggregate that ``node`` spells, or raise ``Forbidden``."""
    if isinstance(node, exp.Anonymous) and len(node.expressions) == 1:
        node = exp.Avg(this=node.expressions[0])
    if isinstance(node, exp.Count):
        return _count(node, scope)
    if isinstance(node, _QUANTILES):
        return _quantile(node, scope)
    if type(node) in _ONE:
        return _one(node, scope)
    if type(node) in _TWO:
        return _two(node, scope)
    raise forbidden(
        "not_aggregate", f"{type(node).__name__} is selected, which is neither a grouping nor an aggregate",
        why="only aggregates and what is grouped by leave", remedy="write it into GROUP BY, or aggregate it",
    )  # fmt: skip


def _count(node: exp.Count, scope: Scope) -> Aggregate:
    what = node.this
    if isinstance(what, exp.Star):
        return Aggregate("count(*)", "count", "*", ("TRUE",), frozenset(), "count", "BIGINT", extensive=True)
    if isinstance(what, exp.Distinct):
        place = _bare_column(what.expressions, scope, "counted")
        text = f"count(DISTINCT {place.text})"
        # Distinct counts add up wherever nobody is in two groups, so a hidden one could be derived from margins.
        return Aggregate(
            text, "count", f"DISTINCT {place.text}", (f"({place.text} IS NOT NULL)",), frozenset({place.alias}),
            None, "BIGINT", extensive=True,
        )  # fmt: skip
    place = _bare_column([what], scope, "aggregated")
    _refuse_key(place)
    condition = f"({place.text} IS NOT NULL)"
    text = f"count({place.text})"
    aliases = frozenset({place.alias})
    return Aggregate(text, "count", place.text, (condition,), aliases, "count", "BIGINT", extensive=True)


def _one(node: exp.Expr, scope: Scope) -> Aggregate:
    name, kind = _ONE[type(node)]
    argument = _argument(node.this, scope)
    whole = all(place.column.type == "integer" for place in argument.places)
    exact = all(place.column.type in {"integer", "decimal"} for place in argument.places)
    is_sum = kind == "sum"
    result: Literal["BIGINT", "DOUBLE", "DECIMAL"] = "DOUBLE"
    if is_sum and exact:
        result = "BIGINT" if whole else "DECIMAL"
    partial: Partial | None = {"sum": "sum", "mean": "mean"}.get(kind)  # type: ignore[assignment]
    return Aggregate(
        f"{name}({argument.text})", kind, argument.text, argument.conditions, _aliases(argument.places), partial,
        result, extensive=is_sum, unit=_unit(argument, kind), weighed=argument.weighed(argument.is_there),
    )  # fmt: skip


def _two(node: exp.Expr, scope: Scope) -> Aggregate:
    name, kind = _TWO[type(node)]
    first, second = _argument(node.this, scope), _argument(node.expression, scope)
    texts = f"{first.text}, {second.text}"
    both = f"{first.text} IS NOT NULL AND {second.text} IS NOT NULL"
    if name == "regr_count":
        conditions: tuple[str, ...] = (f"({both})",)
    else:
        # E[x * y] stands in every association: a term counts where it and the other side are there and not zero.
        pairs = itertools.product(first.terms, second.terms)
        conditions = tuple(dict.fromkeys(f"({both} AND {_product((*a, *b))} <> 0)" for a, b in pairs))
    aliases = _aliases(first.places | second.places)
    result: Literal["BIGINT", "DOUBLE"] = "BIGINT" if kind == "count" else "DOUBLE"
    averaged = {"regr_avgy": first, "regr_avgx": second}.get(name)
    return Aggregate(
        f"{name}({texts})", kind, texts, conditions, aliases, None, result, extensive=kind == "count",
        weighed=() if averaged is None else averaged.weighed(f"({both})"),
    )  # fmt: skip


def _quantile(node: exp.Expr, scope: Scope) -> Aggregate:
    if isinstance(node, exp.Median):
        at = "0.5"
    else:
        level = node.args.get("quantile") if isinstance(node, exp.Quantile) else node.expression
        at = level.this if isinstance(level, exp.Literal) and not level.is_string else ""
    try:
        within = QUANTILE_LOW <= float(at) <= QUANTILE_HIGH
    except ValueError:
        within = False
    if not within:
        raise forbidden(
            "quantile", "a quantile outside of 0.05 to 0.95", why="minimum and maximum are one person's value",
            remedy="write quantile_cont(column, p) with one plain p from 0.05 to 0.95",
        )  # fmt: skip
    place = _number_column(node.this, scope)
    return Aggregate(
        f"quantile_cont({place.text}, {at})", "quantile", place.text, (f"({place.text} IS NOT NULL)",),
        frozenset({place.alias}), None, "DOUBLE", extensive=False, unit=place.column.unit, quantile=True,
    )  # fmt: skip


def _argument(node: exp.Expr, scope: Scope) -> Argument:
    text, terms = _expanded(node, scope)
    argument = Argument(text, terms)
    if len(_aliases(argument.places)) > 1:
        raise forbidden(
            "argument_sources", "an aggregate's argument mixes columns of several sources",
            why="a value of one person could be picked out by another source's column",
            remedy="aggregate columns of one source, each in its own aggregate",
        )  # fmt: skip
    if argument.is_bare:
        return argument
    # Whole numbers and decimals may overflow, and an abort would speak of a row.
    return Argument(f"TRY({text})", terms)


def _expanded(node: exp.Expr, scope: Scope) -> tuple[str, tuple[Term, ...]]:
    match node:
        case exp.Column():
            place = _number_column(node, scope)
            return place.text, ((place,),)
        case exp.Paren() | exp.Try():
            return _expanded(node.this, scope)
        case exp.Neg():
            text, terms = _expanded(node.this, scope)
            return f"(-{text})", terms
        case exp.Add() | exp.Sub():
            (left, some), (right, others) = _expanded(node.this, scope), _expanded(node.expression, scope)
            return f"({left} {'+' if isinstance(node, exp.Add) else '-'} {right})", _bounded((*some, *others))
        case exp.Mul():
            (left, some), (right, others) = _expanded(node.this, scope), _expanded(node.expression, scope)
            return f"({left} * {right})", _bounded(a + b for a, b in itertools.product(some, others))
        case _:
            raise forbidden(
                "argument", f"{type(node).__name__} stands in the argument of an aggregate",
                why="with constants and conditions one person's value can be hidden in everybody's result",
                remedy="aggregate one column, or + - * of columns; choose rows with WHERE or FILTER",
            )  # fmt: skip


def _bounded(terms: Iterable[Term]) -> tuple[Term, ...]:
    kept = tuple(itertools.islice(terms, TERMS_MAX + 1))
    if len(kept) > TERMS_MAX:
        raise forbidden(
            "argument_terms", "an aggregate's argument has too many terms", why="the subjects of each are counted",
            remedy=f"write at most {TERMS_MAX} products",
        )  # fmt: skip
    if any(len(term) > FACTORS_MAX for term in kept):
        raise forbidden(
            "argument_factors", "an aggregate's argument multiplies too many columns",
            why="a sum of high powers is nearly the largest person's alone",
            remedy=f"multiply at most {FACTORS_MAX} columns",
        )  # fmt: skip
    return kept


def _bare_column(nodes: list[exp.Expr], scope: Scope, role: Role) -> Place:
    if len(nodes) == 1 and isinstance(nodes[0], exp.Column) and not isinstance(nodes[0].this, exp.Star):
        return scope.use(nodes[0], role)
    raise forbidden(
        "count", "count of something else than one column", why="a count is of rows, or of one column's values",
        remedy="write count(*), count(column) or count(DISTINCT column)",
    )  # fmt: skip


def _number_column(node: exp.Expr, scope: Scope) -> Place:
    if not isinstance(node, exp.Column):
        raise forbidden(
            "argument", f"{type(node).__name__} stands where one column is wanted",
            why="values of one person could be picked out", remedy="write one column",
        )  # fmt: skip
    place = scope.use(node, "aggregated")
    _refuse_key(place)
    if KINDS[place.column.type] != "number":
        raise forbidden(
            "kind", f"{place.column.name} is no number", why="the engine would fail on it, and its errors speak",
            remedy="aggregate a number; other columns can be counted",
        )  # fmt: skip
    return place


def _refuse_key(place: Place) -> None:
    if place.is_key:
        raise _key(place)


def _key(place: Place) -> Forbidden:
    return forbidden(
        "key_column", f"{place.column.name} is a subject or identifier column in an aggregate",
        why="its values tell who somebody is", remedy="write count(DISTINCT …) of it",
    )  # fmt: skip


def _aliases(places: Iterable[Place]) -> frozenset[str]:
    return frozenset(place.alias for place in places)


def _product(term: Term) -> str:
    columns = [place.text for place in term]
    return columns[0] if len(columns) == 1 else f"TRY({' * '.join(columns)})"


def _unit(argument: Argument, kind: MeasureKind) -> str | None:
    (place, *others) = argument.places
    if others or not argument.is_bare or kind not in {"sum", "mean"}:
        return None
    return place.column.unit
