"""How many residuals lie in each band of their standard deviation: their shape, and no row's own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.contributors import Split
from mpc.engines.statistics.fits import Study
from mpc.engines.statistics.model_tables import joined
from mpc.engines.statistics.passes import Codes, Folded, Pass
from mpc.engines.statistics.tables import count, subjects, tidy
from mpc.results import ModelSize, RawResult, RawTable

Floats = npt.NDArray[np.float64]

EDGES = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""In standard deviations of the residuals; of deviance residuals, whose variance is about 1, as they are."""


@dataclass(frozen=True)
class Residuals:
    """What residuals are computed with: ``of`` gives those of a batch, some rows at a time, in standard deviations."""

    of: Callable[[pa.RecordBatch, Codes], Iterator[Floats]]

    def bands(self, batch: pa.RecordBatch, codes: Codes) -> Codes:
        """Return the number of each row's band."""
        found = (np.searchsorted(EDGES, residuals, side="right") for residuals in self.of(batch, codes))
        return np.concatenate([np.zeros(0, np.int64), *found])

    def reading(self, study: Study) -> Pass:
        """Return the pass that counts rows and subjects in each band."""
        return study.reading(lambda: Bands(self), counted=True, split=Split(len(EDGES) + 1, self.bands, study.read))


class Bands:
    """Rows a band: a fold."""

    def __init__(self, residuals: Residuals) -> None:
        self._residuals = residuals
        self.counts: Codes = np.zeros(len(EDGES) + 1, np.int64)

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Count the rows of ``batch``."""
        self.counts += np.bincount(self._residuals.bands(batch, codes), minlength=len(self.counts))

    def merge(self, other: "Bands") -> None:
        """Add band by band."""
        self.counts += other.counts


def with_bands(result: RawResult, study: Study, folded: Folded) -> RawResult:
    """Return the tables of a model with that of its residuals."""
    return RawResult((*result.tables, _table(study, folded, result.tables[0].models[0])))


def _table(study: Study, folded: Folded, size: ModelSize) -> RawTable:
    """Return the counts, and in the last row all of them: the models' n tells it, so withheld bands need company."""
    bands, groups = len(EDGES) + 1, study.groups.count
    counts = folded.accumulator.counts
    each = folded.tallies.contributors(None, np.tile(np.arange(bands), groups), bands)
    whole = folded.tallies.contributors(None, np.zeros(groups * bands, np.int64), 1)
    behind = joined([each, whole])
    keys = {
        "from": pa.array([None, *EDGES, None], pa.float64()),
        "to": pa.array([*EDGES, None, None], pa.float64()),
    }
    cells = [count("n", [*counts, counts.sum()], behind), *subjects(behind)]
    made = tidy("residuals", keys, cells, folded, complete=True, models=(size,))
    return replace(made, margins=np.array([0] * bands + [0b11], np.int64))
