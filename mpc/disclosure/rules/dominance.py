"""A magnitude that is nearly one unit's alone tells that unit's.

The numbers are ACRO's (``safe_pratio_p`` 0.10; ``safe_nk_n`` 2, ``safe_nk_k`` 0.90). They hold wherever an engine tells
the largest contributions to a cell, for subjects and for parties each.
"""

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Mask, Rule, nothing
from mpc.results import Largest, RawResult

P_MIN = 0.10
"""What is left beside the two largest has to be at least this share of the largest (p% rule)."""

NK_MAX = 0.90
"""What share of the whole the two largest may have (n, k rule with n = 2)."""


def is_dominated(largest: Largest) -> Mask:
    """Return where the second largest could work out the largest too nearly, or both make up the whole.

    It has to hold for what is left without any one party as well, which knows its own subjects' part.
    """
    dominated = _is_dominated(largest)
    for left in largest.without.values():
        dominated |= _is_dominated(left)
    return dominated


def _is_dominated(largest: Largest) -> Mask:
    both = largest.first + largest.second
    dominated: Mask = (largest.first > 0) & (
        (largest.total - both < P_MIN * largest.first) | (both > NK_MAX * largest.total)
    )
    return dominated


def find(raw: RawResult, _rules: Rules, _hidden: Hidden) -> Hidden:
    """Return every cell whose largest contributions are known to dominate it."""
    found = nothing(raw)
    for table in raw.tables:
        for measure in table.measures:
            for largest in table.largest.get(measure.name, ()):
                if not table.public:
                    found[table.name, measure.name] |= is_dominated(largest)
    return found


RULE = Rule(
    name="dominance",
    risk="Dominance",
    check="p% 0.10 and NK(2, 0.90)",
    why="one or two subjects, or parties, make up most of the cell",
    guarantees="Where contributions are weighed, no two units make up more than 0.90 of a released cell.",
    remedy="group more coarsely, so that more units of similar size stand behind each cell",
    find=find,
)
