"""What an engine hands to disclosure control: every cell with its contributors, and nothing released yet.

A ``RawTable`` has ``keys`` (group columns) and ``measures`` (output columns). For each measure and each subject
domain that the computation touches, ``contributors`` tells per row how many distinct subjects stand behind the
cell, in all and after taking away each single party. What some rules need beyond that stands beside: the size of a
fitted model, and the largest single contributions to a magnitude.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.canonical import canonical_cbor, parse_cbor
from mpc.errors import Malformed
from mpc.table.plain import plain_table, read_table

Counts = npt.NDArray[np.int64]

MeasureKind = Literal[
    "count", "sum", "mean", "spread", "quantile", "moment", "association", "test", "rate", "concentration",
    "inequality", "parameter", "uncertainty", "goodness", "survival",
]  # fmt: skip
"""What a measure is, by which rules know what they have to ask of it:

``rate`` a proportion or ratio of counts; ``concentration`` an index of shares such as HHI, ``inequality`` Gini's;
``parameter`` what a model estimates, ``goodness`` how well it fits, with its degrees of freedom (both need the model's
size); ``uncertainty`` a standard error or a bound of an interval, with the source of its estimate; ``survival`` a step
of a curve or of a risk table.
"""


@dataclass(frozen=True)
class Measure:
    """One output column. ``source`` names what it was computed from (argument and filter, canonically printed), so
    that measures of one source are known to determine each other; ``unit`` is None where there is none.
    ``extensive`` measures add up over groups (counts, sums), so a hidden cell can be derived from margins.
    """  # noqa: D205

    name: str
    kind: MeasureKind
    source: str
    extensive: bool
    unit: str | None = None


@dataclass(frozen=True)
class Contributors:
    """Distinct subjects of one ``domain`` behind each row of one measure; arrays have one entry a row.

    ``without[p]`` is the count after the contributions of party ``p`` are taken away; only parties that share the
    domain with another owner are in it. In a row that by its question is of one party alone, nothing is taken away.

    A measure may have several of one domain, and then every rule holds for each: a quantile counts in all, at or below
    and at or above; a survival step counts who is at risk, who has the event, and who leaves.
    """

    domain: str
    total: Counts
    without: Mapping[str, Counts]


@dataclass(frozen=True)
class ModelSize:
    """On how much one fitted model rests. Observations are rows, subjects are distinct.

    ``freedom`` are the residual degrees of freedom. ``smallest_level`` counts the subjects in the smallest level of any
    category, boolean or binary outcome of the model, ``events`` the rows with the event (of a binary outcome: the rarer
    value); None where the model has neither. ``leverage`` is the largest part that one subject may have in a
    combination of the coefficients, the sum of its rows' leverages; None where nobody looked. ``without[p]`` is the
    size after party ``p``'s rows are taken away, and itself has no ``without``.
    """

    parameters: int
    observations: int
    subjects: int
    freedom: int
    smallest_level: int | None = None
    events: int | None = None
    leverage: float | None = None
    without: Mapping[str, "ModelSize"] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Largest:
    """Of what single ``unit`` contributed to each row of one measure, in absolute values: in all, and the two largest.

    ``unit`` is ``subject`` or ``party``; arrays have one entry a row. Where only the largest is known, ``second`` is as
    large. ``without[p]`` is what is left after party ``p``'s rows are taken away, and itself has no ``without``.
    """

    unit: Literal["subject", "party"]
    total: npt.NDArray[np.float64]
    first: npt.NDArray[np.float64]
    second: npt.NDArray[np.float64]
    without: Mapping[str, "Largest"] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class RawTable:
    """One output table before disclosure control. ``data`` holds the key columns, then one column a measure.

    ``margins`` names, for each row, which keys are totalled over (GROUPING SETS, ROLLUP): a bit mask with bit i
    set where key i is aggregated away. Rows of plain GROUP BY have 0.

    ``public`` says that every dataset that was read is public (no subject to protect): only then may a measure
    come without contributors. ``complete`` says that every combination of the keys' declared values has a row, also
    those with nobody in them: only then does a row that is withheld whole keep its keys.

    ``models`` are the fits that the table tells of: one for the whole table, or one for each row. ``largest`` gives,
    for measures of magnitudes, their largest single contributions.
    """

    name: str
    keys: tuple[str, ...]
    measures: tuple[Measure, ...]
    data: pa.Table
    contributors: Mapping[str, tuple[Contributors, ...]]
    margins: Counts
    public: bool = False
    complete: bool = False
    models: tuple[ModelSize, ...] = ()
    largest: Mapping[str, tuple[Largest, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Presentation:
    """What a recipient asked to see of a released table: HAVING, ORDER BY and LIMIT act here, after disclosure.

    ``having`` is checked SQL over the released columns (or None), ``order`` are (column, descending) pairs.
    """

    having: str | None = None
    order: tuple[tuple[str, bool], ...] = ()
    limit: int | None = None


@dataclass(frozen=True)
class RawResult:
    """Everything that one run computed; only ``mpc.disclosure`` may turn it into a release."""

    tables: tuple[RawTable, ...]
    presentation: Presentation = Presentation()


_LABEL = "sealroom raw result v3"
_KEYS_MAX = 62  # margins are bits of a signed 64-bit number


def to_bytes(result: RawResult) -> bytes:
    """Return the deterministic CBOR of ``result``: equal results, equal bytes."""
    shown = result.presentation
    order = [[column, descending] for column, descending in shown.order]
    return canonical_cbor([_LABEL, [_plain(table) for table in result.tables], [shown.having, order, shown.limit]])


def from_bytes(raw: bytes, *, max_bytes: int) -> RawResult:
    """Return the result that ``raw`` spells, or raise ``Malformed``.

    The child that wrote it may have been taken over: every shape has to agree with every other before anything
    reads a cell. That its numbers are true no check can show.
    """
    match parse_cbor(raw, what="the result of a run", max_bytes=max_bytes):
        case [label, list() as tables, [None | str() as having, list() as order, None | int() as limit]] if (
            label == _LABEL and limit is not True and limit is not False and (limit is None or limit >= 0)
        ):
            read = tuple(_read(table) for table in tables)
            if len({table.name for table in read}) != len(read):
                raise _malformed("table names")
            return RawResult(read, Presentation(having, tuple(_read_order(pair) for pair in order), limit))
        case _:
            raise _malformed("form")


def _plain(table: RawTable) -> list[Any]:
    contributors = {
        measure: [
            [one.domain, _packed(one.total), {p: _packed(left) for p, left in one.without.items()}] for one in each
        ]
        for measure, each in table.contributors.items()
    }
    measures = [[m.name, m.kind, m.source, m.extensive, m.unit] for m in table.measures]
    data = plain_table(table.data)
    return [
        table.name,
        list(table.keys),
        measures,
        data,
        contributors,
        _packed(table.margins),
        table.public,
        table.complete,
        [_plain_model(model) for model in table.models],
        {measure: [_plain_largest(one) for one in each] for measure, each in table.largest.items()},
    ]


def _plain_model(model: ModelSize) -> list[Any]:
    counts = [model.parameters, model.observations, model.subjects, model.freedom, model.smallest_level, model.events]
    leverage = None if model.leverage is None else _packed_floats(np.array([model.leverage]))
    return [*counts, leverage, {party: _plain_model(left) for party, left in model.without.items()}]


def _plain_largest(largest: Largest) -> list[Any]:
    weights = [_packed_floats(each) for each in (largest.total, largest.first, largest.second)]
    return [largest.unit, *weights, {party: _plain_largest(left) for party, left in largest.without.items()}]


def _read(plain: object) -> RawTable:
    match plain:
        case [
            str() as name,
            list() as keys,
            list() as measures,
            data,
            dict() as each,
            margins,
            bool() as public,
            bool() as complete,
            list() as models,
            dict() as largest,
        ]:
            cells = read_table(data)
        case _:
            raise _malformed("table")
    contributors = {
        measure: tuple(_read_contributors(one, cells.num_rows) for one in _list(each[measure])) for measure in each
    }
    table = RawTable(
        name=name, keys=tuple(keys), measures=tuple(_read_measure(measure) for measure in measures), data=cells,
        contributors=contributors, margins=_unpacked(margins, cells.num_rows), public=public, complete=complete,
        models=tuple(_read_model(model) for model in models),
        largest={
            measure: tuple(_read_largest(one, cells.num_rows) for one in _list(largest[measure])) for measure in largest
        },
    )  # fmt: skip
    check_shape(table)
    return table


def check_shape(table: RawTable) -> None:
    """Raise ``Malformed`` unless columns, contributors and margins of ``table`` speak of the same cells."""
    measures = [measure.name for measure in table.measures]
    names = [*table.keys, *measures]
    rows = table.data.num_rows
    if table.data.column_names != names or len(set(names)) != len(names) or len(table.keys) > _KEYS_MAX:
        raise _malformed("columns")
    if set(table.contributors) != set(measures):
        raise _malformed("contributors")
    for one in (one for each in table.contributors.values() for one in each):
        _check_counts(one, rows)
    _check_margins(table, rows)
    if len(table.models) not in {0, 1, rows}:
        raise _malformed("models")
    for model in table.models:
        _check_model(model)
    if not set(table.largest) <= set(measures):
        raise _malformed("largest")
    for each in table.largest.values():
        for largest in each:
            _check_largest(largest, rows)


def _check_model(model: ModelSize) -> None:
    counts = [model.parameters, model.observations, model.subjects]
    counts += [count for count in (model.smallest_level, model.events) if count is not None]
    if min(counts) < 0 or any(left.without for left in model.without.values()):
        raise _malformed("models")
    if model.leverage is not None and not model.leverage >= 0:
        raise _malformed("models")
    for left in model.without.values():
        if left.observations > model.observations or left.subjects > model.subjects:
            raise _malformed("models")
        _check_model(left)


def _check_largest(largest: Largest, rows: int) -> None:
    total, first, second = largest.total, largest.first, largest.second
    if any(each.shape != (rows,) or not np.isfinite(each).all() for each in (total, first, second)):
        raise _malformed("largest")
    if (second < 0).any() or (second > first).any() or any(left.without for left in largest.without.values()):
        raise _malformed("largest")
    for left in largest.without.values():
        _check_largest(left, rows)


def _check_counts(one: Contributors, rows: int) -> None:
    for left in (one.total, *one.without.values()):
        if left.shape != (rows,) or (left < 0).any() or (left > one.total).any():
            raise _malformed("contributors")


def _check_margins(table: RawTable, rows: int) -> None:
    margins = table.margins
    if margins.shape != (rows,) or (margins < 0).any() or (margins >= 1 << len(table.keys)).any():
        raise _malformed("margins")
    for i, key in enumerate(table.keys):
        # A key that is totalled over is NULL in that row; a value there would be one of the data's.
        present = ~np.asarray(table.data.column(key).is_null())
        if (present & (margins >> i & 1 == 1)).any():
            raise _malformed("margins")


def _read_measure(plain: object) -> Measure:
    match plain:
        case [str() as name, str() as kind, str() as source, bool() as extensive, None | str() as unit]:
            known: dict[str, MeasureKind] = {kind: kind for kind in get_args(MeasureKind)}
            if kind in known:
                return Measure(name, known[kind], source, extensive, unit)
    raise _malformed("measure")


def _read_contributors(plain: object, rows: int) -> Contributors:
    match plain:
        case [str() as domain, total, dict() as without] if all(isinstance(party, str) for party in without):
            left = {party: _unpacked(counts, rows) for party, counts in without.items()}
            return Contributors(domain, _unpacked(total, rows), left)
        case _:
            raise _malformed("contributors")


def _read_model(plain: object) -> ModelSize:
    match plain:
        case [
            int() as parameters,
            int() as observations,
            int() as subjects,
            int() as freedom,
            None | int() as smallest,
            None | int() as events,
            leverage,
            dict() as without,
        ]:
            left = {_text(party): _read_model(one) for party, one in without.items()}
            share = None if leverage is None else float(_unpacked_floats(leverage, 1)[0])
            return ModelSize(parameters, observations, subjects, freedom, smallest, events, share, left)
        case _:
            raise _malformed("models")


def _read_largest(plain: object, rows: int) -> Largest:
    match plain:
        case ["subject" | "party" as unit, total, first, second, dict() as without]:
            left = {_text(party): _read_largest(one, rows) for party, one in without.items()}
            return Largest(
                unit,
                _unpacked_floats(total, rows),
                _unpacked_floats(first, rows),
                _unpacked_floats(second, rows),
                left,
            )
        case _:
            raise _malformed("largest")


def _text(plain: object) -> str:
    if not isinstance(plain, str):
        raise _malformed("party")
    return plain


def _read_order(plain: object) -> tuple[str, bool]:
    match plain:
        case [str() as column, bool() as descending]:
            return column, descending
        case _:
            raise _malformed("order")


def _packed(counts: Counts) -> bytes:
    return np.ascontiguousarray(counts, dtype="<i8").tobytes()


def _unpacked(raw: object, rows: int) -> Counts:
    if not isinstance(raw, bytes) or len(raw) != 8 * rows:
        raise _malformed("counts")
    return np.frombuffer(raw, dtype="<i8").astype(np.int64)


def _packed_floats(values: npt.NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


def _unpacked_floats(raw: object, rows: int) -> npt.NDArray[np.float64]:
    if not isinstance(raw, bytes) or len(raw) != 8 * rows:
        raise _malformed("largest")
    return np.frombuffer(raw, dtype="<f8").astype(np.float64)


def _list(plain: object) -> list[Any]:
    if not isinstance(plain, list):
        raise _malformed("list")
    return plain


def _malformed(field: str) -> Malformed:
    return Malformed(
        "result.invalid", "the result of a run does not have the agreed form", why="its parts do not fit each other",
        remedy="run the computation again; if it stays so, report it with the code's digest", field=field,
    )  # fmt: skip
