"""Regressions by maximum likelihood: extents, collinearity, a first step, then a fold a step for all models at once."""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from math import inf, log, nan, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.centring import Extents, expansion, movable, uncentred, values
from mpc.engines.statistics.design import Design
from mpc.engines.statistics.fits import Fit, Study, response
from mpc.engines.statistics.gram import not_finite
from mpc.engines.statistics.leverage import (
    Leverages,
    Owners,
    Weighed,
    bounded,
    known,
    root_of,
    some_left_out,
    squared,
)
from mpc.engines.statistics.likelihoods import Likelihood, Logistic, NegativeBinomial, Poisson
from mpc.engines.statistics.linear import COLLINEAR, FEW_ROWS, Grams, exact_grams, grams, raw
from mpc.engines.statistics.model_tables import Estimates, Note, Tables
from mpc.engines.statistics.newton import Climb, Steps, dispersion
from mpc.engines.statistics.passes import Codes, Fold, Folded, Pass
from mpc.engines.statistics.residuals import Bands, Residuals, with_bands
from mpc.engines.statistics.rounded_gram import largest
from mpc.engines.statistics.solutions import Matrices, in_doubles, solutions
from mpc.engines.statistics.starts import PLAIN, PartySums, Starts, started
from mpc.questions.statistics import CheckedStatistics
from mpc.results import RawResult

Floats = npt.NDArray[np.float64]


