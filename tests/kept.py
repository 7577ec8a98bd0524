"""Rows in the form in which a coordinator keeps them: packed, batch by batch."""

import pyarrow as pa

from mpc.table.packing import Packer


def kept(rows: pa.Table, batch_rows: int) -> list[pa.RecordBatch]:
    """Return ``rows`` in packed batches of ``batch_rows``, with texts as codes wherever there are few."""
    packer = Packer()
    return [packer.pack(batch) for batch in rows.to_batches(max_chunksize=batch_rows)]
