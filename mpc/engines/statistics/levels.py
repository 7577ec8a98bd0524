"""Columns that say whether a row has one of some declared values."""

import pyarrow as pa
import pyarrow.compute as pc

from mpc.engines.statistics.passes import Computed
from mpc.questions.statistics.method import level
from mpc.table.schema import Dataset


def is_one_of(dataset: Dataset, name: str, texts: tuple[str, ...]) -> Computed:
    """Return the column that is true where ``name`` is one of the levels ``texts``, false elsewhere, NULL for NULL."""
    column = dataset.column(name)
    assert column is not None  # noqa: S101 - the question was checked
    kind = pa.bool_() if column.type == "boolean" else pa.utf8()
    wanted = pa.array([level(text, column) for text in texts], kind)

    def make(batch: pa.RecordBatch) -> pa.Array:
        values = batch.column(name)
        return pc.if_else(values.is_valid(), pc.is_in(values, value_set=wanted), pa.scalar(None, pa.bool_()))

    return Computed((name,), make, pa.bool_(), (True, False))
