"""Text to tree: one SELECT, of bounded size, made of nothing but nodes and parts on the list.

The list names what may stand in a question, and for each node which of its parts may be set. Whatever a parser
learns to read tomorrow is refused today, as it is not on it.
"""

from collections.abc import Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from mpc.errors import Malformed
from mpc.questions.sql.refusals import forbidden

TEXT_MAX_CHARACTERS = 20_000
NODES_MAX = 3_000
DEPTH_MAX = 48

_BINARY = frozenset({"this", "expression"})
_UNARY = frozenset({"this"})
_MANY = frozenset({"expressions"})

_TWO_SIDED: tuple[type[exp.Expr], ...] = (
    exp.And, exp.Or, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ,
    exp.Like, exp.Is, exp.Add, exp.Sub, exp.Mul, exp.IntDiv, exp.Mod, exp.Nullif, exp.Extract,
    exp.CovarPop, exp.CovarSamp, exp.Corr, exp.RegrSlope, exp.RegrIntercept, exp.RegrR2, exp.RegrCount,
    exp.RegrAvgx, exp.RegrAvgy, exp.RegrSxx, exp.RegrSxy, exp.RegrSyy, exp.PercentileCont,
)  # fmt: skip
_ONE_SIDED: tuple[type[exp.Expr], ...] = (
    exp.Not, exp.Neg, exp.Try, exp.Abs, exp.Floor, exp.Ceil, exp.Ln, exp.Sqrt, exp.Lower, exp.Upper, exp.Trim,
    exp.Year, exp.Month, exp.Day, exp.Quarter, exp.Sum, exp.Avg, exp.CountIf, exp.Stddev, exp.StddevSamp,
    exp.StddevPop, exp.Variance, exp.VariancePop, exp.Median, exp.Skewness, exp.Kurtosis,
)  # fmt: skip

