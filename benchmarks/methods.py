"""Statistical methods against statsmodels, scikit-learn and lifelines on pooled plaintext: time, memory, agreement.

    python benchmarks/methods.py --rows 10000000
    python benchmarks/methods.py --rows 100000000 --only linear_20
    python benchmarks/methods.py --rows 100000000 --streamed

Rows of two parties are written once, as Arrow streams. Each side runs in a process of its own and reads them itself:
Sealroom batch by batch and again for every pass, the other whole, as it has to. Peak memory is what a process holds at
most beyond what it holds after its imports. ``reading`` is how long one reading of all batches takes. A new case is one
entry of ``CASES``.

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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import descriptive
import numpy as np
import pyarrow as pa
import survival

from mpc.engines.statistics import run_statistics
from mpc.questions.statistics import check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.table.batches import arrow_schema, loaded_table
from mpc.table.schema import Code, Column, ColumnType, Dataset, Freshness, Subject

if TYPE_CHECKING:
    from pandas import DataFrame

PARTIES = ("north", "south")
BATCH_ROWS = 65_536
PREDICTORS = tuple(f"x{i}" for i in range(1, 21))
GROUPS = ("a", "b", "c", "d")

Found = dict[str, float]


@dataclass(frozen=True)
class Case:
    """One question, and a function that answers it from the pooled rows with another library."""

    method: str
    arguments: Mapping[str, tuple[str, ...]]
    columns: tuple[str, ...]
    table: str
    value: str
    reference: Callable[["DataFrame"], Found]


def column(name: str) -> Column:
    """Return a column of the rows that ``drawn`` makes."""
    kinds: dict[str, ColumnType] = {"g": "category", "event": "boolean", "n": "integer", "days": "integer"}
    kind = kinds.get(name, "float")
    return Column(
        name=name, description=name, type=kind, precision=None, scale=None, unit=None, nullable=False, missing=(),
        minimum={"n": "0", "w": "0.1", "days": "1"}.get(name), maximum=None, filterable=True, identifier=False,
        codes=tuple(Code(value=code, label=code) for code in GROUPS) if kind == "category" else (),
    )  # fmt: skip


def dataset(columns: tuple[str, ...]) -> Dataset:
    """Return the terms of rows with these columns: one row a person, nobody at two parties."""
    person = column("pid").model_copy(update={"type": "integer", "identifier": True})
    return Dataset(
        name="rows", description="rows", owners=PARTIES, columns=(person, *map(column, columns)),
        subject=Subject(domain="person", column="pid", identity="disjoint", normalisation="exact", rows="one"),
        keys=(), freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip


def drawn(rows: int, seed: int, columns: tuple[str, ...]) -> pa.RecordBatch:
    """Return rows in which every column has something to do with the others."""
    draw = np.random.default_rng(seed)
    x = {name: draw.normal(i, 1.0 + i / 10, rows) for i, name in enumerate(PREDICTORS) if name in columns}
    group = draw.integers(0, len(GROUPS), rows)
    signal = 0.3 * group + sum((0.1 * (values - values.mean()) for values in x.values()), np.zeros(rows))
    made: dict[str, Any] = {"pid": np.arange(rows) + seed * 10**9, **x, "g": np.array(GROUPS)[group]}
    made["y"] = signal + draw.normal(0, 1, rows)
    made["w"] = draw.uniform(0.5, 2.0, rows)
    made["event"] = draw.random(rows) < 1 / (1 + np.exp(-signal))
    made["n"] = draw.poisson(np.exp(np.clip(0.3 * signal, -4, 4)) * draw.gamma(2, 0.5, rows))
    made["days"] = np.ceil(draw.exponential(600 * np.exp(-np.clip(0.2 * signal, -4, 4)))).clip(1, 3650).astype(int)
    schema = arrow_schema(dataset(columns))
    return pa.record_batch([pa.array(made[field.name], field.type) for field in schema], schema=schema)


def ols(errors: str) -> Callable[["DataFrame"], Found]:
    """Return least squares by statsmodels."""

    def fit(frame: "DataFrame") -> Found:
        import statsmodels.formula.api as smf  # noqa: PLC0415 - only their side pays for it

        terms = " + ".join(name for name in frame.columns if name.startswith("x"))
        groups = " + g" if "g" in frame.columns else ""
        fitted = smf.ols(f"y ~ {terms}{groups}", frame).fit(cov_type=errors)
        return {"(intercept)": fitted.params["Intercept"], "x1": fitted.params["x1"], "x2": fitted.params["x2"]}

    return fit


def wls(frame: "DataFrame") -> Found:
    """Return weighted least squares by statsmodels."""
    import statsmodels.formula.api as smf  # noqa: PLC0415 - only their side pays for it

    fitted = smf.wls("y ~ x1 + x2 + x3 + g", frame, weights=frame["w"]).fit()
    return {"(intercept)": fitted.params["Intercept"], "x1": fitted.params["x1"]}


def least_squares(frame: "DataFrame") -> Found:
    """Return least squares by scikit-learn, which gives no standard errors."""
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - only their side pays for it

    fitted = LinearRegression().fit(frame[list(PREDICTORS)].to_numpy(), frame["y"].to_numpy())
    return {"(intercept)": float(fitted.intercept_), "x1": float(fitted.coef_[0])}


def logit(frame: "DataFrame") -> Found:
    """Return a logistic regression by statsmodels."""
    import statsmodels.formula.api as smf  # noqa: PLC0415 - only their side pays for it

    fitted = smf.logit("event ~ x1 + x2 + x3 + g", frame.assign(event=frame["event"].astype(float))).fit(disp=0)
    return {"(intercept)": fitted.params["Intercept"], "x1": fitted.params["x1"]}


def logit_sklearn(frame: "DataFrame") -> Found:
    """Return a logistic regression by scikit-learn, which gives no standard errors."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - only their side pays for it

    x = frame[["x1", "x2", "x3"]].to_numpy()
    fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(x, frame["event"].to_numpy())
    return {"(intercept)": float(fitted.intercept_[0]), "x1": float(fitted.coef_[0][0])}


