"""``cox`` against R's survival and statsmodels, whoever owns which rows and however they come."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpc.contract.terms import Rules
from mpc.disclosure import control
from mpc.errors import Forbidden
from mpc.results import ModelSize, RawResult, RawTable
from tests.engines.statistics.r_survival import r
from tests.engines.statistics.survival_rows import asked, drawn, people, shared_out

COVARIATES = "event ~ x + y + z + arm"
PLAIN = {
    "time": ("time",), "ties": ("efron",), "baseline": ("joint",), "variance": ("model",), "transform": ("km",),
    "residuals": ("none",), "confidence": ("0.95",),
}  # fmt: skip

RULES = Rules(
    profile="standard", threshold=10, coalition=1, zeros="release", complementary="suppress", significant_digits=6
)


def fitted(rows: Any, owners: int = 2, *, batch: int = 1000, seed: int = 0, **given: Any) -> dict[str, RawTable]:
    terms = people(owners, rows="many")
    formula = given.pop("formula", COVARIATES)
    tables = shared_out(terms, rows, batch=batch, seed=seed)
    return asked(terms, tables, "cox", formula=(formula,), **{**PLAIN, **given})


def told(table: RawTable, *names: str) -> list[list[Any]]:
    return [table.data.column(name).to_pylist() for name in names]


def close(found: Sequence[Any], expected: Sequence[float], rel: float = 1e-8) -> None:
    assert [None if math.isnan(x) else x for x in expected] == [
        None if x is None else pytest.approx(x, rel=rel, abs=1e-300) for x in found
    ]


CASES = [
    ("Surv(time, event) ~ x + y + z + arm", "efron", {}),
    ("Surv(time, event) ~ x + y + z + arm", "breslow", {"ties": ("breslow",)}),
    ("Surv(time, event) ~ x + y + z + arm + strata(site)", "efron", {"strata": ("site",), "transform": ("identity",)}),
    ("Surv(entry, time, event) ~ x + y + z + arm", "efron", {"entry": ("entry",), "transform": ("log",)}),
    ("Surv(entry, time, event) ~ x + y + arm + strata(site, z)", "efron",
     {"entry": ("entry",), "strata": ("site", "z"), "formula": "event ~ x + y + arm"}),
    ("Surv(entry, time, event) ~ x + y + z + arm", "breslow", {"entry": ("entry",), "ties": ("breslow",)}),
    ("Surv(time, event) ~ x * arm + I(y^2) + y", "efron", {"formula": "event ~ x * arm + I(y^2) + y"}),
]  # fmt: skip


def test_fits_and_tests_of_proportional_hazards_are_those_of_r() -> None:
    rows = drawn(11, 350, entry=True)
    script = "d <- d[d$time > d$entry, ]\n"
    for number, (formula, ties, given) in enumerate(CASES):
        script += f"""
            f <- coxph({formula}, d, ties="{ties}", eps=1e-14, iter.max=60); s <- summary(f, conf.int=0.9)
            z <- cox.zph(f, transform="{given.get("transform", ("km",))[0]}")$table
            tell("b{number}", s$coefficients[, 1]); tell("se{number}", s$coefficients[, 3])
            tell("p{number}", s$coefficients[, 5]); tell("lo{number}", s$conf.int[, 3])
            tell("up{number}", s$conf.int[, 4]); tell("ll{number}", f$loglik)
            tell("t{number}", c(s$logtest[1], s$waldtest[1], s$sctest[1], s$logtest[3], s$sctest[3]))
            tell("z{number}", z[, 1]); tell("zp{number}", z[, 3]); tell("n{number}", c(f$n, f$nevent))
            bands <- findInterval(residuals(f, type="deviance"), c(-2, -1, 0, 1, 2)) + 1
            tell("r{number}", tabulate(bands, 6)); tell("e{number}", sum(bands[d$event == 1] < 4))
        """
    expected = r(script, rows)
    for number, (_, _, given) in enumerate(CASES):
        # Rows that are never at risk take no part, whether or not entry is asked for, so that R sees the same.
        seen = {name: [v for v, t, e in zip(each, rows["time"], rows["entry"], strict=True) if t > e]
                for name, each in rows.items()}  # fmt: skip
        found = fitted(seen, confidence=("0.9",), residuals=("bands",), **given)
        order = _as_r_orders(found["coefficients"])
        names = ("estimate", "standard_error", "p_value", "ratio_lower", "ratio_upper")
        for key, values in zip(("b", "se", "p", "lo", "up"), told(found["coefficients"], *names), strict=True):
            close([values[i] for i in order], expected[f"{key}{number}"], 1e-7 if key == "p" else 1e-8)
        (row,) = found["models"].data.to_pylist()
        close([row["null_log_likelihood"], row["log_likelihood"]], expected[f"ll{number}"])
        tests = [row[name] for name in ("likelihood_ratio", "wald", "score", "likelihood_ratio_p", "score_p")]
        # R's summary gives Wald's statistic with two decimals.
        expected[f"t{number}"][1] = pytest.approx(expected[f"t{number}"][1], abs=0.006)
        assert tests[1] == expected[f"t{number}"][1]
        close([tests[0], *tests[2:]], [expected[f"t{number}"][i] for i in (0, 2, 3, 4)], 1e-7)
        assert [row["n"], row["events"]] == expected[f"n{number}"]
        tested = found["proportional_hazards"]
        by_term = [tested.data["term"].to_pylist().index(name) for name in _terms_as_r(tested)]
        close([told(tested, "chi_square")[0][i] for i in by_term], expected[f"z{number}"], 1e-7)
        close([told(tested, "p_value")[0][i] for i in by_term], expected[f"zp{number}"], 1e-6)
        assert told(tested, "n", "subjects") == [[row[each]] * tested.data.num_rows for each in ("n", "subjects")]
        bands = found["residuals"]
        assert told(bands, "n") == [[*expected[f"r{number}"], row["n"]]]
        below = bands.contributors["n"][-1].total.tolist()
        assert below == [*expected[f"r{number}"][:3], *expected[f"e{number}"], *expected[f"r{number}"][4:], row["n"]]


def _as_r_orders(table: RawTable) -> list[int]:
    """Return the places of the coefficients in the order of R's formula: main terms first, as they are written."""
    return sorted(range(table.data.num_rows), key=lambda i: ":" in table.data["term"][i].as_py())


