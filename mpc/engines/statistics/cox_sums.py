"""What one step of a Cox model sums over rows: risk sets first, then each row's part of the information matrix.

With hazard ratios w = exp(x beta), the risk set at slot k has s0 = sum w and s1 = sum w x; of those with the event
there, t0 and t1 are the same sums. The information matrix needs the sums of w x x' over every risk set too, but only
weighed and added over slots, so they are never kept: each row adds w x x' once, by the sum of its slots' weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.covariates import Covariates
from mpc.engines.statistics.risk_sets import Long, RiskSets, Ties, between, forwards, ties
from mpc.engines.statistics.survival_times import ENTRY, EVENT, TIME

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """The rows of one batch: covariates, their first slot, the one past their last, and which have the event."""

    x: Floats
    start: Codes
    stop: Codes
    event: npt.NDArray[np.bool_]
    floor: Codes
    """Where the slots of the row's stratum begin."""


@dataclass(frozen=True)
class Reader:
    """Reads batches into ``Rows``; the strata are the groups of the fold."""

    covariates: Covariates
    sets: RiskSets
    entry: bool

    def rows(self, batch: pa.RecordBatch, codes: Codes) -> Rows:
        """Return what the sums need of ``batch``."""
        stop = self.sets.reached(codes, np.asarray(batch.column(TIME)))
        floor = self.sets.reached(codes, None)
        start = self.sets.reached(codes, np.asarray(batch.column(ENTRY))) if self.entry else floor
        event = np.asarray(batch.column(EVENT))
        return Rows(self.covariates.matrix(batch), start, stop, event, floor)


class RiskSums:
    """First scan of a step: the sums over the risk sets of each slot, and over those with the event; a keyed fold."""

    def __init__(self, reader: Reader, beta: Floats) -> None:
        self._reader = reader
        self._beta = beta
        shape = (len(reader.sets), 1 + len(beta))
        self.ending = np.zeros(shape)
        self.beginning = np.zeros(shape if reader.entry else (0, shape[1]))
        self.tied = np.zeros(shape)
        self.observed = np.zeros(len(beta))
        self.eta = 0.0

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Add the rows of the batch where their slots end and begin."""
        rows = self._reader.rows(batch, codes)
        eta = rows.x @ self._beta
        with np.errstate(over="ignore"):
            ratio = np.exp(eta)
        # Column by column in memory, as they are added.
        each = np.vstack([ratio, ratio * rows.x.T]).T
        _add(self.ending, rows.stop - 1, each, rows.stop > rows.floor)
        if self._reader.entry:
            _add(self.beginning, rows.start - 1, each, rows.start > rows.floor)
        _add(self.tied, rows.stop - 1, each, rows.event)
        self.observed += rows.x[rows.event].sum(axis=0)
        self.eta += float(eta[rows.event].sum())

    def merge(self, other: "RiskSums") -> None:
        """Add slot by slot."""
        self.ending += other.ending
        self.beginning += other.beginning
        self.tied += other.tied
        self.observed += other.observed
        self.eta += other.eta


@dataclass(frozen=True)
class Step:
    """The partial likelihood at ``beta``: its logarithm, its gradient, and what a second scan needs of every slot."""

    beta: Floats
    log_likelihood: float
    score: Floats
    s1: Floats
    t1: Floats
    ties: Ties

    @property
    def means(self) -> Floats:
        """The mean covariates of the risk sets of each slot, over its events; shape (slots, columns)."""
        return self.s1 * self.ties.a1[:, None] - self.t1 * self.ties.b1[:, None]


def step_of(sums: RiskSums, sets: RiskSets, beta: Floats, *, efron: bool) -> Step:
    """Return what the first scan came to."""
    at_risk = sets.backwards(sums.ending)
    if len(sums.beginning):
        at_risk -= sets.backwards(sums.beginning)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        tied = ties(at_risk[:, 0], sums.tied[:, 0], sets.events, efron=efron)
        step = Step(beta, 0.0, np.zeros(0), at_risk[:, 1:], sums.tied[:, 1:], tied)
        score = sums.observed - step.means.sum(axis=0)
        log_likelihood = sums.eta - float(tied.logs.sum())
    return Step(beta, log_likelihood, score, step.s1, step.t1, tied)


class Information:
    """Second scan of a step: the information matrix, once for each weight on the slots; a keyed fold.

    ``weights`` has shape (kinds, slots): all ones, or for the test of proportional hazards 1, g and g squared of time.
    ``observed`` sums the covariates of events by the same weights.
    """

    def __init__(self, reader: Reader, step: Step, weights: Floats) -> None:
        self._reader = reader
        self._beta = step.beta
        self._hazard: list[Long] = [forwards(weight * step.ties.a1) for weight in weights]
        self._tied = [weight * step.ties.b1 for weight in weights]
        self._weights = weights
        self.sums = np.zeros((len(weights), len(step.beta), len(step.beta)))
        self.observed = np.zeros((len(weights), len(step.beta)))

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Add each row's products of covariates, by the hazard that it has met."""
        rows = self._reader.rows(batch, codes)
        ratio = np.exp(rows.x @ self._beta)
        for kind, (hazard, tied) in enumerate(zip(self._hazard, self._tied, strict=True)):
            weight = ratio * between(hazard, rows.start, rows.stop)
            weight[rows.event] -= ratio[rows.event] * tied[rows.stop[rows.event] - 1]
            self.sums[kind] += (rows.x * weight[:, None]).T @ rows.x
        self.observed += self._weights[:, rows.stop[rows.event] - 1] @ rows.x[rows.event]

    def merge(self, other: "Information") -> None:
        """Add the matrices."""
        self.sums += other.sums
        self.observed += other.observed


