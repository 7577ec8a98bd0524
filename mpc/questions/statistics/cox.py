"""``cox``: hazard ratios of covariates, whatever the hazard itself is (proportional hazards)."""

from decimal import Decimal

from mpc.questions.statistics.method import GROUPS, Arguments, Choice, Columns, Method, forbidden, listed
from mpc.questions.statistics.regression import CONFIDENCE, RESIDUALS, FormulaText, bands
from mpc.questions.statistics.survival import ENTRY, TIME, check_survival
from mpc.table.schema import Dataset

FORMULA = FormulaText("formula", "binary", offsets=False)

_TIES = {"efron": "Efron", "breslow": "Breslow"}
_BASELINE = {"joint": "", "party": ", with a baseline hazard of each party's own"}
_TRANSFORM = {"km": "Kaplan-Meier's survival", "identity": "time", "log": "the logarithm of time"}
_VARIANCE = {"model": "", "robust": ", with standard errors that are robust by subject"}


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    entry = f" from {arguments['entry'][0]}" if arguments["entry"] else ""
    strata = f", stratified by {listed(arguments['strata'])}" if arguments["strata"] else ""
    robust = (
        f", with standard errors that are robust by {arguments['cluster'][0]}"
        if arguments["cluster"]
        else _VARIANCE[arguments["variance"][0]]
    )
    percent = format(Decimal(arguments["confidence"][0]) * 100, "f").rstrip("0").rstrip(".")
    return (
        f"Cox proportional hazards model {arguments['formula'][0]} of {dataset.name} over time "
        f"{arguments['time'][0]}{entry} ({_TIES[arguments['ties'][0]]} ties){strata}"
        f"{_BASELINE[arguments['baseline'][0]]}{robust}: hazard ratios with {percent} % confidence intervals, "
        f"tests, and a test of whether hazards are proportional, by {_TRANSFORM[arguments['transform'][0]]}; "
        "rows with a missing value are left out."
        f"{bands(arguments, 'deviance residuals')}"
    )


def _check(arguments: Arguments, dataset: Dataset) -> None:
    formula = FORMULA.parsed(arguments["formula"], dataset)
    if not any(formula.terms):
        raise forbidden(
            "formula.empty", "a Cox model has no covariate", why="the intercept is part of the baseline hazard",
            remedy="write at least one term right of ~", field="formula",
        )  # fmt: skip
    # A column of the formula is one part of the question, as time and strata are.
    named = {**arguments, "event": (formula.response.column,), "covariates": formula.columns[1:]}
    check_survival(named, dataset)
    if arguments["cluster"] and arguments["variance"] == ("model",):
        raise forbidden(
            "cluster", "clusters have no meaning for standard errors of the model",
            why="only robust ones sum by cluster", field="cluster",
            remedy="ask for robust standard errors, or leave the cluster out",
        )  # fmt: skip
    if arguments["variance"] == ("robust",) and not arguments["cluster"] and dataset.subject.column is None:
        raise forbidden(
            "cluster", "robust standard errors have no clusters", why=f"{dataset.name} has no subjects",
            remedy="name a column to sum by", field="cluster",
        )  # fmt: skip


METHOD = Method(
    name="cox",
    arguments=(
        FORMULA,
        TIME,
        ENTRY,
        Columns("strata", "grouped", GROUPS, least=0, most=3),
        Columns("cluster", "aggregated", GROUPS, least=0, most=1),
        Choice("ties", tuple(_TIES)),
        Choice("baseline", tuple(_BASELINE)),
        Choice("variance", tuple(_VARIANCE)),
        Choice("transform", tuple(_TRANSFORM)),
        RESIDUALS,
        CONFIDENCE,
    ),
    sentence=_sentence,
    check=_check,
)
