"""Methods that describe: summaries, quantiles, histograms, tables of categories, missing values, rates."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Unpack

from scenarios.computation import ColumnNamed, Computation, Terms, asked, named, spelled

Number = int | float | Decimal


class Descriptive:
    """Methods that describe one or several columns."""

    def summary(self, *columns: ColumnNamed, by: Sequence[str] = (), **terms: Unpack[Terms]) -> Computation:
        """Return count, mean and standard deviation of each numeric column, in all or in each group of ``by``."""
        return asked("summary", columns, {"columns": named(*columns), "by": by}, **terms)

    def quantiles(
        self,
        *columns: ColumnNamed,
        at: Sequence[Number] = (0.05, 0.25, 0.5, 0.75, 0.95),
        by: Sequence[str] = (),
        **terms: Unpack[Terms],
    ) -> Computation:
        """Return exact quantiles of each numeric column ``at`` shares from 0.05 to 0.95, by groups.

        One that too few subjects lie on either side of is withheld; there is no minimum and no maximum.
        """
        arguments = {"columns": named(*columns), "by": by, "at": [spelled(each) for each in sorted(at)]}
        return asked("quantiles", columns, arguments, **terms)

    def histogram(
        self, column: ColumnNamed, *, edges: Sequence[Number], by: Sequence[str] = (), **terms: Unpack[Terms]
    ) -> Computation:
        """Return how many values lie between each two ``edges``, below the first and above the last, by groups."""
        arguments = {"column": [column.name], "by": by, "edges": [spelled(each) for each in edges]}
        return asked("histogram", (column,), arguments, **terms)

    def totals(self, *columns: ColumnNamed, by: Sequence[ColumnNamed] = (), **terms: Unpack[Terms]) -> Computation:
        """Return number of rows and subjects, and the sum of each numeric column, in all or in each group of ``by``."""
        return asked("totals", (*columns, *by), {"columns": named(*columns), "by": named(*by)}, **terms)

    def crosstab(
        self,
        row: ColumnNamed,
        column: ColumnNamed,
        *,
        by: Sequence[str] = (),
        fisher: bool = False,
        **terms: Unpack[Terms],
    ) -> Computation:
        """Return the table of two categories against each other, with totals and Pearson's chi-square, by strata.

        ``fisher`` adds Fisher's exact test. Two by two it always works; a larger table with many rows is refused at
        the run, and the run is spent.
        """
        arguments = {"row": [row.name], "column": [column.name], "by": by, "tests": ["fisher"] if fisher else []}
        return asked("crosstab", (row, column), arguments, **terms)

    def missing(self, *columns: ColumnNamed, by: Sequence[str] = (), **terms: Unpack[Terms]) -> Computation:
        """Return how many rows have a value of each column and how many have none, by groups."""
        return asked("missing", columns, {"columns": named(*columns), "by": by}, **terms)

    def concentration(self, column: ColumnNamed, *, by: Sequence[str] = (), **terms: Unpack[Terms]) -> Computation:
        """Return how unequally a total is shared among subjects: Herfindahl-Hirschman index (0 to 1) and Gini's.

        The column has to be declared with a minimum of 0 or more. Withheld where two subjects make up nearly all.
        """
        return asked("concentration", (column,), {"column": [column.name], "by": by}, **terms)

    def standardised_rates(
        self,
        events: ColumnNamed,
        *,
        strata: ColumnNamed,
        standard: Sequence[Number],
        exposure: ColumnNamed | None = None,
        by: Sequence[str] = (),
        per: Number = 1000,
        confidence: Number = 0.95,
        **terms: Unpack[Terms],
    ) -> Computation:
        """Return directly standardised rates: events ``per`` so much ``exposure`` (rows, if None), by groups.

        ``standard`` has the weight of each declared value of ``strata``, in the codebook's order.
        """
        arguments = {
            "events": [events.name], "exposure": named(exposure), "strata": [strata.name],
            "standard": [spelled(each) for each in standard], "by": by, "per": [spelled(per)],
            "confidence": [spelled(confidence)],
        }  # fmt: skip
        return asked("standardised_rates", (events, exposure, strata), arguments, **terms)
