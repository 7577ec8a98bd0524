"""Statistical methods against statsmodels, scikit-learn and lifelines on pooled plaintext: time, memory, agreement.

    python benchmarks/methods.py --rows 10000000
    python benchmarks/methods.py --rows 100000000 --only linear_20 --ours
    python benchmarks/methods.py --rows 100000000 --streamed

Rows of two parties are written once, as Arrow streams. Each side runs in a process of its own and reads them itself:
Sealroom batch by batch and again for every pass, the other whole, as it has to. Before it is measured, each side
answers the same question about a few rows, so that imports count for neither. Core seconds are those of all threads;
peak memory is what a process holds at most beyond what it held before. A new case is one entry of ``CASES`` in
``descriptive``, ``regressions`` or ``survival``.

Reading is told twice: ``touching`` is once over the mapped files with every buffer summed, ``reading`` once over the
batches as a run streams them, each held against the schema. ``--write`` puts the rows of the table into
``docs/numerics.md``, those of other cases stay.

``--streamed`` is a regression on 20 columns of rows that are drawn as they are read, so that any number of them needs
no disk: what it costs, beside drawing the same rows and doing nothing with them.
"""

import argparse
import importlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import descriptive
import page
import pyarrow as pa
import regressions
import survival
from rows import PARTIES, PREDICTORS, dataset, read, streamed, tables, touch, write

from mpc.allocation import keep_freed_blocks
from mpc.engines.statistics import run_statistics
from mpc.questions.statistics import CheckedStatistics, check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.table.batches import Table, loaded_table

if TYPE_CHECKING:
    from pandas import DataFrame

Found = dict[str, float]
THREADS = os.cpu_count() or 1
FEW_ROWS = 4_000
"""Rows that each side answers about before it is measured."""


@dataclass(frozen=True)
class Case:
    """One question, and a function that answers it from the pooled rows with another library."""

    method: str
    arguments: Mapping[str, tuple[str, ...]]
    columns: tuple[str, ...]
    table: str
    value: str
    reference: Callable[["DataFrame"], Found]

    def checked(self) -> CheckedStatistics:
        """Return the question, as a run takes it."""
        question = StatisticsQuestion(
            kind="statistics", method=self.method, dataset="rows", arguments=dict(self.arguments)
        )
        return check_statistics("bench", question, {"rows": dataset(self.columns)})


CASES: Mapping[str, Case] = {
    name: Case(*case) for name, case in {**descriptive.CASES, **regressions.CASES, **survival.CASES}.items()
}
"""By name; several with one method are several ways to ask it, or several libraries to compare with."""


def ours(case: Case, folder: Path) -> Found:
    """Answer as a run does, batch by batch."""
    result = run_statistics(case.checked(), {"rows": tables(case.columns, folder)}, threads=THREADS)
    table = next(each for each in result.tables if each.name == case.table)
    return {" ".join(str(row[key]) for key in table.keys): row[case.value] for row in table.data.to_pylist()}


def theirs(case: Case, folder: Path) -> Found:
    """Answer from all rows at once."""
    whole = pa.concat_tables(pa.Table.from_batches(list(read(folder / name))) for name in PARTIES)
    return case.reference(whole.drop_columns(["pid"]).to_pandas(self_destruct=True, split_blocks=True))


def drained(parts: tuple[Table, ...]) -> int:
    """Read every batch once, as a pass does; return how many rows there were."""
    return sum(batch.num_rows for part in parts for batch in part.batches())


@dataclass(frozen=True)
class Taken:
    """What some work took."""

    seconds: float
    core: float
    mib: float

    @staticmethod
    def by(work: Callable[[], object]) -> tuple["Taken", Any]:
        """Do ``work`` and return what it took and what it came to."""
        before, clock, busy = _peak(), time.perf_counter(), time.process_time()
        found = work()
        return Taken(time.perf_counter() - clock, time.process_time() - busy, _peak() - before), found