SHAPES: dict[type[exp.Expr], frozenset[str]] = {
    exp.Select: frozenset(
        {"expressions", "from_", "joins", "where", "group", "having", "order", "limit", "distinct"}
    ),
    exp.From: _UNARY,
    exp.Table: frozenset({"this", "alias"}),
    exp.TableAlias: _UNARY,
    exp.Join: frozenset({"this", "side", "kind", "on", "using"}),
    exp.Where: _UNARY,
    exp.Group: frozenset({"expressions", "all"}),
    exp.GroupingSets: _MANY,
    exp.Rollup: _MANY,
    exp.Cube: _MANY,
    exp.Tuple: _MANY,
    exp.Having: _UNARY,
    exp.Order: _MANY,
    exp.Ordered: frozenset({"this", "desc", "nulls_first"}),
    exp.Limit: frozenset({"expression"}),
    exp.Distinct: _MANY,
    exp.Alias: frozenset({"this", "alias"}),
    exp.Column: frozenset({"this", "table"}),
    exp.Identifier: frozenset({"this", "quoted"}),
    exp.Literal: frozenset({"this", "is_string"}),
    exp.Placeholder: _UNARY,
    exp.Boolean: _UNARY,
    exp.Null: frozenset(),
    exp.Star: frozenset(),
    exp.Paren: _UNARY,
    exp.Var: _UNARY,
    exp.Filter: _BINARY,
} | dict.fromkeys(_TWO_SIDED, _BINARY) | dict.fromkeys(_ONE_SIDED, _UNARY) | {
    exp.Div: frozenset({"this", "expression", "typed", "safe"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.In: frozenset({"this", "expressions"}),
    exp.Case: frozenset({"this", "ifs", "default"}),
    exp.If: frozenset({"this", "true", "false"}),
    exp.Coalesce: frozenset({"this", "expressions"}),
    exp.Least: frozenset({"this", "expressions", "ignore_nulls"}),
    exp.Greatest: frozenset({"this", "expressions", "ignore_nulls"}),
    exp.Round: frozenset({"this", "decimals"}),
    exp.TimestampTrunc: frozenset({"this", "unit"}),
    exp.DateTrunc: frozenset({"this", "unit"}),
    exp.DateDiff: frozenset({"this", "expression", "unit", "date_part_boundary"}),
    exp.Cast: frozenset({"this", "to"}),
    exp.TryCast: frozenset({"this", "to", "safe"}),
    exp.DataType: frozenset({"this", "expressions", "nested"}),
    exp.DataTypeParam: _UNARY,
    exp.Count: frozenset({"this", "big_int"}),
    exp.Quantile: frozenset({"this", "quantile"}),
    exp.Anonymous: frozenset({"this", "expressions"}),
}  # fmt: skip
"""Node classes that may occur, and the parts of each that may be set."""

ANONYMOUS = frozenset({"date_part", "mean"})
"""Functions that the parser does not know by name and that are on the list all the same."""

_INSTEAD: dict[str, str] = {
    "Subquery": "join the datasets by their declared keys",
    "CTE": "join the datasets by their declared keys",
    "With": "join the datasets by their declared keys",
    "Exists": "join the datasets by their declared keys",
    "Window": "GROUP BY the columns of the partition",
    "Min": "quantile_cont(column, 0.05)",
    "Max": "quantile_cont(column, 0.95)",
    "Star": "name the columns; rows are counted by count(*)",
    "Columns": "name the columns",
    "ILike": "lower(column) LIKE 'pattern'",
    "Offset": "LIMIT; the rest of the released table is yours to page through",
    "Grouping": "nothing: a release marks its totals by itself",
    "ApproxDistinct": "count(DISTINCT column)",
}


def parse_select(text: str) -> exp.Select:
    """Return the one SELECT that ``text`` spells, every node of it on the list; else ``Malformed`` or ``Forbidden``."""
    if len(text) > TEXT_MAX_CHARACTERS:
        raise _too_large(f"at most {TEXT_MAX_CHARACTERS} characters")
    select = _only_select(_parse(text))
    for nodes, (node, depth) in enumerate(_with_depth(select), start=1):
        if depth > DEPTH_MAX or nodes > NODES_MAX:
            raise _too_large(f"at most {NODES_MAX} parts, nested at most {DEPTH_MAX} deep")
        _check_shape(node)
    return select


def _where(problem: Exception) -> str:
    """Return where a parser gave up, as far as it knows; never the text that it quotes."""
    if not isinstance(problem, ParseError) or not problem.errors:
        return ""
    line, column = problem.errors[0].get("line"), problem.errors[0].get("col")
    return f", at line {line}, column {column}" if isinstance(line, int) and isinstance(column, int) else ""


def _parse(text: str) -> list[exp.Expr | None]:
    # The parser's own text quotes the question with colours of a terminal in it; a code is enough.
    try:
        return list(sqlglot.parse(text, dialect="duckdb"))
    except (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, IndexError, KeyError) as problem:
        # sqlglot stumbles over hostile text in all of these ways
        where = _where(problem)
    raise Malformed(
        "sql.syntax", "the question cannot be read as SQL", why=f"it does not parse in DuckDB's dialect{where}",
        remedy="write one SELECT of the form that docs/sql describes, and try it on rows of your own first",
    )  # fmt: skip


def _only_select(statements: list[exp.Expr | None]) -> exp.Select:
    match statements:
        case [exp.Select() as select]:
            return select
        case _:
            raise forbidden(
                "statement", "a question is something else than one SELECT",
                why="other statements, several of them and set operations have no contributors that could be counted",
                remedy="write exactly one SELECT over the contract's datasets",
            )  # fmt: skip


def _with_depth(root: exp.Expr) -> Iterator[tuple[exp.Expr, int]]:
    stack: list[tuple[exp.Expr, int]] = [(root, 1)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        stack.extend((child, depth + 1) for child in node.iter_expressions())


def _check_shape(node: exp.Expr) -> None:
    kind = type(node).__name__
    parts = SHAPES.get(type(node))
    unlisted = parts is None or (isinstance(node, exp.Anonymous) and str(node.this).lower() not in ANONYMOUS)
    name = str(node.this).lower() if isinstance(node, exp.Anonymous) else kind
    if unlisted or parts is None:
        raise forbidden(
            "not_listed", f"the question uses {name}", why="it is not on the list of what a question may use",
            remedy=f"write instead: {_INSTEAD.get(kind, 'an aggregate or a function that docs/sql lists')}",
        )  # fmt: skip
    extra = {part for part, value in node.args.items() if value not in (None, False, [])} - parts
    if extra:
        part = min(extra).strip("_").replace("_", " ")
        raise forbidden(
            "not_listed", f"the question uses {kind} with {part}", why="it is not on the list of what may be used",
            remedy=f"leave {part} out; docs/sql lists the forms of {kind}",
        )  # fmt: skip


def _too_large(limit: str) -> Malformed:
    return Malformed(
        "sql.size", "the question is too large", why="checking it must stay cheap for every party",
        remedy=f"ask in several computations, {limit}",
    )  # fmt: skip
