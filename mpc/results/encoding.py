"""Raw results as bytes, on their way out of the process that computed them."""

from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from mpc.canonical import canonical_cbor, parse_cbor
from mpc.results.raw import (
    Contributors,
    Counts,
    Largest,
    Measure,
    MeasureKind,
    ModelSize,
    Presentation,
    RawResult,
    RawTable,
)
from mpc.results.shape import check_shape, malformed
from mpc.table.plain import plain_table, read_table

_LABEL = "sealroom raw result v3"


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
                raise malformed("table names")
            return RawResult(read, Presentation(having, tuple(_read_order(pair) for pair in order), limit))
        case _:
            raise malformed("form")


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
            raise malformed("table")
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


def _read_measure(plain: object) -> Measure:
    match plain:
        case [str() as name, str() as kind, str() as source, bool() as extensive, None | str() as unit]:
            known: dict[str, MeasureKind] = {kind: kind for kind in get_args(MeasureKind)}
            if kind in known:
                return Measure(name, known[kind], source, extensive, unit)
    raise malformed("measure")


def _read_contributors(plain: object, rows: int) -> Contributors:
    match plain:
        case [str() as domain, total, dict() as without] if all(isinstance(party, str) for party in without):
            left = {party: _unpacked(counts, rows) for party, counts in without.items()}
            return Contributors(domain, _unpacked(total, rows), left)
        case _:
            raise malformed("contributors")


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
            raise malformed("models")


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
            raise malformed("largest")


def _text(plain: object) -> str:
    if not isinstance(plain, str):
        raise malformed("party")
    return plain


def _read_order(plain: object) -> tuple[str, bool]:
    match plain:
        case [str() as column, bool() as descending]:
            return column, descending
        case _:
            raise malformed("order")


def _packed(counts: Counts) -> bytes:
    return np.ascontiguousarray(counts, dtype="<i8").tobytes()


def _unpacked(raw: object, rows: int) -> Counts:
    if not isinstance(raw, bytes) or len(raw) != 8 * rows:
        raise malformed("counts")
    return np.frombuffer(raw, dtype="<i8").astype(np.int64)


def _packed_floats(values: npt.NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


def _unpacked_floats(raw: object, rows: int) -> npt.NDArray[np.float64]:
    if not isinstance(raw, bytes) or len(raw) != 8 * rows:
        raise malformed("largest")
    return np.frombuffer(raw, dtype="<f8").astype(np.float64)


def _list(plain: object) -> list[Any]:
    if not isinstance(plain, list):
        raise malformed("list")
    return plain
