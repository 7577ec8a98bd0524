"""A checked question printed: as canonical SQL, and as one sentence that a data officer reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from mpc.questions.sql.checked import GroupKey, Join, Shown, Source, SqlMeasure


@dataclass(frozen=True)
class Parts:
    """What a question is made of, without what acts after disclosure."""

    sources: tuple[Source, ...]
    joins: tuple[Join, ...]
    where: str | None
    keys: tuple[GroupKey, ...]
    sets: tuple[tuple[int, ...], ...]
    measures: tuple[SqlMeasure, ...]


def canonical_text(parts: Parts) -> str:
    """Return the SELECT, without HAVING, ORDER BY and LIMIT, as it was checked and will run."""
    columns = [f'{key.text} AS "{key.name}"' for key in parts.keys]
    columns += [f'{measure.text} AS "{measure.name}"' for measure in parts.measures]
    lines = ["SELECT " + ", ".join(columns), f"FROM {_named(parts.sources[0])}"]
    by_alias = {source.alias: source for source in parts.sources}
    lines += [f"{join.kind} JOIN {_named(by_alias[join.alias])} ON {join.condition}" for join in parts.joins]
    if parts.where is not None:
        lines.append(f"WHERE {parts.where}")
    if parts.keys:
        lines.append(f"GROUP BY {grouping_text([key.text for key in parts.keys], parts.sets)}")
    return "\n".join(lines)


def grouping_text(keys: Sequence[str], sets: Sequence[tuple[int, ...]], *, also: Sequence[str] = ()) -> str:
    """Return what stands after GROUP BY; the expressions ``also`` are in every set."""
    if list(sets) == [tuple(range(len(keys)))]:
        return ", ".join((*keys, *also))
    lists = (", ".join((*(keys[i] for i in one), *also)) for one in sets)
    return f"GROUPING SETS ({', '.join(f'({listed})' for listed in lists)})"


def sentence(parts: Parts, shown: Shown) -> str:
    """Return the question in one plain sentence."""
    text = "Computes " + _listed([_verb(measure) for measure in parts.measures])
    text += " over " + _listed([source.dataset.name for source in parts.sources])
    if parts.joins:
        text += ", joined by declared keys"
    if parts.where is not None:
        text += ", of the rows that meet the question's conditions"
    if parts.keys:
        text += f", for each {_listed([key.name for key in parts.keys])}"
    if len(parts.sets) > 1:
        text += ", with totals"
    if shown != Shown():
        text += "; shows the released rows that were asked for, in the order that was asked for"
    return text + "."


_VERBS = {
    "count": "the number of", "sum": "the sum of", "mean": "the mean of", "spread": "the spread of",
    "quantile": "a quantile of", "moment": "the shape of", "association": "the association of",
}  # fmt: skip


def _verb(measure: SqlMeasure) -> str:
    what = measure.argument.replace('"', "").removeprefix("TRY")
    if measure.kind == "count":
        what = "rows" if what == "*" else what.replace("DISTINCT ", "distinct ")
    return f"{_VERBS[measure.kind]} {what}" + ("" if measure.filter is None else " (of chosen rows)")


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _named(source: Source) -> str:
    return f'"{source.dataset.name}" AS "{source.alias}"'
