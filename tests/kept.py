"""Rows in the form in which a coordinator keeps them: as they were packed, sent, unpacked and written again."""

import pyarrow as pa

from mpc.table.packing import Packer, held, held_schema, unpacked


def kept(rows: pa.Table, batch_rows: int) -> pa.Table:
    """Return ``rows`` with texts as codes wherever its first ``batch_rows`` were sent as codes."""
    packer = Packer()
    sent = [packer.pack(batch) for batch in rows.to_batches(max_chunksize=batch_rows)]
    back = [unpacked(batch, rows.schema) for batch in sent]
    schema = held_schema(back[0]) if back else rows.schema
    return pa.Table.from_batches([held(batch, schema) for batch in back], schema)