def _terms_as_r(table: RawTable) -> list[str]:
    names = table.data["term"].to_pylist()
    return sorted(names, key=lambda name: (name == "(global)", ":" in name))


def test_robust_errors_are_those_of_r() -> None:
    rows = drawn(12, 300, entry=True)
    rows = {name: [v for v, t, e in zip(each, rows["time"], rows["entry"], strict=True) if t > e]
            for name, each in rows.items()}  # fmt: skip
    expected = r("""
        for (ties in c("efron", "breslow")) {
            f <- coxph(Surv(entry, time, event) ~ x + y + arm + strata(z), d, ties=ties, cluster=site, eps=1e-14)
            tell(paste0("site_", ties), sqrt(diag(f$var)))
            f <- coxph(Surv(entry, time, event) ~ x + y + arm + strata(z), d, ties=ties, cluster=pid, eps=1e-14)
            tell(paste0("pid_", ties), sqrt(diag(f$var)))
            tell(paste0("wald_", ties), f$wald.test)
        }
    """, rows)  # fmt: skip
    for ties in ("efron", "breslow"):
        given = {"entry": ("entry",), "strata": ("z",), "formula": "event ~ x + y + arm", "ties": (ties,)}
        by_site = fitted(rows, variance=("robust",), cluster=("site",), **given)
        close(told(by_site["coefficients"], "standard_error")[0], expected[f"site_{ties}"])
        # One owner: a subject's identifier means one subject, whatever two owners would call it.
        by_subject = fitted(rows, 1, variance=("robust",), **given)
        close(told(by_subject["coefficients"], "standard_error")[0], expected[f"pid_{ties}"])
        assert by_subject["models"].data["wald"][0].as_py() == pytest.approx(expected[f"wald_{ties}"][0], rel=1e-8)


