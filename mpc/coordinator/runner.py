"""The runner child: one run over validated tables, or one contract that is only read; then it ends.

It holds the rows of all owners of its inputs and no key. Tables that are resident come as memory-backed files, which
it maps and does not copy; the others it asks for pass by pass, and each pass comes down a pipe from a loader of its
own.

    in   {"contract", "computation"}, and {"job"} with a descriptor for each resident table
    out  {"pass": table} answered by {"pass"} with a descriptor; at the end {"answer"} with a body, or {"failed": code}

    in   {"read"}
    out  {"read"}, or {"refused"}
"""

import io
import mmap
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from mpc.canonical import parse_json
from mpc.contract.document import read_question
from mpc.contract.terms import Contract
from mpc.coordinator import reader, sandbox
from mpc.coordinator.line import DESCRIPTORS_MAX, Line, LineEnded
from mpc.coordinator.warmth import made_up_dataset, made_up_rows
from mpc.engines import PlannedSql, make_ready, planned, run_statistics
from mpc.errors import Exhausted, Malformed, Refusal
from mpc.questions.sql import check_sql
from mpc.questions.statistics import check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.results import to_bytes
from mpc.table.batches import Table, loaded_table
from mpc.table.packing import read_batches, read_pipe

_WARM_SQL = "SELECT category, count(*) AS n, avg(float) AS mean FROM made_up GROUP BY category"
_WARM_SUMMARY: dict[str, tuple[str, ...]] = {"columns": ("float",), "by": ("category",)}

_DESCRIPTORS = 64
OVERHEAD_MIB = 256
"""Private memory beside what the engine may use: its threads' stacks, Arrow's and Python's own."""


def run(line: Line, asked: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes]:
    """Return the head and body that report on the one run of the computation in ``asked``, told over ``line``."""
    # The coordinator checked the contract whole before it took it up; the engines check the question of this run again.
    contract = parse_json(Contract, asked["contract"], what="the contract")
    _read_beforehand(contract, asked["computation"])
    threads, memory_mib = int(asked["threads"]), int(asked["memory_mib"])
    pa.set_cpu_count(threads)
    sandbox.enter(
        sandbox.Bounds(
            memory_mib=memory_mib + OVERHEAD_MIB, cpu_seconds=int(asked["cpu_seconds"]), file_mib=0,
            descriptors=DESCRIPTORS_MAX + _DESCRIPTORS,
        )
    )  # fmt: skip
    answer = planned(contract, asked["computation"], memory_bytes=memory_mib << 20, threads=threads)
    frame = line.receive()
    job = frame.head["job"]
    result = answer(_tables(line, contract, job["tables"], frame.descriptors), job["parameters"])
    return {"answer": True}, to_bytes(result)


def _read_beforehand(contract: Contract, name: str) -> None:
    """Read the question once while files still open: what reads it may import as it goes."""
    computation = contract.computation(name)
    if computation is not None:
        read_question(contract, computation)


def _tables(
    line: Line, contract: Contract, listed: list[Mapping[str, Any]], descriptors: tuple[int, ...]
) -> Mapping[str, tuple[Table, ...]]:
    remaining = iter(descriptors)
    tables: dict[str, tuple[Table, ...]] = {}
    for number, entry in enumerate(listed):
        dataset = contract.dataset(entry["dataset"])
        if dataset is None:
            raise Malformed(
                "run.dataset", "a run was given an unknown dataset", why="it is not in the contract", remedy="report it"
            )
        source = _mapped(next(remaining)) if entry["resident"] else _Passes(line, number)
        tables[dataset.name] = (*tables.get(dataset.name, ()), loaded_table(dataset, entry["owner"], source))
    return tables


def _mapped(descriptor: int) -> Iterator[pa.RecordBatch]:
    """Yield the packed batches in a memory-backed file, read where they lie."""
    # Private, as kernels before 6.7 map a write-sealed file in no other way; unwritable, so it counts as no memory.
    # Its length is asked of the descriptor itself, as stat works on paths and is refused here.
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if size:  # no rows at all are no batch
        yield from read_batches(memoryview(mmap.mmap(descriptor, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)))


_ASKING = threading.Lock()  # an engine opens its tables from threads of its own, and one line answers


class _Passes:
    """Opens the batches of one streamed table anew at each call."""

    def __init__(self, line: Line, number: int) -> None:
        self._line = line
        self._number = number

    def __call__(self) -> Iterator[pa.RecordBatch]:
        with _ASKING:
            self._line.send({"pass": self._number})
            frame = self._line.receive()
        if len(frame.descriptors) != 1:
            raise Exhausted(
                "run.pass", "a table could not be streamed again", why="its loader did not start",
                remedy="ask for the run again",
            )  # fmt: skip
        with io.BufferedReader(io.FileIO(frame.descriptors[0]), 1 << 20) as pipe:
            yield from read_pipe(pipe)


def reported(line: Line, asked: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes]:
    """Return the report of ``run``, or the class of its failure; the engine's own text ends here."""
    try:
        return run(line, asked)
    except Refusal as refusal:
        return {"failed": refusal.code}, b""
    except MemoryError:  # also pyarrow's own, which is one
        return {"failed": "run.memory"}, b""
    except LineEnded:
        raise
    except Exception:  # noqa: BLE001 - an engine may raise anything over hostile rows, and its text may quote them
        return {"failed": "run.engine"}, b""


def serve(line: Line) -> None:
    """Do the one run that comes over ``line``, or read the one contract, and report."""
    asked = line.receive().head
    line.end_process_with_it()
    head, body = (reader.reported(asked["read"]), b"") if "read" in asked else reported(line, asked)
    line.send(head, body=body)


def warm_up() -> None:
    """Read a contract, and answer one question of each kind over made-up rows: in the sandbox no file opens."""
    reader.warm_up()
    dataset = made_up_dataset()
    tables = {dataset.name: (loaded_table(dataset, "nobody", made_up_rows(dataset)),)}
    datasets = {dataset.name: dataset}
    sql = check_sql("warm", _WARM_SQL, (), datasets)
    to_bytes(PlannedSql(sql, memory_bytes=256 << 20, threads=1).answer(tables, {}))
    method = StatisticsQuestion(kind="statistics", method="summary", dataset=dataset.name, arguments=_WARM_SUMMARY)
    to_bytes(run_statistics(check_statistics("warm", method, datasets), tables))
    make_ready()
