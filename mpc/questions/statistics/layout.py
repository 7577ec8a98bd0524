"""The columns of a model's design matrix, in an order that the formula and the contract's codebooks decide alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

from mpc.questions.statistics.formula import Factor, Formula, Power, Term, Variable, level_names
from mpc.questions.statistics.method import forbidden
from mpc.table.schema import Dataset

MOST_COLUMNS = 256
MOST_CELLS = 20_000
INTERCEPT = "(intercept)"
PARTY = "$party"
"""The factor of a model with an effect of each party, in cells. No column of a contract has such a name."""

Monomial = tuple[tuple[Variable, int], ...]
"""A product of powers, sorted, each variable once; the empty one is 1."""

Cell = tuple[tuple[str, str], ...]
"""Levels of factors that a row has to have: pairs of column and level, sorted, each column once."""


@dataclass(frozen=True)
class DesignColumn:
    """One column: a monomial for the rows in a cell, 0 for the others."""

    label: str
    monomial: Monomial
    cell: Cell


def layout(formula: Formula, dataset: Dataset, parties: tuple[str, ...] = ()) -> tuple[DesignColumn, ...]:
    """Return the columns of ``formula`` over ``dataset``; ``Forbidden`` if they are too many.

    With ``parties``, each but the first has an effect of its own beside the intercept.
    """
    columns: list[DesignColumn] = []
    for term in formula.terms:
        columns += _columns(term, formula, dataset)
    columns += [DesignColumn(f"party[{party}]", (), ((PARTY, party),)) for party in parties[1:]]
    cells = len(dataset.owners) * prod(len(levels(dataset, factor.column)) for factor in formula.factors)
    if len(columns) > MOST_COLUMNS or cells > MOST_CELLS:
        raise forbidden(
            "formula.size", "a formula makes too many coefficients", why="each level of a category has its own",
            remedy="use fewer terms, or categories with fewer codes", field="formula",
            expected=f"at most {MOST_COLUMNS} coefficients and {MOST_CELLS} combinations of levels and parties",
            found="more",
        )  # fmt: skip
    return tuple(columns)


def levels(dataset: Dataset, name: str) -> tuple[str, ...]:
    """Return the levels of the factor ``name``, in the codebook's order."""
    column = dataset.column(name)
    return () if column is None else level_names(column)


def _columns(term: Term, formula: Formula, dataset: Dataset) -> list[DesignColumn]:
    coded: Mapping[Factor, tuple[str, ...]] = {
        atom: _coded(atom, term, formula, dataset) for atom in term if isinstance(atom, Factor)
    }
    columns = []
    for chosen in product(*coded.values()):
        level = dict(zip(coded, chosen, strict=True))
        parts = [f"{atom.column}[{level[atom]}]" if isinstance(atom, Factor) else atom.label for atom in term]
        exponents: dict[Variable, int] = {}
        for atom in term:
            if isinstance(atom, Power):
                exponents[atom.variable] = exponents.get(atom.variable, 0) + atom.exponent
        cell = tuple(sorted((factor.column, value) for factor, value in level.items()))
        columns.append(DesignColumn(":".join(parts) or INTERCEPT, tuple(sorted(exponents.items())), cell))
    return columns


def _coded(factor: Factor, term: Term, formula: Formula, dataset: Dataset) -> tuple[str, ...]:
    """Return the levels that have a column: all, or all but the reference where the model has the term without it."""
    every = levels(dataset, factor.column)
    rest = frozenset(term) - {factor}
    if any(frozenset(other) == rest for other in formula.terms):
        reference = every[0] if factor.reference is None else factor.reference
        return tuple(level for level in every if level != reference)
    return every
