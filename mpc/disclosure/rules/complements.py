"""A measure over all rows less the same measure over a part of them is that of the other part.

``sum(x)`` beside ``sum(x) FILTER (WHERE …)`` tells the sum of everybody whom the filter leaves out, and filtered parts
that cover the whole tell the one among them that is withheld. Parts that are compared across questions, or that cover
the whole without its being asked for, are for a rule that remembers who was in them.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Mask, Rule, nothing
from mpc.disclosure.rules.threshold import too_few
from mpc.results import Counts, Measure, RawResult, RawTable

_FILTER = " FILTER (WHERE "
"""How engines print a filter in a measure's source."""


def find(raw: RawResult, rules: Rules, hidden: Hidden) -> Hidden:
    """Return the filtered measures whose complement is too small, and those beside a withheld part of the same."""
    found = nothing(raw)
    for table in raw.tables:
        for whole, parts in _families(table):
            withheld = np.zeros(table.data.num_rows, np.bool_)
            for part in parts:
                withheld |= hidden[table.name, part.name]
                if whole is not None:
                    found[table.name, part.name] |= _small_complement(table, whole, part, rules)
            for part in parts:
                found[table.name, part.name] |= withheld
    return found


def _families(table: RawTable) -> Iterator[tuple[Measure | None, list[Measure]]]:
    """Yield, for each argument with filters, a measure over all of its rows (or None) and the filtered ones."""
    wholes: dict[str, Measure] = {}
    parts: dict[str, list[Measure]] = defaultdict(list)
    for measure in table.measures:
        argument, filtered, _ = measure.source.partition(_FILTER)
        if filtered:
            parts[argument].append(measure)
        else:
            wholes[argument] = measure
    return ((wholes.get(argument), each) for argument, each in parts.items())


def _small_complement(table: RawTable, whole: Measure, part: Measure, rules: Rules) -> Mask:
    """Return the rows in which too few are in ``whole`` and not in ``part``; or nobody, if zeros are kept."""
    all_of, some_of = _counts(table, whole), _counts(table, part)
    small = np.zeros(table.data.num_rows, np.bool_)
    for who in all_of.keys() & some_of.keys():
        left_over = all_of[who] - some_of[who]
        small |= too_few(left_over, rules)
        if rules.zeros == "withhold":
            small |= left_over == 0
    return small


def _counts(table: RawTable, measure: Measure) -> dict[tuple[str, str | None], Counts]:
    """Return the fewest subjects behind each row, for each domain and each party that is left out, if any."""
    fewest: dict[tuple[str, str | None], Counts] = {}
    for one in table.contributors[measure.name]:
        for party, counts in ((None, one.total), *one.without.items()):
            known = fewest.get((one.domain, party), counts)
            fewest[one.domain, party] = np.minimum(known, counts)
    return fewest


RULE = Rule(
    name="complements",
    risk="Differencing",
    check="complement of a filter",
    why="it, and the same number without a filter, would tell of the few whom the filter leaves out",
    guarantees="Beside a measure over all rows, a filtered one leaves out nobody, or at least the threshold.",
    remedy="ask for the filtered part or for the whole, not for both",
    find=find,
)
