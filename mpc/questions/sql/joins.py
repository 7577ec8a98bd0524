"""FROM and JOIN: datasets of the contract, joined by equality on keys that it declares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sqlglot import exp

from mpc.errors import Forbidden
from mpc.questions.sql.checked import Join
from mpc.questions.sql.refusals import forbidden
from mpc.questions.sql.scope import Place, Scope, name_of
from mpc.table.schema import Dataset

SOURCES_MAX = 8


@dataclass
class From:
    """Joins in their order; the aliases whose rows a join may repeat; those whose join drops and repeats no row.

    A unique key is checked in every upload, but not across owners: where a dataset has several, its rows may repeat
    a key, and counting does not rely on it.
    """

    joins: list[Join] = field(default_factory=list)
    multiplied: set[str] = field(default_factory=set)
    quiet: set[str] = field(default_factory=set)


def read_from(select: exp.Select, scope: Scope, datasets: Mapping[str, Dataset]) -> From:
    """Return the joins of ``select`` and add its sources to ``scope``; ``Forbidden`` for any other kind of FROM."""
    origin = select.args.get("from_")
    if origin is None:
        raise forbidden(
            "no_source", "the question reads no dataset", why="an answer comes from rows", remedy="write FROM a dataset"
        )
    _add_source(origin.this, scope, datasets)
    read = From()
    for node in select.args.get("joins") or []:
        if len(scope.sources) == SOURCES_MAX:
            raise forbidden(
                "sources", "too many sources", why="the subjects of each are counted",
                remedy=f"join at most {SOURCES_MAX}",
            )  # fmt: skip
        _add_join(node, scope, datasets, read)
    return read


def _add_source(node: exp.Expr, scope: Scope, datasets: Mapping[str, Dataset]) -> str:
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise forbidden(
            "source", "FROM names something else than a dataset", why="subqueries read what nobody agreed on",
            remedy=f"write one of: {', '.join(sorted(datasets))}",
        )  # fmt: skip
    name = name_of(node.this, what="a dataset")
    dataset = datasets.get(name)
    if dataset is None:
        raise forbidden(
            "unknown_dataset", f"{name} is no dataset of the contract", why="only agreed datasets can be read",
            remedy=f"write one of: {', '.join(sorted(datasets))}",
        )  # fmt: skip
    named = node.args.get("alias")
    alias = name if named is None else name_of(named.this, what="a source's alias")
    scope.add(alias, dataset)
    return alias


def _add_join(node: exp.Join, scope: Scope, datasets: Mapping[str, Dataset], read: From) -> None:
    kind = _kind(node)
    partners = list(scope.sources)
    alias = _add_source(node.this, scope, datasets)
    pairs = _using(node, scope, partners, alias) if node.args.get("using") else _on(node, scope, alias)
    partner = pairs[0][0].alias
    if any(left.alias != partner for left, _ in pairs):
        raise _not_a_key("a join compares with columns of several sources")
    partner_unique = _is_unique([left for left, _ in pairs])
    own_unique = _is_unique([right for _, right in pairs])
    if not partner_unique and not own_unique:
        raise forbidden(
            "many_to_many", f"the join of {alias} is many to many", why="rows of different people would be paired",
            remedy="join by a key that the contract declares unique on one side",
        )  # fmt: skip
    repeats = not (partner_unique and _one_owner(scope.sources[partner])) or partner in read.multiplied
    if not (own_unique and _one_owner(scope.sources[alias])):
        read.multiplied.update(partners)
    elif kind == "LEFT":
        read.quiet.add(alias)
    if repeats:
        read.multiplied.add(alias)
    condition = " AND ".join(_equal(left, right) for left, right in pairs)
    names = tuple((left.column.name, right.column.name) for left, right in pairs)
    read.joins.append(Join(kind, alias, partner, names, partner_unique, own_unique, condition))


def _kind(node: exp.Join) -> Literal["INNER", "LEFT"]:
    side, kind = (node.args.get("side") or "").upper(), (node.args.get("kind") or "").upper()
    if side == "LEFT" and kind in {"", "OUTER"}:
        return "LEFT"
    if side == "" and kind in {"", "INNER"} and (node.args.get("on") or node.args.get("using")):
        return "INNER"
    raise forbidden(
        "join_kind", "a join that is neither INNER nor LEFT, or has no condition",
        why="its rows would have no subjects that could be counted",
        remedy="write JOIN or LEFT JOIN … ON with equal declared keys",
    )  # fmt: skip


def _using(node: exp.Join, scope: Scope, partners: list[str], alias: str) -> list[tuple[Place, Place]]:
    pairs = []
    for identifier in node.args["using"]:
        name = name_of(identifier, what="a join column")
        lefts = [partner for partner in partners if scope.sources[partner].column(name) is not None]
        right = scope.sources[alias].column(name)
        if len(lefts) != 1 or right is None:
            raise _not_a_key(f"USING ({name}) does not name one column on each side")
        left = Place(lefts[0], scope.sources[lefts[0]], scope.sources[lefts[0]].column(name) or right)
        pairs.append((left, Place(alias, scope.sources[alias], right)))
    for pair in pairs:
        for place in pair:
            scope.record(place, "joined")
    return pairs


def _on(node: exp.Join, scope: Scope, alias: str) -> list[tuple[Place, Place]]:
    pairs = []
    for part in node.args["on"].flatten() if isinstance(node.args["on"], exp.And) else [node.args["on"]]:
        equality = part.unnest()
        if not (
            isinstance(equality, exp.EQ)
            and isinstance(equality.this, exp.Column)
            and isinstance(equality.expression, exp.Column)
        ):
            raise _not_a_key("a join condition is something else than equal columns")
        sides = [scope.use(side, "joined") for side in (equality.this, equality.expression)]
        sides.sort(key=lambda place: place.alias == alias)
        left, right = sides
        if right.alias != alias or left.alias == alias:
            raise _not_a_key("a join condition does not compare the new source with an earlier one")
        pairs.append((left, right))
    return pairs


def _is_unique(places: list[Place]) -> bool:
    dataset = places[0].dataset
    columns = {place.column.name for place in places}
    keys = [key for key in dataset.keys if set(key.columns) == columns]
    if not keys or len(columns) != len(places):
        raise _not_a_key(f"{', '.join(sorted(columns))} is no declared key of {dataset.name}")
    return any(key.unique for key in keys)


def _one_owner(dataset: Dataset) -> bool:
    return len(dataset.owners) == 1


def _equal(left: Place, right: Place) -> str:
    if left.column.type != right.column.type:
        raise forbidden(
            "kind", "a join compares columns of different types", why="the engine would fail on it",
            remedy="declare both with the same type",
        )  # fmt: skip
    return f"({left.text} = {right.text})"


def _not_a_key(what: str) -> Forbidden:
    return forbidden(
        "join_key", what, why="joins are by equality on declared keys, so that it is known how rows multiply",
        remedy="write ON a.key = b.key with keys that the contract declares for both datasets",
    )  # fmt: skip
