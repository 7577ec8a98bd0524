"""From a checked question to the one statement that runs: every cell's value, and how many subjects stand behind it.

The values are the question itself. Beside them, each source that has subjects to protect is counted, for each
condition that a cell depends on, in the cheapest way that is exact:

* ``rows``      one row a subject and no repeats: rows are subjects, counted by owner;
* ``subjects``  the distinct subjects of each owner, as owners share none (or nobody knows whether they do);
* ``shared``    the distinct subjects of all owners, each with the first and last owner that holds it: who is held by
                one owner alone goes when that owner's rows are taken away.

The third never needs a set of owners a subject. Where every aggregate can be put together from parts (counts, sums,
means) and rows are subjects, one pass by group and owner yields values and counts at once.

Names of the rewriter begin with ``#``, which no name of a contract or a question does.
"""

# ruff: noqa: S608 - every piece was printed from a checked tree, and DuckDB's own parser confirms the whole

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mpc.engines.sql.behind import (
    OWNER,
    CountColumns,
    Counting,
    WeightColumns,
    Weights,
    both,
    count_if,
    counted_as,
    weighed_as,
    weight,
)
from mpc.engines.sql.scans import Scan, scanned
from mpc.questions.sql import CheckedSql, Source, SqlMeasure
from mpc.questions.sql.words import grouping_text

Mode = Literal["rows", "subjects", "shared"]


@dataclass(frozen=True)
class Statement:
    """The text that runs, what it scans, and for each measure which columns count and weigh its contributors."""

    text: str
    scans: tuple[Scan, ...]
    contributors: Mapping[str, tuple[CountColumns, ...]]
    weights: Mapping[str, tuple[WeightColumns, ...]]
    has_margins: bool
    names: frozenset[str]


def rewritten(checked: CheckedSql) -> Statement:
    """Return the statement for ``checked``."""
    return _Rewriter(checked).statement()


