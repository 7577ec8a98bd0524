"""Formulas: what they mean, and that everything else is refused in words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.errors import Forbidden, Refusal
from mpc.questions.statistics.formula import MOST_CHARACTERS, Formula, Variable, parse_formula
from mpc.questions.statistics.layout import MOST_COLUMNS, layout
from mpc.table.schema import Dataset
from tests.statistics.models import checked, column, dataset


@pytest.fixture(scope="module")
def terms() -> Dataset:
    return dataset(
        [
            column("y"), column("x", minimum="1"), column("z", minimum="0"), column("n", "integer", minimum="0"),
            column("event", "integer", minimum="0", maximum="1"), column("grade", "category", codes="123"),
            column("sex", "category", codes=["f", "m"]), column("treated", "boolean"), column("town", "text"),
            column("w", minimum="0.1"), column("closed", "category", codes="ab", filterable=False),
            column("many", "category", codes=[str(i) for i in range(300)]),
        ],
        ["north", "south"], identity="disjoint",
    )  # fmt: skip


def labels(text: str, terms: Dataset, parties: tuple[str, ...] = ()) -> list[str]:
    return [each.label for each in layout(parse_formula(text, terms), terms, parties)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y ~ x", ["(intercept)", "x"]),
        ("y ~ 1", ["(intercept)"]),
        ("y~x-1", ["x"]),
        ("y ~ 0 + x", ["x"]),
        ("y ~ -1 + x", ["x"]),
        ("y ~ x + x + x", ["(intercept)", "x"]),
        ("y ~ x * z", ["(intercept)", "x", "z", "x:z"]),
        ("y ~ x:z + z:x", ["(intercept)", "x:z"]),
        ("y ~ x:z + z + x", ["(intercept)", "z", "x", "x:z"]),
        ("y ~ x * z - x", ["(intercept)", "z", "x:z"]),
        ("y ~ (x + z):n", ["(intercept)", "x:n", "z:n"]),
        ("y ~ poly(x, 3)", ["(intercept)", "x", "x^2", "x^3"]),
        ("y ~ x + I(x**2) + I( x ^ 2 )", ["(intercept)", "x", "x^2"]),
        ("y ~ log(x) + sqrt(z)", ["(intercept)", "log(x)", "sqrt(z)"]),
        ("log(x) ~ z", ["(intercept)", "z"]),
        ("y ~ grade", ["(intercept)", "grade[2]", "grade[3]"]),
        ('y ~ C(grade, ref="3")', ["(intercept)", "grade[1]", "grade[2]"]),
        ('y ~ C(grade, ref="1") + grade', ["(intercept)", "grade[2]", "grade[3]"]),
        ("y ~ grade - 1", ["grade[1]", "grade[2]", "grade[3]"]),
        ("y ~ treated", ["(intercept)", "treated[true]"]),
        # As R codes them: by all levels where the term without the category is not in the model.
        ("y ~ x:sex", ["(intercept)", "x:sex[f]", "x:sex[m]"]),
        ("y ~ x + x:sex", ["(intercept)", "x", "x:sex[m]"]),
        ("y ~ sex * treated", ["(intercept)", "sex[m]", "treated[true]", "sex[m]:treated[true]"]),
        ("y ~ sex:treated", [
            "(intercept)", "sex[f]:treated[false]", "sex[f]:treated[true]", "sex[m]:treated[false]",
            "sex[m]:treated[true]",
        ]),
        ("y ~ sex + sex:treated", ["(intercept)", "sex[m]", "sex[f]:treated[true]", "sex[m]:treated[true]"]),
    ],
)  # fmt: skip
def test_what_a_formula_means(terms: Dataset, text: str, expected: list[str]) -> None:
    assert labels(text, terms) == expected


def test_an_effect_of_each_party_but_the_first(terms: Dataset) -> None:
    assert labels("y ~ x", terms, terms.owners) == ["(intercept)", "x", "party[south]"]


def test_offsets_have_no_coefficient(terms: Dataset) -> None:
    formula = parse_formula("n ~ z + offset(log(x)) + offset(y)", terms)
    assert formula.offsets == (Variable("x", "log"), Variable("y"))
    assert labels("n ~ z + offset(log(x))", terms) == ["(intercept)", "z"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "formula.spelling"), ("y", "formula.spelling"), ("y ~", "formula.spelling"), ("~ x", "formula.spelling"),
        ("y ~ x +", "formula.spelling"), ("y ~ x ~ z", "formula.spelling"), ("y ~ x z", "formula.spelling"),
        ("y ~ (x", "formula.spelling"), ("y ~ x)", "formula.spelling"), ("y ~ 2", "formula.spelling"),
        ("y ~ x; drop", "formula.spelling"), ("y ~ x.y", "formula.spelling"), ("y ~ C(grade, 2)", "formula.spelling"),
        ("y ~ 0", "formula.empty"), ("y ~ x - x - 1", "formula.empty"),
        ("y ~ exp(x)", "formula.function"), ("y ~ __import__(x)", "formula.function"),
        ("y ~ log(y)", "formula.domain"), ("y ~ log(z)", "formula.domain"), ("y ~ sqrt(y)", "formula.domain"),
        ("y ~ poly(x, 13)", "formula.power"), ("y ~ poly(x, 0)", "formula.power"), ("y ~ I(x^99999)", "formula.power"),
        ("y ~ y", "formula.response"), ("y ~ x + I(y^2)", "formula.response"), ("x ~ log(x)", "formula.response"),
        ("treated ~ treated", "formula.response"), ("y ~ x + offset(y)", "formula.response"),
        ('y ~ C(grade, ref="9")', "formula.reference"), ('y ~ grade + x:C(grade, ref="2")', "formula.reference"),
        ("y ~ x:z:n:w:event", "formula.order"), ("y ~ x:offset(z)", "formula.offset"),
        ("y ~ (((((((((x)))))))))", "formula.depth"),
        ("y ~ absent", "column"), ("y ~ town", "type"), ("y ~ pid", "identifier"), ("pid ~ x", "identifier"),
        ("y ~ C(x)", "type"), ("y ~ log(grade)", "type"), ("y ~ poly(treated, 2)", "type"),
        ("y ~ closed", "filterable"),
        ("y ~ " + " + ".join(f"x:I(z^{i}):I(n^{j})" for i in range(1, 9) for j in range(1, 10)), "formula.terms"),
        ("y ~ " + "x + " * MOST_CHARACTERS + "x", "formula.long"),
    ],
)  # fmt: skip
def test_everything_else_is_refused_in_words(terms: Dataset, text: str, code: str) -> None:
    with pytest.raises(Forbidden) as refused:
        parse_formula(text, terms)
    assert refused.value.code == f"statistics.{code}"
    assert refused.value.why
    assert refused.value.remedy


@pytest.mark.parametrize("text", ["y ~ many", "y ~ many:grade", "y ~ many * grade"])
def test_a_model_has_so_many_coefficients_at_most(terms: Dataset, text: str) -> None:
    with pytest.raises(Forbidden, match="at most 256"):
        layout(parse_formula(text, terms), terms)
    assert MOST_COLUMNS == 256


@given(st.text('yxz~+-:*^(),="C Ipolyoffset log0123grade', max_size=60))
def test_any_text_is_a_formula_or_refused(terms: Dataset, text: str) -> None:
    for each in (text, f"y ~ {text}"):
        try:
            formula = parse_formula(each, terms)
            layout(formula, terms)
        except Refusal:
            continue
        assert isinstance(formula, Formula)
        assert formula.terms


@pytest.mark.parametrize(
    ("method", "formula"),
    [
        ("linear", "grade ~ x"), ("linear", "treated ~ x"), ("logistic", "y ~ x"), ("logistic", "grade ~ x"),
        ("logistic", "n ~ x"), ("poisson", "y ~ x"), ("poisson", "treated ~ x"), ("negative_binomial", "w ~ x"),
        ("linear", "y ~ offset(x)"),
    ],
)  # fmt: skip
def test_a_method_explains_columns_of_its_kind(terms: Dataset, method: str, formula: str) -> None:
    with pytest.raises(Forbidden, match="formula"):
        checked(terms, method, formula=formula)


@pytest.mark.parametrize("response", ["treated", "sex", "event"])
def test_binary_outcomes(terms: Dataset, response: str) -> None:
    assert checked(terms, "logistic", formula=f"{response} ~ x").sentence.startswith("Logistic regression")


def test_what_is_read_and_what_is_told(terms: Dataset) -> None:
    found = checked(terms, "linear", formula="y ~ log(x) * grade", weights="w", errors="HC3", parties="left_out")
    used = {(use.column, use.role) for use in found.uses}
    assert used == {
        ("y", "aggregated"), ("x", "aggregated"), ("w", "aggregated"), ("grade", "grouped"), ("grade", "returned"),
        ("pid", "counted"),
    }  # fmt: skip
    assert found.sentence == (
        "Linear regression, weighted by w with HC3 standard errors of y ~ log(x) * grade over the rows of rows that "
        "miss no value: 6 coefficients with standard errors and 95 % confidence intervals, for all, for each party "
        "alone and for all but each, with how much they differ."
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"weights": "z"}, "weights"), ({"weights": "y"}, "weights"), ({"weights": "x"}, "weights"),
        ({"errors": "HC2"}, "option"), ({"parties": "all"}, "option"), ({"confidence": "1"}, "number"),
        ({"formula": ("y ~ x", "y ~ z")}, "formula"), ({"parties": "effects", "formula": "y ~ x - 1"}, "parties"),
    ],
)  # fmt: skip
def test_arguments_that_a_model_does_not_take(terms: Dataset, arguments: Any, code: str) -> None:
    with pytest.raises(Forbidden) as refused:
        checked(terms, "linear", **{"formula": "y ~ x", **arguments})
    assert refused.value.code == f"statistics.{code}"


def test_an_option_that_is_left_out_is_told_as_that(terms: Dataset) -> None:
    with pytest.raises(Forbidden, match="errors is not stated"):
        checked(terms, "linear", formula="y ~ x", errors=())


def test_parties_are_compared_where_there_are_some() -> None:
    alone = dataset([column("y"), column("x")])
    with pytest.raises(Forbidden, match="one owner"):
        checked(alone, "linear", formula="y ~ x", parties="compared")
    crowd = dataset([column("y"), column("x")], [f"p{i}" for i in range(33)])
    with pytest.raises(Forbidden, match="at most 32"):
        checked(crowd, "linear", formula="y ~ x", parties="left_out")
