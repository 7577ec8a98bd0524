"""The same questions over everybody's rows in one place: what a joint answer replaces, and what it must equal.

Only a demo can do this, for it plays every party. The answers come from DuckDB over the pooled rows, by SQL that was
written for it here, and from Pearson's formula: nothing of the enclave's engines or rules takes part.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import gammaincc

from mpc.contract.terms import Computation, Contract
from mpc.questions.terms import StatisticsQuestion
from parties.config import Config
from parties.report.view import Report, ReportTable
from parties.sources import batches
from scenarios import pooled_survival

Row = dict[str, Any]

OWNER = "$owner"
"""Whose row it is; no column of a contract has such a name."""


class Pooled:
    """Every owner's rows of every dataset, in the clear, in this process."""

    def __init__(self, contract: Contract, configs: Iterable[Config]) -> None:
        settings = list(configs)
        self._contract = contract
        self._database = duckdb.connect(":memory:", config={"threads": "1"})
        for dataset in contract.datasets:
            rows = [
                batch.append_column(OWNER, pa.repeat(config.party.name, batch.num_rows))
                for config in settings
                if config.party.name in dataset.owners
                for batch in batches(dataset, config.datasets[dataset.name])
            ]
            self._database.register(dataset.name, pa.Table.from_batches(rows))

    def rows_of(self, config: Config, dataset: str) -> int:
        """Return how many rows one owner brought."""
        owned = self._contract.dataset(dataset)
        return 0 if owned is None else sum(batch.num_rows for batch in batches(owned, config.datasets[dataset]))

    def differences(self, report: Report) -> tuple[int, list[str]]:
        """Return how many released cells were compared, and each that differs by more than its last released digit."""
        computation = self._contract.computation(report.computation)
        assert computation is not None  # noqa: S101 - a report is of a computation of its contract
        compared, wrong = 0, []
        for table in report.tables:
            pooled = self._answer(computation, table)
            for row in table.rows:
                expected = pooled.get(tuple(row[position].value for position in table.keys))
                for position in table.measures:
                    cell, name = row[position], table.columns[position].name
                    if cell.withheld:
                        continue
                    compared += 1
                    if expected is None or not _same(cell.value, expected[name], report.rules.significant_digits):
                        wrong.append(f"{report.computation}.{name}")
        return compared, wrong

    def _answer(self, computation: Computation, table: ReportTable) -> Mapping[tuple[Any, ...], Row]:
        question = computation.question
        assert question.kind != "linkage"  # noqa: S101 - the demo links no rows
        if question.kind == "sql":
            rows = self._rows(question.text)
        elif question.method in {"kaplan_meier", "log_rank", "cox"}:
            rows = self._survival(question)[table.name]
        elif table.name == "chi_square":
            rows = [self._chi_square(question)]
        else:
            rows = self._rows(_summary(question) if question.method == "summary" else _crosstab(question))
        keys = [table.columns[position].name for position in table.keys]
        return {tuple(row[key] for key in keys): row for row in rows}

    def _rows(self, text: str) -> list[Row]:
        found: list[Row] = self._database.sql(text).to_arrow_table().to_pylist()
        return found

    def _survival(self, question: StatisticsQuestion) -> dict[str, list[Row]]:
        rows = self._rows(f"SELECT * FROM {question.dataset}")  # noqa: S608 - a name of the contract
        if question.method == "kaplan_meier":
            return pooled_survival.kaplan_meier(rows, question.arguments)
        if question.method == "log_rank":
            return {"log_rank": [pooled_survival.log_rank(rows, question.arguments)]}
        return self._cox(rows, question)

    def _cox(self, rows: list[Row], question: StatisticsQuestion) -> dict[str, list[Row]]:
        """Return the tables of a model of main effects with a baseline of each party."""
        event, _, right = question.arguments["formula"][0].partition(" ~ ")
        dataset = self._contract.dataset(question.dataset)
        assert dataset is not None  # noqa: S101 - a question of the contract
        covariates: dict[str, npt.NDArray[np.float64]] = {}
        for term in right.split(" + "):
            column = dataset.column(term)
            values = [row[term] for row in rows]
            codes = [] if column is None else [code.value for code in column.codes]
            for code in codes[1:]:
                covariates[f"{term}[{code}]"] = np.array([float(value == code) for value in values])
            if not codes:
                covariates[term] = np.array(values, np.float64)
        (time,) = question.arguments["time"]
        return pooled_survival.cox(rows, covariates, [row[OWNER] for row in rows], time=time, event=event)

    def _chi_square(self, question: StatisticsQuestion) -> Row:
        down, across = question.arguments["row"][0], question.arguments["column"][0]
        counts = {
            (row[down], row[across]): row["n"] for row in self._rows(_crosstab(question)) if None not in row.values()
        }
        observed = {cell: count for cell, count in counts.items() if count}
        total = sum(observed.values())
        levels = [sorted({cell[place] for cell in observed}) for place in (0, 1)]
        sums = [
            {level: sum(n for cell, n in observed.items() if cell[place] == level) for level in levels[place]}
            for place in (0, 1)
        ]
        expected = {(a, b): sums[0][a] * sums[1][b] / total for a in levels[0] for b in levels[1]}
        statistic = sum((observed.get(cell, 0) - value) ** 2 / value for cell, value in expected.items())
        freedom = (len(levels[0]) - 1) * (len(levels[1]) - 1)
        return {
            "n": total,
            "subjects": total,  # a row is a subject
            "chi_square": statistic,
            "degrees_of_freedom": freedom,
            "p_value": float(gammaincc(freedom / 2, statistic / 2)),
        }


def _summary(question: StatisticsQuestion) -> str:
    by = ", ".join(question.arguments.get("by", ()))
    asked = [
        f"count({name}) AS {name}_n, count({name}) AS {name}_subjects, "  # a row is a subject
        f"avg({name}) AS {name}_mean, stddev_samp({name}) AS {name}_sd"
        for name in question.arguments["columns"]
    ]
    return f"SELECT {', '.join([by, *asked])} FROM {question.dataset} GROUP BY {by}"  # noqa: S608 - names of the contract


def _crosstab(question: StatisticsQuestion) -> str:
    down, across = question.arguments["row"][0], question.arguments["column"][0]
    return (
        f"SELECT {down}, {across}, count(*) AS n, count(*) AS subjects FROM {question.dataset} "  # noqa: S608 - names of the contract
        f"WHERE {down} IS NOT NULL AND {across} IS NOT NULL GROUP BY CUBE ({down}, {across})"
    )


def _same(released: object, pooled: object, digits: int) -> bool:
    """Tell whether a released value is the pooled one: whole numbers exactly, others to their last released digit."""
    if not isinstance(released, float) or not isinstance(pooled, float):
        return released == pooled
    if pooled == 0:
        return released == 0
    unit = 10.0 ** (math.floor(math.log10(abs(pooled))) - digits + 1)
    return abs(released - pooled) <= unit
