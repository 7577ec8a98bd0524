"""What every regression shares: whose rows each of its models is fitted to, its passes, and on how much it rests."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.engines.statistics.centring import values
from mpc.engines.statistics.contributors import Split
from mpc.engines.statistics.design import Groups
from mpc.engines.statistics.leverage import Leverages, Told, Weighed
from mpc.engines.statistics.passes import PARTY, Folded, KeyedFold, Pass
from mpc.engines.statistics.tables import Behind
from mpc.questions.statistics import CheckedStatistics
from mpc.questions.statistics.formula import Variable, level_names
from mpc.questions.statistics.layout import Cell, layout
from mpc.questions.statistics.method import DECLARED
from mpc.questions.statistics.regression import effects, parsed
from mpc.results import Contributors, ModelSize
from mpc.table.schema import Column, Dataset

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

POOLED = "(all)"


@dataclass(frozen=True)
class Fit:
    """One model: over everybody's rows (``party`` None), one party's, or, ``left_out``, everybody's but one's.

    ``columns`` are the numbers of its columns in the study's layout.
    """

    party: str | None
    left_out: bool
    owners: tuple[str, ...]
    columns: tuple[int, ...]

    @property
    def label(self) -> str:
        """How tables of several models name this one."""
        if self.party is None:
            return POOLED
        return f"without {self.party}" if self.left_out else self.party


class Study:
    """One regression of one dataset, whatever its likelihood."""

    def __init__(self, checked: CheckedStatistics, *, binary: bool = False) -> None:
        dataset = self.dataset = checked.dataset
        self.formula = parsed(checked.arguments, dataset)
        self.confidence = float(checked.arguments["confidence"][0])
        self.columns = layout(self.formula, dataset, effects(checked.arguments, dataset))
        self.groups = Groups([factor.column for factor in self.formula.factors], dataset)
        self._extra = checked.arguments.get("weights", ())
        self._binary = binary
        self.fits = self._fits(checked.arguments["parties"][0])

    def _fits(self, parties: str) -> tuple[Fit, ...]:
        owners, every = self.dataset.owners, tuple(range(len(self.columns)))
        fits = [Fit(None, left_out=False, owners=owners, columns=every)]
        if parties in {"compared", "left_out"}:
            fits += [Fit(owner, left_out=False, owners=(owner,), columns=every) for owner in owners]
        if parties == "left_out":
            fits += [
                Fit(owner, left_out=True, owners=tuple(one for one in owners if one != owner), columns=every)
                for owner in owners
            ]
        return tuple(fits)

    @property
    def pooled(self) -> Fit:
        """The model over everybody's rows."""
        return self.fits[0]

    @property
    def compared(self) -> tuple[Fit, ...]:
        """The models of each party alone; none unless they are asked for."""
        return tuple(fit for fit in self.fits if fit.party is not None and not fit.left_out)

    @property
    def read(self) -> tuple[str, ...]:
        """Every column that the passes read, once."""
        return tuple(dict.fromkeys((*self.formula.columns, *self._extra)))

    def reading(
        self,
        fold: Any,  # noqa: ANN401 - any fold, started by its plan
        *,
        counted: bool = False,
        split: Split | None = None,
        more: tuple[str, ...] = (),
    ) -> Pass:
        """Return a pass of ``fold`` over the rows that miss nothing, keyed by party and factors.

        Where rows are ``counted``, those of a binary outcome are counted apart by it, or as ``split`` has it. The fold
        is handed what the model reads, and ``more`` columns.
        """
        keys = tuple(dict.fromkeys((PARTY, *(factor.column for factor in self.formula.factors))))
        if self._binary and split is None:
            split = Split(2, self._outcome, (self.formula.response.column,))
        return Pass(
            KeyedFold(keys, fold), (*self.read, *more), self.read, (None,) if counted else (),
            split={None: split} if counted and split is not None else {},
        )  # fmt: skip

    def weighing(self, models: Sequence[Weighed], read: Callable[[pa.RecordBatch, Codes], Iterator[Any]]) -> Pass:
        """Return the pass for the leverages of subjects in ``models`` of rows as ``read`` gives them."""

        def owner(_batch: pa.RecordBatch, codes: Codes) -> str:
            return self.party(codes)

        subject = self.dataset.subject.column
        return self.reading(
            lambda: Leverages(models, self.dataset, read, owner), more=() if subject is None else (subject,)
        )

    def _outcome(self, batch: pa.RecordBatch, _codes: Codes) -> Codes:
        return response(batch, self.formula.response, self.dataset).astype(np.int64)

    def party(self, codes: Codes) -> str:
        """Return whose rows a batch's are, by their groups; it has at least one."""
        return self.groups.parties[int(self.groups.codes(codes[:1], PARTY)[0])]

    def behind(self, folded: Folded, owners: Sequence[str], cells: Sequence[Cell]) -> Behind:
        """Return who of the owners' subjects is in each of ``cells``; nobody for public data."""
        if folded.tallies.is_public:
            return ()
        alike: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
        for cell in dict.fromkeys(cells):
            alike[tuple(name for name, _ in cell)].append(cell)
        found: dict[Cell, tuple[Contributors, int]] = {}
        for same in alike.values():
            # Cells of the same factors have no row in common, so they are counted in one go.
            (one,) = folded.tallies.contributors(None, self._numbers(owners, same), len(same))
            found.update({cell: (one, place) for place, cell in enumerate(same)})
        rows = [found[cell] for cell in cells]
        parties = rows[0][0].without
        total = np.array([one.total[i] for one, i in rows], np.int64)
        # A party's effect is by its question of that party alone, so nothing is taken away from its rows.
        alone = np.array([any(name == PARTY for name, _ in cell) for cell in cells], np.bool_)
        without = {
            party: np.where(alone, total, np.array([one.without[party][i] for one, i in rows], np.int64))
            for party in parties
        }
        return (Contributors(rows[0][0].domain, total, without),)

    def _numbers(self, owners: Sequence[str], cells: Sequence[Cell]) -> Codes:
        codes = np.arange(self.groups.count)
        places = [place for place, owner in enumerate(self.groups.parties) if owner in owners]
        theirs = np.isin(self.groups.codes(codes, PARTY), places)
        numbers = np.full(len(codes), -1)
        for number, cell in enumerate(cells):
            numbers[theirs & self.groups.inside(codes, cell)] = number
        return np.repeat(numbers, 2) if self._binary else numbers

    def size(
        self, folded: Folded, fit: Fit, parameters: int, events: Mapping[str, int] | None, told: Told
    ) -> ModelSize:
        """Return on how much a model with so many ``parameters`` rests. ``events`` are rows with the event by owner."""

        def over(owners: tuple[str, ...]) -> ModelSize:
            leverage = 0.0 if folded.tallies.is_public else told.get(owners)
            return replace(self._size(folded, owners, parameters, events), leverage=leverage)

        if len(fit.owners) == 1:
            return over(fit.owners)
        left = {owner: over(tuple(one for one in fit.owners if one != owner)) for owner in fit.owners}
        return replace(over(fit.owners), without=left)

    def _size(
        self, folded: Folded, owners: Sequence[str], parameters: int, events: Mapping[str, int] | None
    ) -> ModelSize:
        observations = sum(folded.rows[owner] for owner in owners)
        happened = None if events is None else sum(events[owner] for owner in owners)
        if happened is not None and self._binary:
            happened = min(happened, observations - happened)
        behind = self.behind(folded, owners, [(), *self.groups.each_level()])
        counts = [int(each) for each in behind[0].total] if behind else [observations]
        levels = [count for count in (*counts[1:], *self._outcomes(folded, owners)) if count]
        return ModelSize(
            parameters, observations, counts[0], observations - parameters, min(levels, default=None), happened
        )

    def _outcomes(self, folded: Folded, owners: Sequence[str]) -> list[int]:
        """Return the subjects of each outcome of a binary one."""
        if not self._binary or folded.tallies.is_public:
            return []
        numbers = self._numbers(owners, [()])
        numbers[(numbers == 0) & (np.arange(len(numbers)) % 2 == 1)] = 1
        (one,) = folded.tallies.contributors(None, numbers, 2)
        return [int(each) for each in one.total]


def response(batch: pa.RecordBatch, variable: Variable, dataset: Dataset) -> Floats:
    """Return the response of each row; of a category of two codes or a boolean, 1 is the second level."""
    column: Column | None = dataset.column(variable.column)
    if column is None or column.type not in DECLARED:
        return values(batch, variable)
    cells = batch.column(variable.column)
    event = cells if column.type == "boolean" else pc.equal(cells, level_names(column)[1])
    return np.asarray(event).astype(np.float64)


def weakest(sizes: Sequence[ModelSize]) -> ModelSize:
    """Return a size that every rule finds too small as soon as it finds one of ``sizes`` so."""
    every = [*sizes, *(left for size in sizes for left in size.without.values())]
    levels = [each.smallest_level for each in every if each.smallest_level is not None]
    events = [each.events for each in every if each.events is not None]
    leverages = [each.leverage for each in every]
    return ModelSize(
        max(each.parameters for each in every), min(each.observations for each in every),
        min(each.subjects for each in every), min(each.freedom for each in every),
        min(levels, default=None), min(events, default=None),
        None if None in leverages else max(each for each in leverages if each is not None),
    )  # fmt: skip
