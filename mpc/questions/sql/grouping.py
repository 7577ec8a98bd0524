"""SELECT and GROUP BY: which output columns are groupings, which are aggregates, and over which sets."""

import itertools
from dataclasses import dataclass

from sqlglot import exp

from mpc.errors import Forbidden
from mpc.questions.sql.aggregates import is_aggregate
from mpc.questions.sql.checked import GroupKey
from mpc.questions.sql.expressions import Kind, Printed, RowExpressions
from mpc.questions.sql.refusals import forbidden
from mpc.questions.sql.scope import Place, Scope, name_of

KEYS_MAX = 16
SETS_MAX = 64
ROWS = "rows"
"""The count that a question without aggregates gets: SELECT DISTINCT becomes GROUP BY, and its groups are counted."""

Sets = list[tuple[int, ...]]


@dataclass(frozen=True)
class Grouping:
    """Keys with their kinds, grouping sets as tuples of key positions, and aggregates still to be checked.

    ``columns`` are the output columns in the order that they were written, for ordinals.
    """

    keys: tuple[GroupKey, ...]
    kinds: tuple[Kind, ...]
    sets: tuple[tuple[int, ...], ...]
    measures: tuple[tuple[str | None, exp.Expr], ...]
    columns: tuple[tuple[str | None, exp.Expr], ...]

    def key_at(self, text: str) -> int | None:
        """Return the position of the key that is printed as ``text``, or None."""
        return next((i for i, key in enumerate(self.keys) if key.text == text), None)


def read_grouping(select: exp.Select, scope: Scope) -> Grouping:
    """Return what ``select`` groups by and what it aggregates, or raise ``Forbidden``."""
    columns = tuple(_output(node) for node in select.expressions)
    selected = [(alias, node) for alias, node in columns if not is_aggregate(node)]
    measures = tuple((alias, node) for alias, node in columns if is_aggregate(node))
    printed = [_key(alias, node, scope) for alias, node in selected]
    keys, kinds = tuple(key for key, _ in printed), tuple(kind for _, kind in printed)
    if len(keys) > KEYS_MAX:
        raise forbidden(
            "keys", "too many groupings", why="cells with so many properties hold one person each",
            remedy=f"group by at most {KEYS_MAX} columns",
        )  # fmt: skip
    distinct = select.args.get("distinct") is not None
    if not measures:
        if not distinct and select.args.get("group") is None:
            raise _not_grouped(keys[0].name if keys else "it")
        measures = ((ROWS, exp.Count(this=exp.Star())),)
    grouping = Grouping(keys, kinds, (tuple(range(len(keys))),), measures, columns)
    return _with_sets(select, scope, grouping, distinct=distinct)


def _with_sets(select: exp.Select, scope: Scope, grouping: Grouping, *, distinct: bool) -> Grouping:
    group = select.args.get("group")
    if group is None:
        if grouping.keys and not distinct:
            raise _not_grouped(grouping.keys[0].name)
        return grouping
    if group.args.get("all"):
        return grouping
    sets = _GroupingSets(scope, grouping).of(group.expressions)
    grouped = set(itertools.chain.from_iterable(sets))
    ungrouped = next((key.name for i, key in enumerate(grouping.keys) if i not in grouped), None)
    if ungrouped is not None:
        raise _not_grouped(ungrouped)
    return Grouping(grouping.keys, grouping.kinds, tuple(dict.fromkeys(sets)), grouping.measures, grouping.columns)


def _output(node: exp.Expr) -> tuple[str | None, exp.Expr]:
    if isinstance(node, exp.Alias):
        return name_of(node.args["alias"], what="an output column"), node.this.unnest()
    return None, node.unnest()


def _key(alias: str | None, node: exp.Expr, scope: Scope) -> tuple[GroupKey, Kind]:
    if any(is_aggregate(inner) for inner in node.walk()):
        raise forbidden(
            "aggregate_arithmetic", "an output column computes with aggregates",
            why="its contributors would be those of none of them", remedy="select each aggregate by itself",
        )  # fmt: skip
    printed = RowExpressions(scope, "grouped").scalar(node)
    place = _one_place(printed)
    if alias is None:
        if printed.place is None:
            raise forbidden(
                "output_name", "a grouping has no name", why="a recipient would not know what it is",
                remedy="name it with AS",
            )  # fmt: skip
        alias = printed.place.column.name
    scope.record(place, "returned")
    return GroupKey(alias, printed.total, place.alias, place.column.name), printed.kind


