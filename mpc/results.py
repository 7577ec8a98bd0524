"""What an engine hands to disclosure control: every cell with its contributors, and nothing released yet.

A ``RawTable`` has ``keys`` (group columns) and ``measures`` (output columns). For each measure and each subject
domain that the computation touches, ``contributors`` tells per row how many distinct subjects stand behind the
cell, in all and after taking away each single party.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Counts = npt.NDArray[np.int64]

MeasureKind = Literal["count", "sum", "mean", "spread", "quantile", "moment", "association", "test"]


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
    domain with another owner are in it.
    """

    domain: str
    total: Counts
    without: Mapping[str, Counts]


@dataclass(frozen=True)
class RawTable:
    """One output table before disclosure control. ``data`` holds the key columns, then one column a measure.

    ``margins`` names, for each row, which keys are totalled over (GROUPING SETS, ROLLUP): a bit mask with bit i
    set where key i is aggregated away. Rows of plain GROUP BY have 0.
    """

    name: str
    keys: tuple[str, ...]
    measures: tuple[Measure, ...]
    data: pa.Table
    contributors: Mapping[str, tuple[Contributors, ...]]
    margins: Counts


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
