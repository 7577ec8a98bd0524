"""``standardised_rates`` computed: one keyed fold of events and exposure in each stratum, then weighted together."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import chdtri

from mpc.engines.statistics.counting import added
from mpc.engines.statistics.numbers import Floats, Numbers
from mpc.engines.statistics.passes import Codes, Computed, Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import Cells, count, figure, key_columns, subjects, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.results import Measure, MeasureKind, RawResult

_WITH_EVENT = "$with_event"


class _Sums:
    """Rows, events and exposure of each group, each added up as exactly as doubles allow."""

    def __init__(self, events: Numbers, exposure: Numbers | None) -> None:
        self._events = events
        self._exposure = exposure
        self.rows: Codes = np.zeros(0, np.int64)
        self.events: Floats = np.zeros(0)
        self.exposure: Floats = np.zeros(0)

    def update(self, batch: pa.RecordBatch, codes: Codes, groups: int) -> None:
        """Add the rows of the batch."""
        rows = np.bincount(codes, minlength=groups)
        events = np.bincount(codes, self._events.read(batch)[0], groups).astype(np.float64)
        exposure = rows if self._exposure is None else np.bincount(codes, self._exposure.read(batch)[0], groups)
        self._add(rows, events, exposure.astype(np.float64))

    def merge(self, other: "_Sums") -> None:
        """Add group by group."""
        self._add(other.rows, other.events, other.exposure)

    def _add(self, rows: Codes, events: Floats, exposure: Floats) -> None:
        self.rows = added(self.rows, rows)
        size = len(self.rows)
        self.events = np.pad(self.events, (0, size - len(self.events))) + np.pad(events, (0, size - len(events)))
        self.exposure = np.pad(self.exposure, (0, size - len(self.exposure))) + np.pad(
            exposure, (0, size - len(exposure))
        )


class StandardisedRates:
    """The plan: one pass."""

    def __init__(self, checked: CheckedStatistics) -> None:
        arguments = checked.arguments
        self._dataset = checked.dataset
        self._by, self._strata = arguments["by"], arguments["strata"]
        self._columns = (*arguments["events"], *arguments["exposure"])
        self._events = Numbers.of(checked.dataset, arguments["events"][0])
        exposure = arguments["exposure"]
        self._exposure = Numbers.of(checked.dataset, exposure[0]) if exposure else None
        self._weights = np.array(list(map(float, arguments["standard"])))
        self._per = float(arguments["per"][0])
        self._confidence = float(arguments["confidence"][0])

    def first(self) -> Pass:
        """Return the one pass."""
        keys = (*self._by, *self._strata)
        return Pass(
            KeyedFold(keys, lambda: _Sums(self._events, self._exposure)),
            columns=self._columns,
            present=(*keys, *self._columns),
            counted=(None, _WITH_EVENT),
            computed={_WITH_EVENT: _with_event(self._events)},
            weighed=self._columns,
        )

    def next(self, folded: Folded) -> RawResult:
        """Return the crude and the standardised rate of each group."""
        sums, strata = folded.accumulator, len(self._weights)
        # Groups are numbered with the last key fastest: the strata of one group stand together.
        events = self._events.shown(sums.events).reshape(-1, strata)
        exposure = sums.exposure.reshape(-1, strata)
        exposure = exposure if self._exposure is None else self._exposure.shown(exposure)
        groups = len(events)
        cells = np.arange(groups * strata) // strata
        every = folded.tallies.contributors(None, cells, groups)
        both = (*every, *folded.tallies.contributors(_WITH_EVENT, cells, groups))
        weighed = [folded.tallies.largest(name, cells, groups) for name in self._columns]
        with np.errstate(divide="ignore", invalid="ignore"):
            crude = events.sum(axis=1) / exposure.sum(axis=1) * self._per
        rate, lower, upper = standardised(events, exposure, self._weights, self._confidence)
        source = " ".join(self._columns)
        kind: MeasureKind = "count" if self._exposure is None else "sum"  # without a column it is the number of rows
        table: list[Cells] = [
            count("n", sums.rows.reshape(-1, strata).sum(axis=1), every, source), *subjects(every, source),
            Cells(Measure("events", "sum", source, extensive=True), pa.array(events.sum(axis=1)), both, weighed[0]),
            Cells(Measure("exposure", kind, source, extensive=True), pa.array(exposure.sum(axis=1)), both, weighed[-1]),
            figure("crude_rate", "rate", crude, both, source=source),
            figure("rate", "rate", rate * self._per, both, source=source),
            figure("lower", "uncertainty", lower * self._per, both, source=source),
            figure("upper", "uncertainty", upper * self._per, both, source=source),
        ]  # fmt: skip
        keys = key_columns(self._dataset, self._by, [group[:-1] for group in folded.groups[::strata]])
        return RawResult((tidy("standardised_rates", keys, table, folded),))


def _with_event(numbers: Numbers) -> Computed:
    def make(batch: pa.RecordBatch) -> pa.Array:
        """Return true where there are events, and nothing elsewhere, so that only those subjects are counted."""
        some = numbers.read(batch)[0] > 0
        return pa.array(some, pa.bool_(), mask=~some)

    return Computed((numbers.name,), make, pa.bool_())


def standardised(
    events: Floats, exposure: Floats, weights: Floats, confidence: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the rate of each group and its bounds, of events and exposure of shape (groups, strata).

    Bounds by the gamma distribution (Fay and Feuer 1997). A group without exposure in a stratum that has weight has no
    rate.
    """
    share = weights / weights.sum()
    used = share > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(used, share / exposure, 0.0)
        rate = np.where(used, each * events, 0.0).sum(axis=1)
        variance = np.where(used, each**2 * events, 0.0).sum(axis=1)
        largest = each.max(axis=1)
        tail = (1 - confidence) / 2
        lower = variance / (2 * rate) * chdtri(2 * rate**2 / variance, 1 - tail)
        above, spread = rate + largest, variance + largest**2
        upper = spread / (2 * above) * chdtri(2 * above**2 / spread, tail)
    return rate, np.where(rate == 0, 0.0, lower), upper
