"""The rows and the question that both sides of the benchmark get, drawn from a fixed seed."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

GROUPS = np.array(
    ["ams", "ber", "bru", "cph", "dub", "hel", "lis", "lon", "mad", "mil", "osl", "par", "prg", "rom", "vie", "zrh"]
)
QUERY = """SELECT city, count(*) AS n, avg(amount) AS mean_amount, sum(visits) AS visits
FROM people GROUP BY city ORDER BY city"""
ROWS_PER_BATCH = 62_500  # about 2 MB: int64, float64, int64 and a short string, some 32 bytes a row

SCHEMA = pa.schema(
    [
        pa.field("pid", pa.int64(), nullable=False),
        pa.field("amount", pa.float64(), nullable=False),
        pa.field("visits", pa.int64(), nullable=False),
        pa.field("city", pa.utf8(), nullable=False),
    ]
)


def batches(party: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield ``rows`` rows of one party in batches of about 2 MB; parties have different people."""
    random = np.random.default_rng(party)
    codes = pa.array(GROUPS)
    for start in range(0, rows, ROWS_PER_BATCH):
        count = min(ROWS_PER_BATCH, rows - start)
        yield pa.record_batch(
            [
                pa.array(np.arange(start, start + count, dtype=np.int64) + party * 10**12),
                pa.array(random.normal(100.0, 15.0, count)),
                pa.array(random.integers(0, 50, count)),
                codes.take(pa.array(random.integers(0, len(GROUPS), count))),
            ],
            schema=SCHEMA,
        )
