"""Methods that compare groups, or tell how two columns go together."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, Unpack

from scenarios.computation import ColumnNamed, Computation, Terms, asked, named, spelled

Number = int | float | Decimal
Level = str | bool


class Association:
    """Methods of association. A level is a code of a category, or True or False of a boolean."""

    def correlation(
        self,
        *columns: ColumnNamed,
        coefficient: Literal["pearson", "spearman"] = "pearson",
        by: Sequence[str] = (),
        confidence: Number = 0.95,
        **terms: Unpack[Terms],
    ) -> Computation:
        """Return the correlation of each two columns over the rows that have all of them, by groups."""
        arguments = {
            "columns": named(*columns), "by": by, "coefficient": [coefficient], "confidence": [spelled(confidence)],
        }  # fmt: skip
        return asked("correlation", columns, arguments, **terms)

    def t_test(
        self,
        column: ColumnNamed,
        by: ColumnNamed,
        *,
        levels: tuple[Level, Level],
        confidence: Number = 0.95,
        **terms: Unpack[Terms],
    ) -> Computation:
        """Return the mean of ``column`` in two groups and their difference, with Welch's test (variances may differ).

        The difference is that of the first level less the second.
        """
        arguments = {
            "column": [column.name], "by": [by.name], "levels": [spelled(each) for each in levels],
            "confidence": [spelled(confidence)],
        }  # fmt: skip
        return asked("t_test", (column, by), arguments, **terms)

    def anova(self, column: ColumnNamed, by: ColumnNamed, **terms: Unpack[Terms]) -> Computation:
        """Return the mean of ``column`` in each group of ``by``, and the one-way analysis of variance."""
        return asked("anova", (column, by), {"column": [column.name], "by": [by.name]}, **terms)

    def mann_whitney(
        self, column: ColumnNamed, by: ColumnNamed, *, levels: tuple[Level, Level], **terms: Unpack[Terms]
    ) -> Computation:
        """Return whether ``column`` tends to be larger at the first level of ``by`` than at the second, by ranks."""
        arguments = {"column": [column.name], "by": [by.name], "levels": [spelled(each) for each in levels]}
        return asked("mann_whitney", (column, by), arguments, **terms)

    def risk(
        self,
        exposure: ColumnNamed,
        outcome: ColumnNamed,
        *,
        exposed: Sequence[Level] = (True,),
        event: Sequence[Level] = (True,),
        by: Sequence[str] = (),
        confidence: Number = 0.95,
        **terms: Unpack[Terms],
    ) -> Computation:
        """Return odds ratio, relative risk and risk difference of the ``event`` levels of ``outcome``.

        Who is not at an ``exposed`` level is not exposed. Over strata ``by``, also Mantel and Haenszel's odds ratio.
        """
        arguments = {
            "exposure": [exposure.name], "exposed": [spelled(each) for each in exposed], "outcome": [outcome.name],
            "event": [spelled(each) for each in event], "by": by, "confidence": [spelled(confidence)],
        }  # fmt: skip
        return asked("risk", (exposure, outcome), arguments, **terms)

    def roc(
        self,
        score: ColumnNamed,
        outcome: ColumnNamed,
        *,
        event: Sequence[Level] = (True,),
        thresholds: Sequence[Number] = (),
        confidence: Number = 0.95,
        **terms: Unpack[Terms],
    ) -> Computation:
        """Return how well ``score`` tells the ``event`` levels of ``outcome``: the area under the ROC curve (DeLong).

        The curve itself is given at ``thresholds``, for one with a step at each score would be a list of scores.
        """
        arguments = {
            "score": [score.name], "outcome": [outcome.name], "event": [spelled(each) for each in event],
            "thresholds": [spelled(each) for each in thresholds], "confidence": [spelled(confidence)],
        }  # fmt: skip
        return asked("roc", (score, outcome), arguments, **terms)
