"""The intersection of two datasets by their keys, against pandas and a bare DuckDB: time and memory.

    python benchmarks/linkage.py --keys 10000000

Both sides have as many rows, half of which are in common; keys are whole numbers, or texts that differ in case. Each
program runs in a process of its own. What Sealroom does beside the join: it normalises keys, finds those that are not
unique, and counts the subjects of every outcome on both sides.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpc.allocation import keep_freed_blocks

KINDS = ("integer", "text")
ALLOCATION = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""How the process of a run allocates, beside ``keep_freed_blocks``."""


def keys(count: int, seed: int, kind: str) -> pa.Array:
    """Return distinct keys, about half of which another seed has as well."""
    numbers = pa.array(np.random.default_rng(seed).permutation(2 * count)[:count] * 7919 + 13)
    if kind == "integer":
        return numbers
    prefix = "User." if seed % 2 else "USER."
    return pc.binary_join_element_wise(prefix, numbers.cast(pa.utf8()), pa.scalar("@Example.org"), "")


def sealroom(left: pa.Array, right: pa.Array, kind: str) -> int:
    """Link the rows of two owners and return how many are in common."""
    from mpc.engines import run_linkage  # noqa: PLC0415 - only this side pays for it
    from mpc.questions.linkage import check_linkage  # noqa: PLC0415 - likewise
    from mpc.questions.terms import Link, LinkageQuestion, LinkPass, MatchedColumns  # noqa: PLC0415 - likewise
    from mpc.table.batches import arrow_schema, loaded_table  # noqa: PLC0415 - likewise

    terms = {name: _dataset(name, kind) for name in ("left", "right")}
    matched = MatchedColumns(
        left="key", right="key", normalisation="exact" if kind == "integer" else "text", country=None
    )
    link = Link(left="left", right="right", left_rows="one", passes=(LinkPass(columns=(matched,)),))
    question = LinkageQuestion(kind="linkage", link=link, method="totals", arguments={})
    tables = {}
    for name, values in (("left", left), ("right", right)):
        rows = pa.table([pa.array(np.arange(len(values))), values], schema=arrow_schema(terms[name]))
        tables[name] = (loaded_table(terms[name], f"{name}_owner", rows.to_batches(max_chunksize=1 << 16)),)
    result = run_linkage(
        check_linkage("common", question, terms), tables, memory_bytes=16 << 30, threads=os.cpu_count() or 1
    )
    return int(result.tables[0].data["n"][0].as_py())


def _dataset(name: str, kind: str):  # noqa: ANN202 - imported where it is needed
    from mpc.table.schema import Column, Dataset, Freshness, Key, Subject  # noqa: PLC0415 - only this side pays for it

    columns = tuple(
        Column(
            name=each, description=each, type=of, precision=None, scale=None, unit=None, nullable=False, missing=(),
            minimum=None, maximum=None, codes=(), filterable=False, identifier=True,
        )
        for each, of in (("pid", "integer"), ("key", "integer" if kind == "integer" else "text"))
    )  # fmt: skip
    return Dataset(
        name=name, description=name, owners=(f"{name}_owner",), columns=columns,
        subject=Subject(domain=name, column="pid", identity="disjoint", normalisation="exact", rows="one"),
        keys=(Key(columns=("key",), unique=False),), freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip


def pandas(left: pa.Array, right: pa.Array, kind: str) -> int:
    """Return what pandas merges."""
    import pandas as pd  # noqa: PLC0415 - only this side pays for it

    frames = [pd.DataFrame({"key": values.to_pandas()}) for values in (left, right)]
    if kind == "text":
        for frame in frames:
            frame["key"] = frame["key"].str.strip().str.lower()
    return len(frames[0].merge(frames[1], on="key"))


def duckdb(left: pa.Array, right: pa.Array, kind: str) -> int:
    """Return what a bare DuckDB joins."""
    import duckdb as engine  # noqa: PLC0415 - only this side pays for it

    tables = {"l": pa.table({"key": left}), "r": pa.table({"key": right})}
    with engine.connect(":memory:") as connection:
        for name, table in tables.items():
            connection.register(name, table)
        key = "key" if kind == "integer" else "lower(trim(key))"
        sides = [f"(SELECT {key} AS k FROM {name})" for name in tables]
        ((found,),) = connection.sql(f"SELECT count(*) FROM {sides[0]} AS a JOIN {sides[1]} AS b USING (k)").fetchall()
        return int(found)


SIDES: dict[str, Callable[[pa.Array, pa.Array, str], int]] = {"sealroom": sealroom, "pandas": pandas, "duckdb": duckdb}


def child(side: str, kind: str, count: int) -> None:
    """Run one side and print what it took as JSON."""
    if side == "sealroom":
        keep_freed_blocks()
    left, right = keys(count, 1, kind), keys(count, 2, kind)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun, busy = time.perf_counter(), time.process_time()
    found = SIDES[side](left, right, kind)
    seconds, core = time.perf_counter() - begun, time.process_time() - busy
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"seconds": seconds, "core": core, "mib": peak, "found": found}))


def main() -> None:
    """Print a table of all sides and kinds of keys."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--child", nargs=2, default=None, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child is not None:
        child(asked.child[0], asked.child[1], asked.keys)
        return
    print(f"{asked.keys} keys a side, {os.cpu_count()} cores\n\n| keys | by | core s | s | MiB | in common |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for kind in KINDS:
        for side in SIDES:
            command = [sys.executable, __file__, "--keys", str(asked.keys), "--child", side, kind]
            settings = {**os.environ, **(ALLOCATION if side == "sealroom" else {})}
            done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=settings).stdout)
            taken = f"{done['core']:.1f} | {done['seconds']:.1f} | {done['mib']:.0f}"
            print(f"| {kind} | {side} | {taken} | {done['found']} |", flush=True)


if __name__ == "__main__":
    main()
