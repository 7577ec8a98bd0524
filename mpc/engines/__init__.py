"""Engines compute the answer to a checked question, with the contributors of every cell, and release nothing.

They are strangers to each other; which one answers is the question's kind.
"""

from collections.abc import Mapping

from mpc.contract.terms import Contract
from mpc.engines.linkage import link_rows, match_tables, with_both_sides
from mpc.engines.sql import make_ready, run_sql
from mpc.engines.statistics import run_statistics
from mpc.errors import Forbidden
from mpc.questions import CheckedLinkage, CheckedSql, check_parameters, check_question
from mpc.results import RawResult
from mpc.table.batches import Table


def answer(
    contract: Contract,
    computation: str,
    parameters: Mapping[str, str],
    tables: Mapping[str, tuple[Table, ...]],
    *,
    memory_bytes: int,
    threads: int,
) -> RawResult:
    """Return every cell of ``computation`` over ``tables``, which holds one table an owner for each dataset.

    Raises ``Forbidden`` for what the contract does not allow, ``OutOfOrder`` when rows are missing and ``Exhausted``
    when ``memory_bytes`` do not suffice; nothing that an engine says about rows is in them.
    """
    term = contract.computation(computation)
    if term is None:
        raise Forbidden(
            "run.computation", f"{computation} is no computation of the contract", why="only agreed questions run",
            remedy="name one of: " + ", ".join(known.name for known in contract.computations),
        )  # fmt: skip
    datasets = {dataset.name: dataset for dataset in contract.datasets}
    checked = check_question(term.name, term.question, term.parameters, datasets)
    values = check_parameters(term.parameters, parameters)
    if isinstance(checked, CheckedSql):
        return run_sql(checked, tables, values, memory_bytes=memory_bytes, threads=threads)
    if isinstance(checked, CheckedLinkage):
        return run_linkage(checked, tables, memory_bytes=memory_bytes, threads=threads)
    return run_statistics(checked, tables, threads=threads)


def run_linkage(
    checked: CheckedLinkage, tables: Mapping[str, tuple[Table, ...]], *, memory_bytes: int, threads: int
) -> RawResult:
    """Return what the method computes over linked rows, with the subjects of both sides, and how well rows matched."""
    linked = link_rows(checked, tables, memory_bytes=memory_bytes, threads=threads)
    left, right = (
        run_statistics(view, {view.dataset.name: part}, threads=threads)
        for view, part in zip(checked.views, linked.tables, strict=True)
    )
    found = with_both_sides(linked, left, right)
    return RawResult((*found.tables, *match_tables(linked, len(checked.link.passes))), found.presentation)


__all__ = ["answer", "make_ready", "run_linkage", "run_sql", "run_statistics"]
