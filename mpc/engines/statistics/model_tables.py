"""The tables of a regression: coefficients, models, parties, how they differ, and what there is to say in words.

What one party's estimates tell can be worked out from everybody's and the others', so the tables of parties stand and
fall together: every cell in them has all parties' subjects behind it, and the size of the smallest model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.engines.statistics.distributions import chi_square_p, normal_bound, normal_p, t_bound, t_p
from mpc.engines.statistics.fits import POOLED, Fit, Study, weakest
from mpc.engines.statistics.heterogeneity import heterogeneity
from mpc.engines.statistics.passes import Folded
from mpc.engines.statistics.tables import Behind, Cells, count, figure, subjects, tidy
from mpc.questions.statistics.layout import Cell
from mpc.results import Contributors, MeasureKind, ModelSize, RawResult, RawTable

Floats = npt.NDArray[np.float64]


_OF_THE_RESPONSE = frozenset({"estimate", "standard_error", "lower", "upper"})


@dataclass(frozen=True)
class Note:
    """A sentence about a model, and the places of the coefficients that it speaks of."""

    text: str
    columns: tuple[int, ...] = ()


@dataclass(frozen=True)
class Estimates:
    """What a fit came to. Arrays have an entry a column of the fit, NaN where nothing is estimated.

    ``freedom`` None compares with a normal, else with Student's t. ``ratio`` names what the exponential of a
    coefficient is, if it is something. ``extra`` are parameters beside the coefficients, with standard errors.
    """

    fit: Fit
    estimate: Floats
    error: Floats
    freedom: int | None
    size: ModelSize
    figures: Mapping[str, float]
    notes: tuple[Note, ...] = ()
    ratio: str | None = None
    extra: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Tables:
    """Makes the tables of one study out of what its fits came to; the first is the pooled one."""

    def __init__(self, study: Study, folded: Folded, results: Sequence[Estimates]) -> None:
        self._study = study
        self._folded = folded
        self._results = tuple(results)
        self._compared = [each for each in results if each.fit.party is not None and not each.fit.left_out]
        self._left_out = [each for each in results if each.fit.left_out]

    @property
    def _unit(self) -> str | None:
        """The response's unit, in which estimates of least squares are told, each for one unit of its term."""
        response = self._study.formula.response
        if self._results[0].ratio is not None or response.transform != "identity":
            return None
        column = self._study.dataset.column(response.column)
        return None if column is None else column.unit

    def result(self) -> RawResult:
        """Return all tables."""
        pooled = self._results[0]
        tables = [self._coefficients("coefficients", [pooled], None), self._models()]
        if self._compared:
            tables += [self._coefficients("parties", [pooled, *self._compared], "party"), self._heterogeneity()]
        if self._left_out:
            tables.append(self._coefficients("left_out", self._left_out, "without"))
        notes = self._notes()
        return RawResult((*tables, notes) if notes.data.num_rows else tuple(tables))

    def _cells(self, fit: Fit) -> list[Cell]:
        return [self._study.columns[i].cell for i in fit.columns]

    def _labels(self, each: Estimates) -> list[str]:
        return [*(self._study.columns[i].label for i in each.fit.columns), *each.extra]

    def _behind(self, each: Estimates, cells: Sequence[Cell]) -> Behind:
        """Return who stands behind ``cells`` of one model, and then whose rows are told apart by its being there."""
        own = self._study.behind(self._folded, each.fit.owners, cells)
        if each.fit.party is None:
            return own
        apart = chain.from_iterable(
            _of_one_party(self._study.behind(self._folded, other.fit.owners, cells)) for other in self._compared
        )
        return (*(own if each.fit.left_out else _of_one_party(own)), *apart)

    def _size(self, each: Estimates) -> ModelSize:
        if each.fit.party is None:
            return each.size
        return weakest([*([each.size] if each.fit.left_out else []), *(other.size for other in self._compared)])

    def _coefficients(self, name: str, results: Sequence[Estimates], key: str | None) -> RawTable:
        terms = [self._labels(each) for each in results]
        cells_of = [[*self._cells(each.fit), *[()] * len(each.extra)] for each in results]
        behind = joined([self._behind(each, own) for each, own in zip(results, cells_of, strict=True)])
        fits = [each.fit for each, labels in zip(results, terms, strict=True) for _ in labels]
        keys = {} if key is None else {key: pa.array([fit.party or POOLED for fit in fits], pa.utf8())}
        keys["term"] = pa.array(list(chain.from_iterable(terms)), pa.utf8())
        columns = [_inference(each, self._study.confidence) for each in results]
        cells: list[Cells] = subjects(behind, "estimate")
        for measure in columns[0]:
            values = np.concatenate([one[measure] for one in columns])
            unit = self._unit if measure in _OF_THE_RESPONSE else None
            cells.append(figure(measure, _kind(measure), values, behind, source="estimate", unit=unit))
        sizes = tuple(self._size(each) for each, labels in zip(results, terms, strict=True) for _ in labels)
        return tidy(name, keys, cells, self._folded, complete=True, models=sizes)

    def _models(self) -> RawTable:
        behind = joined([self._behind(each, [()]) for each in self._results])
        sizes = [each.size for each in self._results]
        cells = [count("n", [size.observations for size in sizes], behind, "n"), *subjects(behind[:1], "n")]
        cells += [
            figure("parameters", "goodness", [size.parameters for size in sizes], behind, source="fit"),
            figure("degrees_of_freedom", "goodness", [max(size.freedom, 0) for size in sizes], behind, source="fit"),
        ]
        for name in self._results[0].figures:
            values = [each.figures.get(name, np.nan) for each in self._results]
            unit = self._unit if name == "residual_sd" else None
            cells.append(figure(name, "goodness", values, behind, source="fit", unit=unit))
        keys = {"model": pa.array([each.fit.label for each in self._results], pa.utf8())}
        models = tuple(self._size(each) for each in self._results)
        return tidy("models", keys, cells, self._folded, complete=True, models=models)

    def _heterogeneity(self) -> RawTable:
        labels = self._labels(self._compared[0])
        cells = [*self._cells(self._compared[0].fit), *[()] * (len(labels) - len(self._compared[0].fit.columns))]
        everybody = self._study.behind(self._folded, self._results[0].fit.owners, cells)
        behind = (*everybody, *self._behind(self._compared[0], cells))
        tables = [_inference(each, self._study.confidence) for each in self._compared]
        found = [
            heterogeneity([t["estimate"][i] for t in tables], [t["standard_error"][i] for t in tables])
            for i in range(len(labels))
        ]
        bound = normal_bound(self._study.confidence)
        columns: dict[str, tuple[MeasureKind, npt.ArrayLike]] = {
            "common_estimate": ("parameter", [one.common for one in found]),
            "common_error": ("uncertainty", [one.common_error for one in found]),
            "random_estimate": ("parameter", [one.random for one in found]),
            "random_error": ("uncertainty", [one.random_error for one in found]),
            "random_lower": ("uncertainty", [one.random - bound * one.random_error for one in found]),
            "random_upper": ("uncertainty", [one.random + bound * one.random_error for one in found]),
            "q": ("goodness", [one.q for one in found]),
            "degrees_of_freedom": ("goodness", [one.freedom for one in found]),
            "p_value": ("goodness", chi_square_p([one.q for one in found], [one.freedom for one in found])),
            "i_squared": ("goodness", [one.i_squared for one in found]),
            "tau_squared": ("goodness", [one.tau_squared for one in found]),
        }
        measures = [figure(name, kind, each, behind, source="heterogeneity") for name, (kind, each) in columns.items()]
        models = (self._size(self._compared[0]),)
        keys = {"term": pa.array(labels, pa.utf8())}
        measures = [*subjects(behind, "heterogeneity"), *measures]
        return tidy("heterogeneity", keys, measures, self._folded, complete=True, models=models)

    def _notes(self) -> RawTable:
        noted = [(each, note) for each in self._results for note in each.notes]
        texts = [f"{each.fit.label}: {note.text}" if each.fit.party else note.text for each, note in noted]
        behind = joined([self._behind(each, [self._fewest(each, note)]) for each, note in noted])
        values = [len(note.columns) for _, note in noted]
        cells = [figure("coefficients", "goodness", values, behind, source="note")]
        models = tuple(self._size(each) for each, _ in noted)
        keys = {"note": pa.array(texts, pa.utf8())}
        # A note that is withheld goes with its words.
        return tidy("notes", keys, cells, self._folded, complete=False, models=models)

    def _fewest(self, each: Estimates, note: Note) -> Cell:
        """Return the cell that the fewest are in of those that a note speaks of."""
        cells = [(), *(self._study.columns[i].cell for i in note.columns)]
        behind = self._study.behind(self._folded, each.fit.owners, cells)
        return cells[int(np.argmin(behind[0].total))] if behind else ()


