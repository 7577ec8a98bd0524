"""Cases of ``benchmarks/methods.py`` that fit models: against statsmodels and scikit-learn."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from rows import PREDICTORS

if TYPE_CHECKING:
    from pandas import DataFrame

Found = dict[str, float]
Plain = tuple[str, Mapping[str, tuple[str, ...]], tuple[str, ...], str, str, Callable[[Any], Found]]


def ols(errors: str) -> Callable[["DataFrame"], Found]:
    """Return least squares by statsmodels."""

    def fit(frame: "DataFrame") -> Found:
        import statsmodels.formula.api as smf  # noqa: PLC0415 - only their side pays for it

        terms = " + ".join(name for name in frame.columns if name.startswith("x"))
        groups = " + g" if "g" in frame.columns else ""
        fitted = smf.ols(f"y ~ {terms}{groups}", frame).fit(cov_type=errors)
        return {"(intercept)": fitted.params["Intercept"], "x1": fitted.params["x1"], "x2": fitted.params["x2"]}

    return fit


def wls(frame: "DataFrame") -> Found:
    """Return weighted least squares by statsmodels."""
    import statsmodels.formula.api as smf  # noqa: PLC0415 - only their side pays for it

    fitted = smf.wls("y ~ x1 + x2 + x3 + g", frame, weights=frame["w"]).fit()
    return {"(intercept)": fitted.params["Intercept"], "x1": fitted.params["x1"]}


def least_squares(frame: "DataFrame") -> Found:
    """Return least squares by scikit-learn, which gives no standard errors."""
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - only their side pays for it

    fitted = LinearRegression().fit(frame[list(PREDICTORS)].to_numpy(), frame["y"].to_numpy())
    return {"(intercept)": float(fitted.intercept_), "x1": float(fitted.coef_[0])}


def logit(frame: "DataFrame") -> Found:
    """Return a logistic regression by statsmodels."""
    import statsmodels.formula.api as smf  # noqa: PLC0415 - only their side pays for it

    fitted = smf.logit("event ~ x1 + x2 + x3 + g", frame.assign(event=frame["event"].astype(float))).fit(disp=0)
    return {"(intercept)": fitted.params["Intercept"], "x1": fitted.params["x1"]}


def logit_sklearn(frame: "DataFrame") -> Found:
    """Return a logistic regression by scikit-learn, which gives no standard errors."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - only their side pays for it

    x = frame[["x1", "x2", "x3"]].to_numpy()
    fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(x, frame["event"].to_numpy())
    return {"(intercept)": float(fitted.intercept_[0]), "x1": float(fitted.coef_[0][0])}


def counts(kind: str) -> Callable[["DataFrame"], Found]:
    """Return a Poisson or negative binomial regression by statsmodels."""

    def fit(frame: "DataFrame") -> Found:
        import statsmodels.formula.api as smf  # noqa: PLC0415 - only their side pays for it

        fitted = getattr(smf, kind)("n ~ x1 + x2 + x3 + g", frame).fit(disp=0, method="newton", maxiter=100)
        return {"(intercept)": fitted.params["Intercept"], "x1": fitted.params["x1"]}

    return fit


def model(formula: str, **arguments: str) -> dict[str, tuple[str, ...]]:
    """Return the arguments of a regression."""
    plain = {"formula": formula, "residuals": "none", "parties": "pooled", "confidence": "0.95", **arguments}
    return {name: (value,) for name, value in plain.items()}


FEW = ("x1", "x2", "x3", "g")
TERMS = "x1 + x2 + x3 + g"
LINEAR_20 = model(f"y ~ {' + '.join(PREDICTORS)}", errors="classical")
_ESTIMATES = ("coefficients", "estimate")

CASES: Mapping[str, Plain] = {
    "linear": ("linear", model(f"y ~ {TERMS}", errors="classical"), ("y", *FEW), *_ESTIMATES, ols("nonrobust")),
    "linear_hc3": ("linear", model(f"y ~ {TERMS}", errors="HC3"), ("y", *FEW), *_ESTIMATES, ols("HC3")),
    "linear_weighted": (
        "linear", model(f"y ~ {TERMS}", errors="classical", weights="w"), ("y", "w", *FEW), *_ESTIMATES, wls,
    ),
    "linear_20": ("linear", LINEAR_20, ("y", *PREDICTORS), *_ESTIMATES, ols("nonrobust")),
    "linear_20_sklearn": ("linear", LINEAR_20, ("y", *PREDICTORS), *_ESTIMATES, least_squares),
    "logistic": ("logistic", model(f"event ~ {TERMS}"), ("event", *FEW), *_ESTIMATES, logit),
    "logistic_sklearn": (
        "logistic", model("event ~ x1 + x2 + x3"), ("event", "x1", "x2", "x3"), *_ESTIMATES, logit_sklearn,
    ),
    "poisson": ("poisson", model(f"n ~ {TERMS}"), ("n", *FEW), *_ESTIMATES, counts("poisson")),
    "negative_binomial": (
        "negative_binomial", model(f"n ~ {TERMS}"), ("n", *FEW), *_ESTIMATES, counts("negativebinomial"),
    ),
}  # fmt: skip
