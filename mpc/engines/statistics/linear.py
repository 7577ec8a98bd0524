"""``linear`` computed: an exact Gram matrix a party, one solution a model, and robust errors in a pass of their own.

Where a variable is squared, weighted or met again for residuals, a first pass finds the middle and the width of its
values (see ``centring``). The Gram matrices of parties add up and subtract without rounding, so models of everybody,
of each party and without each come out of one reading.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from math import log, nan, pi

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.centring import Extents, expansion, movable, multiples, uncentred, values
from mpc.engines.statistics.design import Design
from mpc.engines.statistics.distributions import f_p
from mpc.engines.statistics.fits import Fit, Study
from mpc.engines.statistics.gram import Gram, Rationals, not_finite
from mpc.engines.statistics.model_tables import Estimates, Note, Tables
from mpc.engines.statistics.passes import Codes, Fold, Folded, Pass
from mpc.engines.statistics.residuals import Bands, Residuals
from mpc.engines.statistics.residuals import table as residuals_table
from mpc.engines.statistics.robust import Meat, Meats, sandwich
from mpc.engines.statistics.sweep import DIGITS, Solution, decimal, solve
from mpc.questions.statistics import CheckedStatistics
from mpc.questions.statistics.formula import Variable
from mpc.results import RawResult

Floats = npt.NDArray[np.float64]

_CHUNK_ROWS = 1 << 14
_ILL_CONDITIONED = 1e7
_EXACT = Decimal(2) ** -90
"""A residual sum of squares that is this part of the total is rounding."""


class Grams:
    """A Gram matrix for each party: a fold."""

    def __init__(
        self, rows: Callable[[pa.RecordBatch, Codes], Floats], party: Callable[[Codes], str], size: int
    ) -> None:
        self._rows = rows
        self._party = party
        self._size = size
        self.of: dict[str, Gram] = {}

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Add the rows of ``batch``, all of one party."""
        for start in range(0, batch.num_rows, _CHUNK_ROWS):
            part, own = batch.slice(start, _CHUNK_ROWS), codes[start : start + _CHUNK_ROWS]
            self._gram(self._party(own)).add(self._rows(part, own))

    def merge(self, other: "Grams") -> None:
        """Add party by party."""
        for party, gram in other.of.items():
            self._gram(party).merge(gram)

    def _gram(self, party: str) -> Gram:
        return self.of.setdefault(party, Gram(self._size))


@dataclass(frozen=True)
class _Solved:
    """One model's solution in centred columns. ``columns`` are the study's numbers of the kept ones."""

    fit: Fit
    solution: Solution
    columns: tuple[int, ...]
    rows: int


