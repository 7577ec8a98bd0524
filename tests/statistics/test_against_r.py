"""R as an oracle of what libraries of Python lack or leave in doubt: glm.nb, larger Fisher tests, Mantel-Haenszel."""

import pytest

from tests.engines.statistics.r_survival import r
from tests.engines.statistics.real_rows import Rows, answer, lines, real
from tests.statistics.models import Data, column, dataset, fit, model

REL = 1e-8
GLM_NB = """
if (!requireNamespace("MASS", quietly = TRUE)) { cat("absent 1\\n"); quit() }
f <- MASS::glm.nb(FORMULA, data = d, control = glm.control(epsilon = 1e-14, maxit = 500), link = log)
tell("estimate", coef(f)); tell("theta", f$theta); tell("log_likelihood", as.numeric(logLik(f))); tell("aic", AIC(f))
"""
QUINE = {name.lower(): values for name, values in real("MASS", "quine", "Eth", "Sex", "Age", "Lrn", "Days").items()}
TERMS = (
    column("days", "integer", minimum="0"),
    *(column(name, "category", codes=sorted(set(QUINE[name]))) for name in ("eth", "sex", "age", "lrn")),
)


def glm_nb(formula: str, rows: Data) -> dict[str, list[float]]:
    found = r(GLM_NB.replace("FORMULA", formula), rows)
    if "absent" in found:
        pytest.skip("R's package MASS is not installed (apt-get install r-cran-mass)")
    return found


@pytest.mark.parametrize("formula", ["days ~ sex + age + eth + lrn", "days ~ eth * sex + lrn", "days ~ 1"])
def test_negative_binomial_is_glm_nb(formula: str) -> None:
    data = {**QUINE, "days": [int(days) for days in QUINE["days"]]}
    theirs = glm_nb(formula, data)
    found = fit(
        dataset(TERMS, ["a", "b"]), data, "negative_binomial", formula=formula, parts=[range(60), range(60, 146)]
    )
    *terms, dispersion = (line["estimate"] for line in found.tables[0].data.to_pylist())
    assert terms == pytest.approx(theirs["estimate"], rel=REL, abs=1e-9)
    assert dispersion == pytest.approx(1 / theirs["theta"][0], rel=REL)
    assert model(found)["log_likelihood"] == pytest.approx(theirs["log_likelihood"][0], rel=1e-10)
    assert model(found)["aic"] == pytest.approx(theirs["aic"][0], rel=1e-10)


@pytest.mark.parametrize(("package", "name", "row", "over"), [
    ("MASS", "birthwt", "race", "smoke"), ("survival", "veteran", "celltype", "trt"), ("MASS", "bacteria", "trt", "y"),
])  # fmt: skip
def test_fisher_and_chi_square_are_those_of_r(package: str, name: str, row: str, over: str) -> None:
    rows = {key: [f"{value}" for value in values] for key, values in real(package, name, row, over).items()}
    theirs = r(
        f"x <- table(d[['{row}']], d[['{over}']]); tell('fisher', fisher.test(x, workspace = 2e7)$p.value)\n"
        "c <- chisq.test(x, correct = FALSE); tell('chi', c(c$statistic, c$parameter, c$p.value))",
        rows,
    )
    found = answer(rows, "crosstab", row=[row], column=[over], tests=["fisher"])
    (test,) = lines(found["chi_square"])
    assert test["fisher_p_value"] == pytest.approx(theirs["fisher"][0], rel=1e-7)
    told = [test["chi_square"], test["degrees_of_freedom"], test["p_value"]]
    assert told == pytest.approx(theirs["chi"], rel=REL)


def test_the_pooled_odds_ratio_is_mantelhaen_test_s() -> None:
    births = real("MASS", "birthwt", "smoke", "low", "race")
    rows: Rows = {
        "smoke": [bool(x) for x in births["smoke"]], "low": [bool(x) for x in births["low"]],
        "race": [str(x) for x in births["race"]],
    }  # fmt: skip
    theirs = r(
        "m <- mantelhaen.test(table(d$smoke, d$low, d$race), correct = FALSE); tell('odds', c(m$estimate, m$conf.int))",
        rows,
    )
    found = answer(
        rows, "risk", exposure=["smoke"], exposed=["true"], outcome=["low"], event=["true"], by=["race"],
        confidence=["0.95"],
    )  # fmt: skip
    (pooled,) = lines(found["pooled"])
    assert [pooled["estimate"], pooled["lower"], pooled["upper"]] == pytest.approx(theirs["odds"], rel=REL)


def test_rank_tests_are_those_of_r() -> None:
    births = real("MASS", "birthwt", "lwt", "bwt", "smoke")
    rows: Rows = {**births, "smoke": [bool(x) for x in births["smoke"]]}
    theirs = r(
        "w <- wilcox.test(lwt ~ smoke == 'False', data = d, exact = FALSE)\n"
        "tell('wilcox', c(w$statistic, w$p.value)); tell('spearman', cor(d$lwt, d$bwt, method = 'spearman'))",
        rows,
    )
    found = answer(rows, "mann_whitney", column=["lwt"], by=["smoke"], levels=["true", "false"])
    (test,) = lines(found["mann_whitney"])
    assert [test["u"], test["p_value"]] == pytest.approx(theirs["wilcox"], rel=REL)
    ranks = answer(rows, "correlation", columns=["lwt", "bwt"], coefficient=["spearman"], confidence=["0.95"])
    (pair,) = lines(ranks["correlation"])
    assert pair["correlation"] == pytest.approx(theirs["spearman"][0], rel=REL)
