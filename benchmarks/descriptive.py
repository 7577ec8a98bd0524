"""Cases of ``benchmarks/methods.py`` that describe and compare: against numpy, pandas, scipy and scikit-learn.

Each is a method, its arguments, the columns it reads, the table and column of the answer that are compared, and the
function that answers it from the pooled rows.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame

Found = dict[str, float]
Plain = tuple[str, Mapping[str, tuple[str, ...]], tuple[str, ...], str, str, Callable[[Any], Found]]

AT = ("0.05", "0.25", "0.5", "0.75", "0.95")
EDGES = ("-2", "-1", "0", "1", "2", "3")
PAIR = {"column": ("y",), "by": ("g",), "levels": ("a", "d")}


def split(frame: "DataFrame") -> tuple[np.ndarray, ...]:
    """Return the values of both groups."""
    return tuple(frame["y"].to_numpy()[(frame["g"] == group).to_numpy()] for group in ("a", "d"))


def welch(frame: "DataFrame") -> Found:
    """Return Welch's t by scipy."""
    from scipy import stats  # noqa: PLC0415 - only their side pays for it

    return {"": stats.ttest_ind(*split(frame), equal_var=False).statistic}


def variance(frame: "DataFrame") -> Found:
    """Return the F of an analysis of variance by scipy."""
    from scipy import stats  # noqa: PLC0415 - only their side pays for it

    return {"between": stats.f_oneway(*(own.to_numpy() for _, own in frame.groupby("g")["y"])).statistic}


def u_statistic(frame: "DataFrame") -> Found:
    """Return Mann and Whitney's U by scipy."""
    from scipy import stats  # noqa: PLC0415 - only their side pays for it

    return {"": stats.mannwhitneyu(*split(frame), method="asymptotic").statistic}


def correlated(kind: str) -> Callable[[Any], Found]:
    """Return a correlation by scipy."""

    def find(frame: "DataFrame") -> Found:
        from scipy import stats  # noqa: PLC0415 - only their side pays for it

        return {"y x1": getattr(stats, kind)(frame["y"].to_numpy(), frame["x1"].to_numpy()).statistic}

    return find


def area(frame: "DataFrame") -> Found:
    """Return the area under the curve by scikit-learn, which gives no standard error."""
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 - only their side pays for it

    return {"": float(roc_auc_score(frame["event"].to_numpy(), frame["x1"].to_numpy()))}


def independence(frame: "DataFrame") -> Found:
    """Return Pearson's chi-square by pandas and scipy."""
    import pandas as pd  # noqa: PLC0415 - only their side pays for it
    from scipy.stats import chi2_contingency  # noqa: PLC0415 - only their side pays for it

    return {"": chi2_contingency(pd.crosstab(frame["g"], frame["event"]), correction=False).statistic}


def between_edges(frame: "DataFrame") -> Found:
    """Return a histogram by numpy."""
    edges = [float(edge) for edge in EDGES]
    counts, _ = np.histogram(frame["y"].to_numpy(), edges)
    return {
        f"{low} {high}": float(count) for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True) if count
    }


def odds(frame: "DataFrame") -> Found:
    """Return an odds ratio and a relative risk by statsmodels."""
    import pandas as pd  # noqa: PLC0415 - only their side pays for it
    from statsmodels.stats.contingency_tables import Table2x2  # noqa: PLC0415 - likewise

    counts = pd.crosstab(frame["g"] != "a", ~frame["event"].astype(bool))
    table = Table2x2(counts.to_numpy())
    return {"odds_ratio": float(table.oddsratio), "relative_risk": float(table.riskratio)}


def gini(frame: "DataFrame") -> Found:
    """Return Gini's index of shares by numpy."""
    values = np.sort(frame["w"].to_numpy())
    places = np.arange(1, len(values) + 1)
    return {"": float((2 * places - len(values) - 1) @ values / (len(values) * values.sum()))}


def weighted_rates(frame: "DataFrame") -> Found:
    """Return directly standardised rates by pandas."""
    sums = frame.groupby(["event", "g"], observed=True)[["n", "w"]].sum()
    rates = (sums["n"] / sums["w"]).unstack()  # noqa: PD010 - groups become columns
    weights = np.array(STANDARD, np.float64)
    return {str(by): float(rate @ weights / weights.sum() * 1000) for by, rate in rates.iterrows()}


STANDARD = ("4", "3", "2", "1")

CASES: Mapping[str, Plain] = {
    "summary": (
        "summary", {"columns": ("y", "x1"), "by": ("g",)}, ("y", "x1", "g"), "summary", "y_sd",
        lambda frame: frame.groupby("g")[["y", "x1"]].agg(["count", "mean", "std"])["y"]["std"].to_dict(),
    ),
    "quantiles": (
        "quantiles", {"columns": ("y",), "at": AT}, ("y",), "quantiles", "y",
        lambda frame: {at: float(np.quantile(frame["y"].to_numpy(), float(at))) for at in AT},
    ),
    "histogram": ("histogram", {"column": ("y",), "edges": EDGES}, ("y",), "histogram", "n", between_edges),
    "crosstab": (
        "crosstab", {"row": ("g",), "column": ("event",)}, ("g", "event"), "chi_square", "chi_square", independence,
    ),
    "missing": (
        "missing", {"columns": ("y", "n"), "by": ("g",)}, ("y", "n", "g"), "missing", "present",
        lambda frame: {
            f"{group} {name}": float(count)
            for name, each in frame.groupby("g")[["y", "n"]].count().items() for group, count in each.items()
        },
    ),
    "concentration": ("concentration", {"column": ("w",)}, ("w",), "concentration", "gini", gini),
    "standardised_rates": (
        "standardised_rates",
        {
            "events": ("n",), "exposure": ("w",), "strata": ("g",), "standard": STANDARD, "by": ("event",),
            "per": ("1000",), "confidence": ("0.95",),
        },
        ("n", "w", "g", "event"), "standardised_rates", "rate", weighted_rates,
    ),
    "risk": (
        "risk",
        {"exposure": ("g",), "exposed": ("a",), "outcome": ("event",), "event": ("true",), "confidence": ("0.95",)},
        ("g", "event"), "comparison", "estimate", odds,
    ),
    "t_test": ("t_test", {**PAIR, "confidence": ("0.95",)}, ("y", "g"), "t_test", "t", welch),
    "anova": ("anova", {"column": ("y",), "by": ("g",)}, ("y", "g"), "anova", "f", variance),
    "mann_whitney": ("mann_whitney", PAIR, ("y", "g"), "mann_whitney", "u", u_statistic),
    "pearson": (
        "correlation", {"columns": ("y", "x1"), "coefficient": ("pearson",), "confidence": ("0.95",)}, ("y", "x1"),
        "correlation", "correlation", correlated("pearsonr"),
    ),
    "spearman": (
        "correlation", {"columns": ("y", "x1"), "coefficient": ("spearman",), "confidence": ("0.95",)}, ("y", "x1"),
        "correlation", "correlation", correlated("spearmanr"),
    ),
    "roc": (
        "roc", {"score": ("x1",), "outcome": ("event",), "event": ("true",), "confidence": ("0.95",)},
        ("x1", "event"), "area", "area", area,
    ),
}  # fmt: skip
