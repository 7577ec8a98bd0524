"""The second opinion: DuckDB's own parser has to see in a statement nothing but what the list allows.

``check_sql`` read the question with another parser than the one that runs it. Where the two would differ, this one
decides: the statement is serialised by ``json_serialize_sql`` and every node of it held against lists of node types
and functions. Nothing is executed for that.
"""

import json
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from mpc.errors import Forbidden

_FUNCTIONS = frozenset({
    "+", "-", "*", "/", "//", "%", "~~", "abs", "floor", "ceil", "round", "ln", "sqrt", "least", "greatest",
    "nullif", "lower", "upper", "trim", "date_trunc", "date_part", "date_diff",
    "count", "count_star", "sum", "avg", "stddev_samp", "stddev_pop", "var_samp", "var_pop", "covar_pop",
    "covar_samp", "corr", "regr_slope", "regr_intercept", "regr_r2", "regr_count", "regr_avgx", "regr_avgy",
    "regr_sxx", "regr_sxy", "regr_syy", "quantile_cont", "skewness", "kurtosis",
})  # fmt: skip
_COUNTING_FUNCTIONS = frozenset({"count_if", "bool_or", "min", "max", "isfinite"})
_EXPRESSIONS = frozenset({
    "COLUMN_REF", "VALUE_CONSTANT", "VALUE_PARAMETER", "FUNCTION", "CASE_EXPR", "OPERATOR_CAST", "OPERATOR_TRY",
    "OPERATOR_COALESCE", "OPERATOR_NOT", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL", "COMPARE_IN", "COMPARE_BETWEEN",
    "COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_LESSTHAN", "COMPARE_GREATERTHAN", "COMPARE_LESSTHANOREQUALTO",
    "COMPARE_GREATERTHANOREQUALTO", "COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM", "CONJUNCTION_AND",
    "CONJUNCTION_OR", "GROUPING_FUNCTION", "OPERATOR_IS_TRUE", "OPERATOR_IS_FALSE",
})  # fmt: skip
_STRUCTURE = frozenset({"SELECT_NODE", "BASE_TABLE", "JOIN", "ORDER_MODIFIER", "TYPE"})
_COUNTING_STRUCTURE = frozenset({"SUBQUERY", "SET_OPERATION_NODE"})
_NEVER_SET = ("sample", "qualify", "having", "at_clause", "ranking_expression", "modifiers", "orders", "export_state")
_ALWAYS: dict[str, set[object]] = {
    "join_type": {"INNER", "LEFT"},
    "ref_type": {"REGULAR"},
    "setop_type": {"UNION"},
    "setop_all": {True},
    "aggregate_handling": {"STANDARD_HANDLING"},
    "schema": {""},
    "catalog": {""},
    "schema_name": {""},
    "catalog_name": {""},
}

Serialise = Callable[[str], str]


def confirm_question(serialise: Serialise, text: str, datasets: AbstractSet[str]) -> None:
    """Raise ``Forbidden`` unless ``text``, the question as it was printed, is made of what a question may use."""
    root = _parsed(serialise(text))
    if root.get("type") != "SELECT_NODE" or root["cte_map"]["map"]:
        raise _unconfirmed("statement")
    _confirm(root, datasets, _EXPRESSIONS | _STRUCTURE, _FUNCTIONS)


def confirm_statement(serialise: Serialise, text: str, relations: AbstractSet[str]) -> None:
    """Raise ``Forbidden`` unless ``text``, the statement that runs, adds to that only what counting needs."""
    types = _EXPRESSIONS | _STRUCTURE | _COUNTING_STRUCTURE
    _confirm(_parsed(serialise(text)), relations, types, _FUNCTIONS | _COUNTING_FUNCTIONS)


def _parsed(serialised: str) -> dict[str, Any]:
    parsed = json.loads(serialised)
    if parsed.get("error") is not False or len(parsed.get("statements", ())) != 1:
        raise _unconfirmed("statement")
    root: dict[str, Any] = parsed["statements"][0]["node"]
    return root


def _confirm(
    root: dict[str, Any], tables: AbstractSet[str], types: AbstractSet[str], functions: AbstractSet[str]
) -> None:
    for node in _nodes(root):
        if isinstance(node.get("type"), str) and node["type"] not in types:
            raise _unconfirmed("type")
        if node.get("type") == "FUNCTION" and node["function_name"] not in functions:
            raise _unconfirmed("function")
        if node.get("type") == "FUNCTION" and node["distinct"] and node["function_name"] != "count":
            raise _unconfirmed("distinct")
        if node.get("type") == "BASE_TABLE" and node["table_name"] not in tables:
            raise _unconfirmed("table")
        if any(node.get(part) for part in _NEVER_SET):
            raise _unconfirmed("clause")
        if any(part in node and node[part] not in allowed for part, allowed in _ALWAYS.items()):
            raise _unconfirmed("form")


def _nodes(root: object) -> Iterator[dict[str, Any]]:
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def _unconfirmed(field: str) -> Forbidden:
    return Forbidden(
        "sql.unconfirmed", "the engine's own parser reads the question otherwise than it was checked",
        why="both have to agree on every part", remedy="write the question more plainly; docs/sql lists the forms",
        field=field,
    )  # fmt: skip