class Linear:
    """The plan."""

    def __init__(self, checked: CheckedStatistics) -> None:
        self._study = Study(checked)
        self._weights = next(iter(checked.arguments["weights"]), None)
        self._errors = checked.arguments["errors"][0]
        self._residuals = checked.arguments["residuals"] == ("bands",)
        self._response = self._study.formula.response
        variables = (*self._study.formula.variables, self._response)
        self._centres = uncentred(variables, self._study.dataset)
        self._design = Design(self._study.columns, self._study.groups, self._centres)
        self._counted: Folded | None = None
        self._solved: list[_Solved] = []
        self._meats: Mapping[Fit, Floats] = {}

    def first(self) -> Pass:
        """Return the pass for extents if powers, weights or residuals need them, else that for the Gram matrices."""
        columns = self._study.columns
        powers = any(sum(power for _, power in column.monomial) > 1 for column in columns)
        if powers or self._weights is not None or self._errors != "classical" or self._residuals:
            variables = tuple(self._centres)
            read = tuple(dict.fromkeys(variable.column for variable in variables))
            present = self._study.reading(None).present
            return Pass(Fold(lambda: Extents(variables)), read, present)
        return self._grams()

    def next(self, folded: Folded) -> Pass | RawResult:
        """Return the next pass, or the tables."""
        if isinstance(folded.accumulator, Extents):
            can_move = movable(self._study.columns)
            if self._study.formula.has_intercept:
                can_move |= {self._response}
            self._centres = {
                each: folded.accumulator.centre(each, raw, movable=each in can_move)
                for each, raw in self._centres.items()
            }
            self._design = Design(self._study.columns, self._study.groups, self._centres)
            return self._grams()
        if isinstance(folded.accumulator, Meats):
            self._meats = folded.accumulator.of
            return self._shown()
        if isinstance(folded.accumulator, Bands):
            return self._with_residuals(folded)
        self._counted = folded
        self._solve(folded.accumulator.of)
        if self._errors == "classical":
            return self._shown()
        meats = {each.fit: Meat(each.columns, each.solution, leverage=self._errors == "HC3") for each in self._solved}
        return self._study.reading(lambda: Meats(self._rows, self._study.party, meats))

    def _grams(self) -> Pass:
        size = len(self._study.columns) + 1
        return self._study.reading(lambda: Grams(self._rows, self._study.party, size), counted=True)

    def _rows(self, batch: pa.RecordBatch, codes: Codes) -> Floats:
        """Return the design's columns and the response, each times the square root of the weight."""
        x = self._design.matrix(batch, codes)
        y = self._centres[self._response].apply(multiples(batch, self._response))
        rows = np.column_stack([x, y])
        if self._weights is None:
            return rows
        weights = values(batch, Variable(self._weights))
        if not (np.isfinite(weights) & (weights > 0)).all():
            raise not_finite()
        return np.asarray(rows * np.sqrt(weights)[:, None])

    def _solve(self, grams: Mapping[str, Gram]) -> None:
        for fit, solution in solutions(self._study, grams).items():
            columns = tuple(fit.columns[i] for i in solution.kept)
            rows = sum(gram.rows for party, gram in grams.items() if party in fit.owners)
            self._solved.append(_Solved(fit, solution, columns, rows))

    def _shown(self) -> Pass | RawResult:
        """Return the pass over residuals if they are asked for and there are any, else the tables."""
        pooled = self._solved[0]
        freedom = pooled.rows - len(pooled.columns)
        if self._residuals and freedom > 0 and pooled.solution.residual:
            deviation = float(pooled.solution.residual / freedom) ** 0.5
            coefficients = np.array(pooled.solution.coefficients, np.float64)
            return Residuals(self._rows, pooled.columns, coefficients, deviation).reading(self._study)
        return self._tables()

    def _with_residuals(self, folded: Folded) -> RawResult:
        result = self._tables()
        return RawResult((*result.tables, residuals_table(self._study, folded, result.tables[0].models[0])))

    def _tables(self) -> RawResult:
        if self._counted is None:
            raise AssertionError  # the rows were counted with the Gram matrices
        results = [self._estimates(each, self._counted, self._meats.get(each.fit)) for each in self._solved]
        return Tables(self._study, self._counted, results).result()

    def _estimates(self, solved: _Solved, folded: Folded, meat: Floats | None) -> Estimates:
        solution, freedom = solved.solution, solved.rows - len(solved.columns)
        with localcontext(Context(prec=DIGITS, Emax=999_999, Emin=-999_999)):
            is_exact = solution.residual <= _EXACT * solution.total
            mean_square = solution.residual / freedom if freedom > 0 else Decimal("nan")
            notes = self._notes(solved, freedom, is_exact=is_exact)
            covariance: list[list[Fraction]] | None = None
            if freedom > 0 and meat is None:
                covariance = [[Fraction(value * mean_square) for value in row] for row in solution.inverse]
            elif freedom > 0 and meat is not None and np.isfinite(meat).all():
                correction = solved.rows / freedom if self._errors == "HC1" else 1.0
                covariance = sandwich(solution, meat * correction)
            elif freedom > 0:
                notes.append(Note(_LEVERAGE))
            estimate, error = self._raw(solved, covariance)
            figures = self._figures(solved, freedom, mean_square)
        size = self._study.size(folded, solved.fit, len(solved.columns), None)
        return Estimates(solved.fit, estimate, error, freedom, size, figures, tuple(notes))

    def _raw(self, solved: _Solved, covariance: list[list[Fraction]] | None) -> tuple[Floats, Floats]:
        """Return coefficients of the columns as they stand in the formula, and standard errors, rounded once."""
        expanded = expansion(self._study.columns, self._centres)
        centre = self._centres[self._response]
        scale = Fraction(centre.scale) * centre.unit
        estimate, error = raw(
            solved.columns, expanded, [Fraction(each) * scale for each in solved.solution.coefficients],
            None if covariance is None else [[value * scale * scale for value in row] for row in covariance],
            shift=Fraction(centre.centre) * centre.unit, size=len(self._study.columns),
        )  # fmt: skip
        return estimate, error

    def _notes(self, solved: _Solved, freedom: int, *, is_exact: bool) -> list[Note]:
        notes = []
        dropped = tuple(sorted(set(solved.fit.columns) - set(solved.columns)))
        if dropped:
            labels = ", ".join(self._study.columns[i].label for i in dropped)
            notes.append(Note(COLLINEAR.format(labels), dropped))
        if solved.solution.condition > _ILL_CONDITIONED:
            notes.append(Note(_ILL))
        if freedom <= 0:
            notes.append(Note(_SATURATED))
        elif is_exact:
            notes.append(Note(_PERFECT))
        return notes

    def _figures(self, solved: _Solved, freedom: int, mean_square: Decimal) -> dict[str, float]:
        solution, rows = solved.solution, solved.rows
        constant = self._study.formula.has_intercept
        explaining = len(solved.columns) - constant
        scale = decimal(Fraction(self._centres[self._response].scale) * self._centres[self._response].unit)
        residual, total = solution.residual, solution.total
        share = 1 - residual / total if total else Decimal("nan")
        ratio = nan
        if freedom > 0 and explaining > 0 and residual:
            ratio = float((total - residual) / explaining / mean_square)
        likelihood = nan
        if self._weights is None and rows and residual > 0:
            likelihood = -rows / 2 * (log(2 * pi) + 1 + float((residual * scale * scale / rows).ln()))
        above = Decimal(rows - constant) / freedom if freedom > 0 else Decimal("nan")
        return {
            "residual_sd": float(mean_square.sqrt() * scale) if freedom > 0 else nan,
            "r_squared": float(share),
            "adjusted_r_squared": float(1 - (1 - share) * above),
            "f_statistic": ratio,
            "f_degrees_of_freedom": float(explaining),
            "f_p_value": float(f_p(ratio, explaining, freedom)) if explaining else nan,
            "log_likelihood": likelihood,
            "aic": 2 * (len(solved.columns) + 1) - 2 * likelihood,
            "condition_number": float(solution.condition),
        }


