"""Whether the parts of a raw table speak of the same cells: asked of every table before anything reads a cell."""

import numpy as np

from mpc.errors import Malformed
from mpc.results.raw import Contributors, Largest, ModelSize, RawTable

_KEYS_MAX = 62  # margins are bits of a signed 64-bit number


def check_shape(table: RawTable) -> None:
    """Raise ``Malformed`` unless columns, contributors and margins of ``table`` speak of the same cells."""
    measures = [measure.name for measure in table.measures]
    names = [*table.keys, *measures]
    rows = table.data.num_rows
    if table.data.column_names != names or len(set(names)) != len(names) or len(table.keys) > _KEYS_MAX:
        raise malformed("columns")
    if set(table.contributors) != set(measures):
        raise malformed("contributors")
    for one in (one for each in table.contributors.values() for one in each):
        _check_counts(one, rows)
    _check_margins(table, rows)
    if len(table.models) not in {0, 1, rows}:
        raise malformed("models")
    for model in table.models:
        _check_model(model)
    if not set(table.largest) <= set(measures):
        raise malformed("largest")
    for each in table.largest.values():
        for largest in each:
            _check_largest(largest, rows)


def _check_model(model: ModelSize) -> None:
    counts = [model.parameters, model.observations, model.subjects]
    counts += [count for count in (model.smallest_level, model.events) if count is not None]
    if min(counts) < 0 or any(left.without for left in model.without.values()):
        raise malformed("models")
    if model.leverage is not None and not model.leverage >= 0:
        raise malformed("models")
    for left in model.without.values():
        if left.observations > model.observations or left.subjects > model.subjects:
            raise malformed("models")
        _check_model(left)


def _check_largest(largest: Largest, rows: int) -> None:
    total, first, second = largest.total, largest.first, largest.second
    if any(each.shape != (rows,) or not np.isfinite(each).all() for each in (total, first, second)):
        raise malformed("largest")
    if (second < 0).any() or (second > first).any() or any(left.without for left in largest.without.values()):
        raise malformed("largest")
    for left in largest.without.values():
        _check_largest(left, rows)


def _check_counts(one: Contributors, rows: int) -> None:
    for left in (one.total, *one.without.values()):
        if left.shape != (rows,) or (left < 0).any() or (left > one.total).any():
            raise malformed("contributors")


def _check_margins(table: RawTable, rows: int) -> None:
    margins = table.margins
    if margins.shape != (rows,) or (margins < 0).any() or (margins >= 1 << len(table.keys)).any():
        raise malformed("margins")
    for i, key in enumerate(table.keys):
        # A key that is totalled over is NULL in that row; a value there would be one of the data's.
        present = ~np.asarray(table.data.column(key).is_null())
        if (present & (margins >> i & 1 == 1)).any():
            raise malformed("margins")


def malformed(field: str) -> Malformed:
    """Return the refusal of a result whose ``field`` does not fit."""
    return Malformed(
        "result.invalid", "the result of a run does not have the agreed form", why="its parts do not fit each other",
        remedy="run the computation again; if it stays so, report it with the code's digest", field=field,
    )  # fmt: skip
