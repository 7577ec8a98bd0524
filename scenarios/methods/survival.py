"""Methods about the time until an event: curves, a test between groups, and Cox's model."""

from collections.abc import Sequence
from typing import Literal, Unpack

from scenarios.computation import ColumnNamed, Computation, Terms, asked, named, spelled


class Survival:
    """Methods of survival analysis.

    ``time`` is when a row leaves, ``event`` whether it leaves with the event (a boolean, a category of two codes of
    which the second is the event, or a whole number from 0 to 1), ``entry`` when it begins to be followed, if not at 0.
    """

    def kaplan_meier(
        self,
        time: ColumnNamed,
        event: ColumnNamed,
        *,
        at: Sequence[float],
        by: Sequence[str] = (),
        entry: ColumnNamed | None = None,
        **terms: Unpack[Terms],
    ) -> Computation:
        """Return survival at the times ``at``, numbers at risk, events and the median, in all or in each group."""
        arguments = {"time": [time.name], "event": [event.name], "entry": named(entry), "by": by}
        arguments["at"] = [spelled(each) for each in sorted(at)]
        return asked("kaplan_meier", (time, event, entry), arguments, **terms)

    def log_rank(
        self,
        time: ColumnNamed,
        event: ColumnNamed,
        *,
        by: Sequence[str],
        strata: Sequence[str] = (),
        entry: ColumnNamed | None = None,
        **terms: Unpack[Terms],
    ) -> Computation:
        """Return the log-rank test of whether survival differs between groups, within ``strata`` if there are any."""
        arguments = {"time": [time.name], "event": [event.name], "entry": named(entry), "by": by, "strata": strata}
        return asked("log_rank", (time, event, entry), arguments, **terms)

    def cox(
        self,
        formula: str,
        *,
        time: ColumnNamed,
        entry: ColumnNamed | None = None,
        strata: Sequence[str] = (),
        ties: Literal["efron", "breslow"] = "efron",
        baseline: Literal["joint", "party"] = "joint",
        robust: bool = False,
        cluster: ColumnNamed | None = None,
        transform: Literal["km", "identity", "log"] = "km",
        residuals: bool = False,
        confidence: float = 0.95,
        **terms: Unpack[Terms],
    ) -> Computation:
        """Return the proportional hazards model ``event ~ terms``, and the test of whether hazards are proportional.

        ``baseline="party"`` gives each party a baseline hazard of its own. ``robust`` standard errors sum by subject,
        or by ``cluster``; ``transform`` is how the test of proportional hazards takes time. With ``residuals``,
        how many deviance residuals lie in each of six bands about 0 is told as well.
        """
        arguments = {
            "formula": [formula], "time": [time.name], "entry": named(entry), "strata": strata,
            "cluster": named(cluster), "ties": [ties], "baseline": [baseline],
            "variance": ["robust" if robust or cluster is not None else "model"], "transform": [transform],
            "residuals": ["bands" if residuals else "none"], "confidence": [spelled(confidence)],
        }  # fmt: skip
        return asked("cox", (time, entry, cluster), arguments, **terms)
