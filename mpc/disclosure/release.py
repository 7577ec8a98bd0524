"""What leaves: released tables, and for everything that was withheld the rule and the remedy, never the value."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import pyarrow as pa

from mpc.canonical import canonical_cbor, parse_cbor, sha256
from mpc.errors import Malformed
from mpc.results import MeasureKind
from mpc.table.plain import plain_table, read_table

Status = Literal["pass", "review", "fail"]
"""SACRO's words: released whole, released for an output checker to look at, withheld in part or whole."""

Statbarn = Literal[
    "Frequencies", "LinearAggregations", "Position", "Shape", "CorrelationCoefficients", "StatisticalHypothesisTests",
    "CalculatedRatios", "HazardSurvivalTables", "Gini", "NonLinearConcentrationRatios",
]  # fmt: skip
"""The classes of statistics of the ACRO ontology (AI-SDC/ACRO) that this project releases, by its names."""

STATBARNS: dict[MeasureKind, Statbarn] = {
    "count": "Frequencies",
    "sum": "LinearAggregations",
    "mean": "LinearAggregations",
    "spread": "LinearAggregations",
    "quantile": "Position",
    "moment": "Shape",
    "association": "CorrelationCoefficients",
    "test": "StatisticalHypothesisTests",
    "rate": "CalculatedRatios",
    "concentration": "NonLinearConcentrationRatios",
    "inequality": "Gini",
    "parameter": "CorrelationCoefficients",
    "uncertainty": "CorrelationCoefficients",
    "goodness": "StatisticalHypothesisTests",
    "survival": "HazardSurvivalTables",
}

_LABEL = "sealroom release v1"


@dataclass(frozen=True)
class ReleasedMeasure:
    """A measure as it is released; ``status`` speaks of the whole column."""

    name: str
    kind: MeasureKind
    statbarn: Statbarn
    unit: str | None
    status: Status


@dataclass(frozen=True)
class Withheld:
    """How many cells of ``measure`` one rule withheld, and what the asker may change."""

    rule: str
    risk: str
    check: str
    measure: str
    cells: int
    remedy: str


@dataclass(frozen=True)
class ReleasedTable:
    """One table after disclosure control. In ``data`` a withheld cell is NULL, with nothing beneath.

    ``masks`` tells per measure which rows are withheld (a NULL elsewhere is an answer: there was nothing to compute
    from). ``margins`` is as in ``RawTable``.
    """

    name: str
    keys: tuple[str, ...]
    measures: tuple[ReleasedMeasure, ...]
    data: pa.Table
    masks: tuple[tuple[bool, ...], ...]
    margins: tuple[int, ...]
    withheld: tuple[Withheld, ...]


@dataclass(frozen=True)
class Release:
    """The only thing that leaves a run; made by ``control`` and ``failed_release``.

    ``failure`` is None, or the one code that every failed run has for its recipients.
    """

    tables: tuple[ReleasedTable, ...]
    failure: str | None = None
    computation: str | None = None

    @property
    def status(self) -> Status:
        """``fail`` when anything was withheld or the run failed, else ``review`` when a measure wants it."""
        statuses = {measure.status for table in self.tables for measure in table.measures}
        if self.failure is not None or "fail" in statuses:
            return "fail"
        return "review" if "review" in statuses else "pass"

    def to_bytes(self) -> bytes:
        """Return the deterministic CBOR of this release: what is digested, cached and sealed."""
        return canonical_cbor([_LABEL, [_plain(table) for table in self.tables], self.failure, self.computation])

    @staticmethod
    def from_bytes(raw: bytes, *, max_bytes: int = 1 << 28) -> "Release":
        """Return the release that ``raw`` spells, or raise ``Malformed``."""
        match parse_cbor(raw, what="the release", max_bytes=max_bytes):
            case [label, list() as tables, None | str() as failure, None | str() as computation] if label == _LABEL:
                return Release(tuple(_read(table) for table in tables), failure, computation)
            case _:
                raise _malformed()

    def named(self, name: str) -> "Release":
        """Return the same answer with its one table called ``name``, as that of a question of SQL is."""
        (table,) = self.tables
        return replace(self, tables=(replace(table, name=name),))

    @property
    def digest(self) -> bytes:
        """The SHA-256 digest of the release's bytes."""
        return sha256(self.to_bytes())


def failed_release(computation: str) -> Release:
    """Return what recipients see of any run that failed: one code for every reason, as reasons speak of data."""
    return Release((), "run.failed", computation)


def _plain(table: ReleasedTable) -> list[Any]:
    measures = [[m.name, m.kind, m.unit, m.status] for m in table.measures]
    withheld = [[w.rule, w.risk, w.check, w.measure, w.cells, w.remedy] for w in table.withheld]
    masks = [list(mask) for mask in table.masks]
    return [table.name, list(table.keys), measures, plain_table(table.data), masks, list(table.margins), withheld]


def _read(plain: object) -> ReleasedTable:
    match plain:
        case [
            str() as name,
            list() as keys,
            list() as measures,
            data,
            list() as masks,
            list() as margins,
            list() as out,
        ]:
            table = ReleasedTable(
                name, tuple(keys), tuple(_read_measure(measure) for measure in measures), read_table(data),
                tuple(_read_mask(mask) for mask in masks), tuple(margins), tuple(_read_withheld(one) for one in out),
            )  # fmt: skip
        case _:
            raise _malformed()
    rows = table.data.num_rows
    names = [*table.keys, *(measure.name for measure in table.measures)]
    fits = table.data.column_names == names and len(table.masks) == len(table.measures)
    if not fits or len(table.margins) != rows or any(len(mask) != rows for mask in table.masks):
        raise _malformed()
    if any(type(margin) is not int for margin in table.margins):
        raise _malformed()
    return table


def _read_measure(plain: object) -> ReleasedMeasure:
    match plain:
        case [str() as name, str() as kind, None | str() as unit, str() as status]:
            kinds: dict[str, MeasureKind] = {kind: kind for kind in STATBARNS}
            statuses: dict[str, Status] = {status: status for status in get_args(Status)}
            if kind in kinds and status in statuses:
                return ReleasedMeasure(name, kinds[kind], STATBARNS[kinds[kind]], unit, statuses[status])
    raise _malformed()


def _read_mask(plain: object) -> tuple[bool, ...]:
    if not isinstance(plain, list) or any(type(cell) is not bool for cell in plain):
        raise _malformed()
    return tuple(plain)


def _read_withheld(plain: object) -> Withheld:
    match plain:
        case [str() as rule, str() as risk, str() as check, str() as measure, int() as cells, str() as remedy]:
            return Withheld(rule, risk, check, measure, cells, remedy)
        case _:
            raise _malformed()


def _malformed() -> Malformed:
    return Malformed(
        "release.invalid", "a release does not have the agreed form", why="its parts do not fit each other",
        remedy="open it with the version that the contract's enclave runs",
    )  # fmt: skip
