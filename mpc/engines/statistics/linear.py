"""``linear`` computed: a Gram matrix a party, one solution a model, and robust errors in a pass of their own.

Many rows are read with a Gram matrix in plain doubles first. Where its rounding could be seen in any model, and where
rows are few, they are read again without rounding (see ``rounded_gram``).

Where a variable is squared, weighted or met again for residuals, a first pass finds the middle and the width of its
values (see ``centring``). Matrices of parties add up and subtract without rounding, so models of everybody, of each
party and without each come out of one reading.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import partial
from itertools import chain
from math import log, nan, pi
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.centring import Extents, expansion, movable, multiples, uncentred, values
from mpc.engines.statistics.design import Design
from mpc.engines.statistics.distributions import f_p
from mpc.engines.statistics.fits import Fit, Study
from mpc.engines.statistics.gram import Gram, not_finite
from mpc.engines.statistics.leverage import Leverages, Owners, some_left_out
from mpc.engines.statistics.model_tables import Estimates, Note, Tables
from mpc.engines.statistics.passes import Codes, Fold, Folded, Pass
from mpc.engines.statistics.residuals import Residuals, with_bands
from mpc.engines.statistics.robust import Meat, Meats, sandwich
from mpc.engines.statistics.rounded_gram import RoundedGram
from mpc.engines.statistics.solutions import solutions, weighed
from mpc.engines.statistics.sweep import DIGITS, Solution, decimal
from mpc.questions.statistics import CheckedStatistics
from mpc.questions.statistics.formula import Variable
from mpc.results import RawResult

Floats = npt.NDArray[np.float64]
Rows = Callable[[pa.RecordBatch, Codes], Iterator[Floats]]
"""The columns of a batch, some rows at a time, the response last; the arrays are the caller's."""

Kind = TypeVar("Kind", Gram, RoundedGram)

_ILL_CONDITIONED = 1e7
_EXACT = Decimal(2) ** -90
"""A residual sum of squares that is this part of the total is rounding."""

FEW_ROWS = 1 << 16
"""Up to so many, rows are always read without rounding: it takes no time."""


class Grams(Generic[Kind]):
    """A Gram matrix for each party: a fold. ``start`` gives an empty one."""

    def __init__(
        self,
        rows: Rows,
        party: Callable[[Codes], str],
        start: Callable[[], Kind],
    ) -> None:
        self._rows = rows
        self._party = party
        self._start: Callable[[], Kind] = start
        self.of: dict[str, Kind] = {}

    def update(self, batch: pa.RecordBatch, codes: Codes, _groups: int) -> None:
        """Add the rows of ``batch``, all of one party."""
        for rows in self._rows(batch, codes):
            self._gram(self._party(codes)).add(rows)

    def merge(self, other: "Grams[Kind]") -> None:
        """Add party by party."""
        for party, gram in other.of.items():
            self._gram(party).merge(gram)

    def _gram(self, party: str) -> Kind:
        if party not in self.of:
            self.of[party] = self._start()
        return self.of[party]


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
        self._leverages: dict[Owners, float] = {}
        self._weighed: list[Owners] = []
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
        return grams(self._study, self._rows, centred=self._weights is None)

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
            return grams(self._study, self._rows, centred=self._weights is None)
        if isinstance(folded.accumulator, Grams):
            return self._with_grams(folded)
        if isinstance(folded.accumulator, Leverages):
            return self._robust(zip(self._weighed, folded.accumulator.largest(), strict=True))
        if isinstance(folded.accumulator, Meats):
            self._meats = folded.accumulator.of
            return self._shown()
        return with_bands(self._tables(), folded)

    def _with_grams(self, folded: Folded) -> Pass | RawResult:
        """Return what comes after Gram matrices: exact ones if rounding could be seen, else errors or the tables."""
        if self._counted is None:
            self._counted = folded
        found = solutions(self._study, folded.accumulator.of)
        is_few = found[self._study.pooled].rows <= FEW_ROWS
        if any(each.is_rounded and (is_few or not each.is_unseen) for each in found.values()):
            return exact_grams(self._study, self._rows, counted=False)
        for fit, each in found.items():
            columns = tuple(fit.columns[i] for i in each.solution.kept)
            self._solved.append(_Solved(fit, each.solution, columns, each.rows))
        if self._counted.tallies.is_public:
            return self._robust([])
        owners = dict.fromkeys(chain.from_iterable(some_left_out(fit.owners) for fit in found))
        bounding = folded if is_few else self._counted
        self._leverages, models = weighed(self._study, folded.accumulator.of, bounding.accumulator.of, owners)
        self._weighed = [each.owners for each in models]
        return self._study.weighing(models, self._rows) if models else self._robust([])

    def _robust(self, told: Iterable[tuple[Owners, float]]) -> Pass | RawResult:
        """Return the pass for robust errors if they are asked for, else what follows; leverages are told by then."""
        self._leverages |= told
        if self._errors == "classical":
            return self._shown()
        meats = {each.fit: Meat(each.columns, each.solution, leverage=self._errors == "HC3") for each in self._solved}
        return self._study.reading(lambda: Meats(self._rows, self._study.party, meats))

    def _rows(self, batch: pa.RecordBatch, codes: Codes) -> Iterator[Floats]:
        """Yield the design's columns and the response, each times the square root of the weight."""
        responses, centre = multiples(batch, self._response), self._centres[self._response]
        roots = None if self._weights is None else _roots(values(batch, Variable(self._weights)))
        for part, rows in self._design.chunks(batch, codes):
            rows[:, -1] = centre.apply(responses[part])
            if roots is not None:
                np.multiply(rows, roots[part, None], out=rows)
            yield rows

    def _shown(self) -> Pass | RawResult:
        """Return the pass over residuals if they are asked for and there are any, else the tables."""
        pooled = self._solved[0]
        freedom = pooled.rows - len(pooled.columns)
        if self._residuals and freedom > 0 and pooled.solution.residual:
            deviation = float(pooled.solution.residual / freedom) ** 0.5
            coefficients = np.array(pooled.solution.coefficients, np.float64)

            def residuals(batch: pa.RecordBatch, codes: Codes) -> Iterator[Floats]:
                for rows in self._rows(batch, codes):
                    yield (rows[:, -1] - rows[:, list(pooled.columns)] @ coefficients) / deviation

            return Residuals(residuals).reading(self._study)
        return self._tables()

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
        size = self._study.size(folded, solved.fit, len(solved.columns), None, self._leverages)
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


def grams(study: Study, rows: Rows, *, centred: bool) -> Pass:
    """Return the counted pass for Gram matrices in doubles, or for exact ones if there is no constant.

    ``centred`` says that no row is weighted.
    """
    if not study.formula.has_intercept:
        return exact_grams(study, rows, counted=True)

    def start() -> Grams[RoundedGram]:
        return Grams(rows, study.party, partial(RoundedGram, len(study.columns) + 1, centred=centred))

    return study.reading(start, counted=True)


def exact_grams(study: Study, rows: Rows, *, counted: bool) -> Pass:
    """Return the pass for Gram matrices without rounding."""

    def start() -> Grams[Gram]:
        return Grams(rows, study.party, partial(Gram, len(study.columns) + 1))

    return study.reading(start, counted=counted)


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


def _roots(weights: Floats) -> Floats:
    """Return the square roots of weights; ``Malformed`` if one is not finite or not above 0."""
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise not_finite()
    return np.sqrt(weights)


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
