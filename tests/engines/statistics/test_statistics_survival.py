"""``kaplan_meier`` and ``log_rank`` against R's survival, whoever owns which rows and however they come."""

import math
import string
from typing import Any

import numpy as np
import pytest

from mpc.errors import Forbidden
from tests.engines.statistics.r_survival import r
from tests.engines.statistics.survival_rows import asked, drawn, people, shared_out

AT = ("50", "100", "200", "365", "500")
FOLLOWED = {"time": ("time",), "event": ("event",)}


def close(found: Any, expected: Any, rel: float = 1e-8) -> None:
    for one, other in zip(found, expected, strict=True):
        if one is None or math.isnan(other):
            assert one is None, other
            assert math.isnan(other)
        else:
            assert one == pytest.approx(other, rel=rel, abs=1e-12)


@pytest.mark.parametrize(("ties", "entry"), [(True, False), (False, False), (True, True)])
def test_curves_medians_and_intervals_are_those_of_r(ties: bool, entry: bool) -> None:
    rows = drawn(5, 400, ties=ties, entry=entry)
    terms = people(rows="many" if entry else "one")
    given = {**FOLLOWED, "entry": ("entry",)} if entry else FOLLOWED
    found = asked(terms, shared_out(terms, rows), "kaplan_meier", by=("arm",), at=AT, **given)
    surv = "Surv(entry, time, event)" if entry else "Surv(time, event)"
    keep = "d <- d[d$time > d$entry, ]\n" if entry else ""
    told = r(keep + f"""
        fit <- survfit({surv} ~ arm, d, conf.type="log-log")
        s <- summary(fit, times=c({",".join(AT)}), extend=TRUE)
        tell("survival", s$surv); tell("standard_error", s$std.err); tell("lower", s$lower); tell("upper", s$upper)
        tell("at_risk", s$n.risk)
        tell("events", ave(s$n.event, s$strata, FUN=cumsum))
        q <- quantile(fit, 0.5)
        tell("median", q$quantile); tell("median_lower", q$lower); tell("median_upper", q$upper)
        tell("n", fit$n)
    """, rows)  # fmt: skip
    for table, names in (
        ("survival", ("survival", "standard_error", "lower", "upper", "at_risk", "events")),
        ("median", ("n", "median", "median_lower", "median_upper")),
    ):
        for name in names:
            close(found[table].data.column(name).to_pylist(), told[name])


def test_the_log_rank_test_is_that_of_r() -> None:
    rows = drawn(6, 300)
    terms = people()
    cases = [(by, strata) for by in ("sex", "arm") for strata in ((), ("site",), ("site", "z"))]
    script = ""
    for number, (by, strata) in enumerate(cases):
        more = f" + strata({','.join(strata)})" if strata else ""
        script += f'fit <- survdiff(Surv(time, event) ~ {by}{more}, d); tell("t{number}", c(fit$chisq, fit$pvalue))\n'
    told = r(script, rows)
    for number, (by, strata) in enumerate(cases):
        (table,) = asked(terms, shared_out(terms, rows), "log_rank", by=(by,), strata=strata, **FOLLOWED).values()
        (row,) = table.data.to_pylist()
        close([row["chi_square"], row["p_value"]], told[f"t{number}"])
        assert row["degrees_of_freedom"] == {"sex": 1, "arm": 2}[by]


@pytest.mark.parametrize("entry", [False, True])
@pytest.mark.parametrize("owners", [1, 2, 7, 100])
def test_splits_and_orders_change_nothing(owners: int, entry: bool) -> None:
    rows = drawn(7, 250, entry=entry)
    given = {**FOLLOWED, "by": ("arm",), **({"entry": ("entry",)} if entry else {})}
    whole = people(1, rows="many")
    terms = people(owners, rows="many")
    for method, more in (("kaplan_meier", {"at": AT}), ("log_rank", {})):
        expected = asked(whole, shared_out(whole, rows), method, **given, **more)
        found = asked(terms, shared_out(terms, rows, batch=11, seed=owners), method, **given, **more)
        for name, table in expected.items():
            close_tables(found[name].data, table.data)


def close_tables(found: Any, expected: Any) -> None:
    assert found.column_names == expected.column_names
    for name in found.column_names:
        one, other = found.column(name).to_pylist(), expected.column(name).to_pylist()
        assert [x is None for x in one] == [x is None for x in other]
        if isinstance(one[0], float):
            close([x for x in one if x is not None], [x for x in other if x is not None], 1e-12)


