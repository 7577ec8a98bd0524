"""What a Cox model came to, and its tables: coefficients, the model, whether hazards are proportional, what to say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.covariates import Covariates
from mpc.engines.statistics.cox_sums import Step
from mpc.engines.statistics.distributions import chi_square_p, normal_bound, normal_p
from mpc.engines.statistics.leverage import Told
from mpc.engines.statistics.passes import Folded
from mpc.engines.statistics.subjects_in_cells import SubjectsInCells
from mpc.engines.statistics.tables import Cells, count, counted, figure, subjects, tidy
from mpc.results import MeasureKind, ModelSize, RawResult, RawTable

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

COLLINEAR = (
    "{columns} is not estimated, as it does not vary or the terms before it determine it: leave it out, or join its "
    "levels"
)
NOTHING = "nothing is estimated, as no row has the event or no covariate varies: look at the counts first"
APART = (
    "the model does not converge, as some covariate tells apart who has the event (its hazard ratio is infinite) or "
    "terms are nearly collinear: leave out or join terms, one at a time, until it does"
)


@dataclass
class CoxFit:
    """The state of one model. ``kept`` are the numbers of the covariates that are estimated; matrices are of these,
    in standard deviations of each.
    """  # noqa: D205

    covariates: Covariates
    confidence: float
    kept: Codes = field(default_factory=lambda: np.zeros(0, np.int64))
    beta: Floats = field(default_factory=lambda: np.zeros(0))
    variance: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    figures: dict[str, float] = field(default_factory=dict)
    tests: dict[str, tuple[float, int]] = field(default_factory=dict)
    leverages: Told = field(default_factory=dict)
    _null: tuple[float, float] = (np.nan, np.nan)

    def observed(self, folded: Folded, cells: SubjectsInCells, events: Mapping[str, int]) -> None:
        """Keep who was counted: subjects in ``cells``, rows of each party, and ``events`` of each."""
        self.folded, self.cells, self.events = folded, cells, events

    def begun(self, step: Step, matrix: Floats, kept: Codes) -> None:
        """Keep the likelihood without any effect, and the score test of there being none."""
        inner = matrix[np.ix_(kept, kept)]
        score = step.score[kept]
        self._null = (step.log_likelihood, float(score @ np.linalg.solve(inner, score)))

    def ended(self, step: Step, beta: Floats, matrix: Floats) -> None:
        """Keep the maximum."""
        self.beta, self.variance = beta, np.linalg.inv(matrix).astype(np.float64)
        null, score = self._null
        freedom = len(beta)
        ratio = 2 * (step.log_likelihood - null)
        wald = float(beta @ matrix @ beta)
        self.figures = {
            "log_likelihood": step.log_likelihood, "null_log_likelihood": null,
            "likelihood_ratio": ratio, "likelihood_ratio_p": float(chi_square_p(ratio, freedom)),
            "wald": wald, "wald_p": float(chi_square_p(wald, freedom)),
            "score": score, "score_p": float(chi_square_p(score, freedom)),
        }  # fmt: skip

    def proportional(self, matrices: Floats, score: Floats) -> None:
        """Test, term by term and for all, that effects do not change with time (Grambsch and Therneau 1994).

        ``matrices`` are the information for weights 1, g and g squared of time, ``score`` its gradient for effects
        that change with g.
        """
        plain, crossed, squared = matrices
        whole = np.block([[plain, crossed], [crossed, squared]])
        size = len(plain)
        place = {int(column): i for i, column in enumerate(self.kept)}
        terms = {name: [place[i] for i in each if i in place] for name, each in self.covariates.terms.items()}
        for name, chosen in {**terms, "(global)": list(range(size))}.items():
            rows = [*range(size), *(size + i for i in chosen)]
            gradient = np.concatenate([np.zeros(size), score[chosen]])
            inner = whole[np.ix_(rows, rows)]
            told = chosen and np.linalg.matrix_rank(inner, hermitian=True) == len(inner)
            self.tests[name] = (float(gradient @ np.linalg.solve(inner, gradient)) if told else np.nan, len(chosen))

    def robust(self, products: Floats, clusters: int) -> None:
        """Take the variance from score residuals summed by cluster (Lin and Wei 1989)."""
        self.variance = self.variance @ products @ self.variance
        wald = float(self.beta @ np.linalg.solve(self.variance, self.beta)) if clusters > len(self.beta) else np.nan
        freedom = len(self.beta)
        self.figures = {
            **self.figures,
            "wald": wald,
            "wald_p": float(chi_square_p(wald, freedom)),
            "clusters": clusters,
        }

    def size(self) -> ModelSize:
        """Return on how much the model rests, also without each party."""
        behind = self.cells.behind(self.folded.tallies, [(), *self.cells.each_level()])
        happened = self.cells.behind(self.folded.tallies, [()], events=True)
        rows, everybody = self.folded.rows, len(self.folded.rows)
        rest = {
            party: self._size(
                {one: n for one, n in rows.items() if one != party},
                [each.without[party] for each in behind], [each.without[party] for each in happened],
            )
            for party in (rows if everybody > 1 else ())
            if all(party in each.without for each in behind)
        }  # fmt: skip
        whole = self._size(rows, [each.total for each in behind], [each.total for each in happened])
        return replace(whole, without=rest)

    def _size(self, rows: Mapping[str, int], behind: Sequence[Codes], happened: Sequence[Codes]) -> ModelSize:
        observations = sum(rows.values())
        events = sum(self.events.get(party, 0) for party in rows)
        counts = [int(n) for n in behind[0]] if behind else [observations]
        # Subjects with the event, too, are a group of the model.
        levels = [n for n in (*counts[1:], *(int(each[0]) for each in happened)) if n]
        return ModelSize(
            len(self.kept), observations, counts[0], events - len(self.kept), min(levels, default=None), events,
            self.leverages.get(tuple(rows)),
        )  # fmt: skip


def cox_tables(fit: CoxFit, problem: str | None) -> RawResult:
    """Return the tables of ``fit``; with a ``problem`` no estimates, and words about it."""
    size = fit.size()
    tables = [_coefficients(fit, size, problem), _model(fit, size)]
    if problem is None:
        tables.append(_proportional(fit, size))
    notes = _notes(fit, problem)
    if notes:
        everybody = fit.cells.behind(fit.folded.tallies, [()] * len(notes))
        cells = [figure("coefficients", "goodness", [n for _, n in notes], everybody, source="note")]
        keys = {"note": pa.array([text for text, _ in notes], pa.utf8())}
        tables.append(tidy("notes", keys, cells, fit.folded, complete=False, models=(size,)))
    return RawResult(tuple(tables))


def _coefficients(fit: CoxFit, size: ModelSize, problem: str | None) -> RawTable:
    columns = fit.covariates.columns
    behind = fit.cells.behind(fit.folded.tallies, [column.cell for column in columns])
    estimate, error = np.full(len(columns), np.nan), np.full(len(columns), np.nan)
    if problem is None:
        scale = fit.covariates.scale[fit.kept]
        estimate[fit.kept] = fit.beta / scale
        error[fit.kept] = np.sqrt(np.diag(fit.variance)) / scale
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        statistic, reach = estimate / error, normal_bound(fit.confidence) * error
        told: dict[str, tuple[MeasureKind, Floats]] = {
            "estimate": ("parameter", estimate), "standard_error": ("uncertainty", error),
            "statistic": ("uncertainty", statistic), "p_value": ("uncertainty", normal_p(statistic)),
            "lower": ("uncertainty", estimate - reach), "upper": ("uncertainty", estimate + reach),
            "hazard_ratio": ("parameter", np.exp(estimate)),
            "ratio_lower": ("uncertainty", np.exp(estimate - reach)),
            "ratio_upper": ("uncertainty", np.exp(estimate + reach)),
        }  # fmt: skip
    cells: list[Cells] = subjects(behind, "estimate")
    cells += [figure(name, kind, values, behind, source="estimate") for name, (kind, values) in told.items()]
    keys = {"term": pa.array(fit.covariates.names, pa.utf8())}
    return tidy("coefficients", keys, cells, fit.folded, complete=True, models=(size,))


def _model(fit: CoxFit, size: ModelSize) -> RawTable:
    behind = fit.cells.behind(fit.folded.tallies, [()])
    happened = fit.cells.behind(fit.folded.tallies, [()], events=True)
    cells = [
        count("n", [size.observations], behind, "n"), *subjects(behind, "n"),
        count("events", [size.events or 0], happened, "events"),
        figure("degrees_of_freedom", "goodness", [len(fit.kept)], behind, source="fit"),
    ]  # fmt: skip
    cells += [figure(name, "goodness", [value], behind, source="fit") for name, value in fit.figures.items()]
    return tidy("models", {"model": pa.array(["(all)"])}, cells, fit.folded, complete=True, models=(size,))


def _proportional(fit: CoxFit, size: ModelSize) -> RawTable:
    behind = fit.cells.behind(fit.folded.tallies, [()] * len(fit.tests))
    statistic, freedom = (np.array([test[i] for test in fit.tests.values()], np.float64) for i in (0, 1))
    told = {"chi_square": statistic, "degrees_of_freedom": freedom, "p_value": chi_square_p(statistic, freedom)}
    cells = counted([size.observations] * len(fit.tests), behind, (), "proportional")
    cells += [figure(name, "goodness", values, behind, source="proportional") for name, values in told.items()]
    keys = {"term": pa.array(list(fit.tests), pa.utf8())}
    return tidy("proportional_hazards", keys, cells, fit.folded, complete=True, models=(size,))


def _notes(fit: CoxFit, problem: str | None) -> list[tuple[str, int]]:
    if problem is not None:
        return [(NOTHING if problem == "nothing" else APART, len(fit.covariates.columns))]
    dropped = [name for i, name in enumerate(fit.covariates.names) if i not in fit.kept]
    return [(COLLINEAR.format(columns=", ".join(dropped)), len(dropped))] if dropped else []
