"""Fisher's exact test: the probability of all tables with these totals that are no likelier than this one.

Two by two is one hypergeometric distribution, whatever the counts. Larger tables (Freeman and Halton, 1951) are gone
through column by column; those that agree in what is left of their rows, and in how likely they are so far, go on
together. How many there are grows beyond any bound, so a table with too many refuses.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from mpc.errors import Exhausted

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

STEPS_MAX = 10_000_000
"""Steps from one part of a table to the next that are taken; a few seconds."""

_SAME = 1e-10
"""Rounding of sums of logarithms: what differs by less is the same product of factorials."""

_EQUAL = 1e-7
"""Relative difference up to which two probabilities are of equally likely tables, as in R and scipy."""


def fisher_exact(counts: Counts) -> float | None:
    """Return the two-sided p-value of counts of shape (r, c); None when fewer than two rows or columns have any.

    ``Exhausted`` when a table larger than two by two has too many others beside it.
    """
    observed = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(observed.shape) <= 1:
        return None
    return _two_by_two(observed) if observed.shape == (2, 2) else _larger(observed)


def _two_by_two(observed: Counts) -> float:
    (first, _), (low_column, _) = observed.sum(axis=1), observed.sum(axis=0)
    total = observed.sum()
    cells = np.arange(max(0, low_column + first - total), min(first, low_column) + 1, dtype=np.float64)
    # Ratios of neighbours added up from the likeliest cell outwards: logarithms of factorials would cost digits.
    k = cells[:-1]
    steps = np.log((first - k) * (low_column - k) / ((k + 1) * (total - first - low_column + k + 1)))
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    mode = int(np.argmax(logs))
    logs = np.concatenate([-np.cumsum(steps[:mode][::-1])[::-1], [0.0], np.cumsum(steps[mode:])])
    likely = np.exp(logs)
    own = likely[int(observed[0, 0] - cells[0])]
    return min(1.0, float(likely[likely <= own * (1 + _EQUAL)].sum() / likely.sum()))


Paths = tuple[Floats, Floats]
"""Logarithms of how likely, and how many ways there are to each."""


def _larger(observed: Counts) -> float:
    """Return the p-value; of the two ways to go through a table, the one with fewer rows has fewer parts."""
    table = observed if observed.shape[0] <= observed.shape[1] else observed.T
    paths: dict[tuple[int, ...], Paths] = {tuple(sorted(table.sum(axis=1).tolist())): (np.zeros(1), np.ones(1))}
    steps = 0
    for column in table.sum(axis=0)[:-1]:
        following: dict[tuple[int, ...], list[Paths]] = {}
        for left, (logs, ways) in paths.items():
            for cells in _columns(left, int(column)):
                steps += len(logs) + 50  # each step costs something beside its paths
                _check_work(steps)
                # Which of the rows has what is left makes no difference to what can still come.
                rest = tuple(sorted(have - cell for have, cell in zip(left, cells, strict=True)))
                following.setdefault(rest, []).append((logs - _log_factorials(cells), ways))
        paths = {rest: _together(parts) for rest, parts in following.items()}
    # The last column takes what is left.
    logs = np.concatenate([each - _log_factorials(left) for left, (each, _) in paths.items()])
    ways = np.concatenate([each for _, each in paths.values()])
    own = -sum(_log_factorials(tuple(column.tolist())) for column in table.T)
    likely = ways * np.exp(logs - logs.max())
    return min(1.0, float(likely[logs <= own + np.log1p(_EQUAL)].sum() / likely.sum()))


def _log_factorials(cells: tuple[int, ...]) -> float:
    return float(gammaln(np.array(cells) + 1.0).sum())


def _together(parts: list[Paths]) -> Paths:
    """Return the ways of all parts, those equally likely as one."""
    logs, ways = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.argsort(logs)
    logs, ways = logs[order], ways[order]
    first = np.flatnonzero(np.concatenate([[True], np.diff(logs) > _SAME]))
    return logs[first], np.add.reduceat(ways, first)


def _check_work(steps: int) -> None:
    if steps > STEPS_MAX:
        raise Exhausted(
            "statistics.fisher", "an exact test of this table takes too long",
            why="too many tables have the same totals", remedy="leave Fisher's test out, or use fewer levels",
            expected=f"at most {STEPS_MAX} steps", found="more",
        )  # fmt: skip


def _columns(left: tuple[int, ...], total: int) -> Iterator[tuple[int, ...]]:
    """Yield every way to take ``total`` out of rows that have ``left``."""
    if len(left) == 1:
        yield (total,)
        return
    others = sum(left[1:])
    for cell in range(max(0, total - others), min(left[0], total) + 1):
        for rest in _columns(left[1:], total - cell):
            yield (cell, *rest)
