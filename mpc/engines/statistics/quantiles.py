"""``quantiles`` computed exactly in fixed memory: radix selection over the order-preserving 64-bit image of doubles.

A pass counts one digit of the values that share the digits known so far with some wanted one; after the last digit each
wanted order statistic is known exactly. One more pass counts the subjects on either side of every quantile.
"""

from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.contributors import Split
from mpc.engines.statistics.counting import Nothing
from mpc.engines.statistics.numbers import Floats, Numbers
from mpc.engines.statistics.ordered import Codes, Images, image, value
from mpc.engines.statistics.passes import Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import Behind, Cells, count, figure, key_columns, subjects, tidy
from mpc.errors import Exhausted
from mpc.questions.statistics import CheckedStatistics
from mpc.questions.statistics.method import DECLARED
from mpc.results import Contributors, RawResult

COUNTERS_MAX = 1 << 23
"""Counters of one column in one pass: 64 MiB."""

_IMAGE_BITS = 64

_LOOKED_UP_MAX = 1 << 18
"""Codes below are looked up in a table, which is of 2 MiB at most; others are searched for."""

_SPARSE = 16
"""How many counters a value there may be before only those that are touched are added to."""


class Digits:
    """Counts of one digit, for each slot that a wanted value may still lie in.

    ``known`` are, for each digit that is known, the codes ``slot << bits | digit`` that go on. Slots of the first digit
    are the groups.
    """

    def __init__(self, numbers: tuple[Numbers, ...], bits: int, known: dict[str, list["GoingOn"]]) -> None:
        self._numbers = numbers
        self._bits = bits
        self._known = known
        self.counts = {each.name: np.zeros(0, np.int64) for each in numbers}

    def update(self, batch: pa.RecordBatch, codes: Codes, groups: int) -> None:
        """Count the next digit of every value whose known digits are wanted."""
        for numbers in self._numbers:
            values, slots = numbers.known(batch, codes)
            images = image(values)
            known = self._known[numbers.name]
            for place, wanted in enumerate(known):
                slots, goes_on = wanted.slots(slots << self._bits | _digit(images, place, self._bits))
                images = images[goes_on]
            size = len(known[-1].codes) if known else groups
            self._add(numbers.name, slots << self._bits | _digit(images, len(known), self._bits), size << self._bits)

    def merge(self, other: "Digits") -> None:
        """Add counter by counter."""
        for name, counts in other.counts.items():
            self.counts[name] = _grown(self.counts[name], len(counts))
            self.counts[name][: len(counts)] += counts

    def _add(self, name: str, codes: Codes, size: int) -> None:
        if size > COUNTERS_MAX:
            raise Exhausted(
                "statistics.quantiles", "a question asks for quantiles of too many groups",
                why="each group holds counters of its own", remedy="group by fewer or coarser columns",
            )  # fmt: skip
        self.counts[name] = _grown(self.counts[name], size)
        if len(codes) * _SPARSE < size:
            touched, counts = np.unique(codes, return_counts=True)
            self.counts[name][touched] += counts
        else:
            self.counts[name] += np.bincount(codes, minlength=len(self.counts[name]))


def _digit(images: Images, place: int, bits: int) -> Codes:
    shift = np.uint64(_IMAGE_BITS - bits * (place + 1))
    return (images >> shift & np.uint64((1 << bits) - 1)).astype(np.int64)


class GoingOn:
    """The sorted codes of one digit that go on; their places are the slots of the next digit."""

    def __init__(self, codes: Codes) -> None:
        self.codes = codes
        self._places: Codes | None = None
        if len(codes) and codes[-1] < _LOOKED_UP_MAX:
            self._places = np.full(int(codes[-1]) + 2, -1)
            self._places[codes] = np.arange(len(codes))

    def slots(self, codes: Codes) -> tuple[Codes, npt.NDArray[np.bool_]]:
        """Return the next slots of the values that go on, and which of ``codes`` theirs are."""
        if self._places is not None:
            found = self._places[np.minimum(codes, len(self._places) - 1)]
            goes_on = found >= 0
        else:
            found = np.minimum(np.searchsorted(self.codes, codes), max(len(self.codes) - 1, 0))
            goes_on = self.codes[found] == codes if len(self.codes) else np.zeros(len(codes), np.bool_)
        return found[goes_on], goes_on


