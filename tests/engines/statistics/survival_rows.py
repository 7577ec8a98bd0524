"""A dataset of people followed over time, and any number of owners' tables of it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from mpc.engines.statistics import run_statistics
from mpc.questions.statistics import check_statistics
from mpc.questions.terms import StatisticsQuestion
from mpc.results import RawTable
from mpc.table.batches import Table, arrow_schema, loaded_table
from mpc.table.schema import Code, Column, Dataset, Freshness, Subject

Rows = Mapping[str, Sequence[Any]]


def column(name: str, kind: Any, **terms: Any) -> Column:
    plain: dict[str, Any] = {
        "description": name, "precision": None, "scale": None, "unit": None, "nullable": True, "missing": (),
        "minimum": None, "maximum": None, "codes": (), "filterable": True, "identifier": False,
    }  # fmt: skip
    return Column(name=name, type=kind, **{**plain, **terms})


def people(owners: int = 2, *, rows: Any = "one", identity: Any = "disjoint", codes: str = "ABC") -> Dataset:
    return Dataset(
        name="people", description="people", owners=tuple(f"o{i:03}" for i in range(owners)),
        columns=(
            column("pid", "text", nullable=False, identifier=True),
            column("time", "float", unit="days"), column("entry", "float"),
            column("event", "integer", minimum="0", maximum="1"), column("died", "boolean"),
            column("arm", "category", codes=tuple(Code(value=code, label=code) for code in codes)),
            column("sex", "category", codes=(Code(value="f", label="f"), Code(value="m", label="m"))),
            column("site", "text"), column("x", "float"), column("y", "float"), column("z", "integer"),
        ),
        subject=Subject(domain="person", column="pid", identity=identity, normalisation="exact", rows=rows),
        keys=(), freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip


def drawn(seed: int, n: int, *, ties: bool = True, entry: bool = False) -> dict[str, list[Any]]:
    """Draw ``n`` people whose hazard rises with x and falls with arm C."""
    draw = np.random.default_rng(seed)
    arm = draw.choice(list("ABC"), n)
    x, y, z = draw.normal(50, 10, n), draw.normal(0, 1, n), draw.integers(0, 9, n)
    hazard = np.exp(0.04 * (x - 50) + 0.3 * y - 0.5 * (arm == "C")) / 300
    time, censored = draw.exponential(1 / hazard), draw.uniform(100, 900, n)
    event = time <= censored
    time = np.minimum(time, censored)
    time = np.ceil(time / 10) * 10 if ties else time
    entered = np.where(draw.random(n) < 0.4, np.floor(draw.uniform(0, 200, n)), 0.0) if entry else np.zeros(n)
    return {
        "pid": [f"p{i // 2 if entry else i}" for i in range(n)], "time": time.tolist(), "entry": entered.tolist(),
        "event": event.astype(int).tolist(), "died": event.tolist(), "arm": arm.tolist(),
        "sex": draw.choice(list("fm"), n).tolist(), "site": draw.choice(["a", "b", "c", "d"], n).tolist(),
        "x": x.tolist(), "y": y.tolist(), "z": z.tolist(),
    }  # fmt: skip


def shared_out(dataset: Dataset, rows: Rows, *, batch: int = 1000, seed: int = 0) -> tuple[Table, ...]:
    """Share rows out among the dataset's owners, in some order, in batches of a size."""
    n = len(rows["pid"])
    order = np.random.default_rng(seed).permutation(n) if seed else np.arange(n)
    owner = np.arange(n) % len(dataset.owners)
    schema = arrow_schema(dataset)

    def batches(number: int) -> list[pa.RecordBatch]:
        own = order[owner == number]
        return [
            pa.record_batch(
                [pa.array([rows[field.name][i] for i in own[at : at + batch]], field.type) for field in schema],
                schema=schema,
            )
            for at in range(0, len(own), batch)
        ]

    return tuple(
        loaded_table(dataset, name, partial(iter, batches(number))) for number, name in enumerate(dataset.owners)
    )


def asked(dataset: Dataset, tables: tuple[Table, ...], method: str, **arguments: Sequence[str]) -> dict[str, RawTable]:
    """Return the raw tables of one question by name."""
    given = {name: tuple(values) for name, values in arguments.items()}
    question = StatisticsQuestion(kind="statistics", method=method, dataset=dataset.name, arguments=given)
    result = run_statistics(check_statistics("q", question, {dataset.name: dataset}), {dataset.name: tables})
    return {table.name: table for table in result.tables}
