"""What an engine hands to disclosure control: every cell with its contributors, and nothing released yet.

A ``RawTable`` has ``keys`` (group columns) and ``measures`` (output columns). For each measure and each subject
domain that the computation touches, ``contributors`` tells per row how many distinct subjects stand behind the
cell, in all and after taking away each single party. What some rules need beyond that stands beside: the size of a
fitted model, and the largest single contributions to a magnitude.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Counts = npt.NDArray[np.int64]

MeasureKind = Literal[
    "count", "sum", "mean", "spread", "quantile", "moment", "association", "test", "rate", "concentration",
    "inequality", "parameter", "uncertainty", "goodness", "survival",
]  # fmt: skip
"""What a measure is, by which rules know what they have to ask of it:

``rate`` a proportion or ratio of counts; ``concentration`` an index of shares such as HHI, ``inequality`` Gini's;
``parameter`` what a model estimates, ``goodness`` how well it fits, with its degrees of freedom (both need the model's
size); ``uncertainty`` a standard error or a bound of an interval, with the source of its estimate; ``survival`` a step
of a curve or of a risk table.
"""


@dataclass(frozen=True)
class Measure:
    """One output column. ``source`` names what it was computed from (argument and filter, canonically printed), so
    that measures of one source are known to determine each other; ``unit`` is None where there is none.
    ``extensive`` measures add up over groups (counts, sums), so a hidden cell can be derived from margins.
    """  # noqa: D205

    name: str
    kind: MeasureKind
    source: str
    extensive: bool
    unit: str | None = None


@dataclass(frozen=True)
class Contributors:
    """Distinct subjects of one ``domain`` behind each row of one measure; arrays have one entry a row.

    ``without[p]`` is the count after the contributions of party ``p`` are taken away; only parties that share the
    domain with another owner are in it. In a row that by its question is of one party alone, nothing is taken away.

    A measure may have several of one domain, and then every rule holds for each: a quantile counts in all, at or below
    and at or above; a survival step counts who is at risk, who has the event, and who leaves.
    """

    domain: str
    total: Counts
    without: Mapping[str, Counts]


@dataclass(frozen=True)
class ModelSize:
    """On how much one fitted model rests. Observations are rows, subjects are distinct.

    ``freedom`` are the residual degrees of freedom. ``smallest_level`` counts the subjects in the smallest level of any
    category, boolean or binary outcome of the model, ``events`` the rows with the event (of a binary outcome: the rarer
    value); None where the model has neither. ``leverage`` is the largest part that one subject may have in a
    combination of the coefficients, the sum of its rows' leverages; None where nobody looked. ``without[p]`` is the
    size after party ``p``'s rows are taken away, and itself has no ``without``.
    """

    parameters: int
    observations: int
    subjects: int
    freedom: int
    smallest_level: int | None = None
    events: int | None = None
    leverage: float | None = None
    without: Mapping[str, "ModelSize"] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Largest:
    """Of what single ``unit`` contributed to each row of one measure, in absolute values: in all, and the two largest.

    ``unit`` is ``subject`` or ``party``; arrays have one entry a row. Where only the largest is known, ``second`` is as
    large. ``without[p]`` is what is left after party ``p``'s rows are taken away, and itself has no ``without``.
    """

    unit: Literal["subject", "party"]
    total: npt.NDArray[np.float64]
    first: npt.NDArray[np.float64]
    second: npt.NDArray[np.float64]
    without: Mapping[str, "Largest"] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class RawTable:
    """One output table before disclosure control. ``data`` holds the key columns, then one column a measure.

    ``margins`` names, for each row, which keys are totalled over (GROUPING SETS, ROLLUP): a bit mask with bit i
    set where key i is aggregated away. Rows of plain GROUP BY have 0.

    ``public`` says that every dataset that was read is public (no subject to protect): only then may a measure
    come without contributors. ``complete`` says that every combination of the keys' declared values has a row, also
    those with nobody in them: only then does a row that is withheld whole keep its keys.

    ``models`` are the fits that the table tells of: one for the whole table, or one for each row. ``largest`` gives,
    for measures of magnitudes, their largest single contributions.
    """

    name: str
    keys: tuple[str, ...]
    measures: tuple[Measure, ...]
    data: pa.Table
    contributors: Mapping[str, tuple[Contributors, ...]]
    margins: Counts
    public: bool = False
    complete: bool = False
    models: tuple[ModelSize, ...] = ()
    largest: Mapping[str, tuple[Largest, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Presentation:
    """What a recipient asked to see of a released table: HAVING, ORDER BY and LIMIT act here, after disclosure.

    ``having`` is checked SQL over the released columns (or None), ``order`` are (column, descending) pairs.
    """

    having: str | None = None
    order: tuple[tuple[str, bool], ...] = ()
    limit: int | None = None


@dataclass(frozen=True)
class RawResult:
    """Everything that one run computed; only ``mpc.disclosure`` may turn it into a release."""

    tables: tuple[RawTable, ...]
    presentation: Presentation = Presentation()
