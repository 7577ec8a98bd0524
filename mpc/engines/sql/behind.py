"""The columns of a statement that tell who stands behind a cell: how many subjects, and how much the largest of them.

Counts and weights are aggregates over rows, put together in one or two steps. Both are taken in all and without each
party, since every rule has to hold for what is left when an owner takes its own rows away.
"""

from dataclasses import dataclass, field
from typing import Self

OWNER = '"#by"'


@dataclass(frozen=True)
class CountColumns:
    """Output columns that count one condition's subjects in one source: in all, and without each party."""

    alias: str
    total: str
    without: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every column."""
        return (self.total, *(name for _, name in self.without))


@dataclass(frozen=True)
class Weights:
    """Two output columns: absolute contributions added, and the largest that one subject made."""

    total: str
    largest: str

    @classmethod
    def at(cls, name: str) -> Self:
        """Return the two that belong together under ``name``."""
        return cls(f"{name}.total", f"{name}.largest")

    @property
    def quoted(self) -> tuple[str, str]:
        """Both, as SQL names them."""
        return f'"{self.total}"', f'"{self.largest}"'


@dataclass(frozen=True)
class WeightColumns:
    """Output columns that weigh one term of a measure by the subjects of one source: in all, and without each party."""

    alias: str
    whole: Weights
    without: tuple[tuple[str, Weights], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every column."""
        return tuple(
            name for each in (self.whole, *(left for _, left in self.without)) for name in (each.total, each.largest)
        )


@dataclass
class Counting:
    """One pass that counts over the source ``alias``: conditions by text, with the columns that hold their counts.

    ``weights`` are the terms that are weighed, each with the condition under which it counts.
    """

    alias: str
    name: str
    with_values: bool
    conditions: dict[str, CountColumns] = field(default_factory=dict)
    weights: dict[tuple[str, str], WeightColumns] = field(default_factory=dict)


def count_if(condition: str) -> str:
    """Return the aggregate that counts rows where ``condition`` holds."""
    return "count(*)" if condition == "TRUE" else f"count_if({condition})"


def counted_as(aggregate: str, name: str) -> str:
    """Return the output column ``name`` of a count, which is 0 where there is no row."""
    return f'CAST(coalesce({aggregate}, 0) AS BIGINT) AS "{name}"'


def weighed_as(aggregate: str, name: str) -> str:
    """Return the output column ``name`` of a weight, which is 0 where there is no row."""
    return f'CAST(coalesce({aggregate}, 0) AS DOUBLE) AS "{name}"'


def weight(aggregate: str, term: str, condition: str) -> str:
    """Return ``aggregate`` (sum or max) of the absolute values of ``term`` where ``condition`` holds."""
    over = "" if condition == "TRUE" else f" FILTER (WHERE {condition})"
    return f"{aggregate}(abs(CAST({term} AS DOUBLE))){over}"


def both(left: str, right: str) -> str:
    """Return the condition that both hold."""
    return right if left == "TRUE" else left if right == "TRUE" else f"({left} AND {right})"
