"""Result tables out of numbered groups: key columns, and measures with who stands behind each cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.numbers import values_or_null
from mpc.engines.statistics.passes import Folded
from mpc.results import Contributors, Largest, Measure, MeasureKind, ModelSize, RawTable
from mpc.table.batches import arrow_schema
from mpc.table.schema import Dataset

Behind = tuple[Contributors, ...]


def key_columns(dataset: Dataset, keys: Sequence[str], groups: Sequence[tuple[Any, ...]]) -> dict[str, pa.Array]:
    """Return one column a key, of the dataset's types, with a row for each group."""
    schema = arrow_schema(dataset)
    return {key: pa.array([group[i] for group in groups], schema.field(key).type) for i, key in enumerate(keys)}


@dataclass(frozen=True)
class Cells:
    """One measure of a table: what it is, its values, and who stands behind each."""

    measure: Measure
    values: pa.Array
    behind: Behind
    largest: tuple[Largest, ...] = ()


def count(name: str, values: npt.ArrayLike, behind: Behind, source: str = "*") -> Cells:
    """Return a column of counts, which add up over groups."""
    return Cells(Measure(name, "count", source, extensive=True), pa.array(np.asarray(values, np.int64)), behind)


def figure(
    name: str,
    kind: MeasureKind,
    values: npt.ArrayLike,
    behind: Behind,
    *,
    source: str,
    unit: str | None = None,
    largest: tuple[Largest, ...] = (),
) -> Cells:
    """Return a column of doubles that do not add up, NULL where they are not finite."""
    return Cells(Measure(name, kind, source, extensive=False, unit=unit), values_or_null(values), behind, largest)


def subjects(behind: Behind, source: str = "*", *, of: str = "") -> list[Cells]:
    """Return the column of distinct subjects, one for each subject domain; none for public data.

    ``of`` comes before its name where a table has several.
    """
    shown: dict[str, Contributors] = {}
    for one in behind:
        shown.setdefault(one.domain, one)
    plain = f"{of}_subjects" if of else "subjects"
    names = {domain: plain if len(shown) == 1 else f"{plain}_{domain}" for domain in shown}
    return [count(names[domain], one.total, behind, source) for domain, one in shown.items()]


def counted(rows: npt.ArrayLike, everybody: Behind, parts: Behind, source: str) -> list[Cells]:
    """Return how many rows and subjects stand behind cells of ``source`` that are made of ``parts``, all together.

    They share the fate of those cells: beside some of the parts they tell the others.
    """
    behind = (*everybody, *parts)
    return [count("n", rows, behind, source), *subjects(behind, source)]


def taken(behind: Behind, rows: npt.ArrayLike) -> Behind:
    """Return who stands behind the cells ``rows``, in that order."""
    chosen = np.asarray(rows, np.int64)
    return tuple(
        Contributors(one.domain, one.total[chosen], {party: left[chosen] for party, left in one.without.items()})
        for one in behind
    )


def each_of(behind: Behind, rows: npt.ArrayLike) -> Behind:
    """Return who stands behind one cell that is made of all of ``rows``: each of them counts by itself.

    A difference of two means tells each mean beside the other, so the rules have to hold for both.
    """
    return tuple(one for row in np.asarray(rows, np.int64) for one in taken(behind, [row]))


def largest_at(largest: Sequence[Largest], rows: npt.ArrayLike) -> tuple[Largest, ...]:
    """Return the largest contributions to the cells ``rows``, in that order."""
    chosen = np.asarray(rows, np.int64)
    return tuple(
        Largest(
            one.unit, one.total[chosen], one.first[chosen], one.second[chosen],
            {party: left for party, each in one.without.items() for left in largest_at([each], chosen)},
        )
        for one in largest
    )  # fmt: skip


def tidy(
    name: str,
    keys: Mapping[str, pa.Array],
    cells: Sequence[Cells],
    folded: Folded,
    *,
    complete: bool | None = None,
    models: tuple[ModelSize, ...] = (),
) -> RawTable:
    """Return the table of ``keys`` and ``cells``; ``complete`` as the pass's groups are, unless it is told."""
    rows = len(cells[0].values)
    data = {**keys, **{each.measure.name: each.values for each in cells}}
    return RawTable(
        name=name,
        keys=tuple(keys),
        measures=tuple(each.measure for each in cells),
        data=pa.table(data),
        contributors={each.measure.name: each.behind for each in cells},
        margins=np.zeros(rows, np.int64),
        public=folded.tallies.is_public,
        complete=folded.complete if complete is None else complete,
        models=models,
        largest={each.measure.name: each.largest for each in cells if each.largest},
    )
