"""Statistical methods as plans of passes, one file a method; what parties read of each is in ``mpc.questions``."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mpc.engines.statistics.anova import Anova
from mpc.engines.statistics.concentration import Concentration
from mpc.engines.statistics.correlation import Correlation
from mpc.engines.statistics.cox import Cox
from mpc.engines.statistics.crosstab import Crosstab
from mpc.engines.statistics.executor import execute
from mpc.engines.statistics.generalised import logistic, negative_binomial, poisson
from mpc.engines.statistics.histogram import Histogram
from mpc.engines.statistics.kaplan_meier import KaplanMeier
from mpc.engines.statistics.linear import Linear
from mpc.engines.statistics.log_rank import LogRank
from mpc.engines.statistics.mann_whitney import MannWhitney
from mpc.engines.statistics.missing import Missing
from mpc.engines.statistics.passes import Plan
from mpc.engines.statistics.quantiles import Quantiles
from mpc.engines.statistics.risk import Risk
from mpc.engines.statistics.roc import Roc
from mpc.engines.statistics.standardised_rates import StandardisedRates
from mpc.engines.statistics.summary import Summary
from mpc.engines.statistics.t_test import TTest
from mpc.engines.statistics.totals import Totals
from mpc.errors import OutOfOrder
from mpc.questions.statistics import CheckedStatistics
from mpc.results import RawResult
from mpc.table.batches import Table

PLANS: Mapping[str, Callable[[CheckedStatistics], Plan]] = MappingProxyType({
    "summary": Summary,
    "crosstab": Crosstab,
    "totals": Totals,
    "linear": Linear,
    "logistic": logistic,
    "poisson": poisson,
    "negative_binomial": negative_binomial,
    "kaplan_meier": KaplanMeier,
    "log_rank": LogRank,
    "cox": Cox,
    "quantiles": Quantiles,
    "histogram": Histogram,
    "missing": Missing,
    "concentration": Concentration,
    "t_test": TTest,
    "anova": Anova,
    "mann_whitney": MannWhitney,
    "correlation": Correlation,
    "risk": Risk,
    "roc": Roc,
    "standardised_rates": StandardisedRates,
})  # fmt: skip


def run_statistics(
    checked: CheckedStatistics, tables: Mapping[str, tuple[Table, ...]], *, threads: int = 1
) -> RawResult:
    """Return what the method computes over the dataset's tables, with the contributors of every cell.

    ``OutOfOrder`` unless every owner's rows are there, once; ``Exhausted`` when there are too many groups.
    """
    dataset = checked.dataset
    if sorted(table.owner for table in tables.get(dataset.name, ())) != sorted(dataset.owners):
        raise OutOfOrder(
            "run.rows_missing", f"not every owner of {dataset.name} has its rows loaded, once",
            why="a dataset is the union of all its owners' rows", remedy="wait until every owner has uploaded",
        )  # fmt: skip
    return execute(PLANS[checked.method](checked), checked.dataset, tables[checked.dataset.name], threads=threads)
