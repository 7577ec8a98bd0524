"""Questions that name a statistical method: what each method takes, and what it does in plain words.

This is the side that parties read before they sign; how a method computes stands under the same name in
``mpc.engines.statistics``. A new method is one file on each side and one line in each list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mpc.questions.statistics import (
    anova,
    concentration,
    correlation,
    cox,
    crosstab,
    histogram,
    kaplan_meier,
    linear,
    log_rank,
    logistic,
    mann_whitney,
    missing,
    negative_binomial,
    poisson,
    quantiles,
    risk,
    roc,
    standardised_rates,
    summary,
    t_test,
    totals,
)
from mpc.questions.statistics.method import Arguments, Method, forbidden
from mpc.questions.terms import StatisticsQuestion
from mpc.questions.uses import ColumnUse
from mpc.table.schema import Dataset

METHODS: Mapping[str, Method] = MappingProxyType({
    method.name: method
    for method in (
        summary.METHOD,
        crosstab.METHOD,
        totals.METHOD,
        linear.METHOD,
        logistic.METHOD,
        poisson.METHOD,
        negative_binomial.METHOD,
        kaplan_meier.METHOD,
        log_rank.METHOD,
        cox.METHOD,
        quantiles.METHOD,
        histogram.METHOD,
        missing.METHOD,
        concentration.METHOD,
        t_test.METHOD,
        anova.METHOD,
        mann_whitney.METHOD,
        correlation.METHOD,
        risk.METHOD,
        roc.METHOD,
        standardised_rates.METHOD,
    )
})  # fmt: skip


@dataclass(frozen=True)
class CheckedStatistics:
    """A statistics question that holds against its dataset, made only by ``check_statistics``.

    ``arguments`` has an entry for every argument that the method declares, empty where the contract leaves it out.
    """

    name: str
    method: str
    dataset: Dataset
    arguments: Arguments
    uses: tuple[ColumnUse, ...]
    sentence: str

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names of the datasets that are read: the one."""
        return (self.dataset.name,)


def check_statistics(name: str, question: StatisticsQuestion, datasets: Mapping[str, Dataset]) -> CheckedStatistics:
    """Return the computation ``name``, held against its method and dataset, or raise ``Forbidden``."""
    method = METHODS.get(question.method)
    if method is None:
        raise forbidden(
            "method", f"there is no method {question.method}", why="this version does not know it",
            remedy="name a known method", field="method", expected=" or ".join(METHODS), found=question.method,
        )  # fmt: skip
    dataset = datasets.get(question.dataset)
    if dataset is None:
        raise forbidden(
            "dataset", f"there is no dataset {question.dataset}", why="the contract does not declare it",
            remedy="name a dataset of the contract", field="dataset",
        )  # fmt: skip
    unknown = sorted(set(question.arguments) - {argument.name for argument in method.arguments})
    if unknown:
        raise forbidden(
            "arguments", f"{method.name} takes no argument {unknown[0]}", why="the method does not declare it",
            remedy="leave it out", field=unknown[0],
        )  # fmt: skip
    arguments = {argument.name: question.arguments.get(argument.name, ()) for argument in method.arguments}
    uses = [use for argument in method.arguments for use in argument.uses(arguments, dataset)]
    method.check(arguments, dataset)
    uses += [ColumnUse(use.dataset, use.column, "returned") for use in uses if use.role == "grouped"]
    if dataset.subject.column is not None:
        uses.append(ColumnUse(dataset.name, dataset.subject.column, "counted"))
    return CheckedStatistics(
        name, method.name, dataset, MappingProxyType(arguments), tuple(sorted(set(uses))),
        method.sentence(arguments, dataset),
    )  # fmt: skip
