"""What rows are known by from one upload to the next: a digest of their content, whatever batches they came in.

    column  = SHA-256 of its values in Arrow's layout, one after the other: of fixed width, or lengths and then bytes
    content = SHA-256(CBOR ["sealroom rows v1", schema digest, rows, [values, lengths, nulls of each column]])

NULLs count by where they are, and as zero or empty values: what lies under them is the writer's accident. The order of
rows counts. Who knows the digest can confirm a guess of all rows, so it stays where the rows are, and in sealed state.
"""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa

from mpc.canonical import canonical_cbor, sha256
from mpc.table.batches import schema_digest
from mpc.table.packing import decoded
from mpc.table.schema import Dataset


class ContentDigest:
    """Takes checked batches of ``dataset`` in their order, of bounded size; ``digest`` names all of them, 32 bytes."""

    def __init__(self, dataset: Dataset) -> None:
        self._schema = schema_digest(dataset)
        self._columns = [_Column() for _ in dataset.columns]
        self._rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch."""
        self._rows += batch.num_rows
        for column, array in zip(self._columns, batch.columns, strict=True):
            column.update(decoded(array))

    def digest(self) -> bytes:
        """Return the digest of what was added."""
        columns = [column.digests() for column in self._columns]
        return sha256(canonical_cbor(["sealroom rows v1", self._schema, self._rows, columns]))


class _Column:
    def __init__(self) -> None:
        self._values, self._lengths, self._nulls = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        self._rows = 0

    def update(self, array: pa.Array) -> None:
        valid = None if array.null_count == 0 else array.is_valid().to_numpy(zero_copy_only=False)
        if valid is not None:
            self._nulls.update((np.flatnonzero(~valid).astype("<u8") + self._rows).data.cast("B"))
        self._rows += len(array)
        if pa.types.is_string(array.type):
            self._add_texts(array if valid is None else array.fill_null(""))
        else:
            self._values.update(_fixed(array, valid))

    def _add_texts(self, array: pa.Array) -> None:
        _, offsets, data = array.buffers()
        if len(array) == 0 or offsets is None:
            return
        ends = np.frombuffer(offsets, "<i4")[array.offset : array.offset + len(array) + 1]
        self._lengths.update(np.diff(ends).data.cast("B"))
        if data is not None:
            self._values.update(memoryview(data)[int(ends[0]) : int(ends[-1])])

    def digests(self) -> list[bytes]:
        return [self._values.digest(), self._lengths.digest(), self._nulls.digest()]


def _fixed(array: pa.Array, valid: "np.ndarray[Any, Any] | None") -> memoryview:
    """Return the values of an array of fixed width, zero where they are NULL."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    width = array.type.bit_width // 8
    values = memoryview(array.buffers()[1] or b"")[array.offset * width : (array.offset + len(array)) * width]
    if valid is None:
        return values
    kept = np.frombuffer(values, np.uint8).reshape(len(array), width).copy()
    kept[~valid] = 0
    return kept.data.cast("B")
