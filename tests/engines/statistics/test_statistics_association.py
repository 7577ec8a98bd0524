"""Association methods against scipy, statsmodels and scikit-learn on real data, to 1e-8 relative."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve
from statsmodels.stats.contingency_tables import StratifiedTable, Table2x2
from statsmodels.stats.proportion import confint_proportions_2indep
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from mpc.contract.terms import Rules
from mpc.disclosure import control
from mpc.engines.statistics.fisher import fisher_exact
from mpc.errors import Exhausted, Forbidden
from mpc.results import RawResult, RawTable
from tests.engines.statistics.real_rows import Rows, answer, lines, real

CONFIDENCE = ["0.95"]


def close(value: float) -> Any:
    return pytest.approx(float(value), rel=1e-8)


@pytest.fixture(scope="module")
def births() -> Rows:
    rows = dict(real("MASS", "birthwt", "low", "smoke", "race", "age", "lwt", "bwt"))
    rows["low"] = [value == 1 for value in rows["low"]]
    rows["smoke"] = [value == 1 for value in rows["smoke"]]
    rows["race"] = [str(value) for value in rows["race"]]
    return rows


@pytest.fixture(scope="module")
def air() -> Rows:
    rows = dict(real("datasets", "airquality", "Ozone", "Wind", "Temp", "Month"))
    return {
        "ozone": rows["Ozone"], "wind": rows["Wind"], "temp": rows["Temp"], "month": [str(m) for m in rows["Month"]]
    }  # fmt: skip


def split(rows: Rows, value: str, by: str, level: Any) -> np.ndarray:
    return np.array([v for v, g in zip(rows[value], rows[by], strict=True) if v is not None and g == level], float)


def test_welch(births: Rows) -> None:
    found = answer(births, "t_test", column=["bwt"], by=["smoke"], levels=["false", "true"], confidence=CONFIDENCE)
    (line,) = lines(found["t_test"])
    pair = [split(births, "bwt", "smoke", level) for level in (False, True)]
    expected = stats.ttest_ind(*pair, equal_var=False)
    assert (line["t"], line["p_value"]) == (close(expected.statistic), close(expected.pvalue))
    assert line["degrees_of_freedom"] == close(expected.df)
    low, high = CompareMeans(*map(DescrStatsW, pair)).tconfint_diff(usevar="unequal")
    assert (line["lower"], line["upper"]) == (close(low), close(high))
    for own, group in zip(lines(found["groups"]), pair, strict=True):
        assert (own["n"], own["mean"], own["sd"]) == (len(group), close(group.mean()), close(group.std(ddof=1)))


def test_anova(air: Rows) -> None:
    found = answer(air, "anova", column=["ozone"], by=["month"])
    groups = [split(air, "ozone", "month", str(month)) for month in range(5, 10)]
    expected = stats.f_oneway(*groups)
    between, within = lines(found["anova"])
    assert (between["f"], between["p_value"]) == (close(expected.statistic), close(expected.pvalue))
    assert (between["degrees_of_freedom"], within["degrees_of_freedom"]) == (4, sum(map(len, groups)) - 5)


@pytest.mark.parametrize("levels", [("5", "8"), ("9", "6")])
def test_mann_whitney(air: Rows, levels: Sequence[str]) -> None:
    found = answer(air, "mann_whitney", column=["ozone"], by=["month"], levels=levels)
    pair = [split(air, "ozone", "month", level) for level in levels]
    expected = stats.mannwhitneyu(*pair, method="asymptotic")
    (line,) = lines(found["mann_whitney"])
    assert (line["u"], line["p_value"]) == (close(expected.statistic), close(expected.pvalue))
    assert line["probability"] == close(expected.statistic / len(pair[0]) / len(pair[1]))


@pytest.mark.parametrize("coefficient", ["pearson", "spearman"])
def test_correlation(air: Rows, coefficient: str) -> None:
    found = answer(
        air, "correlation", columns=["ozone", "wind", "temp"], coefficient=[coefficient], confidence=CONFIDENCE
    )
    whole = np.array(
        [each for each in zip(*(air[n] for n in ("ozone", "wind", "temp")), strict=True) if None not in each]
    )
    names = ["ozone", "wind", "temp"]
    for line in lines(found["correlation"]):
        pair = whole[:, names.index(line["first"])], whole[:, names.index(line["second"])]
        expected = stats.pearsonr(*pair) if coefficient == "pearson" else stats.spearmanr(*pair)
        assert (line["n"], line["correlation"]) == (len(whole), close(expected.statistic))
        assert line["p_value"] == close(expected.pvalue)
        interval = stats.pearsonr(
            *(pair if coefficient == "pearson" else map(stats.rankdata, pair))
        ).confidence_interval()
        assert (line["lower"], line["upper"]) == (close(interval.low), close(interval.high))


def test_correlation_by_groups_is_each_group_s_own(air: Rows) -> None:
    found = answer(
        air, "correlation", columns=["wind", "temp"], by=["month"], coefficient=["spearman"], confidence=CONFIDENCE
    )
    for line in lines(found["correlation"]):
        if line["month"] is not None:
            pair = split(air, "wind", "month", line["month"]), split(air, "temp", "month", line["month"])
            assert line["correlation"] == close(stats.spearmanr(*pair).statistic)


def cells(rows: Rows, race: str | None = None) -> list[list[int]]:
    pairs = [(s, o) for s, o, r in zip(rows["smoke"], rows["low"], rows["race"], strict=True) if race in {None, r}]
    return [[sum(pair == (s, o) for pair in pairs) for o in (True, False)] for s in (True, False)]


def test_risk(births: Rows) -> None:
    found = answer(
        births, "risk", exposure=["smoke"], exposed=["true"], outcome=["low"], event=["true"], confidence=CONFIDENCE
    )
    table = Table2x2(np.array(cells(births)), shift_zeros=False)
    each = {line["measure"]: line for line in lines(found["comparison"])}
    for name, estimate, interval, p_value in (
        ("odds_ratio", table.oddsratio, table.oddsratio_confint(), table.oddsratio_pvalue()),
        ("relative_risk", table.riskratio, table.riskratio_confint(), table.riskratio_pvalue()),
    ):
        assert each[name]["estimate"] == close(estimate)
        assert (each[name]["lower"], each[name]["upper"]) == (close(interval[0]), close(interval[1]))
        assert each[name]["p_value"] == close(p_value)
    (a, b), (c, d) = cells(births)
    low, high = confint_proportions_2indep(a, a + b, c, c + d, method="wald", compare="diff")
    assert (each["risk_difference"]["lower"], each["risk_difference"]["upper"]) == (close(low), close(high))
    exposed, others = lines(found["risks"])
    assert (exposed["n"], exposed["events"], others["events"], others["risk"]) == (a + b, a, c, close(c / (c + d)))


def test_risk_over_strata(births: Rows) -> None:
    found = answer(
        births, "risk", exposure=["smoke"], exposed=["true"], outcome=["low"], event=["true"], by=["race"],
        confidence=CONFIDENCE,
    )  # fmt: skip
    strata = [np.array(cells(births, race)) for race in "123"]
    expected = StratifiedTable([each.astype(float) for each in strata])
    (pooled,) = lines(found["pooled"])
    assert pooled["estimate"] == close(expected.oddsratio_pooled)
    assert (pooled["lower"], pooled["upper"]) == tuple(map(close, expected.oddsratio_pooled_confint()))
    shown = {(line["race"], line["measure"]): line["estimate"] for line in lines(found["comparison"])}
    for race, own in zip("123", strata, strict=True):
        assert shown[race, "odds_ratio"] == close(Table2x2(own).oddsratio)


def delong(events: np.ndarray, others: np.ndarray) -> float:
    wins = (events[:, None] > others).astype(float) + 0.5 * (events[:, None] == others)
    return float(np.sqrt(wins.mean(axis=1).var(ddof=1) / len(events) + wins.mean(axis=0).var(ddof=1) / len(others)))


def test_roc(births: Rows) -> None:
    thresholds = ["100", "120", "140"]
    found = answer(
        births, "roc", score=["lwt"], outcome=["low"], event=["false"], thresholds=thresholds, confidence=CONFIDENCE
    )
    truth, score = [not low for low in births["low"]], births["lwt"]
    (area,) = lines(found["area"])
    assert area["area"] == close(roc_auc_score(truth, score))
    pair = [split(births, "lwt", "low", level) for level in (False, True)]
    assert area["standard_error"] == close(delong(*pair))
    false, true, steps = roc_curve(truth, score, drop_intermediate=False)
    for line in lines(found["roc"]):
        place = int(np.flatnonzero(steps >= line["threshold"])[-1])
        assert (line["true_positive_rate"], line["false_positive_rate"]) == (close(true[place]), close(false[place]))


def test_points_of_a_curve_tell_nothing_of_the_few_between_them() -> None:
    rows = {"score": [float(i % 50) for i in range(400)], "ill": [i % 2 == 0 for i in range(400)]}
    found = answer(
        rows, "roc", score=["score"], outcome=["ill"], event=["true"], thresholds=["10", "11", "30"],
        confidence=CONFIDENCE,
    )  # fmt: skip
    rules = Rules(
        profile="standard", threshold=10, coalition=1, zeros="release", complementary="suppress", significant_digits=6
    )
    release = control(RawResult(tuple(found.values())), rules)
    assert found["roc"].data.column("true_positive_rate").null_count == 0
    curve = release.tables[1].data.to_pydict()
    shown = dict(zip(curve["threshold"], curve["true_positive_rate"], strict=True))
    # Between 10 and 11 lie 8 with the outcome and none without it.
    assert shown == {10.0: 0.8, 11.0: None, 30.0: 0.4}


BY_SMOKE: Mapping[str, Sequence[str]] = {"by": ["smoke"], "levels": ["true", "false"]}
RISK: Mapping[str, Sequence[str]] = {
    "exposure": ["smoke"], "exposed": ["true"], "outcome": ["low"], "event": ["true"], "confidence": CONFIDENCE,
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "table", "arguments"),
    [
        ("crosstab", "chi_square", {"row": ["race"], "column": ["low"]}),
        ("t_test", "t_test", {"column": ["bwt"], "confidence": CONFIDENCE, **BY_SMOKE}),
        ("mann_whitney", "mann_whitney", {"column": ["bwt"], **BY_SMOKE}),
        ("anova", "fit", {"column": ["bwt"], "by": ["race"]}),
        ("risk", "comparison", RISK),
        ("risk", "pooled", {**RISK, "by": ["race"]}),
    ],
)  # fmt: skip
def test_a_test_tells_its_rows_and_subjects_unless_something_beside_it_is_withheld(
    births: Rows, method: str, table: str, arguments: Any
) -> None:
    found = answer({name: [*values] * 20 for name, values in births.items()}, method, **arguments)
    everybody = 20 * len(births["bwt"])
    assert {(line["n"], line["subjects"]) for line in lines(found[table])} == {(everybody, everybody)}
    assert released(found, table, 10) == {everybody}
    # The smallest of the other cells has fewer.
    assert released(found, table, 1400) == {None}


def released(found: Mapping[str, RawTable], table: str, threshold: int) -> set[int | None]:
    rules = Rules(
        profile="standard", threshold=threshold, coalition=1, zeros="release", complementary="suppress",
        significant_digits=6,
    )  # fmt: skip
    tables = control(RawResult(tuple(found.values())), rules).tables
    shown = next((each.data for each in tables if each.name == table), None)
    return {None} if shown is None or not shown.num_rows else set(shown.column("subjects").to_pylist())


def test_a_threshold_tells_who_has_a_score_of_it_or_more(births: Rows) -> None:
    found = answer(
        births, "roc", score=["lwt"], outcome=["low"], event=["false"], thresholds=["100", "140"], confidence=CONFIDENCE
    )
    reached = [sum(weight >= least for weight in births["lwt"]) for least in (100, 140)]
    assert [(line["n"], line["subjects"]) for line in lines(found["roc"])] == [(many, many) for many in reached]


def test_a_threshold_tells_nobody_where_one_class_has_few(births: Rows) -> None:
    found = answer(
        {name: [*values] * 20 for name, values in births.items()}, "roc", score=["lwt"], outcome=["low"],
        event=["false"], thresholds=["100", "140"], confidence=CONFIDENCE,
    )  # fmt: skip
    reached = {20 * sum(weight >= least for weight in births["lwt"]) for least in (100, 140)}
    assert released(found, "roc", 10) == reached
    assert released(found, "roc", min(reached)) == {None}  # enough in all, and of either class alone too few


def test_a_huge_offset_changes_no_test(births: Rows) -> None:
    moved = {**births, "bwt": [value + 1e9 for value in births["bwt"]]}
    asked = {"column": ["bwt"], "by": ["smoke"], "levels": ["true", "false"], "confidence": CONFIDENCE}
    (here,), (there,) = (lines(answer(rows, "t_test", **asked)["t_test"]) for rows in (births, moved))
    for name in ("difference", "t", "p_value", "lower"):
        assert there[name] == pytest.approx(here[name], rel=1e-12)


@given(st.lists(st.integers(0, 40), min_size=4, max_size=4))
@settings(max_examples=200, deadline=None)
def test_fisher_of_two_by_two_is_scipy_s(counts: list[int]) -> None:
    table = np.array(counts).reshape(2, 2)
    found = fisher_exact(table)
    if found is None:
        assert min(*table.sum(axis=0), *table.sum(axis=1)) == 0
    else:
        assert found == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-8)


def test_fisher_of_two_by_two_holds_for_very_many_rows() -> None:
    table = np.array([[2_000_500, 1_999_000], [1_998_700, 2_001_100]])
    assert fisher_exact(table) == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-7)


def every_table(rows: list[int], columns: list[int]) -> list[list[list[int]]]:
    if len(columns) == 1:
        return [[rows]]
    found = []
    for first in np.ndindex(*(r + 1 for r in rows)):
        if sum(first) == columns[0]:
            rest = every_table([r - f for r, f in zip(rows, first, strict=True)], columns[1:])
            found += [[list(first), *others] for others in rest]
    return found


@pytest.mark.parametrize("table", [[[3, 0, 2], [0, 4, 1]], [[1, 3, 0], [2, 0, 2], [0, 1, 3]], [[2, 2], [0, 3], [4, 0]]])
def test_larger_fisher_is_the_sum_over_every_table(table: list[list[int]]) -> None:
    from math import factorial, prod  # noqa: PLC0415

    counts = np.array(table)
    own = prod(factorial(int(cell)) for cell in counts.ravel())
    all_tables = every_table(counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist())
    weights = [1 / prod(factorial(cell) for column in each for cell in column) for each in all_tables]
    expected = sum(w for w in weights if w <= 1 / own * (1 + 1e-7)) / sum(weights)
    assert fisher_exact(counts) == pytest.approx(expected, rel=1e-9)


def test_a_table_that_would_take_too_long_refuses() -> None:
    with pytest.raises(Exhausted, match=r"statistics\.fisher"):
        fisher_exact(np.full((5, 5), 20))


@pytest.mark.parametrize(
    ("method", "arguments", "code"),
    [
        ("t_test", {"column": ["bwt"], "by": ["race"], "levels": ["1", "9"], "confidence": CONFIDENCE}, "level"),
        ("t_test", {"column": ["bwt"], "by": ["race"], "levels": ["1"], "confidence": CONFIDENCE}, "level"),
        ("t_test", {"column": ["bwt"], "by": ["race"], "levels": ["1", "2"]}, "number"),
        ("t_test", {"column": ["bwt"], "by": ["race"], "levels": ["1", "2"], "confidence": ["0.950"]}, "number"),
        ("t_test", {"column": ["bwt"], "by": ["race"], "levels": ["1", "2"], "confidence": ["1"]}, "number"),
        ("correlation", {"columns": ["bwt", "age"], "coefficient": ["kendall"], "confidence": CONFIDENCE}, "option"),
        ("crosstab", {"row": ["race"], "column": ["smoke"], "tests": ["exact"]}, "option"),
        (
            "risk",
            {
                "exposure": ["smoke"], "exposed": ["true"], "outcome": ["smoke"], "event": ["true"],
                "confidence": CONFIDENCE,
            },
            "repeated",
        ),
    ],
)  # fmt: skip
def test_what_a_method_does_not_take_is_refused(births: Rows, method: str, arguments: Any, code: str) -> None:
    with pytest.raises(Forbidden) as refused:
        answer(births, method, **arguments)
    assert refused.value.code == f"statistics.{code}"
