"""Leverages of a Cox model: those of the Poisson model of events with the same hazards (Whitehead 1980).

Rows weigh what they are expected to have of events, their hazard ratio times the cumulative hazard that they met, and
stand about the weighed mean of their stratum, as partial likelihood compares within strata alone. Who leaves before the
first event weighs nothing. Where there is no maximum, all rows weigh the same.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.covariates import Covariates
from mpc.engines.statistics.cox_sums import Expected, Reader, Step
from mpc.engines.statistics.leverage import Leverages, Owners, Weighed, root_of, squared
from mpc.engines.statistics.passes import PARTY, Codes
from mpc.table.schema import Dataset

Floats = npt.NDArray[np.float64]

Rows = tuple[Floats, Floats, Codes]
"""Weights, covariates and strata."""
Read = Callable[[pa.RecordBatch, Codes], Rows]


def at_maximum(reader: Reader, step: Step) -> Read:
    """Return what reads rows with the events that a fitted model expects of each."""
    expected = Expected(reader, step)

    def read(batch: pa.RecordBatch, codes: Codes) -> Rows:
        rows = reader.rows(batch, codes)
        return expected.events(rows), rows.x, codes

    return read


def alike(covariates: Covariates) -> Read:
    """Return what reads rows that all weigh the same."""
    return lambda batch, codes: (np.ones(batch.num_rows), covariates.matrix(batch), codes)


def party(batch: pa.RecordBatch, _codes: Codes) -> str:
    """Return whose rows a batch's are; it has at least one."""
    name: str = batch.column(PARTY)[0].as_py()
    return name


@dataclass
class _Sums:
    """One party's products of covariates, and its weights and weighed covariates by stratum."""

    products: Floats
    strata: Floats


class Spread:
    """How covariates spread within strata, party by party: a keyed fold."""

    def __init__(self, read: Read, columns: int) -> None:
        self._read = read
        self._columns = columns
        self._of: dict[str, _Sums] = {}

    def update(self, batch: pa.RecordBatch, codes: Codes, groups: int) -> None:
        """Add the rows of ``batch``, all of one party."""
        if not batch.num_rows:
            return
        weights, x, strata = self._read(batch, codes)
        each = [np.bincount(strata, weights * column, minlength=groups) for column in (np.ones(len(x)), *x.T)]
        self._add(party(batch, codes), _Sums((x * weights[:, None]).T @ x, np.column_stack(each)))

    def merge(self, other: "Spread") -> None:
        """Add party by party."""
        for owner, sums in other._of.items():  # noqa: SLF001 - of the same class
            self._add(owner, sums)

    def _add(self, owner: str, sums: _Sums) -> None:
        kept = self._of.get(owner)
        strata = sums.strata if kept is None else _together(kept.strata, sums.strata)
        self._of[owner] = _Sums(sums.products + (0.0 if kept is None else kept.products), strata)

    def weighed(self, owners: Owners) -> Weighed:
        """Return the model over the rows of ``owners``."""
        strata, products = np.zeros((0, 1 + self._columns)), np.zeros((self._columns, self._columns))
        for sums in (self._of[owner] for owner in owners if owner in self._of):
            strata, products = _together(strata, sums.strata), products + sums.products
        weight = np.where(strata[:, 0] > 0, strata[:, 0], 1.0)
        means = strata[:, 1:] / weight[:, None]
        return Weighed(owners, partial(_leverages, means, root_of(products - strata[:, 1:].T @ means)))


def leverages(models: Iterable[Weighed], dataset: Dataset, read: Read) -> Leverages:
    """Return the fold over rows as ``read`` gives them."""

    def rows(batch: pa.RecordBatch, codes: Codes) -> Iterator[Rows]:
        yield read(batch, codes)

    return Leverages(tuple(models), dataset, rows, party)


def _leverages(means: Floats, root: Floats, rows: Rows) -> Floats:
    weights, x, strata = rows
    return weights * squared(x - means[strata], root)


def _together(left: Floats, right: Floats) -> Floats:
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total