def _one_place(printed: Printed) -> Place:
    if len(printed.places) != 1 or printed.kind == "null":
        raise forbidden(
            "grouping_columns", "a grouping is over none or several columns",
            why="each is a band or a part of one filterable column", remedy="group by each column by itself",
        )  # fmt: skip
    (place,) = printed.places
    return place


class _GroupingSets:
    """Reads the list after GROUP BY: expressions, ordinals, output names, GROUPING SETS, ROLLUP and CUBE."""

    def __init__(self, scope: Scope, grouping: Grouping) -> None:
        self._scope = scope
        self._grouping = grouping

    def of(self, nodes: list[exp.Expr]) -> Sets:
        """Return the sets of a list: every combination of one set of each entry."""
        sets: Sets = [()]
        for node in nodes:
            each = self._entry(node)
            if len(sets) * len(each) > SETS_MAX:
                raise _too_many_sets()
            sets = [_merged(left, right) for left in sets for right in each]
        return sets

    def _entry(self, node: exp.Expr) -> Sets:
        match node:
            case exp.GroupingSets():
                sets = [one for entry in node.expressions for one in self._entry(entry)]
            case exp.Rollup():
                parts = [self._together(part) for part in node.expressions]
                sets = [_merged(*parts[:length]) for length in range(len(parts), -1, -1)]
            case exp.Cube():
                parts = [self._together(part) for part in node.expressions]
                if 1 << len(parts) > SETS_MAX:
                    raise _too_many_sets()
                chosen = (itertools.combinations(parts, size) for size in range(len(parts), -1, -1))
                sets = [_merged(*some) for some in itertools.chain.from_iterable(chosen)]
            case _:
                sets = [self._together(node)]
        if len(sets) > SETS_MAX:
            raise _too_many_sets()
        return sets

    def _together(self, node: exp.Expr) -> tuple[int, ...]:
        if isinstance(node, exp.Tuple):
            return _merged(*(self._together(part) for part in node.expressions))
        return (self._position(node.unnest()),)

    def _position(self, node: exp.Expr) -> int:
        if isinstance(node, exp.Literal) and not node.is_string:
            return self._ordinal(node)
        if isinstance(node, exp.Column) and node.args.get("table") is None and self._scope.find(node) is None:
            named = next((i for i, key in enumerate(self._grouping.keys) if key.name == node.name.lower()), None)
            if named is not None:
                self._scope.met.add(id(node))
                return named
        printed = RowExpressions(self._scope, "grouped").scalar(node)
        position = self._grouping.key_at(printed.total)
        if position is None:
            raise forbidden(
                "grouping_not_selected", "a grouping is not among the output columns",
                why="disclosure control needs every key of a cell", remedy="select every grouping",
            )  # fmt: skip
        return position

    def _ordinal(self, node: exp.Literal) -> int:
        columns = self._grouping.columns
        if node.this.isdigit() and len(node.this) <= 3 and 1 <= int(node.this) <= len(columns):  # noqa: PLR2004
            wanted = columns[int(node.this) - 1][1]
            if not is_aggregate(wanted):
                earlier = [output for _, output in columns[: int(node.this) - 1] if not is_aggregate(output)]
                return len(earlier)
        raise forbidden(
            "ordinal", "GROUP BY has a number that is no grouping's position", why="it names an output column",
            remedy="write the column's name",
        )  # fmt: skip


def _merged(*parts: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(itertools.chain.from_iterable(parts))))


def _too_many_sets() -> Forbidden:
    return forbidden(
        "grouping_sets", "too many grouping sets", why="every set is counted", remedy=f"write at most {SETS_MAX} sets"
    )


def _not_grouped(name: str) -> Forbidden:
    return forbidden(
        "not_grouped", f"{name} is selected, which is neither grouped by nor aggregated",
        why="it would be a value of one row", remedy=f"write GROUP BY {name}, or aggregate it",
    )  # fmt: skip
