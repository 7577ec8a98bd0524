"""Methods that describe: summaries by groups and tables of categories."""

from collections.abc import Sequence
from typing import Unpack

from scenarios.computation import ColumnNamed, Computation, Terms, asked, named


class Descriptive:
    """Methods that describe one or several columns."""

    def summary(self, *columns: ColumnNamed, by: Sequence[str] = (), **terms: Unpack[Terms]) -> Computation:
        """Return count, mean and standard deviation of each numeric column, in all or in each group of ``by``."""
        return asked("summary", columns, {"columns": named(*columns), "by": by}, **terms)

    def crosstab(
        self, row: ColumnNamed, column: ColumnNamed, *, by: Sequence[str] = (), **terms: Unpack[Terms]
    ) -> Computation:
        """Return the table of two categories against each other, with tests of independence, by groups."""
        return asked("crosstab", (row, column), {"row": [row.name], "column": [column.name], "by": by}, **terms)