class Generalised:
    """The plan of one family."""

    def __init__(self, checked: CheckedStatistics, likelihood: Likelihood) -> None:
        self._likelihood = likelihood
        self._study = Study(checked, binary=isinstance(likelihood, Logistic))
        self._residuals = checked.arguments["residuals"] == ("bands",)
        self._centres = uncentred(self._study.formula.variables, self._study.dataset)
        self._design = Design(self._study.columns, self._study.groups, self._centres)
        self._counted: Folded | None = None
        self._kept: dict[Fit, tuple[int, ...]] = {}
        self._starts: Starts | None = None
        self._climbs: dict[Fit, Climb] = {}
        self._weighed: list[tuple[Fit, Owners]] = []
        self._leverages: dict[Fit, dict[Owners, float]] = {}

    def first(self) -> Pass:
        """Return the pass for extents."""
        formula = self._study.formula
        read = tuple(dict.fromkeys(each.column for each in (*formula.variables, *formula.offsets)))
        present = self._study.reading(None).present
        return Pass(Fold(lambda: Extents((*formula.variables, *formula.offsets))), read, present)

    def next(self, folded: Folded) -> Pass | RawResult:
        """Return the next pass, or the tables."""
        gathered = folded.accumulator
        if isinstance(gathered, Extents):
            return self._columns_pass(gathered)
        if isinstance(gathered, Leverages):
            for (fit, owners), part in zip(self._weighed, gathered.largest(), strict=True):
                self._leverages.setdefault(fit, {})[owners] = part
            return self._shown()
        if isinstance(gathered, Bands):
            return with_bands(self._tables(), folded)
        if isinstance(gathered, Grams):
            self._counted = self._counted or folded
            return self._with_grams(gathered)
        if isinstance(gathered, Starts):
            self._starts = gathered
            self._climbs = {
                fit: started(gathered.over(fit), self._kept[fit], self._likelihood) for fit in self._study.fits
            }
        elif isinstance(gathered, Steps):
            for fit, parties in gathered.of.items():
                self._climbs[fit].advance(parties)
        places = {fit: climb.place for fit, climb in self._climbs.items() if climb.end is None}
        if places:
            return self._study.reading(lambda: Steps(self._rows, self._study.party, places))
        return self._weighing()

    def _with_grams(self, gathered: Grams[Any]) -> Pass:
        """Return the pass for the first step, or exact matrices where it is not certain which columns are collinear."""
        found = solutions(self._study, gathered.of)
        if not all(each.is_full_rank for each in found.values()):
            return exact_grams(self._study, self._with_response, counted=False)
        self._kept = {fit: tuple(fit.columns[i] for i in each.solution.kept) for fit, each in found.items()}
        self._matrices = Matrices(self._study, gathered.of)
        size = len(self._study.columns)
        return self._study.reading(lambda: Starts(self._rows, self._study.party, self._likelihood, size))

    def _weighing(self) -> Pass | RawResult:
        """Return the pass for leverages, or the tables if nobody is to be protected."""
        if self._counted is None or self._counted.tallies.is_public:
            return self._shown()
        for fit in self._study.fits:
            for owners in some_left_out(fit.owners):
                bound = known(self._study.dataset, self._bound(fit, owners, self._counted))
                if bound is None:
                    self._weighed.append((fit, owners))
                else:
                    self._leverages.setdefault(fit, {})[owners] = bound
        models = [Weighed(owners, self._weights(fit, owners)) for fit, owners in self._weighed]
        return self._study.weighing(models, self._rows) if models else self._shown()

    def _shown(self) -> Pass | RawResult:
        """Return the pass over residuals if they are asked for and there are any, else the tables."""
        pooled = self._climbs[self._study.pooled]
        if not self._residuals or pooled.end != "maximum":
            return self._tables()

        def residuals(batch: pa.RecordBatch, codes: Codes) -> Iterator[Floats]:
            return (pooled.place.residuals(*rows) for rows in self._rows(batch, codes))

        return Residuals(residuals).reading(self._study)

    def _bound(self, fit: Fit, owners: Owners, counted: Folded) -> float:
        """Return what no row's leverage in a model over ``owners`` exceeds; infinity where it is not known."""
        climb, kept = self._climbs[fit], list(self._kept[fit])
        sound = in_doubles([gram for party, gram in counted.accumulator.of.items() if party in owners])
        parts = [climb.parties[owner] for owner in owners if owner in climb.parties]
        has_few = sum(counted.rows.values()) <= FEW_ROWS
        if climb.end != "maximum" or not self._study.formula.has_intercept or has_few or not (sound and parts):
            return inf
        gram = sum((each.hessian for each in parts), np.zeros((len(kept), len(kept))))
        means = gram[0] / gram[0, 0] if gram[0, 0] else gram[0]
        about = (gram - np.outer(means, gram[0]))[1:, 1:]
        if (np.diag(about) < _CANCELLED * np.diag(gram)[1:]).any():
            return inf
        centre = np.zeros(len(self._study.columns) + 1)
        centre[kept[1:]] = means[1:]
        extent = largest(sound, centre)[kept] * sqrt(max(each.most for each in parts))
        return bounded(float(gram[0, 0]), about, extent)

    def _weights(self, fit: Fit, owners: Owners) -> Callable[[tuple[Floats, Floats, Floats]], Floats]:
        """Return what gives rows their leverage: at the maximum, or where there is none, as in least squares."""
        climb, kept = self._climbs[fit], list(self._kept[fit])
        if climb.end == "maximum":
            parts = [climb.parties[owner].hessian for owner in owners if owner in climb.parties]
            root = root_of(sum(parts, np.zeros((len(kept), len(kept)))))
            return lambda rows: climb.place.curvature(*rows) * squared(rows[0][:, kept], root)
        gram = np.array(self._matrices.over(owners), np.float64)[:-1, :-1]
        plain = root_of(gram[np.ix_(kept, kept)])
        return lambda rows: squared(rows[0][:, kept], plain)

    def _columns_pass(self, extents: Extents) -> Pass:
        can_move = movable(self._study.columns)
        self._centres = {
            each: extents.centre(each, raw, movable=each in can_move) for each, raw in self._centres.items()
        }
        self._design = Design(self._study.columns, self._study.groups, self._centres)
        return grams(self._study, self._with_response, centred=True)

    def _with_response(self, batch: pa.RecordBatch, codes: Codes) -> Iterator[Floats]:
        y = self._responses(batch)
        for part, rows in self._design.chunks(batch, codes):
            rows[:, -1] = y[part]
            yield rows

    def _rows(self, batch: pa.RecordBatch, codes: Codes) -> Iterator[tuple[Floats, Floats, Floats]]:
        y, offset = self._responses(batch), np.zeros(batch.num_rows)
        for each in self._study.formula.offsets:
            offset = offset + values(batch, each)
        for part, rows in self._design.chunks(batch, codes):
            yield rows[:, :-1], y[part], offset[part]

    def _responses(self, batch: pa.RecordBatch) -> Floats:
        y = response(batch, self._study.formula.response, self._study.dataset)
        if not ((y >= 0) & (y <= self._likelihood.largest)).all():
            raise not_finite()
        return y

    def _tables(self) -> RawResult:
        if self._counted is None or self._starts is None:
            raise AssertionError  # both passes come before
        positive = dict.fromkeys(self._study.dataset.owners, 0)
        positive |= {party: int(sums.plain[PLAIN.index("positive")]) for party, sums in self._starts.of.items()}
        results = [
            self._estimates(fit, climb, self._starts.over(fit), positive, self._counted)
            for fit, climb in self._climbs.items()
        ]
        return Tables(self._study, self._counted, results).result()

    def _estimates(
        self, fit: Fit, climb: Climb, sums: PartySums, positive: Mapping[str, int], folded: Folded
    ) -> Estimates:
        size, kept = len(self._study.columns), self._kept[fit]
        estimate, error = np.full(size, nan), np.full(size, nan)
        extra = {"dispersion": (nan, nan)} if self._likelihood.dispersed else {}
        if climb.end == "maximum":
            expanded = expansion(self._study.columns, self._centres)
            coefficients = [Fraction(each) for each in climb.place.coefficients.tolist()]
            covariance = [[Fraction(each) for each in row[: len(kept)]] for row in climb.inverse.tolist()[: len(kept)]]
            estimate, error = raw(kept, expanded, coefficients, covariance, shift=Fraction(0), size=size)
            if self._likelihood.dispersed:
                extra = {"dispersion": dispersion(climb)}
        parameters = len(kept) + self._likelihood.dispersed
        rests_on = self._study.size(folded, fit, parameters, positive, self._leverages.get(fit, {}))
        return Estimates(
            fit, estimate, error, None, rests_on,
            self._figures(climb, sums, parameters), self._notes(fit, climb), self._likelihood.ratio, extra,
        )  # fmt: skip

    def _figures(self, climb: Climb, sums: PartySums, parameters: int) -> dict[str, float]:
        plain = dict(zip(PLAIN, sums.plain.tolist(), strict=True))
        value = climb.value if climb.end == "maximum" else nan
        figures = {
            "log_likelihood": value + plain["constant"],
            "aic": 2 * parameters - 2 * (value + plain["constant"]),
        }
        if not self._likelihood.dispersed:
            figures["deviance"] = 2 * (plain["saturated"] - value)
            figures["null_deviance"] = 2 * (plain["saturated"] - self._null(plain))
        return figures

    def _null(self, plain: Mapping[str, float]) -> float:
        """Return the likelihood of the intercept alone, with the offset of counts; NaN where there is no such model."""
        rows, happened = plain["rows"], plain["y"]
        formula = self._study.formula
        if not formula.has_intercept or not rows:
            return nan
        if isinstance(self._likelihood, Poisson):
            return happened * log(happened / plain["exp_offset"]) + plain["y_offset"] - happened if happened else 0.0
        if formula.offsets:
            return nan
        return sum(count * log(count / rows) for count in (happened, rows - happened) if count)

    def _notes(self, fit: Fit, climb: Climb) -> tuple[Note, ...]:
        notes = []
        dropped = tuple(sorted(set(fit.columns) - set(self._kept[fit])))
        if dropped:
            notes.append(Note(COLLINEAR.format(self._labels(dropped)), dropped))
        if climb.end == "separated" and climb.place.step is not None:
            along = np.abs(climb.place.step[: len(climb.place.columns)])
            certain = tuple(np.array(climb.place.columns)[along > _PART * along.max()].tolist())
            notes.append(Note(_SEPARATED.format(self._labels(certain)), certain))
        elif climb.end == "lost":
            notes.append(Note(_LOST))
        elif climb.end == "poisson":
            notes.append(Note(_POISSON))
        return tuple(notes)

    def _labels(self, columns: tuple[int, ...]) -> str:
        return ", ".join(self._study.columns[i].label for i in columns)


def logistic(checked: CheckedStatistics) -> Generalised:
    """Return the plan of a logistic regression."""
    return Generalised(checked, Logistic())


def poisson(checked: CheckedStatistics) -> Generalised:
    """Return the plan of a Poisson regression."""
    return Generalised(checked, Poisson())


def negative_binomial(checked: CheckedStatistics) -> Generalised:
    """Return the plan of a negative binomial regression."""
    return Generalised(checked, NegativeBinomial())


_PART = 1e-3
_CANCELLED = 1e-6
"""A column that spreads by no more than this part of its squares is not told from its mean by doubles."""
_SEPARATED = (
    "the outcome of some rows follows with certainty from {}, so coefficients have no bound: join levels, leave terms "
    "out, or let more rows take part"
)
_LOST = "no maximum of the likelihood was found, so nothing is estimated: use fewer terms, or let more rows take part"
_POISSON = "counts vary no more than Poisson's, so there is no dispersion to estimate: use poisson"
