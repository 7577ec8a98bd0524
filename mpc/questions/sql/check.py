"""The static check of a question: from text to ``CheckedSql``, or a refusal. Reads terms only, never rows."""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from mpc.errors import Forbidden
from mpc.questions.sql.aggregates import Aggregate, aggregate, is_aggregate, split_filter
from mpc.questions.sql.checked import CheckedSql, GroupKey, Source, SqlMeasure
from mpc.questions.sql.expressions import RowExpressions
from mpc.questions.sql.grouping import read_grouping
from mpc.questions.sql.joins import From, read_from
from mpc.questions.sql.presentation import read_shown
from mpc.questions.sql.refusals import forbidden
from mpc.questions.sql.scope import Place, Scope, name_of
from mpc.questions.sql.tree import parse_select
from mpc.questions.sql.words import Parts, canonical_text, sentence
from mpc.questions.terms import Parameter
from mpc.table.schema import Dataset

MEASURES_MAX = 64
COUNTS_MAX = 8_192


def check_sql(name: str, text: str, parameters: Sequence[Parameter], datasets: Mapping[str, Dataset]) -> CheckedSql:
    """Return the question ``text`` as it may run, for the computation ``name``.

    Raises ``Malformed`` (it is no SQL, or too large) or ``Forbidden`` (what stands there, why not, what to write
    instead). Everything is decided from the contract's terms.
    """
    select = parse_select(text)
    scope = Scope(parameters={parameter.name: parameter for parameter in parameters})
    origin = read_from(select, scope, datasets)
    where, where_aliases = _where(select, scope)
    grouping = read_grouping(select, scope)
    bearing = _Bearing(origin, scope, where_aliases | {key.alias for key in grouping.keys})
    measures = _measures(grouping.measures, scope, bearing)
    _check_names(grouping.keys, measures)
    _check_counts(measures, scope)
    shown = read_shown(select, scope, grouping, measures)
    _check_every_column_met(select, scope)
    sources = tuple(
        Source(alias, dataset, _read(alias, dataset, scope), alias in origin.multiplied)
        for alias, dataset in scope.sources.items()
    )
    types = tuple((bound, scope.parameters[bound].type) for bound in sorted(scope.bound))
    parts = Parts(sources, tuple(origin.joins), where, grouping.keys, grouping.sets, measures)
    return CheckedSql(
        name=name,
        text=canonical_text(parts),
        sources=parts.sources,
        joins=parts.joins,
        where=where,
        keys=parts.keys,
        grouping_sets=parts.sets,
        measures=measures,
        shown=shown,
        parameters=types,
        uses=tuple(sorted(scope.uses)),
        sentence=sentence(parts, shown),
    )


def _read(alias: str, dataset: Dataset, scope: Scope) -> tuple[str, ...]:
    """Return the columns of one source that the question names, and record that its subject is counted."""
    named = tuple(sorted(scope.read[alias]))
    column = dataset.column(dataset.subject.column or "")
    if column is not None and dataset.subject.identity != "none":
        scope.record(Place(alias, dataset, column), "counted")
    return named


def _where(select: exp.Select, scope: Scope) -> tuple[str | None, set[str]]:
    where = select.args.get("where")
    if where is None:
        return None, set()
    if any(is_aggregate(node) for node in where.walk()):
        raise forbidden(
            "aggregate_in_where", "an aggregate stands in WHERE", why="WHERE looks at one row at a time",
            remedy="write it into HAVING, which acts on the release",
        )  # fmt: skip
    printed = RowExpressions(scope, "filtered").predicate(where.this)
    return printed.text, {place.alias for place in printed.places}


class _Bearing:
    """Which sources' subjects bear on a measure.

    A source that is LEFT JOINed by a unique key neither drops nor repeats rows: it bears only on what reads it.
    """

    def __init__(self, origin: From, scope: Scope, everywhere: set[str]) -> None:
        self._aliases = tuple(scope.sources)
        self._protected = [alias for alias in self._aliases if scope.sources[alias].subject.identity != "none"]
        self._partner = {join.alias: join.partner for join in origin.joins}
        self._always = self._with_partners((set(self._aliases) - origin.quiet) | everywhere)

    def of(self, aliases: frozenset[str]) -> tuple[str, ...]:
        bearing = self._always | self._with_partners(set(aliases))
        protected = tuple(alias for alias in self._protected if alias in bearing)
        # A measure must not come without contributors while any source has somebody to protect.
        return protected or tuple(self._protected)

    def _with_partners(self, aliases: set[str]) -> set[str]:
        reached = set(aliases)
        waiting = list(aliases)
        while waiting:
            partner = self._partner.get(waiting.pop())
            if partner is not None and partner not in reached:
                reached.add(partner)
                waiting.append(partner)
        return reached


def _measures(nodes: Sequence[tuple[str | None, exp.Expr]], scope: Scope, bearing: _Bearing) -> tuple[SqlMeasure, ...]:
    if len(nodes) > MEASURES_MAX:
        raise forbidden(
            "measures", "too many aggregates", why="the contributors of each are counted",
            remedy=f"write at most {MEASURES_MAX}, or ask in several computations",
        )  # fmt: skip
    measures = []
    for alias, node in nodes:
        bare, condition, aliases = split_filter(node, scope)
        checked = aggregate(bare, scope)
        name = _default_name(checked) if alias is None else alias
        measures.append(checked.measure(name, condition, bearing.of(checked.aliases | aliases)))
    return tuple(measures)


def _default_name(checked: Aggregate) -> str:
    function = checked.text.split("(", 1)[0]
    columns = [part.split('"')[0] for part in checked.argument.split('"."')[1:]]
    return name_of("_".join([function, *columns])[:63], what="an aggregate")


def _check_names(keys: Sequence[GroupKey], measures: Sequence[SqlMeasure]) -> None:
    names = [key.name for key in keys] + [measure.name for measure in measures]
    for name in names:
        if names.count(name) > 1:
            raise _same_name(name)


def _same_name(name: str) -> Forbidden:
    return forbidden(
        "output_name", f"two output columns are called {name}", why="a recipient could not tell them apart",
        remedy="name each with AS",
    )  # fmt: skip


def _check_counts(measures: Sequence[SqlMeasure], scope: Scope) -> None:
    owners = {alias: len(dataset.owners) for alias, dataset in scope.sources.items()}
    counts = sum((1 + len(one.conditions)) * (1 + owners[alias]) for one in measures for alias in one.sources)
    if counts > COUNTS_MAX:
        raise forbidden(
            "counts", "too many aggregates for so many owners", why="subjects are counted without each owner, for each",
            remedy="ask in several computations",
        )  # fmt: skip


def _check_every_column_met(select: exp.Select, scope: Scope) -> None:
    unmet = [node for node in select.find_all(exp.Column) if id(node) not in scope.met]
    if unmet:
        raise forbidden(
            "unread_column", f"{unmet[0].name.lower()} stands where no rule looks at it",
            why="every column of a question must have a known use", remedy="leave it out, or select it plainly",
        )  # fmt: skip