def counts(kind: str) -> Callable[["DataFrame"], Found]:
    """Return a Poisson or negative binomial regression by statsmodels."""

    def fit(frame: "DataFrame") -> Found:
        import statsmodels.formula.api as smf  # noqa: PLC0415 - only their side pays for it

        fitted = getattr(smf, kind)("n ~ x1 + x2 + x3 + g", frame).fit(disp=0, method="newton", maxiter=100)
        return {"(intercept)": fitted.params["Intercept"], "x1": fitted.params["x1"]}

    return fit


def model(formula: str, **arguments: str) -> dict[str, tuple[str, ...]]:
    """Return the arguments of a regression."""
    plain = {"formula": formula, "parties": "pooled", "confidence": "0.95", **arguments}
    if "errors" in plain:
        plain["residuals"] = "none"
    return {name: (value,) for name, value in plain.items()}


FEW = ("x1", "x2", "x3", "g")
TERMS = "x1 + x2 + x3 + g"
LINEAR_20 = f"y ~ {' + '.join(PREDICTORS)}"
CASES: Mapping[str, Case] = {
    "linear": Case(
        "linear", model(f"y ~ {TERMS}", errors="classical"), ("y", *FEW), "coefficients", "estimate", ols("nonrobust")
    ),
    "linear_hc3": Case(
        "linear", model(f"y ~ {TERMS}", errors="HC3"), ("y", *FEW), "coefficients", "estimate", ols("HC3")
    ),
    "linear_weighted": Case(
        "linear", model(f"y ~ {TERMS}", errors="classical", weights="w"), ("y", "w", *FEW), "coefficients", "estimate",
        wls,
    ),
    "linear_20": Case(
        "linear", model(LINEAR_20, errors="classical"), ("y", *PREDICTORS), "coefficients", "estimate", ols("nonrobust")
    ),
    "linear_20_sklearn": Case(
        "linear", model(LINEAR_20, errors="classical"), ("y", *PREDICTORS), "coefficients", "estimate", least_squares
    ),
    "logistic": Case("logistic", model(f"event ~ {TERMS}"), ("event", *FEW), "coefficients", "estimate", logit),
    "logistic_sklearn": Case(
        "logistic", model("event ~ x1 + x2 + x3"), ("event", "x1", "x2", "x3"), "coefficients", "estimate",
        logit_sklearn,
    ),
    "poisson": Case("poisson", model(f"n ~ {TERMS}"), ("n", *FEW), "coefficients", "estimate", counts("poisson")),
    "negative_binomial": Case(
        "negative_binomial", model(f"n ~ {TERMS}"), ("n", *FEW), "coefficients", "estimate", counts("negativebinomial")
    ),
    **{name: Case(*case) for name, case in descriptive.CASES.items()},
    **{name: Case(*case) for name, case in survival.CASES.items()},
}  # fmt: skip
"""By name; several with one method are several ways to ask it, or several libraries to compare with."""


