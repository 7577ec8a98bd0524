"""Statistical methods as plans of passes, one file a method; what parties read of each is in ``mpc.questions``."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mpc.engines.statistics.crosstab import Crosstab
from mpc.engines.statistics.executor import execute
from mpc.engines.statistics.passes import Plan
from mpc.engines.statistics.summary import Summary
from mpc.questions.statistics import CheckedStatistics
from mpc.results import RawResult
from mpc.table.batches import Table

PLANS: Mapping[str, Callable[[CheckedStatistics], Plan]] = MappingProxyType({
    "summary": Summary,
    "crosstab": Crosstab,
})  # fmt: skip


def run_statistics(checked: CheckedStatistics, tables: Mapping[str, tuple[Table, ...]]) -> RawResult:
    """Return what the method computes over the dataset's tables, with the contributors of every cell."""
    return execute(PLANS[checked.method](checked), checked.dataset, tables[checked.dataset.name])
