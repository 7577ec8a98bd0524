"""Engines compute the answer to a checked question, with the contributors of every cell, and release nothing.

They are strangers to each other; which one answers is the question's kind.
"""

from collections.abc import Callable, Mapping
from functools import partial

from mpc.contract.terms import Contract
from mpc.engines.linkage import link_rows, match_tables, with_both_sides
from mpc.engines.sql import PlannedSql, make_ready
from mpc.engines.statistics import run_statistics
from mpc.errors import Forbidden
from mpc.questions import CheckedLinkage, CheckedSql, check_parameters, check_question
from mpc.results import RawResult
from mpc.table.batches import Table

Tables = Mapping[str, tuple[Table, ...]]
"""For each dataset one table an owner."""


def planned(
    contract: Contract, computation: str, *, memory_bytes: int, threads: int
) -> Callable[[Tables, Mapping[str, str]], RawResult]:
    """Return the function that answers ``computation`` once, over tables and values of its parameters.

    It returns every cell. What can be done without rows is done here: reading the question, and opening what answers
    it. Both raise ``Forbidden`` for what the contract does not allow, ``OutOfOrder`` when rows are missing and
    ``Exhausted`` when ``memory_bytes`` do not suffice; nothing that an engine says about rows is in them.
    """
    term = contract.computation(computation)
    if term is None:
        raise Forbidden(
            "run.computation", f"{computation} is no computation of the contract", why="only agreed questions run",
            remedy="name one of: " + ", ".join(known.name for known in contract.computations),
        )  # fmt: skip
    datasets = {dataset.name: dataset for dataset in contract.datasets}
    checked = check_question(term.name, term.question, term.parameters, datasets)
    if isinstance(checked, CheckedSql):
        plan = PlannedSql(checked, memory_bytes=memory_bytes, threads=threads)
        return lambda tables, values: plan.answer(tables, check_parameters(term.parameters, values))
    if isinstance(checked, CheckedLinkage):
        engine = partial(run_linkage, checked, memory_bytes=memory_bytes, threads=threads)
    else:
        engine = partial(run_statistics, checked, threads=threads)

    def answered(tables: Tables, values: Mapping[str, str]) -> RawResult:
        check_parameters(term.parameters, values)
        return engine(tables)

    return answered


def answer(
    contract: Contract,
    computation: str,
    parameters: Mapping[str, str],
    tables: Tables,
    *,
    memory_bytes: int,
    threads: int,
) -> RawResult:
    """Return what ``planned`` finds over ``tables``, and raise what it raises."""
    return planned(contract, computation, memory_bytes=memory_bytes, threads=threads)(tables, parameters)


def run_linkage(checked: CheckedLinkage, tables: Tables, *, memory_bytes: int, threads: int) -> RawResult:
    """Return what the method computes over linked rows, with the subjects of both sides, and how well rows matched."""
    linked = link_rows(checked, tables, memory_bytes=memory_bytes, threads=threads)
    left, right = (
        run_statistics(view, {view.dataset.name: part}, threads=threads)
        for view, part in zip(checked.views, linked.tables, strict=True)
    )
    found = with_both_sides(linked, left, right)
    return RawResult((*found.tables, *match_tables(linked, len(checked.link.passes))), found.presentation)


__all__ = ["PlannedSql", "answer", "make_ready", "planned", "run_linkage", "run_statistics"]
