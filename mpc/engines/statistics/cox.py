"""``cox`` computed: Newton's steps on the partial likelihood (Cox 1972), two scans of the rows each.

One scan counts and finds centres, one gathers the event times; then every step sums risk sets, and rows by the hazard
that they met (``cox_sums``). One scan more weighs the information by time, for the test of proportional hazards, where
errors are robust another sums score residuals by cluster, and where residuals are asked for another counts their bands.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.engines.statistics.covariates import Covariates
from mpc.engines.statistics.cox_leverage import Spread, alike, at_maximum, leverages
from mpc.engines.statistics.cox_sums import Expected, Information, Reader, RiskSums, Step, information, step_of
from mpc.engines.statistics.cox_sums import Residuals as ScoreResiduals
from mpc.engines.statistics.cox_tables import CoxFit, cox_tables
from mpc.engines.statistics.leverage import Owners, some_left_out
from mpc.engines.statistics.moments import Moments
from mpc.engines.statistics.passes import PARTY, Computed, Fold, Folded, KeyedFold, Pass
from mpc.engines.statistics.residuals import Bands, Residuals, with_bands
from mpc.engines.statistics.risk_sets import RiskSets
from mpc.engines.statistics.subjects_in_cells import SubjectsInCells
from mpc.engines.statistics.survival_times import EVENT, TIME, Times, TimeTable, computed
from mpc.questions.statistics import CheckedStatistics
from mpc.questions.statistics.cox import FORMULA
from mpc.results import RawResult
from mpc.table.batches import normalised

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Next = Callable[[Folded], Pass | RawResult]

STEPS_MAX = 40
HALVINGS_MAX = 12
_STILL = 1e-9
"""Steps of so small a part of a coefficient are the last: the next would be of its square."""
_FELL = 1e-12
_COLLINEAR = 1e-10
"""A column goes when those before it leave so small a part of its information."""
_FAR = 50.0
_VAGUE = 100.0
"""Coefficients this large, or with so large an error, by standard deviations of their column, have no end."""


class Cox:
    """The plan. ``_then`` is what comes after the scan that is under way."""

    def __init__(self, checked: CheckedStatistics) -> None:
        arguments = checked.arguments
        self._checked = checked
        dataset = self._dataset = checked.dataset
        formula = FORMULA.parsed(arguments["formula"], dataset)
        event = next(column for column in dataset.columns if column.name == formula.response.column)
        entry = arguments["entry"][0] if arguments["entry"] else None
        self._entry = entry is not None
        self._efron = arguments["ties"] == ("efron",)
        self._covariates = Covariates.of(formula, dataset)
        self._keys = (*arguments["strata"], *((PARTY,) if arguments["baseline"] == ("party",) else ()))
        self._computed: dict[str, Computed] = computed(arguments["time"][0], event, entry)
        self._cluster = arguments["cluster"]
        self._read = tuple(dict.fromkeys((*self._computed, *formula.columns[1:])))
        self._present = tuple(
            dict.fromkeys((
                *formula.columns, *arguments["time"], *arguments["entry"], *arguments["strata"], *self._cluster, TIME,
            ))
        )  # fmt: skip
        self._cells = SubjectsInCells(tuple(factor.column for factor in formula.factors), dataset, self._read)
        self._fit = CoxFit(self._covariates, confidence=float(arguments["confidence"][0]))
        self._search = _Search()
        self._then: Next = self._counted

    def first(self) -> Pass:
        """Return the scan that counts subjects, rows and events, and finds centres and scales."""
        return Pass(
            Fold(lambda: _Described(self._covariates)), (*self._read, PARTY), self._present, counted=(None,),
            computed=self._computed, split={None: self._cells.split},
        )  # fmt: skip

    def next(self, folded: Folded) -> Pass | RawResult:
        """Return the scan that follows, or the result."""
        return self._then(folded)

    def _scan(self, fold: Callable[[], object], then: Next, *more: str) -> Pass:
        self._then = then
        return Pass(
            KeyedFold(self._keys, fold), (*self._read, *more), self._present, computed=self._computed  # type: ignore[arg-type]
        )  # fmt: skip

    def _counted(self, folded: Folded) -> Pass:
        described: _Described = folded.accumulator
        scale = np.sqrt(described.moments.variance)
        varies = np.isfinite(scale) & (scale > _COLLINEAR * np.abs(described.moments.mean))
        self._fit.observed(folded, self._cells, described.events)
        self._covariates = self._covariates.standardised(
            np.where(varies, described.moments.mean, 0.0), np.where(varies, scale, 1.0)
        )
        self._fit.covariates = self._covariates
        self._fit.kept = np.flatnonzero(varies)
        return self._scan(lambda: TimeTable(entry=self._entry), self._timed)

    def _timed(self, folded: Folded) -> Pass | RawResult:
        found: dict[int, Times] = folded.accumulator.groups(np.arange(len(folded.groups)))
        self._sets = RiskSets(found)
        together = folded.accumulator.groups(np.zeros(len(folded.groups), np.int64))
        transform = self._checked.arguments["transform"][0]
        self._time = _transformed(self._sets, together.get(0, Times.of_nobody()), transform)
        if not len(self._sets) or not len(self._fit.kept):
            return self._finished("nothing")
        self._restrict(self._fit.kept)
        return self._summing(np.zeros(len(self._fit.kept)))

    def _restrict(self, kept: Codes) -> None:
        self._fit.kept = kept
        self._reader = Reader(self._covariates.only(kept), self._sets, self._entry)

    def _summing(self, beta: Floats) -> Pass:
        self._beta = beta
        return self._scan(lambda: RiskSums(self._reader, beta), self._summed)

    def _summed(self, folded: Folded) -> Pass | RawResult:
        step = step_of(folded.accumulator, self._sets, self._beta, efron=self._efron)
        best = self._search.step
        worse = best is not None and not step.log_likelihood >= best.log_likelihood - _FELL * abs(best.log_likelihood)
        if best is not None and (worse or not np.isfinite(step.score).all()):
            self._search.halvings += 1
            if self._search.halvings > HALVINGS_MAX:
                return self._finished("apart")
            return self._summing((self._beta + best.beta) / 2)
        self._search.step, self._search.halvings = step, 0
        weights = np.ones((1, len(self._sets)))
        return self._scan(lambda: Information(self._reader, step, weights), self._stepped)

    def _stepped(self, folded: Folded) -> Pass | RawResult:
        step = self._search.step
        assert step is not None  # noqa: S101 - the scan before this one set it
        (matrix,) = information(folded.accumulator.sums, step, np.ones((1, len(self._sets))))
        if not self._search.steps:
            kept = independent(matrix)
            self._fit.begun(step, matrix, kept)
            if len(kept) < len(matrix):
                # From the start again, without the columns that the others determine.
                self._search = _Search()
                self._restrict(self._fit.kept[kept])
                return self._summing(np.zeros(len(kept))) if len(kept) else self._finished("nothing")
        self._search.steps += 1
        move = np.linalg.pinv(matrix, hermitian=True) @ step.score
        beta = step.beta + move
        if _tells_nothing(matrix) or np.abs(beta).max() > _FAR or self._search.steps > STEPS_MAX:
            return self._finished("apart")
        if (np.abs(move) > _STILL * np.maximum(np.abs(beta), 1e-3)).any():
            return self._summing(beta)
        self._fit.ended(step, beta, matrix)
        weights = np.stack([np.ones(len(self._sets)), self._time, self._time**2])
        self._weights = weights
        return self._scan(lambda: Information(self._reader, step, weights), self._weighed)

    def _weighed(self, folded: Folded) -> Pass | RawResult:
        step = self._search.step
        assert step is not None  # noqa: S101 - there is one since the first scan of a step
        matrices = information(folded.accumulator.sums, step, self._weights)
        observed = folded.accumulator.observed - self._weights @ step.means
        self._fit.proportional(matrices, observed[1])
        if self._checked.arguments["variance"] == ("model",):
            return self._finished(None)
        clusters, columns = self._clusters()
        return self._scan(lambda: ScoreResiduals(self._reader, step, clusters), self._clustered, *columns)

    def _clustered(self, folded: Folded) -> Pass | RawResult:
        self._fit.robust(*folded.accumulator.products())
        return self._finished(None)

    def _clusters(self) -> tuple[Callable[[pa.RecordBatch], pa.Array], tuple[str, ...]]:
        """Return what names a row's cluster, and the columns that it reads: a column's value, or else the subject.

        Identifiers of subjects mean the same at all owners only where the contract says so.
        """
        subject = self._dataset.subject
        if self._cluster or subject.column is None:
            return lambda batch: batch.column(self._cluster[0]).cast(pa.utf8()), self._cluster

        def named(batch: pa.RecordBatch) -> pa.Array:
            who = normalised(batch.column(subject.column), subject.normalisation).cast(pa.utf8())
            if subject.identity == "shared":
                return who
            return pc.binary_join_element_wise(batch.column(PARTY), who, "\x1f")

        return named, (subject.column, PARTY)

    def _finished(self, problem: str | None) -> Pass | RawResult:
        """Return the scans for leverages, where something may have been estimated, else the tables."""
        self._problem = problem
        step, subject = self._search.step, self._dataset.subject.column
        if problem == "nothing" or subject is None:
            self._fit.leverages = dict.fromkeys(self._some_left_out(), 0.0)
            return self._shown()
        if problem is None and step is not None:
            self._weights_of = at_maximum(self._reader, step)
        else:
            self._weights_of = alike(self._covariates.only(self._fit.kept))
        read, columns = self._weights_of, len(self._fit.kept)
        return self._scan(lambda: Spread(read, columns), self._spread, PARTY)

    def _spread(self, folded: Folded) -> Pass:
        models = [folded.accumulator.weighed(owners) for owners in self._some_left_out()]
        more = (PARTY, *filter(None, (self._dataset.subject.column,)))
        return self._scan(lambda: leverages(models, self._dataset, self._weights_of), self._leveraged, *more)

    def _leveraged(self, folded: Folded) -> Pass | RawResult:
        self._fit.leverages = dict(zip(self._some_left_out(), folded.accumulator.largest(), strict=True))
        return self._shown()

    def _shown(self) -> Pass | RawResult:
        """Return the scan that counts residuals in bands if they are asked for and there are any, else the tables."""
        step = self._search.step
        if self._checked.arguments["residuals"] == ("none",) or self._problem is not None or step is None:
            return cox_tables(self._fit, self._problem)
        residuals = Residuals(Expected(self._reader, step).deviances, _events)
        self._then = self._banded
        return Pass(
            KeyedFold(self._keys, lambda: Bands(residuals)), self._read, self._present, counted=(None,),
            computed=self._computed, split={None: residuals.split(self._read)},
        )  # fmt: skip

    def _banded(self, folded: Folded) -> RawResult:
        return with_bands(cox_tables(self._fit, self._problem), folded, event=True)

    def _some_left_out(self) -> list[Owners]:
        return some_left_out(self._dataset.owners)


@dataclass
class _Search:
    """Where the search for the maximum stands: the best step so far, and how many there were."""

    step: Step | None = None
    steps: int = 0
    halvings: int = 0


class _Described:
    """Moments of the covariates, and each party's rows with the event."""

    def __init__(self, covariates: Covariates) -> None:
        self._covariates = covariates
        self.moments = Moments(len(covariates.columns))
        self.events: dict[str, int] = {}

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of the batch, which are of one party."""
        if not batch.num_rows:
            return
        x = self._covariates.matrix(batch)
        slots = np.repeat(np.arange(x.shape[1]), len(x))
        self.moments.add(x.ravel(order="F"), slots, x.shape[1])
        party = batch.column(PARTY)[0].as_py()
        events = int(np.asarray(batch.column(EVENT)).sum())
        self.events[party] = self.events.get(party, 0) + events

    def merge(self, other: "_Described") -> None:
        """Add column by column and party by party."""
        self.moments.merge(other.moments)
        for party, events in other.events.items():
            self.events[party] = self.events.get(party, 0) + events


def _events(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    return np.asarray(batch.column(EVENT))


def independent(matrix: Floats) -> Codes:
    """Return the columns of an information matrix that those before them do not determine."""
    left = matrix.copy()
    kept = []
    for column, size in enumerate(np.diag(matrix)):
        if left[column, column] > _COLLINEAR * size:
            kept.append(column)
            left = left - np.outer(left[:, column], left[column]) / left[column, column]
    return np.array(kept, np.int64)


def _tells_nothing(matrix: Floats) -> bool:
    """Tell whether some coefficient is hardly bounded by the information that is left about it."""
    if np.linalg.matrix_rank(matrix, hermitian=True) < len(matrix):
        return True
    return bool((np.diag(np.linalg.inv(matrix)) > _VAGUE**2).any())


def _transformed(sets: RiskSets, together: Times, transform: str) -> Floats:
    """Return the time of each slot as the test of proportional hazards takes it, about its mean over events.

    ``km`` is one less the survival of everybody just before (Grambsch and Therneau 1994; what R's ``cox.zph`` does).
    """
    if transform == "log":
        with np.errstate(divide="ignore", invalid="ignore"):
            time = np.log(sets.time)
    elif transform == "km":
        happened = together.time[together.events > 0]
        at_risk = together.at_risk(happened)
        survival = np.append(1.0, np.cumprod(1 - together.events[together.events > 0] / at_risk))
        time = 1 - survival[np.searchsorted(happened, sets.time)]
    else:
        time = sets.time
    centred: Floats = time - np.average(time, weights=sets.events) if len(sets) else time
    return centred
