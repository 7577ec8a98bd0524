"""Tables of times and places in risk sets against plain counting: whole times are looked up, all others searched."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.engines.statistics.risk_sets import RiskSets
from mpc.engines.statistics.survival_times import EVENT, TIME, TimeTable

WHOLE = st.integers(0, 12).map(float)
ANY = st.one_of(WHOLE, st.sampled_from([0.5, 7.25, 1e6, 1e300, float("inf")]))


def people(times: st.SearchStrategy[float]) -> Any:
    return st.lists(st.tuples(st.integers(0, 3), times, st.booleans()), max_size=60)


def gathered(rows: Any, size: int) -> TimeTable:
    """Return the times of rows in batches of a size."""
    whole = TimeTable(entry=False)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        table = TimeTable(entry=False)
        batch = pa.record_batch({TIME: [row[1] for row in part], EVENT: [row[2] for row in part]})
        table.update(batch, np.array([row[0] for row in part]), 4)
        whole.merge(table)
    return whole


@settings(max_examples=150, deadline=None)
@given(st.one_of(people(WHOLE), people(ANY)), st.integers(1, 60))
def test_times_count_who_leaves_and_who_has_the_event(rows: Any, size: int) -> None:
    found = gathered(rows, size).groups(np.arange(4))
    assert set(found) == {row[0] for row in rows}
    for group, times in found.items():
        own = [row for row in rows if row[0] == group]
        assert times.time.tolist() == sorted({row[1] for row in own})
        assert times.left.tolist() == [sum(row[1] == time for row in own) for time in times.time]
        assert times.events.tolist() == [sum(row[1] == time and row[2] for row in own) for time in times.time]


@settings(max_examples=150, deadline=None)
@given(st.one_of(people(WHOLE), people(ANY)), st.lists(st.one_of(ANY, st.just(-1.5), st.just(float("nan")))))
def test_a_row_reaches_the_slots_of_its_stratum_up_to_its_time(rows: Any, asked: list[float]) -> None:
    sets = RiskSets(gathered(rows, 7).groups(np.arange(4)))
    slots = sorted({(row[0], row[1]) for row in rows if row[2]})
    assert len(sets) == len(slots)
    for stratum in range(6):
        strata = np.full(len(asked), stratum)
        earlier = sum(slot[0] < stratum for slot in slots)
        # What is no number comes after all that are.
        own = [sum(slot[0] == stratum and not slot[1] > time for slot in slots) for time in asked]
        assert sets.reached(strata, np.array(asked)).tolist() == [earlier + each for each in own]
        assert sets.reached(strata, None).tolist() == [earlier] * len(asked)