def write(case: Case, rows: int, folder: Path) -> None:
    """Write each party's rows as an Arrow stream."""
    for party, name in enumerate(PARTIES):
        schema = arrow_schema(dataset(case.columns))
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
            for start in range(0, rows // len(PARTIES), BATCH_ROWS):
                count = min(BATCH_ROWS, rows // len(PARTIES) - start)
                stream.write_batch(drawn(count, party * 100_000 + start // BATCH_ROWS, case.columns))


def read(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of one party; none stays in memory."""
    with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as stream:
        yield from stream


def ours(case: Case, folder: Path) -> Found:
    """Answer as a run does, batch by batch."""
    terms = dataset(case.columns)
    question = StatisticsQuestion(kind="statistics", method=case.method, dataset="rows", arguments=dict(case.arguments))
    checked = check_statistics("bench", question, {"rows": terms})
    parts = tuple(loaded_table(terms, name, lambda name=name: read(folder / name)) for name in PARTIES)
    result = run_statistics(checked, {"rows": parts}, threads=os.cpu_count() or 1)
    table = next(each for each in result.tables if each.name == case.table)
    return {" ".join(str(row[key]) for key in table.keys): row[case.value] for row in table.data.to_pylist()}


def theirs(case: Case, folder: Path) -> Found:
    """Answer from all rows at once."""
    whole = pa.concat_tables(pa.Table.from_batches(list(read(folder / name))) for name in PARTIES)
    return case.reference(whole.drop_columns(["pid"]).to_pandas(self_destruct=True, split_blocks=True))


def reading(folder: Path) -> float:
    """Return the seconds that one reading of all batches takes."""
    begun = time.perf_counter()
    for name in PARTIES:
        for batch in read(folder / name):
            batch.validate()
    return time.perf_counter() - begun


def streamed(rows: int, party: int) -> Iterator[pa.RecordBatch]:
    """Yield a party's part of ``rows`` rows as they are drawn: 20 columns, and a response that they explain in part."""
    schema = arrow_schema(dataset(("y", *PREDICTORS)))
    draw = np.random.default_rng(party)
    for start in range(0, rows // len(PARTIES), BATCH_ROWS):
        count = min(BATCH_ROWS, rows // len(PARTIES) - start)
        columns = draw.standard_normal((len(PREDICTORS) + 1, count))
        columns[-1] += 0.1 * columns[:-1].sum(axis=0)
        made = {"pid": np.arange(start, start + count), **dict(zip((*PREDICTORS, "y"), columns, strict=True))}
        yield pa.record_batch([pa.array(made[field.name], field.type) for field in schema], schema=schema)


def report_streamed(rows: int) -> None:
    """Print what a regression on streamed rows costs, beside drawing them: by the clock, and in core seconds."""
    threads = os.cpu_count() or 1
    terms = dataset(("y", *PREDICTORS))
    arguments = dict(CASES["linear_20"].arguments)
    question = StatisticsQuestion(kind="statistics", method="linear", dataset="rows", arguments=arguments)
    checked = check_statistics("bench", question, {"rows": terms})
    parts = tuple(
        loaded_table(terms, name, lambda party=party: streamed(rows, party)) for party, name in enumerate(PARTIES)
    )
    before, taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for work in (
        lambda: sum(batch.num_rows for part in parts for batch in part.batches()),
        lambda: run_statistics(checked, {"rows": parts}, threads=threads),
    ):
        clock, busy = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - clock, time.process_time() - busy))
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    (reads, reads_busy), (fits, fits_busy) = taken
    print(f"{rows} rows, {threads} cores, linear regression on 20 columns\n")
    print("| reading s | fit s | times | reading core s | fit core s | times | MiB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(f"| {reads:.1f} | {fits:.1f} | {fits / reads:.1f} | {reads_busy:.1f} | {fits_busy:.1f} | "
          f"{fits_busy / reads_busy:.1f} | {peak:.0f} |")  # fmt: skip


def child(name: str, side: str, folder: Path) -> None:
    """Run one side and print what it took as JSON."""
    case = CASES[name]
    if side == "theirs":
        for module in ("pandas", "statsmodels.formula.api", "sklearn.linear_model", "lifelines"):
            importlib.import_module(module)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    found = (ours if side == "ours" else theirs)(case, folder)
    seconds = time.perf_counter() - begun
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    once = reading(folder) if side == "ours" else 0.0
    print(json.dumps({"seconds": seconds, "mib": peak, "found": found, "reading": once}))


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


def line(name: str, rows: int, root: Path) -> str:
    """Return the row of the report of one case."""
    with tempfile.TemporaryDirectory(dir=root) as place:
        folder = Path(place)
        write(CASES[name], rows, folder)
        mine, other = measured(name, "ours", folder), measured(name, "theirs", folder)
    if mine is None:
        return f"| {name} | failed | | | | | | | |"
    shown = [f"{mine['seconds']:.1f}", f"{mine['reading']:.1f}", f"{mine['mib']:.0f}"]
    if other is None:
        return f"| {name} | {' | '.join(shown)} | ended | | | | |"
    shown += [f"{other['seconds']:.1f}", f"{other['mib']:.0f}", f"{other['seconds'] / mine['seconds']:.1f}"]
    shown += [f"{other['mib'] / max(mine['mib'], 1):.1f}", f"{digits(mine['found'], other['found']):.1f}"]
    return f"| {name} | {' | '.join(shown)} |"


def main() -> None:
    """Print a table of all cases, or of those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--folder", type=Path, default=None, help="where rows are written for the time of a case")
    parser.add_argument("--streamed", action="store_true", help="only the regression on rows drawn as they are read")
    parser.add_argument("--child", nargs=3, default=None, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child is not None:
        child(asked.child[0], asked.child[1], Path(asked.child[2]))
        return
    if asked.streamed:
        report_streamed(asked.rows)
        return
    print(f"{asked.rows} rows, {os.cpu_count()} cores\n")
    print("| case | s | reading s | MiB | other s | other MiB | times faster | times less memory | digits that agree |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in asked.only:
        print(line(name, asked.rows, asked.folder), flush=True)


if __name__ == "__main__":
    main()
