"""What a disclosure rule is: a theorem, what to change when it bites, and the cells that it withholds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mpc.contract.terms import Rules
from mpc.results import RawResult

Mask = npt.NDArray[np.bool_]

Column = tuple[str, str]
"""A measure by (table name, measure name)."""

Hidden = Mapping[Column, Mask]
"""For each measure, the rows that are withheld."""

Risk = Literal["LowCount", "ClassDisclosure", "Dominance", "LowDOF", "Differencing", "ImplicitTables"]
"""The risks of the ACRO ontology (AI-SDC/ACRO), by its names."""


@dataclass(frozen=True)
class Rule:
    """One rule. ``find`` gets what is withheld already and returns what this rule withholds as well.

    ``find`` only ever adds, so that applying all rules again and again comes to an end. ``check`` is the name that
    an output checker knows the test by, ``why`` says the same to a reader who has never seen that name,
    ``guarantees`` is the sentence that the rule's tests hold it to, ``remedy`` what the asker may change.
    """

    name: str
    risk: Risk
    check: str
    why: str
    guarantees: str
    remedy: str
    find: Callable[[RawResult, Rules, Hidden], Hidden]


def columns(raw: RawResult) -> list[Column]:
    """Return every measure of ``raw``, in order."""
    return [(table.name, measure.name) for table in raw.tables for measure in table.measures]


def nothing(raw: RawResult) -> dict[Column, Mask]:
    """Return masks for every measure of ``raw`` with nothing withheld."""
    rows = {table.name: table.data.num_rows for table in raw.tables}
    return {column: np.zeros(rows[column[0]], np.bool_) for column in columns(raw)}