def _peak() -> float:
    """Return the most MiB that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report_streamed(rows: int) -> None:
    """Print what a regression on streamed rows costs, beside drawing them: by the clock, and in core seconds."""
    keep_freed_blocks()
    case = CASES["linear_20"]
    terms = dataset(("y", *PREDICTORS))
    parts = tuple(loaded_table(terms, name, partial(streamed, rows, party)) for party, name in enumerate(PARTIES))
    reads, _ = Taken.by(lambda: drained(parts))
    fits, _ = Taken.by(lambda: run_statistics(case.checked(), {"rows": parts}, threads=THREADS))
    print(f"{rows} rows, {THREADS} cores, linear regression on 20 columns\n")
    print("| drawing s | fit s | times | drawing core s | fit core s | times | MiB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(f"| {reads.seconds:.1f} | {fits.seconds:.1f} | {fits.seconds / reads.seconds:.1f} | {reads.core:.1f} | "
          f"{fits.core:.1f} | {fits.core / reads.core:.1f} | {reads.mib + fits.mib:.0f} |")  # fmt: skip


def child(name: str, side: str, folder: Path) -> None:
    """Run one side and print what it took as JSON."""
    case = CASES[name]
    if side == "theirs":
        for module in ("pandas", "statsmodels.formula.api", "sklearn.linear_model", "lifelines"):
            importlib.import_module(module)
    else:
        keep_freed_blocks()  # as the process of a run does
    answer = ours if side == "ours" else theirs
    answer(case, folder / "few")
    taken, found = Taken.by(lambda: answer(case, folder))
    shown: dict[str, Any] = {"s": taken.seconds, "core": taken.core, "mib": taken.mib, "found": found}
    if side == "ours":
        shown["reading"], _ = Taken.by(lambda: drained(tables(case.columns, folder)))
        shown["touching"], _ = Taken.by(lambda: touch(folder))
        shown |= {each: [shown[each].seconds, shown[each].core] for each in ("reading", "touching")}
    print(json.dumps(shown))


def measured(name: str, side: str, folder: Path) -> dict[str, Any] | None:
    """Return what one side took; None if it did not survive."""
    # Our lanes are threads of their own; the other side's BLAS may use every core.
    settings = {**os.environ, **({"OPENBLAS_NUM_THREADS": "1"} if side == "ours" else {})}
    command = [sys.executable, __file__, "--child", name, side, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=settings, check=False)
    if done.returncode:
        print(f"{name}, {side}: {done.stderr.strip().splitlines()[-1] if done.stderr else 'ended'}", file=sys.stderr)
        return None
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def digits(ours: Found, theirs: Found) -> float:
    """Return how many digits of the values agree at least."""
    errors = [abs(ours[name] - value) / abs(value) for name, value in theirs.items()]
    return min(15.0, -math.log10(max(*errors, 1e-15)))


HEAD = (
    "| case | million rows | core s | s | touching s | reading s | MiB | other core s | other s | other MiB "
    "times less core | times faster | times less memory | digits that agree |"
)


def line(name: str, rows: int, root: Path, *, alone: bool) -> str:
    """Return the row of the report of one case; ``alone`` leaves the other side out."""
    with tempfile.TemporaryDirectory(dir=root) as place:
        folder = Path(place)
        (folder / "few").mkdir()
        write(CASES[name].columns, FEW_ROWS, folder / "few")
        write(CASES[name].columns, rows, folder)
        mine = measured(name, "ours", folder)
        other = None if alone else measured(name, "theirs", folder)
    many = f"{rows / 1e6:g}"
    if mine is None:
        return f"| {name} | {many} | failed |" + " |" * 11
    shown = [many, f"{mine['core']:.2f}", f"{mine['s']:.2f}"]
    shown += [f"{mine['touching'][0]:.2f}", f"{mine['reading'][0]:.2f}", f"{mine['mib']:.0f}"]
    if other is None:
        return f"| {name} | {' | '.join(shown)} | {'not run' if alone else 'ended'} |" + " |" * 6
    shown += [f"{other['core']:.2f}", f"{other['s']:.2f}", f"{other['mib']:.0f}"]
    shown += [f"{other['core'] / mine['core']:.1f}", f"{other['s'] / mine['s']:.1f}"]
    shown += [f"{other['mib'] / max(mine['mib'], 1):.1f}", f"{digits(mine['found'], other['found']):.1f}"]
    return f"| {name} | {' | '.join(shown)} |"


def main() -> None:
    """Print a table of all cases, or of those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--folder", type=Path, default=None, help="where rows are written for the time of a case")
    parser.add_argument("--ours", action="store_true", help="leave the other side out")
    parser.add_argument("--write", action="store_true", help="put the rows of the table into docs/numerics.md")
    parser.add_argument("--streamed", action="store_true", help="only the regression on rows drawn as they are read")
    parser.add_argument("--child", nargs=3, default=None, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child is not None:
        child(asked.child[0], asked.child[1], Path(asked.child[2]))
        return
    if asked.streamed:
        report_streamed(asked.rows)
        return
    ruler = "| --- |" + " ---: |" * (HEAD.count("|") - 2)
    print(f"{asked.rows} rows, {THREADS} cores\n\n{HEAD}\n{ruler}")
    for name in asked.only:
        made = line(name, asked.rows, asked.folder, alone=asked.ours)
        print(made, flush=True)
        if asked.write:
            page.put_row("bench-methods", (HEAD, ruler), made, order=list(CASES))


if __name__ == "__main__":
    main()