def _grown(counts: Codes, size: int) -> Codes:
    return np.pad(counts, (0, size - len(counts))) if size > len(counts) else counts


class Selection:
    """The order statistics of one column that are still sought: group, rank within the slot, slot, and the image."""

    def __init__(self, groups: Codes, ranks: Codes) -> None:
        self.slots = groups
        self._ranks = ranks
        self._images = np.zeros(len(groups), np.uint64)

    def descend(self, counts: Codes, bits: int) -> Codes:
        """Take one digit more, out of the counts of each slot; return the codes that go on."""
        table = counts.reshape(-1, 1 << bits)
        codes = np.zeros(len(self.slots), np.int64)
        for slot in np.unique(self.slots):
            here = np.flatnonzero(self.slots == slot)
            ends = np.cumsum(table[slot])
            digits = np.searchsorted(ends, self._ranks[here], side="right")
            self._ranks[here] -= ends[digits] - table[slot][digits]
            codes[here] = slot << bits | digits
        self._images = self._images << np.uint64(bits) | (codes & ((1 << bits) - 1)).astype(np.uint64)
        wanted, self.slots = np.unique(codes, return_inverse=True)
        return wanted

    @property
    def values(self) -> Floats:
        """The order statistics, once every digit is known."""
        return value(self._images)