class _Parts:
    """Aggregates by group and owner, each computed once however many measures and counts need it."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def column(self, aggregate: str) -> str:
        """Return the column that holds ``aggregate``."""
        return self._names.setdefault(aggregate, f'"#p{len(self._names)}"')

    def listed(self) -> list[str]:
        """Return what to select."""
        return [f"{aggregate} AS {name}" for aggregate, name in self._names.items()]


class _Rewriter:
    def __init__(self, checked: CheckedSql) -> None:
        self._checked = checked
        self._sources = {source.alias: source for source in checked.sources}
        self._scans: list[Scan] = []
        self._keys = [key.text for key in checked.keys]
        self._has_margins = len(checked.grouping_sets) > 1 or len(checked.grouping_sets[0]) < len(self._keys)
        self._key_names = [f'"#k{i}"' for i in range(len(self._keys))]
        flags = [f'"#g{i}"' for i in range(len(self._keys))] if self._has_margins else []
        self._cell_names = [*self._key_names, *flags]
        self._passes: dict[tuple[str, bool], Counting] = {}
        self._contributors = {measure.name: self._counted(measure) for measure in checked.measures}
        self._weights = {measure.name: self._weighed(measure) for measure in checked.measures}

    def statement(self) -> Statement:
        parts = self._in_one_pass() or self._in_several()
        names = frozenset({"#values", *(counting.name for counting in self._passes.values())})
        return Statement(parts, tuple(self._scans), self._contributors, self._weights, self._has_margins, names)

    # -- which counts are wanted -------------------------------------------------------------------------------

    def _counted(self, measure: SqlMeasure) -> tuple[CountColumns, ...]:
        """Ask for the counts of ``measure``: its conditions, and the group as such, whose being there tells too."""
        chosen = "TRUE" if measure.filter is None else measure.filter
        counts = []
        for alias in measure.sources:
            counts += [self._count(alias, both(chosen, one)) for one in measure.conditions]
            counts.append(self._count(alias, "TRUE"))
            if measure.quantile:
                value = f'"#values"."{self._value_name(measure)}"'
                sides = (f"({measure.argument} <= {value})", f"({measure.argument} >= {value})")
                counts += [self._count(alias, both(chosen, side), with_values=True) for side in sides]
        return tuple(dict.fromkeys(counts))

    def _count(self, alias: str, condition: str, *, with_values: bool = False) -> CountColumns:
        key = (alias, with_values)
        counting = self._passes.setdefault(key, Counting(alias, f"#count{len(self._passes)}", with_values))
        at = f"{counting.name}.{len(counting.conditions)}"
        parties = self._parties(alias)
        columns = CountColumns(alias, at, tuple((party, f"{at}.{i}") for i, party in enumerate(parties)))
        return counting.conditions.setdefault(condition, columns)

    def _weighed(self, measure: SqlMeasure) -> tuple[WeightColumns, ...]:
        """Ask for the weights of each term of ``measure``: a sum that is nearly one subject's tells that subject's."""
        chosen = "TRUE" if measure.filter is None else measure.filter
        return tuple(
            self._weigh(alias, term, both(chosen, condition))
            for alias in measure.sources
            for term, condition in measure.weighed
        )

    def _weigh(self, alias: str, term: str, condition: str) -> WeightColumns:
        counting = self._passes[alias, False]
        at = f"{counting.name}.w{len(counting.weights)}"
        left = ((party, f"{at}.{i}") for i, party in enumerate(self._parties(alias)))
        columns = WeightColumns(alias, Weights.at(at), tuple((party, Weights.at(name)) for party, name in left))
        return counting.weights.setdefault((term, condition), columns)

    def _parties(self, alias: str) -> tuple[str, ...]:
        owners = self._sources[alias].dataset.owners
        return owners if len(owners) > 1 else ()

    def _value_name(self, measure: SqlMeasure) -> str:
        return f"#m{self._checked.measures.index(measure)}"

    def _mode(self, source: Source) -> Mode:
        subject = source.dataset.subject
        if subject.identity == "shared" and len(source.dataset.owners) > 1:
            return "shared"
        return "rows" if subject.rows == "one" and not source.multiplied else "subjects"

    # -- the statement -----------------------------------------------------------------------------------------

    def _in_several(self) -> str:
        values = [f'{measure.text} AS "{self._value_name(measure)}"' for measure in self._checked.measures]
        select = f"SELECT {_listed(self._cells(), values)} {self._from()}{self._grouped()}"
        tables = [f'"#values" AS MATERIALIZED ({select})']
        tables += [f'"{counting.name}" AS ({self._counting(counting)})' for counting in self._passes.values()]
        joins = " ".join(
            f'LEFT JOIN "{counting.name}" ON {self._same_cell(counting.name)}' for counting in self._passes.values()
        )
        columns = [f'"#values".{name} AS {name}' for name in self._cell_names]
        columns += [_finite(measure, self._value_name(measure)) for measure in self._checked.measures]
        columns += [f'coalesce("{column}", 0) AS "{column}"' for column in self._count_names()]
        return f'WITH {", ".join(tables)} SELECT {", ".join(columns)} FROM "#values" {joins}'

    def _in_one_pass(self) -> str | None:
        """Return the statement that needs a single pass, or None where it would not be exact."""
        passes = list(self._passes.values())
        measures = self._checked.measures
        if len(passes) != 1 or any(measure.partial is None for measure in measures):
            return None
        (counting,) = passes
        source = self._sources[counting.alias]
        if self._mode(source) != "rows":
            return None
        parts = _Parts()
        wholes = [f'{self._whole(measure, parts)} AS "{self._value_name(measure)}"' for measure in measures]
        counts = self._by_owner(
            counting,
            {one: parts.column(count_if(one)) for one in counting.conditions},
            {one: (parts.column(weight("sum", *one)), parts.column(weight("max", *one))) for one in counting.weights},
        )
        inner = self._parts_by_owner(source, parts.listed())
        outer = f'SELECT {_listed(self._cell_names, wholes, counts)} FROM ({inner}) AS "#parts"'
        values = f'"#values" AS ({outer}{self._regrouped()})'
        columns = [*self._cell_names, *(_finite(measure, self._value_name(measure)) for measure in measures)]
        columns += [f'"{column}"' for column in self._count_names()]
        return f'WITH {values} SELECT {", ".join(columns)} FROM "#values"'

    def _parts_by_owner(self, source: Source, parts: Sequence[str]) -> str:
        """Return the query of parts by cell and owner.

        A single source is grouped table by table: keys that are codes stay so. Not where there are margins, as the
        margin of an empty table is a row.
        """
        if self._checked.joins or self._has_margins:
            owner = f'"{source.alias}"."#owner"'
            cells = _listed(self._cells(), [f"{owner} AS {OWNER}"], parts)
            return f"SELECT {cells} {self._from()}{self._grouped(owner)}"
        where = "" if self._checked.where is None else f" WHERE {self._checked.where}"
        return " UNION ALL ".join(
            f"SELECT {_listed(self._cells(), [f'{number} AS {OWNER}'], parts)} "
            f'FROM ({table}) AS "{source.alias}"{where}{self._grouped()}'
            for number, table in self._tables(source)
        )

    def _whole(self, measure: SqlMeasure, parts: "_Parts") -> str:
        """Return how the measure is put together from parts that were computed by group and owner."""
        over = "" if measure.filter is None else f" FILTER (WHERE {measure.filter})"
        if measure.partial == "count":
            return f"CAST(coalesce(sum({parts.column(measure.text)}), 0) AS BIGINT)"
        added = f"sum({parts.column(f'sum({measure.argument}){over}')})"
        if measure.partial == "sum":
            return added
        return f"(CAST({added} AS DOUBLE) / nullif(sum({parts.column(f'count({measure.argument}){over}')}), 0))"

    # -- counting ----------------------------------------------------------------------------------------------

    def _counting(self, counting: Counting) -> str:
        mode = self._mode(self._sources[counting.alias])
        if mode == "shared":
            return self._counting_shared(counting)
        inner = self._rows_by_owner(counting) if mode == "rows" else self._subjects_by_owner(counting)
        names = {one: f'"{columns.total}"' for one, columns in counting.conditions.items()}
        weights = {one: columns.whole.quoted for one, columns in counting.weights.items()}
        return (
            f"SELECT {_listed(self._cell_names, self._by_owner(counting, names, weights))} "
            f'FROM ({inner}) AS "#parts"{self._regrouped()}'
        )

    def _rows_by_owner(self, counting: Counting) -> str:
        owner = f'"{counting.alias}"."#owner"'
        counts = [f'{count_if(one)} AS "{columns.total}"' for one, columns in counting.conditions.items()]
        counts += [
            f'{weight(aggregate, *one)} AS "{name}"'
            for one, columns in counting.weights.items()
            for aggregate, name in (("sum", columns.whole.total), ("max", columns.whole.largest))
        ]
        columns = _listed(self._cells(), [f"{owner} AS {OWNER}"], counts)
        return f"SELECT {columns} {self._from(counting)}{self._grouped(owner)}"

    def _subjects_by_owner(self, counting: Counting) -> str:
        owner = f'"{counting.alias}"."#owner"'
        holds = [f'bool_or({one}) AS "{columns.total}"' for one, columns in counting.conditions.items()]
        holds += [f'{weight("sum", *one)} AS "{columns.whole.total}"' for one, columns in counting.weights.items()]
        subjects = (
            f"SELECT {_listed(self._cells(), [f'{owner} AS {OWNER}'], holds)} {self._from(counting)}"
            f"{self._grouped(owner, self._subject(counting.alias))}"
        )
        counts = [f'count_if("{columns.total}") AS "{columns.total}"' for columns in counting.conditions.values()]
        counts += [
            f'{aggregate}("{columns.whole.total}") AS "{name}"'
            for columns in counting.weights.values()
            for aggregate, name in (("sum", columns.whole.total), ("max", columns.whole.largest))
        ]
        group = ", ".join([*self._cell_names, OWNER])
        return f'SELECT {_listed(self._cell_names, [OWNER], counts)} FROM ({subjects}) AS "#subjects" GROUP BY {group}'

    def _by_owner(
        self,
        counting: Counting,
        names: Mapping[str, str],
        weights: Mapping[tuple[str, str], tuple[str, str]],
    ) -> list[str]:
        """Put together what was counted and weighed of all owners, and of all but each.

        ``names`` has each condition's column, ``weights`` each term's total and largest. Owners of ``unknown`` identity
        may all hold the same people: only the largest of them counts, and one subject may weigh what the largest of
        each owner weigh together.
        """
        source = self._sources[counting.alias]
        is_unknown = source.dataset.subject.identity == "unknown"
        together, largest_of = ("max", "sum") if is_unknown else ("sum", "max")
        columns = []
        for condition, one in counting.conditions.items():
            counts = f"{together}({names[condition]})"
            columns.append(counted_as(f"{counts} FILTER (WHERE {OWNER} IS NOT NULL)", one.total))
            columns += [
                counted_as(f"{counts} FILTER (WHERE {OWNER} <> {self._number(source, party)})", name)
                for party, name in one.without
            ]
        for term, weighed in counting.weights.items():
            total, largest = weights[term]
            every = [(f"{OWNER} IS NOT NULL", weighed.whole)]
            every += [(f"{OWNER} <> {self._number(source, party)}", left) for party, left in weighed.without]
            for condition, left in every:
                columns.append(weighed_as(f"sum({total}) FILTER (WHERE {condition})", left.total))
                columns.append(weighed_as(f"{largest_of}({largest}) FILTER (WHERE {condition})", left.largest))
        return columns

    def _counting_shared(self, counting: Counting) -> str:
        source = self._sources[counting.alias]
        owner = f'"{counting.alias}"."#owner"'
        held = [
            f'{first}({owner}) FILTER (WHERE {one}) AS "{columns.total}.{first}"'
            for one, columns in counting.conditions.items()
            for first in ("min", "max")
        ]
        for (term, condition), weighed in counting.weights.items():
            others = [(f"({owner} <> {self._number(source, party)})", left) for party, left in weighed.without]
            held += [
                f'{weight("sum", term, both(condition, held_by))} AS "{left.total}"'
                for held_by, left in (("TRUE", weighed.whole), *others)
            ]
        subjects = (
            f"SELECT {_listed(self._cells(), held)} {self._from(counting)}"
            f"{self._grouped(self._subject(counting.alias))}"
        )
        columns = []
        for one in counting.conditions.values():
            columns.append(f'count("{one.total}.min") AS "{one.total}"')
            columns += [
                f'count_if("{one.total}.min" <> {number} OR "{one.total}.max" <> {number}) AS "{name}"'
                for party, name in one.without
                for number in (self._number(source, party),)
            ]
        for weighed in counting.weights.values():
            for left in (weighed.whole, *(each for _, each in weighed.without)):
                columns.append(weighed_as(f'sum("{left.total}")', left.total))
                columns.append(weighed_as(f'max("{left.total}")', left.largest))
        return f'SELECT {_listed(self._cell_names, columns)} FROM ({subjects}) AS "#subjects"{self._regrouped()}'

    def _count_names(self) -> list[str]:
        passes = self._passes.values()
        counts = [name for one in passes for columns in one.conditions.values() for name in columns.names]
        return counts + [name for one in passes for columns in one.weights.values() for name in columns.names]

    def _number(self, source: Source, party: str) -> int:
        return source.dataset.owners.index(party)

    def _subject(self, alias: str) -> str:
        return f'"{alias}"."{self._sources[alias].dataset.subject.column}"'

    # -- clauses -----------------------------------------------------------------------------------------------

    def _cells(self) -> list[str]:
        flags = [f'GROUPING({text}) AS "#g{i}"' for i, text in enumerate(self._keys)] if self._has_margins else []
        return [f"{text} AS {name}" for text, name in zip(self._keys, self._key_names, strict=True)] + flags

    def _from(self, counting: Counting | None = None) -> str:
        first, *_ = self._checked.sources
        text = f"FROM {self._scan(first)}"
        for join in self._checked.joins:
            text += f" {join.kind} JOIN {self._scan(self._sources[join.alias])} ON {join.condition}"
        conditions = [] if self._checked.where is None else [self._checked.where]
        if counting is not None:
            if counting.with_values:
                same = [f'({key} IS NOT DISTINCT FROM "#values".{name})' for key, name in self._key_pairs()]
                text += f' INNER JOIN "#values" ON {" AND ".join(same) or "TRUE"}'
            conditions.append(f'("{counting.alias}"."#owner" IS NOT NULL)')
        return text + ("" if not conditions else f" WHERE {' AND '.join(conditions)}")

    def _key_pairs(self) -> list[tuple[str, str]]:
        return list(zip(self._keys, self._key_names, strict=True))

    def _scan(self, source: Source) -> str:
        return f'({" UNION ALL ".join(table for _, table in self._tables(source))}) AS "{source.alias}"'

    def _tables(self, source: Source) -> list[tuple[str, str]]:
        """Return the number of each owner of ``source``, and the query that reads its rows with that number."""
        dataset = source.dataset
        names = self._columns(source)
        columns = [scanned(name, dataset) for name in names]
        tables = []
        for position, owner in enumerate(dataset.owners):
            # A relation of no columns has no rows.
            scan = Scan(f"#scan{len(self._scans)}", dataset.name, owner, names or (dataset.columns[0].name,))
            self._scans.append(scan)
            number = f"CAST({position} AS SMALLINT)"
            listed = _listed([f'{number} AS "#owner"'], columns)
            tables.append((number, f'SELECT {listed} FROM "{scan.name}"'))
        return tables

    def _columns(self, source: Source) -> tuple[str, ...]:
        """Return what is read of ``source``: what the question names, and subjects where rows do not stand for them."""
        subject = source.dataset.subject.column
        if subject is None or subject in source.columns or self._mode(source) == "rows":
            return source.columns
        return (*source.columns, subject)

    def _grouped(self, *also: str) -> str:
        if not self._keys and not also:
            return ""
        return f" GROUP BY {grouping_text(self._keys, self._checked.grouping_sets, also=also)}"

    def _regrouped(self) -> str:
        return f" GROUP BY {', '.join(self._cell_names)}" if self._cell_names else ""

    def _same_cell(self, name: str) -> str:
        same = [f'("#values".{cell} IS NOT DISTINCT FROM "{name}".{cell})' for cell in self._cell_names]
        return " AND ".join(same) or "TRUE"


def _listed(*parts: Sequence[str]) -> str:
    return ", ".join(text for part in parts for text in part)


def _finite(measure: SqlMeasure, name: str) -> str:
    """Return the column as it is released: NaN and infinity are NULL, whole numbers fit 64 bits or are NULL."""
    column = f'"#values"."{name}"'
    if measure.result == "DECIMAL":
        return f'{column} AS "{name}"'
    if measure.result == "BIGINT":
        return f'TRY_CAST({column} AS BIGINT) AS "{name}"'
    number = f"CAST({column} AS DOUBLE)"
    return f'CASE WHEN isfinite({number}) THEN {number} END AS "{name}"'
