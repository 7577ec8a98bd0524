"""No withheld cell follows from released ones through totals, and no small group of them either.

It is not enough that every total has two withheld parts: in a table of two keys, a withheld cell between two closed
loops of withheld cells follows from their row and column totals. So the linear system itself is solved.
"""

from collections.abc import Sequence

import numpy as np

from mpc.contract.terms import Rules
from mpc.disclosure.rules.relations import Relation, determined, relations
from mpc.disclosure.rules.rule import Hidden, Mask, Rule, nothing
from mpc.results import Contributors, Counts, RawResult, RawTable

_NOT_ADDITIVE = frozenset({"quantile", "test"})
"""Kinds whose values over a whole say nothing exact about a part."""

SOLVED_MAX = 400
"""Withheld rows up to which the system is solved; past it the table loses its totals."""


def find(raw: RawResult, rules: Rules, hidden: Hidden) -> Hidden:
    """Return the cells that have to go as well, so that no withheld cell of the same measure can be computed.

    Means and spreads are treated like sums: with counts beside them they are sums.
    """
    found = nothing(raw)
    for table in raw.tables:
        if len(set(table.margins.tolist())) <= 1:
            continue
        each = relations(table)
        for measure in table.measures:
            mask = hidden[table.name, measure.name]
            if mask.any() and measure.kind not in _NOT_ADDITIVE:
                behind = table.contributors[measure.name]
                found[table.name, measure.name] |= _protected(table, each, mask, behind, rules) & ~mask
    return found


def _protected(
    table: RawTable, each: Sequence[Relation], mask: Mask, behind: tuple[Contributors, ...], rules: Rules
) -> Mask:
    mask = mask.copy()
    size = behind[0].total if behind else np.zeros(len(mask), np.int64)
    while np.count_nonzero(mask) <= SOLVED_MAX:
        candidates = _candidates(each, mask, behind, rules)
        if not candidates:
            return mask
        # The cell with the fewest subjects is the least loss; its number breaks ties.
        mask[min(candidates, key=lambda row: (size[row], row))] = True
    finest = min(set(table.margins.tolist()), key=int.bit_count)
    coarser: Mask = table.margins != finest
    return mask | coarser


def _candidates(each: Sequence[Relation], mask: Mask, behind: tuple[Contributors, ...], rules: Rules) -> frozenset[int]:
    """Return released rows of one relation that gives something away, out of which one has to go."""
    mixed = []
    for left, right in each:
        withheld = frozenset(row for row in left | right if mask[row])
        released = (left | right) - withheld
        if withheld and released:
            if len(withheld) == 1 or _is_small_group(left, right, withheld, behind, rules):
                return released
            mixed.append((withheld, released))
    given_away = frozenset(determined(each, mask)) if mixed else frozenset()
    if not given_away:
        return frozenset()
    # What follows from several relations may stand in none that has a released row; then any that has will do.
    return next((released for withheld, released in mixed if withheld & given_away), mixed[0][1])


def _is_small_group(
    left: frozenset[int], right: frozenset[int], withheld: frozenset[int],
    behind: tuple[Contributors, ...], rules: Rules,
) -> bool:  # fmt: skip
    """Tell whether the withheld parts of a released total are together too few: their sum follows from the rest."""
    if not withheld or not (withheld <= left or withheld <= right):
        return False
    parts, others = (left, right) if withheld <= left else (right, left)
    counts = (counts for one in behind for counts in (one.total, *one.without.values()))
    return any(_together(each, parts, others, withheld, rules) for each in counts)


def _together(
    counts: Counts, parts: frozenset[int], others: frozenset[int], withheld: frozenset[int], rules: Rules
) -> bool:
    """Tell whether the sum of the withheld parts says too much: of few subjects, or of each part.

    Subjects with rows in several parts make sums of distinct counts too large, so what is surely there is the
    larger of the largest part and of what the released parts leave over.
    """
    over = int(counts[list(others)].sum() - counts[list(parts - withheld)].sum())
    largest = int(counts[list(withheld)].max())
    together = max(largest, over)
    if together < rules.threshold:
        # Parts that are nothing together are nothing each.
        return together > 0 or rules.zeros == "withhold"
    # Parts that are all known to be under the threshold are known when their sum nearly fills it.
    return largest < rules.threshold and together > len(withheld) * (rules.threshold - 2)


RULE = Rule(
    name="complementary",
    risk="ImplicitTables",
    check="derivable through totals",
    why="it could be worked out from other cells and their totals",
    guarantees="No linear combination of released cells and totals equals a withheld cell.",
    remedy="leave the totals out, or group more coarsely",
    find=find,
)
