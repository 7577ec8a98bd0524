"""Cases of ``benchmarks/methods.py`` about the time until an event: against statsmodels and lifelines."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

Found = dict[str, float]
Plain = tuple[str, Mapping[str, tuple[str, ...]], tuple[str, ...], str, str, Callable[[Any], Found]]

AT = (100, 365, 1000)
FOLLOWED = {"time": ("days",), "event": ("event",)}
COX = {
    "formula": ("event ~ x1 + x2 + x3 + g",), "time": ("days",), "ties": ("efron",), "baseline": ("joint",),
    "variance": ("model",), "transform": ("km",), "residuals": ("none",), "confidence": ("0.95",),
}  # fmt: skip


def curves(frame: "DataFrame") -> Found:
    """Return Kaplan-Meier curves of every group by statsmodels."""
    from statsmodels.duration.survfunc import SurvfuncRight  # noqa: PLC0415 - only their side pays for it

    found = {}
    for group, rows in frame.groupby("g", observed=True):
        curve = SurvfuncRight(rows["days"].to_numpy(), rows["event"].to_numpy().astype(int))
        for time in AT:
            before = curve.surv_times.searchsorted(time, side="right")
            found[f"{group} {float(time)}"] = float(curve.surv_prob[before - 1]) if before else 1.0
    return found


def log_rank(frame: "DataFrame") -> Found:
    """Return the log-rank test by statsmodels."""
    from statsmodels.duration.survfunc import survdiff  # noqa: PLC0415 - only their side pays for it

    statistic, _ = survdiff(frame["days"].to_numpy(), frame["event"].to_numpy().astype(int), frame["g"].to_numpy())
    return {"": float(statistic)}


def cox(frame: "DataFrame") -> Found:
    """Return the Cox model by statsmodels, with Efron's ties."""
    from statsmodels.duration.hazard_regression import PHReg  # noqa: PLC0415 - only their side pays for it

    status = frame["event"].to_numpy().astype(int)
    model = PHReg.from_formula("days ~ x1 + x2 + x3 + g", frame, status=status, ties="efron")
    fitted = dict(zip(model.exog_names, model.fit(disp=0).params, strict=True))
    return {"x1": fitted["x1"], "x2": fitted["x2"], "g[d]": fitted["g[T.d]"]}


def curves_lifelines(frame: "DataFrame") -> Found:
    """Return Kaplan-Meier curves of every group by lifelines."""
    from lifelines import KaplanMeierFitter  # noqa: PLC0415 - only their side pays for it

    found: Found = {}
    for group, rows in frame.groupby("g", observed=True):
        curve = KaplanMeierFitter().fit(rows["days"], rows["event"])
        found |= {f"{group} {float(time)}": float(curve.predict(time)) for time in AT}
    return found


def log_rank_lifelines(frame: "DataFrame") -> Found:
    """Return the log-rank test by lifelines."""
    from lifelines.statistics import multivariate_logrank_test  # noqa: PLC0415 - only their side pays for it

    return {"": float(multivariate_logrank_test(frame["days"], frame["g"], frame["event"]).test_statistic)}


def cox_lifelines(frame: "DataFrame") -> Found:
    """Return the Cox model by lifelines, which knows Efron's ties only."""
    import pandas as pd  # noqa: PLC0415 - only their side pays for it
    from lifelines import CoxPHFitter  # noqa: PLC0415 - likewise

    coded = pd.get_dummies(frame, columns=["g"], drop_first=True, dtype=float)
    fitted = CoxPHFitter().fit(coded, "days", "event", fit_options={"precision": 1e-20, "r_precision": 0.0}).params_
    return {"x1": fitted["x1"], "x2": fitted["x2"], "g[d]": fitted["g_d"]}


_CURVES = (
    "kaplan_meier", {**FOLLOWED, "by": ("g",), "at": tuple(map(str, AT))}, ("days", "event", "g"), "survival",
    "survival",
)  # fmt: skip
_TEST = ("log_rank", {**FOLLOWED, "by": ("g",)}, ("days", "event", "g"), "log_rank", "chi_square")
_MODEL = ("cox", COX, ("days", "event", "x1", "x2", "x3", "g"), "coefficients", "estimate")

CASES: Mapping[str, Plain] = {
    "kaplan_meier": (*_CURVES, curves),
    "kaplan_meier_lifelines": (*_CURVES, curves_lifelines),
    "log_rank": (*_TEST, log_rank),
    "log_rank_lifelines": (*_TEST, log_rank_lifelines),
    "cox": (*_MODEL, cox),
    "cox_lifelines": (*_MODEL, cox_lifelines),
}
