"""Results made by hand, and the rules that they meet."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mpc.contract.terms import Rules
from mpc.results import Contributors, Measure, RawTable

MakeRules = Callable[..., Rules]
MakeTable = Callable[..., RawTable]


@pytest.fixture
def rules() -> MakeRules:
    def make(**changes: Any) -> Rules:
        plain: dict[str, Any] = {
            "profile": "customary", "threshold": 10, "coalition": 1, "zeros": "release",
            "complementary": "suppress", "significant_digits": 6,
        }  # fmt: skip
        return Rules(**{**plain, **changes})

    return make


@pytest.fixture
def counts() -> MakeTable:
    """Make a table of counts: keys' values, then the count at each party; totals have None and a margin."""

    def make(
        keys: Mapping[str, Sequence[Any]],
        parties: Mapping[str, Sequence[int]],
        margins: Sequence[int] = (),
        **terms: Any,
    ) -> RawTable:
        each = {party: np.array(counts, np.int64) for party, counts in parties.items()}
        total = np.sum(list(each.values()), axis=0)
        without = {party: total - own for party, own in each.items()} if len(each) > 1 else {}
        return RawTable(
            "answer", tuple(keys), (Measure("n", "count", "*", extensive=True),),
            pa.table({**{key: pa.array(values, pa.utf8()) for key, values in keys.items()}, "n": total}),
            {"n": (Contributors("person", total, without),)},
            np.array(margins or [0] * len(total), np.int64), **terms,
        )  # fmt: skip

    return make
