"""Columns of result tables out of numbered groups."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from mpc.table.batches import arrow_schema
from mpc.table.schema import Dataset


def key_columns(dataset: Dataset, keys: Sequence[str], groups: Sequence[tuple[Any, ...]]) -> dict[str, pa.Array]:
    """Return one column a key, of the dataset's types, with a row for each group."""
    schema = arrow_schema(dataset)
    return {key: pa.array([group[i] for group in groups], schema.field(key).type) for i, key in enumerate(keys)}
