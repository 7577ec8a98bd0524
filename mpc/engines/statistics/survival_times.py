"""Distinct times with how many leave, have the event and enter there: all that survival curves are made of.

A row is at risk at time t when it entered before t and stayed until t or longer, as in R's ``Surv``. A row that leaves
no later than it enters is never at risk and takes no part.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.engines.statistics.passes import Computed
from mpc.errors import Exhausted
from mpc.questions.statistics.survival import event_value
from mpc.table.schema import Column

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

TIME = "$time"
EVENT = "$event"
ENTRY = "$entry"

TIMES_MAX = 4_000_000
"""Distinct times that a question may have in all of its groups; with times in days there are some thousands."""

_PENDING_ROWS = 1 << 20
_SPARSE = 4
"""How many places there may be a row for rows to be counted at their place; with more, they are sorted."""


def computed(time: str, event: Column, entry: str | None) -> dict[str, Computed]:
    """Return the columns that every pass over survival times reads: ``TIME``, ``EVENT`` and, if asked for, ``ENTRY``.

    ``TIME`` is NULL for rows that are never at risk, so that ``present`` leaves them out.
    """
    value = event_value(event)
    assert value is not None  # noqa: S101 - checked questions name an event
    made = {
        TIME: Computed((time,) if entry is None else (time, entry), _Time(time, entry), pa.float64()),
        EVENT: Computed((event.name,), _Event(event.name, value), pa.bool_(), levels=(False, True)),
    }
    if entry is not None:
        made[ENTRY] = Computed((entry,), _Time(entry, None), pa.float64())
    return made


@dataclass(frozen=True)
class _Time:
    column: str
    entry: str | None

    def __call__(self, batch: pa.RecordBatch) -> pa.Array:
        times = batch.column(self.column).cast(pa.float64(), safe=False)
        if self.entry is None:
            return times
        entries = batch.column(self.entry).cast(pa.float64(), safe=False)
        return pc.if_else(pc.greater(times, entries), times, None)


@dataclass(frozen=True)
class _Event:
    column: str
    value: str | bool | int

    def __call__(self, batch: pa.RecordBatch) -> pa.Array:
        return pc.equal(batch.column(self.column), pa.scalar(self.value))


@dataclass(frozen=True)
class Times:
    """The distinct times of one group, ascending: how many rows leave at each, ``events`` of them with the event, and
    how many enter.
    """  # noqa: D205

    time: Floats
    left: Counts
    events: Counts
    entered: Counts

    def at_risk(self, times: Floats) -> Counts:
        """Return how many rows are at risk at each of ``times``."""
        # Who enters at t or later is not yet at risk at t.
        later = np.append(np.cumsum((self.left - self.entered)[::-1])[::-1], 0)
        at_risk: Counts = later[np.searchsorted(self.time, times)]
        return at_risk

    def until(self, times: Floats) -> Counts:
        """Return how many rows have had the event until each of ``times``."""
        until: Counts = np.append(0, np.cumsum(self.events))[np.searchsorted(self.time, times, side="right")]
        return until

    @property
    def last(self) -> float:
        """The last time that anybody was followed to, minus infinity where there is nobody."""
        return float(self.time[-1]) if len(self.time) else -np.inf

    @staticmethod
    def of_nobody() -> "Times":
        """Return the times of a group with nobody in it."""
        return Times(np.zeros(0), *(np.zeros(0, np.int64) for _ in range(3)))


@dataclass(frozen=True)
class _Counted:
    """Distinct pairs of group and time, ascending, with how many leave, have the event and enter there."""

    code: Codes
    time: Floats
    left: Counts
    events: Counts
    entered: Counts


class TimeTable:
    """A keyed accumulator of distinct times; its memory grows with them and not with the rows."""

    def __init__(self, *, entry: bool) -> None:
        self._entry = entry
        self._kept: list[_Counted] = []
        self._pending = 0

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Count the rows of the batch at their times."""
        events = np.asarray(batch.column(EVENT))
        self._add(_counted(codes, np.asarray(batch.column(TIME)), events))
        if self._entry:
            entries = _counted(codes, np.asarray(batch.column(ENTRY)), np.zeros_like(events))
            self._add(replace(entries, left=np.zeros_like(entries.left), entered=entries.left))

    def merge(self, other: "TimeTable") -> None:
        """Add time by time."""
        self._kept += other._kept  # noqa: SLF001 - another of this class
        self._compact()

    def _add(self, rows: _Counted) -> None:
        self._kept.append(rows)
        self._pending += len(self._kept[-1].time)
        if self._pending > _PENDING_ROWS:
            self._compact()

    def _compact(self) -> None:
        self._kept, self._pending = [_summed(self._kept)], 0
        if len(self._kept[0].time) > TIMES_MAX:
            raise Exhausted(
                "statistics.times", "a question meets too many different times", why="each holds memory of its own",
                remedy="round times to days", expected=f"at most {TIMES_MAX}", found="more",
            )  # fmt: skip

    def groups(self, cells: Codes) -> dict[int, Times]:
        """Return the times of every cell with somebody in it; ``cells`` names the cell that each group belongs to."""
        self._compact()
        table = _summed([replace(self._kept[0], code=cells[self._kept[0].code])])
        present, starts = np.unique(table.code, return_index=True)
        ends = np.append(starts, len(table.code))[1:]
        found = {}
        for cell, start, end in zip(present, starts, ends, strict=True):
            own = slice(start, end)
            found[int(cell)] = Times(table.time[own], table.left[own], table.events[own], table.entered[own])
        return found


def _counted(code: Codes, time: Floats, events: Mask) -> _Counted:
    """Return the distinct pairs of rows that leave at ``time``, some of them with the event."""
    span = time.max() + 1 if len(time) and (time == np.floor(time)).all() and time.min() >= 0 else np.inf
    if span * (code.max(initial=0) + 1) <= _SPARSE * len(time):
        # Whole times of a short range, as days are, have places of their own and need no sort.
        place = code * int(span) + time.astype(np.int64)
        left = np.bincount(place)
        met = np.flatnonzero(left)
        code, whole = np.divmod(met, int(span))
        happened = np.bincount(place[events], minlength=len(left))[met]
        return _Counted(code, whole.astype(np.float64), left[met], happened, np.zeros_like(met))
    ones = np.ones(len(time), np.int64)
    return _summed([_Counted(code, time, ones, events.astype(np.int64), np.zeros_like(ones))])


def _summed(parts: list[_Counted]) -> _Counted:
    """Return the distinct pairs of all parts."""
    code, time = (
        np.concatenate([np.zeros(0, kind), *(getattr(part, name) for part in parts)])
        for name, kind in (("code", np.int64), ("time", np.float64))
    )
    order = np.lexsort((time, code))
    code, time = code[order], time[order]
    starts = np.flatnonzero(np.append(True, (code[1:] != code[:-1]) | (time[1:] != time[:-1]))[: len(code)])
    sums = (
        np.add.reduceat(np.concatenate([getattr(part, name) for part in parts])[order], starts)
        if len(starts) else np.zeros(0, np.int64)
        for name in ("left", "events", "entered")
    )  # fmt: skip
    return _Counted(code[starts], time[starts], *sums)