def _of_one_party(behind: Behind) -> Behind:
    """Return counts of rows that by their question are of one party: nothing is taken away from them."""
    return tuple(Contributors(one.domain, one.total, dict.fromkeys(one.without, one.total)) for one in behind)


def joined(parts: Sequence[Behind]) -> Behind:
    """Return who stands behind the rows of all parts, one after the other.

    Where parts count in fewer ways than others, their last way stands for those that they lack.
    """
    if not any(parts):
        return ()
    ways = max(map(len, parts))
    return tuple(_row_by_row([part[min(way, len(part) - 1)] for part in parts]) for way in range(ways))


def _row_by_row(each: Sequence[Contributors]) -> Contributors:
    return Contributors(
        each[0].domain,
        np.concatenate([one.total for one in each]),
        {party: np.concatenate([one.without[party] for one in each]) for party in each[0].without},
    )


def _inference(each: Estimates, confidence: float) -> dict[str, Floats]:
    """Return estimates, standard errors, tests that a parameter is 0, and intervals."""
    extra = np.array(list(each.extra.values()), np.float64).reshape(-1, 2)
    estimate = np.concatenate([each.estimate, extra[:, 0]])
    error = np.concatenate([each.error, extra[:, 1]])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        statistic = estimate / error
        if each.freedom is None:
            p_value, bound = normal_p(statistic), np.array(normal_bound(confidence))
        else:
            freedom = each.freedom if each.freedom > 0 else np.nan
            p_value, bound = t_p(statistic, freedom), t_bound(confidence, freedom)
        lower, upper = estimate - bound * error, estimate + bound * error
        found = {
            "estimate": estimate, "standard_error": error, "statistic": statistic, "p_value": p_value,
            "lower": lower, "upper": upper,
        }  # fmt: skip
        if each.ratio is not None:
            is_coefficient = np.arange(len(estimate)) < len(each.estimate)
            for name, values in ((each.ratio, estimate), ("ratio_lower", lower), ("ratio_upper", upper)):
                found[name] = np.where(is_coefficient, np.exp(values), np.nan)
    return found


def _kind(measure: str) -> MeasureKind:
    return "parameter" if measure == "estimate" or measure.endswith("_ratio") else "uncertainty"