def test_steps_tell_who_is_at_risk_has_the_event_and_leaves() -> None:
    rows = drawn(8, 200)
    terms = people(2)
    table = asked(terms, shared_out(terms, rows), "kaplan_meier", at=AT, **FOLLOWED)["survival"]
    time, event = np.array(rows["time"]), np.array(rows["event"])
    steps = [float(step) for step in AT]
    assert {name for name, each in table.contributors.items() if len(each) == 3} == {m.name for m in table.measures}
    at_risk, happened, left = table.contributors["survival"]
    second = np.arange(len(time)) % 2 == 1
    before = [-1.0, *steps[:-1]]
    inside = [(time > since) & (time <= step) for since, step in zip(before, steps, strict=True)]
    assert at_risk.total.tolist() == [int((time >= step).sum()) for step in steps]
    assert happened.total.tolist() == [int((each & (event == 1)).sum()) for each in inside]
    assert left.total.tolist() == [int(each.sum()) for each in inside]
    assert left.without["o000"].tolist() == [int((each & second).sum()) for each in inside]
    assert at_risk.without["o001"].tolist() == [int(((time >= step) & ~second).sum()) for step in steps]


def test_subjects_with_several_rows_are_counted_once_a_step() -> None:
    rows = drawn(9, 60, entry=True)
    rows["pid"] = [f"p{i % 5}" for i in range(60)]
    terms = people(1, rows="many")
    found = asked(terms, shared_out(terms, rows), "kaplan_meier", at=("100", "900"), entry=("entry",), **FOLLOWED)
    assert found["survival"].contributors["survival"][0].total.tolist()[0] == 5
    assert found["median"].data.to_pylist()[0]["subjects"] == 5
    assert found["median"].contributors["median"][0].total.tolist() == [5]


def one(**values: Any) -> dict[str, list[Any]]:
    plain = {"pid": "p", "time": 5.0, "entry": 0.0, "event": 1, "died": True, "arm": "A", "sex": "f", "site": "a"}
    return {name: [value] for name, value in {**plain, "x": 1.0, "y": 1.0, "z": 1, **values}.items()}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({name: [] for name in one()}, [(0, None), (0, None)]),
        (one(), [(1, 1.0), (0, None)]),
        (one(event=0), [(1, 1.0), (0, None)]),
        (one(time=None), [(0, None), (0, None)]),
        (one(event=None), [(0, None), (0, None)]),
        (one(entry=5.0), [(0, None), (0, None)]),
        (one(time=3.0), [(1, 0.0), (0, None)]),
        (one(time=10.0), [(1, 1.0), (1, 0.0)]),
    ],
)
def test_no_rows_one_row_and_missing_values(rows: Any, expected: list[tuple[int, float | None]]) -> None:
    terms = people(1)
    found = asked(terms, shared_out(terms, rows), "kaplan_meier", at=("3", "10"), entry=("entry",), **FOLLOWED)
    table = found["survival"].data.to_pylist()
    assert [(row["at_risk"], row["survival"]) for row in table] == expected
    (test,) = asked(terms, shared_out(terms, rows), "log_rank", by=("arm",), **FOLLOWED)["log_rank"].data.to_pylist()
    assert (test["chi_square"], test["degrees_of_freedom"], test["p_value"]) == (None, 0, None)


@pytest.mark.parametrize("event", ["event", "died", "sex"])
def test_any_yes_or_no_tells_the_event(event: str) -> None:
    rows = drawn(10, 50)
    rows["sex"] = ["m" if each else "f" for each in rows["event"]]
    terms = people(1)
    (expected,) = asked(terms, shared_out(terms, rows), "log_rank", by=("arm",), **FOLLOWED).values()
    (found,) = asked(
        terms, shared_out(terms, rows), "log_rank", by=("arm",), time=("time",), event=(event,)
    ).values()  # fmt: skip
    assert found.data == expected.data


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"time": ("time",), "event": ("arm",), "at": ("1",)}, "statistics.event"),
        ({"time": ("time",), "event": ("z",), "at": ("1",)}, "statistics.event"),
        ({"time": ("time",), "event": ("event",), "entry": ("time",), "at": ("1",)}, "statistics.repeated"),
        ({"time": ("site",), "event": ("event",), "at": ("1",)}, "statistics.type"),
        ({"time": ("time",), "event": ("event",), "at": ()}, "statistics.number"),
        ({"time": ("time",), "event": ("event",), "at": ("2", "1")}, "statistics.number"),
        ({"time": ("time",), "event": ("event",), "at": ("1",), "by": ("site",)}, "statistics.type"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anybody_signs(arguments: Any, code: str) -> None:
    terms = people(1)
    with pytest.raises(Forbidden, match=code.replace(".", r"\.")):
        asked(terms, (), "kaplan_meier", **arguments)


def test_too_many_curves_are_refused() -> None:
    terms = people(1, codes=(string.ascii_letters + string.digits + "ßöä"))
    with pytest.raises(Forbidden, match=r"statistics\.groups"):
        asked(terms, (), "log_rank", by=("arm",), **FOLLOWED)
