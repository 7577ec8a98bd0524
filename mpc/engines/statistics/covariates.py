"""Covariates of a Cox model: the columns of its design matrix, about their means and in their standard deviations.

Partial likelihood knows no intercept, so centres change nothing but rounding: hazard ratios stay near one, and columns
of any size and offset weigh alike in the information matrix.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.engines.statistics.centring import monomial_values, values
from mpc.questions.statistics.formula import INTERCEPT, Formula
from mpc.questions.statistics.layout import DesignColumn, layout
from mpc.table.schema import Dataset

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Covariates:
    """Columns with what is taken from them and what they are divided by; both of shape (columns,)."""

    columns: tuple[DesignColumn, ...]
    booleans: frozenset[str]
    centre: Floats
    scale: Floats

    @staticmethod
    def of(formula: Formula, dataset: Dataset) -> "Covariates":
        """Return the covariates of ``formula`` as they are; categories are coded as beside an intercept."""
        whole = replace(formula, terms=tuple(dict.fromkeys((INTERCEPT, *formula.terms))))
        columns = tuple(column for column in layout(whole, dataset) if column.monomial or column.cell)
        booleans = frozenset(column.name for column in dataset.columns if column.type == "boolean")
        return Covariates(columns, booleans, np.zeros(len(columns)), np.ones(len(columns)))

    @property
    def names(self) -> tuple[str, ...]:
        """What result tables call the columns."""
        return tuple(column.label for column in self.columns)

    @property
    def terms(self) -> dict[str, list[int]]:
        """The columns of each term: all levels of a category are one."""
        found: dict[str, list[int]] = {}
        for number, column in enumerate(self.columns):
            powers = [(v.label, exponent) for v, exponent in column.monomial]
            parts = [name for name, _ in column.cell]
            parts += [label if exponent == 1 else f"{label}^{exponent}" for label, exponent in powers]
            found.setdefault(":".join(parts), []).append(number)
        return found

    def standardised(self, centre: Floats, scale: Floats) -> "Covariates":
        """Return the covariates about ``centre``, in multiples of ``scale``."""
        return replace(self, centre=centre, scale=scale)

    def only(self, kept: npt.NDArray[np.int64]) -> "Covariates":
        """Return the covariates with the columns ``kept``."""
        columns = tuple(self.columns[i] for i in kept)
        return replace(self, columns=columns, centre=self.centre[kept], scale=self.scale[kept])

    def matrix(self, batch: pa.RecordBatch) -> Floats:
        """Return the rows of ``batch``, which has no missing values, of shape (n, columns)."""
        rows = batch.num_rows
        z = {each: values(batch, each) for column in self.columns for each, _ in column.monomial}
        inside = self._inside(batch)
        matrix = np.empty((rows, len(self.columns)), order="F")
        for i, column in enumerate(self.columns):
            product = monomial_values(column.monomial, z, rows)
            for name, level in column.cell:
                product = np.where(inside[name, level], product, 0.0)
            matrix[:, i] = (product - self.centre[i]) / self.scale[i]
        return matrix

    def _inside(self, batch: pa.RecordBatch) -> dict[tuple[str, str], Mask]:
        """Return which rows have each level that the columns name; a factor's values are compared once."""
        named: dict[str, list[str]] = {}
        for name, level in dict.fromkeys(cell for column in self.columns for cell in column.cell):
            named.setdefault(name, []).append(level)
        inside: dict[tuple[str, str], Mask] = {}
        for name, every in named.items():
            wanted = pa.array([level == "true" for level in every] if name in self.booleans else every)
            number = np.asarray(pc.fill_null(pc.index_in(batch.column(name), wanted), -1))
            inside |= {(name, level): number == i for i, level in enumerate(every)}
        return inside