def information(sums: Floats, step: Step, weights: Floats) -> Floats:
    """Return the information matrices, shape (kinds, columns, columns), from the rows' sums and the slots' means."""
    found = np.empty_like(sums)
    for kind, weight in enumerate(weights):
        a2, b2, c2 = (weight * each for each in (step.ties.a2, step.ties.b2, step.ties.c2))
        crossed = step.s1.T @ (b2[:, None] * step.t1)
        products = step.s1.T @ (a2[:, None] * step.s1) - crossed - crossed.T + step.t1.T @ (c2[:, None] * step.t1)
        found[kind] = sums[kind] - products
        found[kind] = (found[kind] + found[kind].T) / 2
    return found


class Expected:
    """How many events a fitted model expects of a row: its hazard ratio times the cumulative hazard that it met.

    Of tied events, each meets the part of the hazard at their time that its turn leaves it, on average (Efron 1977).
    """

    def __init__(self, reader: Reader, step: Step) -> None:
        self._reader = reader
        self._step = step
        self._hazard = forwards(step.ties.a1)

    def events(self, rows: Rows) -> Floats:
        """Return the number of events expected of each row."""
        hazard = between(self._hazard, rows.start, rows.stop)
        hazard[rows.event] -= self._step.ties.b1[rows.stop[rows.event] - 1]
        expected: Floats = np.exp(rows.x @ self._step.beta) * np.maximum(hazard, 0.0)
        return expected

    def deviances(self, batch: pa.RecordBatch, codes: Codes) -> Iterator[Floats]:
        """Yield deviance residuals, those of martingales made more symmetric (Therneau, Grambsch and Fleming 1990)."""
        rows = self._reader.rows(batch, codes)
        expected = self.events(rows)
        martingale = rows.event - expected
        with np.errstate(divide="ignore"):
            logs = np.where(rows.event, np.log(expected), 0.0)
        yield np.sign(martingale) * np.sqrt(np.maximum(-2 * (martingale + logs), 0.0))


class Residuals:
    """Third scan, for robust errors: each row's score residual, summed by ``cluster``; a keyed fold."""

    def __init__(self, reader: Reader, step: Step, clusters: Callable[[pa.RecordBatch], pa.Array]) -> None:
        self._reader = reader
        self._clusters = clusters
        self._step = step
        tied = step.ties
        self._hazard = forwards(tied.a1)
        met = step.s1 * tied.a2[:, None] - step.t1 * tied.b2[:, None]
        self._met = forwards(met)
        self._less = step.s1 * tied.b2[:, None] - step.t1 * tied.c2[:, None]
        self._mean = step.means / reader.sets.events[:, None]
        self._kept: list[pa.Table] = []
        self._pending = 0

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Add each row's residual to its cluster."""
        rows = self._reader.rows(batch, codes)
        ratio = np.exp(rows.x @ self._step.beta)[:, None]
        hazard = between(self._hazard, rows.start, rows.stop)[:, None]
        residual = -ratio * (rows.x * hazard - between(self._met, rows.start, rows.stop))
        slot = rows.stop[rows.event] - 1
        x, own = rows.x[rows.event], ratio[rows.event]
        residual[rows.event] += x - self._mean[slot]
        residual[rows.event] += own * (x * self._step.ties.b1[slot][:, None] - self._less[slot])
        columns = {f"r{i}": residual[:, i] for i in range(residual.shape[1])}
        self._kept.append(_by_cluster(pa.table({"cluster": self._clusters(batch), **columns})))
        self._pending += self._kept[-1].num_rows
        if self._pending > _PENDING_ROWS:
            self._compact()

    def merge(self, other: "Residuals") -> None:
        """Add cluster by cluster."""
        self._kept += other._kept  # noqa: SLF001 - another of this class
        self._compact()

    def _compact(self) -> None:
        if self._kept:
            self._kept, self._pending = [_by_cluster(pa.concat_tables(self._kept))], 0

    def products(self) -> tuple[Floats, int]:
        """Return the sum over clusters of r r', shape (columns, columns), and how many clusters there are."""
        self._compact()
        if not self._kept:
            return np.zeros((len(self._step.beta),) * 2), 0
        summed = np.column_stack([np.asarray(column) for column in self._kept[0].columns[1:]])
        return summed.T @ summed, len(summed)


_PENDING_ROWS = 1 << 20


def _by_cluster(rows: pa.Table) -> pa.Table:
    names = rows.column_names[1:]
    summed = rows.group_by(["cluster"], use_threads=False).aggregate([(name, "sum") for name in names])
    return summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names]).select(rows.column_names)


def _add(sums: Floats, slots: Codes, each: Floats, chosen: npt.NDArray[np.bool_]) -> None:
    """Add the chosen rows of ``each`` to their slots."""
    everybody = bool(chosen.all())
    slots = slots if everybody else slots[chosen]
    if len(sums) > 4 * len(slots):
        touched, slots = np.unique(slots, return_inverse=True)
    else:
        touched = np.arange(len(sums))
    for column in range(each.shape[1]):
        own = each[:, column] if everybody else each[:, column][chosen]
        sums[touched, column] += np.bincount(slots, own, minlength=len(touched))