def solutions(study: Study, grams: Mapping[str, Gram]) -> dict[Fit, Solution]:
    """Return least squares of the last column on the others, for every model of a study."""
    size = len(study.columns) + 1
    of = {party: gram.matrix() for party, gram in grams.items()}
    whole = added([*of.values()], size)
    found = {}
    for fit in study.fits:
        if fit.party is None:
            gram = whole
        elif fit.left_out:
            gram = added([whole], size, less=of.get(fit.party))
        else:
            gram = of.get(fit.party) or added([], size)
        chosen = [*fit.columns, size - 1]
        picked = [[gram[i][j] for j in chosen] for i in chosen]
        found[fit] = solve(picked, constant=study.formula.has_intercept)
    return found


def collinear(study: Study, grams: Mapping[str, Gram]) -> dict[Fit, tuple[int, ...]]:
    """Return for each model the columns that those before them do not determine."""
    return {fit: tuple(fit.columns[i] for i in solution.kept) for fit, solution in solutions(study, grams).items()}


def raw(
    columns: Sequence[int],
    expanded: Sequence[Mapping[int, Fraction]],
    coefficients: Sequence[Fraction],
    covariance: Sequence[Sequence[Fraction]] | None,
    *,
    shift: Fraction,
    size: int,
) -> tuple[Floats, Floats]:
    """Return ``size`` coefficients and standard errors of columns in x, of those in z that ``columns`` number.

    ``shift`` is added to the first coefficient. NaN stands for a column that was not kept.
    """
    weights: dict[int, dict[int, Fraction]] = {}
    for place, column in enumerate(columns):
        for target, weight in expanded[column].items():
            weights.setdefault(target, {})[place] = weight
    estimate, error = np.full(size, nan), np.full(size, nan)
    for target in columns:
        parts = weights[target]
        total = sum((weight * coefficients[place] for place, weight in parts.items()), Fraction(0))
        estimate[target] = rounded(total + shift if target == 0 else total)
        if covariance is not None:
            variance = sum(
                (left * right * covariance[i][j] for i, left in parts.items() for j, right in parts.items()),
                Fraction(0),
            )
            error[target] = rounded(variance, root=True)
    return estimate, error


def rounded(value: Fraction, *, root: bool = False) -> float:
    """Return the double nearest to ``value`` or to its square root; NaN for the root of less than 0."""
    with localcontext(Context(prec=40, Emax=999_999, Emin=-999_999)):
        exact = Decimal(value.numerator) / Decimal(value.denominator)
        if not root:
            return float(exact)
        return float(exact.sqrt()) if exact >= 0 else nan


def added(grams: Sequence[Rationals], size: int, *, less: Rationals | None = None) -> Rationals:
    """Return the sum of square matrices of ``size``, ``less`` another."""
    total = [[Fraction(0)] * size for _ in range(size)]
    for gram in grams:
        total = [[a + b for a, b in zip(one, two, strict=True)] for one, two in zip(total, gram, strict=True)]
    if less is not None:
        total = [[a - b for a, b in zip(one, two, strict=True)] for one, two in zip(total, less, strict=True)]
    return total


COLLINEAR = (
    "no coefficient of its own for {}: the terms before determine it, or nobody is in it; leave it out, or join levels"
)
_ILL = (
    "the terms are nearly collinear, so standard errors are large and coefficients follow the last digits of the data: "
    "leave out or combine terms that say the same"
)
_SATURATED = "there are no more rows than coefficients, so no standard error: use fewer terms"
_PERFECT = "the terms explain the response without error: look whether one of them is made of it"
_LEVERAGE = "one row decides a coefficient alone, so HC3 has no value: use HC1, or leave the term out"