@pytest.mark.parametrize("owners", [1, 2, 7, 100])
def test_splits_and_orders_change_less_than_a_billionth_of_an_error(owners: int) -> None:
    rows = drawn(13, 300, entry=True)
    given = {"entry": ("entry",), "strata": ("site",), "variance": ("robust",), "cluster": ("z",)}
    given["formula"] = "event ~ x + y + arm"
    expected, found = fitted(rows, 1, **given), fitted(rows, owners, batch=17, seed=owners, **given)
    error = np.array(told(expected["coefficients"], "standard_error")[0])
    for name in ("estimate", "standard_error", "lower", "upper"):
        one, other = (np.array(told(each["coefficients"], name)[0]) for each in (found, expected))
        assert (np.abs(one - other) <= 1e-9 * error).all()
    for table in ("models", "proportional_hazards"):
        for name in set(found[table].data.column_names[1:]) - {"subjects"}:  # of each party's own, here
            close(told(found[table], name)[0], [x or math.nan for x in told(expected[table], name)[0]], 1e-8)


def test_bands_of_residuals_do_not_tell_the_few_with_the_event_below_zero() -> None:
    draw = np.random.default_rng(23)
    x = draw.normal(size=3000)
    until = draw.exponential(np.exp(-0.3 * x))
    # Followed for so short a time that of hardly anybody more than one event is expected.
    rows = {"time": np.minimum(until, 0.5).tolist(), "event": (until < 0.5).astype(int).tolist(), "x": x.tolist()}
    found = fitted({**drawn(23, 3000), **rows}, formula="event ~ x", residuals=("bands",))
    table = found["residuals"]
    below, *bands = table.data.column("n").to_pylist()
    assert below == 0
    (events,) = told(found["models"], "events")[0]
    # Without the rule, this is who has the event and more than one expected.
    assert events - sum(bands[2:5]) == 1
    release = control(RawResult(tuple(found.values())), RULES)
    (shown,) = (each.data.column("n").to_pylist() for each in release.tables if each.name == "residuals")
    assert shown[3] is None
    assert shown.count(None) > 1
    assert shown[-1] == sum(bands[:-1])


def test_a_huge_offset_and_scale_cost_no_digits() -> None:
    rows = drawn(14, 300)
    plain = fitted(rows)
    moved = fitted({**rows, "x": [1e9 + x for x in rows["x"]], "y": [1e-7 * y for y in rows["y"]]})
    one, other = (told(each["coefficients"], "estimate", "p_value") for each in (plain, moved))
    assert moved["coefficients"].data["term"].to_pylist()[:2] == ["x", "y"]
    # 1e9 + x is x rounded to 1e-7, which is what is left to differ.
    assert other[0][0] == pytest.approx(one[0][0], rel=1e-6)
    assert other[0][1] * 1e-7 == pytest.approx(one[0][1], rel=1e-6)
    assert other[1] == pytest.approx(one[1], rel=1e-5)


def test_a_baseline_of_each_party_is_a_stratum_of_each() -> None:
    rows = drawn(15, 200)
    rows["site"] = [f"o{i % 2:03}" for i in range(200)]
    one = fitted(rows, baseline=("party",))
    other = fitted(rows, strata=("site",))
    for name in ("estimate", "standard_error"):
        close(told(one["coefficients"], name)[0], told(other["coefficients"], name)[0], 1e-12)