class Quantiles:
    """The plan: a pass a digit, then one that counts subjects on each side."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._dataset = checked.dataset
        self._by = checked.arguments["by"]
        self._at = tuple(map(Decimal, checked.arguments["at"]))
        self._numbers = tuple(Numbers.of(checked.dataset, name) for name in checked.arguments["columns"])
        kinds = [column.type for column in map(checked.dataset.column, self._by) if column is not None]
        # Groups that the contract declares are few: 4 passes. Groups as they come may be many: 8, of small digits.
        self._bits = 16 if all(kind in DECLARED for kind in kinds) else 8
        self._known: dict[str, list[GoingOn]] = {each.name: [] for each in self._numbers}
        self._sought: dict[str, Selection] = {}
        self._sizes: dict[str, Codes] = {}
        self._found: dict[str, Floats] = {}

    def first(self) -> Pass:
        """Return the pass over the first digit."""
        known = {name: list(each) for name, each in self._known.items()}
        columns = tuple(each.name for each in self._numbers)
        return Pass(KeyedFold(self._by, lambda: Digits(self._numbers, self._bits, known)), columns)

    def next(self, folded: Folded) -> Pass | RawResult:
        """Return the pass over the next digit, the one that counts subjects, or the table."""
        if self._found:
            return self._table(folded)
        groups = len(folded.groups)
        for name, known in self._known.items():
            counts = folded.accumulator.counts[name]
            if not known:
                self._sizes[name] = counts.reshape(-1, 1 << self._bits).sum(axis=1)
                self._sought[name] = self._wanted(self._sizes[name])
            known.append(GoingOn(self._sought[name].descend(counts, self._bits)))
        if len(next(iter(self._known.values()))) * self._bits < _IMAGE_BITS:
            return self.first()
        self._found = {each.name: self._quantiles(each.name, groups) for each in self._numbers}
        return self._sides()

    def _places(self, size: int) -> list[tuple[int, float]]:
        """Return, for each wanted quantile, the rank below it (from 0) and how far it lies to the next one.

        Hyndman and Fan's definition 7, as in R and numpy; the place is computed exactly.
        """
        exact = [(size - 1) * at for at in self._at]
        return [(int(place), float(place - int(place))) for place in exact]

    def _wanted(self, sizes: Codes) -> Selection:
        wanted = [
            (group, min(rank + step, int(size) - 1))
            for group, size in enumerate(sizes)
            if size > 0
            for rank, _ in self._places(int(size))
            for step in (0, 1)
        ]
        groups, ranks = np.array(wanted, np.int64).reshape(-1, 2).T
        return Selection(groups.copy(), ranks.copy())

    def _quantiles(self, name: str, groups: int) -> Floats:
        """Return the quantiles of one column, of shape (groups, quantiles); NaN in an empty group."""
        found = np.full((groups, len(self._at)), np.nan)
        pairs = iter(self._sought[name].values.reshape(-1, 2).tolist())
        for group, size in enumerate(self._sizes[name]):
            if size > 0:
                for place, (_, part) in enumerate(self._places(int(size))):
                    low, high = next(pairs)
                    found[group, place] = low + part * (high - low) if part else low
        return found

    def _sides(self) -> Pass:
        splits: dict[str | None, Split] = {
            each.name: Split(2 * len(self._at) + 1, _Position(each, self._found[each.name]), (each.name,))
            for each in self._numbers
        }
        counted = tuple(each.name for each in self._numbers)
        return Pass(KeyedFold(self._by, Nothing), columns=(), counted=counted, split=splits)

    def _table(self, folded: Folded) -> RawResult:
        groups, wanted = len(folded.groups), len(self._at)
        group = np.repeat(np.arange(groups), wanted)
        keys = key_columns(self._dataset, self._by, [folded.groups[i] for i in group])
        keys["quantile"] = pa.array(np.tile([float(at) for at in self._at], groups), pa.float64())
        cells: list[Cells] = []
        for numbers in self._numbers:
            column = self._dataset.column(numbers.name)
            behind = self._behind(folded, numbers.name)
            values = numbers.shown(self._found[numbers.name].ravel())
            cells.append(count(f"{numbers.name}_n", self._sizes[numbers.name][group], behind[:1], numbers.name))
            cells += subjects(behind[:1], numbers.name, of=numbers.name)
            cells.append(
                figure(
                    numbers.name, "quantile", values, behind, source=numbers.name, unit=column.unit if column else None
                )
            )
        return RawResult((tidy("quantiles", keys, cells, folded),))

    def _behind(self, folded: Folded, name: str) -> Behind:
        """Return who is in the cell, who lies at or below each quantile, and who at or above; in the table's order."""
        wanted = len(self._at)
        parts = np.arange(len(folded.groups) * (2 * wanted + 1))
        group, part = parts // (2 * wanted + 1), parts % (2 * wanted + 1)
        sides: list[list[Behind]] = [[], [], []]
        for place in range(wanted):
            chosen = (part >= 0, part <= 2 * place + 1, part >= 2 * place + 1)
            for side, members in zip(sides, chosen, strict=True):
                side.append(folded.tallies.contributors(name, np.where(members, group, -1), len(folded.groups)))
        return tuple(one for side in sides for one in _interleaved(side))


class _Position:
    """Where each value lies among the quantiles of its group: 2 for each below it, 1 more where it equals one."""

    def __init__(self, numbers: Numbers, thresholds: npt.NDArray[np.float64]) -> None:
        self._numbers = numbers
        self._thresholds = thresholds

    def __call__(self, batch: pa.RecordBatch, codes: Codes) -> Codes:
        values, _ = self._numbers.read(batch)
        position = np.zeros(len(codes), np.int64)
        for thresholds in self._thresholds.T:
            # Of one group, all values are held against the same number.
            threshold = thresholds[codes] if len(thresholds) > 1 else thresholds
            position += values > threshold
            position += values >= threshold
        return position


def _interleaved(parts: list[Behind]) -> Behind:
    """Return contributors of groups, for one quantile after the other, as rows of group by group."""
    return tuple(
        Contributors(
            each[0].domain,
            np.stack([one.total for one in each], axis=1).ravel(),
            {party: np.stack([one.without[party] for one in each], axis=1).ravel() for party in each[0].without},
        )
        for each in zip(*parts, strict=True)
    )
