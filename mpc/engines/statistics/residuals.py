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
from mpc.engines.statistics.tables import Behind, count, subjects, tidy
from mpc.results import Contributors, Counts, ModelSize, RawResult, RawTable

Floats = npt.NDArray[np.float64]

EDGES = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""In standard deviations of the residuals; of deviance residuals, whose variance is about 1, as they are."""
BANDS = len(EDGES) + 1
_ABOVE = EDGES.index(0.0) + 1
"""The first band of residuals that are not negative."""


@dataclass(frozen=True)
class Residuals:
    """What residuals are computed with: ``of`` gives those of a batch, some rows at a time, in standard deviations.

    ``event`` tells which rows have the event, where no other row has a residual above 0: beside the number of events,
    bands above 0 then tell how many with the event lie below, and those are counted by themselves.
    """

    of: Callable[[pa.RecordBatch, Codes], Iterator[Floats]]
    event: Callable[[pa.RecordBatch], npt.NDArray[np.bool_]] | None = None

    def bands(self, batch: pa.RecordBatch, codes: Codes) -> Codes:
        """Return the number of each row's band."""
        found = (np.searchsorted(EDGES, residuals, side="right") for residuals in self.of(batch, codes))
        return np.concatenate([np.zeros(0, np.int64), *found])

    def split(self, columns: tuple[str, ...]) -> Split:
        """Return how subjects are counted: in each band, without the event and with it."""
        return Split(2 * BANDS, self._counted, columns)

    def reading(self, study: Study) -> Pass:
        """Return the pass that counts rows and subjects in each band."""
        return study.reading(lambda: Bands(self), counted=True, split=self.split(study.read))

    def _counted(self, batch: pa.RecordBatch, codes: Codes) -> Codes:
        bands = 2 * self.bands(batch, codes)
        return bands if self.event is None else bands + self.event(batch)


class Bands:
    """Rows a band: a fold."""

    def __init__(self, residuals: Residuals) -> None:
        self._residuals = residuals
        self.counts: Codes = np.zeros(BANDS, np.int64)

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Count the rows of ``batch``."""
        self.counts += np.bincount(self._residuals.bands(batch, codes), minlength=len(self.counts))

    def merge(self, other: "Bands") -> None:
        """Add band by band."""
        self.counts += other.counts


def with_bands(result: RawResult, folded: Folded, *, event: bool = False) -> RawResult:
    """Return the tables of a model with that of its residuals; with ``event``, where ``Residuals`` tell who has it."""
    return RawResult((*result.tables, _table(folded, result.tables[0].models[0], event=event)))


def _table(folded: Folded, size: ModelSize, *, event: bool) -> RawTable:
    """Return the counts, and in the last row all of them: the models' n tells it, so withheld bands need company."""
    counts = folded.accumulator.counts
    behind = _behind(folded)
    if event:
        behind = (*behind, *_events_below(folded, behind))
    keys = {
        "from": pa.array([None, *EDGES, None], pa.float64()),
        "to": pa.array([*EDGES, None, None], pa.float64()),
    }
    cells = [count("n", [*counts, counts.sum()], behind), *subjects(behind)]
    made = tidy("residuals", keys, cells, folded, complete=True, models=(size,))
    return replace(made, margins=np.array([0] * BANDS + [0b11], np.int64))


def _behind(folded: Folded) -> Behind:
    """Return who is in each band, and in all of them."""
    bands = _cells(folded) // 2
    each = folded.tallies.contributors(None, bands, BANDS)
    return joined([each, folded.tallies.contributors(None, np.zeros_like(bands), 1)])


def _events_below(folded: Folded, behind: Behind) -> Behind:
    """Return who has the event and a residual below 0, in the row of the first band above 0, and else ``behind``."""
    cells = _cells(folded)
    below = np.where((cells // 2 < _ABOVE) & (cells % 2 == 1), 0, -1)
    told = folded.tallies.contributors(None, below, 1)
    return tuple(_replaced(one, few) for one, few in zip(behind, told, strict=True))


def _cells(folded: Folded) -> Codes:
    """Return, for each group as it is split, its part."""
    return np.tile(np.arange(2 * BANDS), len(folded.groups))


def _replaced(behind: Contributors, few: Contributors) -> Contributors:
    def one(all_of: Counts, some_of: Counts) -> Counts:
        changed = all_of.copy()
        changed[_ABOVE] = some_of[0]
        return changed

    without = {party: one(left, few.without[party]) for party, left in behind.without.items()}
    return Contributors(behind.domain, one(behind.total, few.total), without)
