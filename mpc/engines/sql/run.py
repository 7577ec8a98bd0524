"""Answers a checked question over loaded tables; all that can be done before they are there is done before."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from mpc.engines.sql.behind import CountColumns, WeightColumns, Weights
from mpc.engines.sql.confirm import confirm_question, confirm_statement
from mpc.engines.sql.database import Database
from mpc.engines.sql.rewrite import Statement, rewritten
from mpc.errors import OutOfOrder
from mpc.questions.sql import CheckedSql
from mpc.results import Contributors, Counts, Largest, Measure, Presentation, RawResult, RawTable
from mpc.table.batches import Table


class PlannedSql:
    """A question with the engine that will answer it, once. Raises ``Forbidden`` (``sql.unconfirmed``)."""

    def __init__(self, checked: CheckedSql, *, memory_bytes: int, threads: int) -> None:
        self._checked = checked
        self._statement = statement = rewritten(checked)
        self._database = database = Database(memory_bytes=memory_bytes, threads=threads)
        confirm_question(database.serialised, checked.text, set(checked.datasets))
        relations = {scan.name for scan in statement.scans} | statement.names
        confirm_statement(database.serialised, statement.text, relations)

    def answer(self, tables: Mapping[str, tuple[Table, ...]], parameters: Mapping[str, object]) -> RawResult:
        """Return every cell with its contributors.

        ``tables`` holds the tables of each dataset, one an owner; ``parameters`` were checked by ``check_parameters``.
        A measure may come with several ``Contributors`` of one domain: one for each source and each condition that its
        cells depend on, and one for the group's being there at all. The rules have to hold for each of them.

        Raises ``OutOfOrder`` when an owner's rows are missing, ``Exhausted`` (``run.memory``, ``run.time``) and
        ``Forbidden`` (``run.failed``); no text of the engine is in any of them.
        """
        checked, statement = self._checked, self._statement
        _check_loaded(checked, tables)
        with self._database as database:
            for scan in statement.scans:
                (table,) = (table for table in tables[scan.dataset] if table.owner == scan.owner)
                database.register(scan.name, table, scan.columns)
            bound = {name: parameters[name] for name, _ in checked.parameters}
            answer = database.answer(statement.text, bound)
        return _result(checked, statement, answer)


def _check_loaded(checked: CheckedSql, tables: Mapping[str, tuple[Table, ...]]) -> None:
    for source in checked.sources:
        held = sorted(table.owner for table in tables.get(source.dataset.name, ()))
        if held != sorted(source.dataset.owners):
            raise OutOfOrder(
                "run.rows_missing", f"not every owner of {source.dataset.name} has its rows loaded, once",
                why="a dataset is the union of all its owners' rows", remedy="wait until every owner has uploaded",
            )  # fmt: skip


def _result(checked: CheckedSql, statement: Statement, answer: pa.Table) -> RawResult:
    names = [f"#k{i}" for i in range(len(checked.keys))] + [f"#m{i}" for i in range(len(checked.measures))]
    domains = {source.alias: source.dataset.subject.domain for source in checked.sources}
    table = RawTable(
        name=checked.name,
        keys=tuple(key.name for key in checked.keys),
        measures=tuple(
            Measure(measure.name, measure.kind, measure.source, measure.extensive, measure.unit)
            for measure in checked.measures
        ),
        data=answer.select(names).rename_columns(list(checked.columns)),
        contributors={
            name: tuple(_contributors(columns, domains[columns.alias], answer) for columns in each)
            for name, each in statement.contributors.items()
        },
        margins=_margins(checked, statement, answer),
        largest={
            name: tuple(_largest(columns, answer) for columns in each)
            for name, each in statement.weights.items()
            if each
        },
        public=all(source.dataset.subject.identity == "none" for source in checked.sources),
    )
    shown = checked.shown
    return RawResult((table,), Presentation(shown.having, shown.order, shown.limit))


def _contributors(columns: CountColumns, domain: str, answer: pa.Table) -> Contributors:
    without = {party: _counts(answer, name) for party, name in columns.without}
    return Contributors(domain, _counts(answer, columns.total), without)


def _largest(columns: WeightColumns, answer: pa.Table) -> Largest:
    return _weighed(columns.whole, answer, {party: _weighed(left, answer) for party, left in columns.without})


def _weighed(weights: Weights, answer: pa.Table, without: Mapping[str, Largest] | None = None) -> Largest:
    """Return the largest contribution, and as large a second one: it is not looked for, and cannot be larger.

    What cannot be weighed, as it is not finite, is one subject's in all.
    """
    total, largest = (np.asarray(answer.column(name), dtype=np.float64) for name in (weights.total, weights.largest))
    finite = np.isfinite(total) & np.isfinite(largest)
    first = np.where(finite, largest, 1.0)
    return Largest("subject", np.where(finite, total, 1.0), first, first, without or {})


def _counts(answer: pa.Table, name: str) -> Counts:
    return np.asarray(answer.column(name), dtype=np.int64)


def _margins(checked: CheckedSql, statement: Statement, answer: pa.Table) -> Counts:
    margins = np.zeros(answer.num_rows, dtype=np.int64)
    if statement.has_margins:
        for i in range(len(checked.keys)):
            margins |= _counts(answer, f"#g{i}") << i
    return margins