def test_what_the_other_terms_determine_is_left_out_and_said() -> None:
    rows = drawn(16, 150)
    rows["z"] = [2 * round(x) for x in rows["x"]]
    rows["x"] = [float(round(x)) for x in rows["x"]]
    found = fitted(rows, formula="event ~ x + z + y")
    expected = fitted(rows, formula="event ~ x + y")
    (estimates,) = told(found["coefficients"], "estimate")
    assert estimates[1] is None
    close([estimates[0], estimates[2]], told(expected["coefficients"], "estimate")[0])
    (note,) = found["notes"].data["note"].to_pylist()
    assert note.startswith("z is not estimated")
    assert found["coefficients"].models[0].parameters == 2


def test_a_covariate_that_tells_events_apart_has_no_estimate_but_words() -> None:
    rows = drawn(17, 100)
    rows["y"] = [float(e) for e in rows["event"]]
    found = fitted(rows, formula="event ~ y + x")
    assert told(found["coefficients"], "estimate") == [[None, None]]
    assert "does not converge" in found["notes"].data["note"][0].as_py()
    assert "proportional_hazards" not in found


@pytest.mark.parametrize("event", [0, None])
def test_without_events_nothing_is_estimated(event: int | None) -> None:
    rows = drawn(18, 30)
    rows["event"] = [event] * 30
    found = fitted(rows, formula="event ~ x")
    assert told(found["coefficients"], "estimate") == [[None]]
    assert "no row has the event" in found["notes"].data["note"][0].as_py()


def test_a_model_tells_on_how_much_it_rests() -> None:
    rows = drawn(19, 120)
    terms = people(2)
    found = asked(terms, shared_out(terms, rows), "cox", formula=("event ~ x + arm",), **PLAIN)
    first = [i for i in range(120) if i % 2 == 0]

    def size(chosen: Sequence[int]) -> ModelSize:
        events = sum(rows["event"][i] for i in chosen)
        arms = [sum(rows["arm"][i] == arm for i in chosen) for arm in "ABC"]
        return ModelSize(3, len(chosen), len(chosen), events - 3, min(*arms, events), events)

    (model,) = found["coefficients"].models
    assert {party: replace(left, leverage=None) for party, left in model.without.items()} == {
        "o000": size([i for i in range(120) if i not in first]),
        "o001": size(first),
    }
    whole = size(range(120))
    assert (model.observations, model.events, model.smallest_level) == (120, whole.events, whole.smallest_level)
    arms = found["coefficients"].contributors["estimate"][0]
    assert arms.total.tolist() == [120, rows["arm"].count("B"), rows["arm"].count("C")]
    assert arms.without["o000"].tolist()[1] == sum(rows["arm"][i] == "B" for i in range(120) if i % 2)


def test_statsmodels_says_the_same() -> None:
    phreg = pytest.importorskip("statsmodels.duration.hazard_regression").PHReg
    rows = drawn(20, 250, ties=False)
    found = fitted(rows, formula="event ~ x + y", ties=("breslow",))
    x = np.column_stack([rows["x"], rows["y"]])
    model = phreg(np.array(rows["time"]), x, status=np.array(rows["event"]), ties="breslow")
    fit = model.fit(method="newton", disp=0, maxiter=100, tol=1e-14)
    close(told(found["coefficients"], "estimate")[0], fit.params.tolist(), 1e-7)
    close(told(found["coefficients"], "standard_error")[0], fit.bse.tolist(), 1e-7)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"formula": "time ~ x"}, "statistics.formula.response"),
        ({"formula": "event ~ 1"}, "statistics.formula.empty"),
        ({"formula": "event ~ time"}, "statistics.repeated"),
        ({"formula": "event ~ x", "cluster": ("site",)}, "statistics.cluster"),
        ({"formula": "event ~ x + pid"}, "statistics.identifier"),
        ({"formula": "event ~ x", "ties": ("exact",)}, "statistics.option"),
        ({"formula": "event ~ x", "strata": ("x",)}, "statistics.type"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anybody_signs(given: Any, code: str) -> None:
    with pytest.raises(Forbidden, match=code.replace(".", r"\.")):
        fitted(drawn(21, 5), **given)
