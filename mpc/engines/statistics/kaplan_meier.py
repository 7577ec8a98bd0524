"""``kaplan_meier`` computed: a keyed fold of times, then one that counts the subjects of every declared step.

Curves are exact; what is shown of them is their value at the times that the contract declares, so that where a step
stands tells nothing. Who is at risk, has the event and leaves between two of these times is counted for disclosure.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.contributors import Split, Tallies
from mpc.engines.statistics.passes import Folded, KeyedFold, Pass
from mpc.engines.statistics.product_limit import Curve, medians, product_limit
from mpc.engines.statistics.survival_times import ENTRY, EVENT, TIME, Times, TimeTable, computed
from mpc.engines.statistics.tables import Cells, count, figure, key_columns, subjects, tidy
from mpc.questions.statistics import CheckedStatistics
from mpc.questions.statistics.survival import event_column
from mpc.results import Contributors, Measure, RawResult, RawTable

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Chosen = Callable[[Codes, Codes, Codes], npt.NDArray[np.bool_]]
"""Of places of leaving, of entering and of having the event: which of them count."""


class KaplanMeier:
    """The plan: times, then subjects."""

    def __init__(self, checked: CheckedStatistics) -> None:
        arguments = checked.arguments
        self._dataset = checked.dataset
        self._by = arguments["by"]
        self._at = np.array([float(time) for time in arguments["at"]])
        entry = arguments["entry"][0] if arguments["entry"] else None
        self._unit = next(c.unit for c in checked.dataset.columns if c.name == arguments["time"][0])
        self._entry = entry is not None
        self._computed = computed(arguments["time"][0], event_column(arguments, checked.dataset), entry)
        self._present = (*self._by, *arguments["time"], *arguments["event"], *arguments["entry"], TIME)
        self._curves: list[tuple[Times, Curve]] = []
        self._medians: list[tuple[float, float, float]] = []
        self._places = _Places(np.zeros(0), entry=self._entry)

    def first(self) -> Pass:
        """Return the pass that gathers the times."""
        return Pass(
            KeyedFold(self._by, lambda: TimeTable(entry=self._entry)), tuple(self._computed), self._present,
            computed=self._computed,
        )  # fmt: skip

    def next(self, folded: Folded) -> Pass | RawResult:
        """Return the pass that counts subjects, and after it the result."""
        if not self._curves:
            found = folded.accumulator.groups(np.arange(len(folded.groups)))
            each = [found.get(group, Times.of_nobody()) for group in range(len(folded.groups))]
            self._curves = [(times, product_limit(times)) for times in each]
            self._medians = [medians(curve) for _, curve in self._curves]
            told = np.array(self._medians).ravel()
            self._places = _Places(np.unique([*self._at, *told[np.isfinite(told)]]), entry=self._entry)
            return Pass(
                KeyedFold(self._by, _Nothing), (), self._present, counted=(None,), computed=self._computed,
                split={None: self._places.split(tuple(self._computed))},
            )  # fmt: skip
        return RawResult((self._steps(folded), self._overview(folded)))

    def _steps(self, folded: Folded) -> RawTable:
        keys = key_columns(self._dataset, self._by, [group for group in folded.groups for _ in self._at])
        keys["time"] = pa.array(np.tile(self._at, len(folded.groups)))
        behind = self._behind(folded)
        cells = [
            figure(name, "survival", np.ravel([each[i] for each in self._shown()]), behind, source="survival")
            for i, name in enumerate(_CURVE)
        ]
        counts = {
            name: np.ravel([counted(times, self._at) for times, _ in self._curves])
            for name, counted in (("at_risk", Times.at_risk), ("events", Times.until))
        }
        if behind:
            counts = {"at_risk": counts["at_risk"], "subjects": behind[0].total, "events": counts["events"]}
        cells += [
            # Of one kind with the curve: where a step is withheld, all numbers of it are.
            Cells(Measure(name, "survival", "survival", extensive=False), pa.array(each.astype(np.int64)), behind)
            for name, each in counts.items()
        ]
        return tidy("survival", keys, cells, folded)

    def _shown(self) -> list[Floats]:
        """Return each curve at the declared times; past the last that anybody was followed to it says nothing."""
        return [np.where(self._at <= times.last, curve.at(self._at), np.nan) for times, curve in self._curves]

    def _behind(self, folded: Folded) -> tuple[Contributors, ...]:
        """Return who is at risk at each step, and who has the event and who leaves between it and the step before."""
        before = [-np.inf, *self._at[:-1]]
        kinds = [
            [self._places.at_risk(time) for time in self._at],
            [self._places.leaves(since, time, events=True) for since, time in zip(before, self._at, strict=True)],
            [self._places.leaves(since, time, events=False) for since, time in zip(before, self._at, strict=True)],
        ]
        groups = len(folded.groups)
        return tuple(one for each in kinds for one in self._places.count(folded.tallies, [[c] * groups for c in each]))

    def _overview(self, folded: Folded) -> RawTable:
        everybody = self._places.count(folded.tallies, [[_everybody] * len(folded.groups)])
        cells = [count("n", [times.left.sum() for times, _ in self._curves], everybody), *subjects(everybody)]
        for i, name in enumerate(("median", "median_lower", "median_upper")):
            told = np.array([each[i] for each in self._medians])
            sides = ([self._places.until(time) for time in told], [self._places.since(time) for time in told])
            behind = [one for side in sides for one in self._places.count(folded.tallies, [side])]
            cells.append(figure(name, "quantile", told, (*everybody, *behind), source=name, unit=self._unit))
        return tidy("median", key_columns(self._dataset, self._by, folded.groups), cells, folded)


_CURVE = ("survival", "standard_error", "lower", "upper")


@dataclass(frozen=True)
class _Places:
    """Where rows leave and enter among ``bounds``: place 2k is between bounds k - 1 and k, place 2k + 1 at bound k."""

    bounds: Floats
    entry: bool

    @property
    def _width(self) -> int:
        return 2 * len(self.bounds) + 1

    def split(self, columns: tuple[str, ...]) -> Split:
        """Return what counts rows apart by their place of leaving, of entering, and whether they have the event."""
        return Split(self._width * (self._width if self.entry else 1) * 2, self._parts, columns)

    def _parts(self, batch: pa.RecordBatch, _codes: Codes) -> Codes:
        place = self._place(np.asarray(batch.column(TIME)))
        if self.entry:
            place = place * self._width + self._place(np.asarray(batch.column(ENTRY)))
        event: Codes = np.asarray(batch.column(EVENT).cast(pa.int64()))
        return place * 2 + event

    def _place(self, times: Floats) -> Codes:
        below = np.searchsorted(self.bounds, times)
        place: Codes = 2 * below + (np.append(self.bounds, np.nan)[below] == times)
        return place

    def count(self, tallies: Tallies, chosen: list[list[Chosen]]) -> tuple[Contributors, ...]:
        """Return the subjects that are chosen; for each list, a row a group: groups outside, lists inside."""
        part = np.arange(self._width * (self._width if self.entry else 1) * 2)
        event, place = part % 2, part // 2
        entry = place % self._width if self.entry else np.full(len(part), -1)
        leaving = place // self._width if self.entry else place
        found = []
        for each in chosen:
            cells = [np.where(one(leaving, entry, event), group, -1) for group, one in enumerate(each)]
            found.append(tallies.contributors(None, np.concatenate([np.zeros(0, np.int64), *cells]), len(each)))
        return tuple(_interleaved(list(same)) for same in zip(*found, strict=True))

    def at_risk(self, time: float) -> Chosen:
        """Choose who entered before ``time`` and leaves then or later."""
        place = 2 * int(np.searchsorted(self.bounds, time)) + 1
        return lambda leaving, entry, _event: (leaving >= place) & (entry < place)

    def leaves(self, since: float, time: float, *, events: bool) -> Chosen:
        """Choose who leaves after ``since`` and until ``time``; with ``events``, only those who have the event."""
        place = 2 * int(np.searchsorted(self.bounds, time)) + 1
        first = 2 * int(np.searchsorted(self.bounds, since)) + 1 if np.isfinite(since) else -1
        return lambda leaving, _entry, event: (leaving > first) & (leaving <= place) & ((event == 1) | (not events))

    def until(self, time: float) -> Chosen:
        """Choose who has the event until ``time``; nobody if that is NaN."""
        place = 2 * int(np.searchsorted(self.bounds, time)) + 1 if np.isfinite(time) else -1
        return lambda leaving, _entry, event: (leaving <= place) & (event == 1)

    def since(self, time: float) -> Chosen:
        """Choose who leaves at ``time`` or later; nobody if that is NaN."""
        place = 2 * int(np.searchsorted(self.bounds, time)) + 1 if np.isfinite(time) else self._width
        return lambda leaving, _entry, _event: leaving >= place


class _Nothing:
    """A fold that only counts subjects."""

    def update(self, _batch: pa.RecordBatch, _codes: Codes, _groups: int) -> None:
        """Do nothing."""

    def merge(self, _other: "_Nothing") -> None:
        """Do nothing."""


def _everybody(leaving: Codes, _entry: Codes, _event: Codes) -> npt.NDArray[np.bool_]:
    return leaving >= 0


def _interleaved(parts: list[Contributors]) -> Contributors:
    """Return the rows of all parts, group by group."""

    def woven(counts: list[Codes]) -> Codes:
        return np.array(counts, np.int64).T.reshape(-1)

    without = {party: woven([one.without[party] for one in parts]) for party in parts[0].without}
    return Contributors(parts[0].domain, woven([one.total for one in parts]), without)
