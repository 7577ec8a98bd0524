import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.errors import Forbidden
from mpc.questions.parameters import check_parameters
from mpc.questions.terms import Parameter


def parameter(kind: Any, **domain: Any) -> Parameter:
    ends = {"allowed": None, "minimum": None, "maximum": None} | domain
    return Parameter(name="p", description="p", type=kind, **ends)


RANGE = {"minimum": "-5", "maximum": "10.5"}


@pytest.mark.parametrize(("declared", "text", "value"), [
    (parameter("integer", **RANGE), "10", 10),
    (parameter("integer", **RANGE), "-5", -5),
    (parameter("float", **RANGE), "10.5", 10.5),
    (parameter("decimal", **RANGE), "0.25", Decimal("0.25")),
    (parameter("boolean"), "true", True),
    (parameter("boolean", allowed=("false",)), "false", False),
    (parameter("text", allowed=("a b",)), "a b", "a b"),
    (parameter("category", allowed=("x", "y")), "y", "y"),
    (parameter("date", allowed=("2026-01-31",)), "2026-01-31", dt.date(2026, 1, 31)),
    (parameter("timestamp", allowed=("2026-01-31T00:00:00Z",)), "2026-01-31T00:00:00Z",
        dt.datetime(2026, 1, 31, tzinfo=dt.UTC)),
])  # fmt: skip
def test_a_value_in_the_domain_is_typed(declared: Parameter, text: str, value: object) -> None:
    assert check_parameters((declared,), {"p": text}) == {"p": value}


@pytest.mark.parametrize(("declared", "text", "code"), [
    (parameter("integer", **RANGE), "11", "domain"),
    (parameter("integer", **RANGE), "-6", "domain"),
    (parameter("float", **RANGE), "10.6", "domain"),
    (parameter("integer"), "1", "domain"),
    (parameter("text"), "anything", "domain"),
    (parameter("integer", minimum="0"), "1", "domain"),
    (parameter("boolean", allowed=("false",)), "true", "domain"),
    (parameter("category", allowed=("x",)), "X", "domain"),
    (parameter("integer", **RANGE), "1.0", "type"),
    (parameter("integer", **RANGE), "+1", "type"),
    (parameter("integer", **RANGE), "01", "type"),
    (parameter("integer", **RANGE), " 1", "type"),
    (parameter("integer", **RANGE), "1_0", "type"),
    (parameter("integer", **RANGE), "\u0661", "type"),
    (parameter("integer", **RANGE), str(2**63), "type"),
    (parameter("float", **RANGE), "nan", "type"),
    (parameter("float", **RANGE), "1e3", "type"),
    (parameter("decimal", **RANGE), "Infinity", "type"),
    (parameter("boolean"), "TRUE", "type"),
    (parameter("date", allowed=("2026-02-31",)), "2026-02-31", "type"),
    (parameter("timestamp", allowed=("2026-01-31",)), "2026-01-31", "type"),
])  # fmt: skip
def test_a_value_outside_of_the_domain_or_type_is_refused(declared: Parameter, text: str, code: str) -> None:
    with pytest.raises(Forbidden) as refused:
        check_parameters((declared,), {"p": text})
    assert refused.value.code == f"parameters.{code}"
    assert refused.value.field == "p"


def test_exactly_the_declared_parameters_are_given() -> None:
    declared = parameter("boolean")
    for values, code in (({}, "missing"), ({"p": "true", "q": "1"}, "unknown"), ({"q": "1"}, "missing")):
        with pytest.raises(Forbidden) as refused:
            check_parameters((declared,), values)
        assert refused.value.code == f"parameters.{code}"
    assert check_parameters((), {}) == {}


@given(st.text(max_size=40), st.sampled_from(["integer", "float", "decimal", "boolean", "text", "date", "timestamp"]))
def test_any_text_is_in_the_domain_or_refused(text: str, kind: Any) -> None:
    try:
        value = check_parameters((parameter(kind, **RANGE),), {"p": text})["p"]
    except Forbidden:
        return
    assert kind == "boolean" or -5 <= value <= 10.5  # type: ignore[operator]
