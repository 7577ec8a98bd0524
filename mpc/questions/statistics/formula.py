"""Model formulas in Wilkinson and Rogers' notation (1973), parsed and never evaluated.

    y ~ a + b              terms add up; the intercept 1 is implied, `- 1` or `+ 0` takes it away
    a:b                    the product of terms; a * b is a + b + a:b; (a + b):c is a:c + b:c
    grade                  a category or boolean stands for its levels, as does C(grade); C(grade, ref="2") names
                           the level that the others are compared with, else it is the first of the codebook
    poly(x, 3)             x + I(x^2) + I(x^3); I(x^2) is one power
    log(x), sqrt(x)        of columns whose declared minimum makes them meaningful
    offset(log(x))         a part of the prediction whose coefficient is 1

Names are columns of the dataset and nothing else. Interactions code a category against its reference level when the
term without it is in the model too, else by all of its levels, as R does.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Literal

from mpc.errors import Forbidden
from mpc.questions.statistics.method import DECLARED, NUMBERS, Columns, forbidden, levels, spelled
from mpc.questions.uses import Role
from mpc.table.schema import Column, ColumnType, Dataset

MOST_CHARACTERS = 2_000
MOST_TERMS = 64
MOST_POWER = 12
MOST_ORDER = 4  # atoms in one term
MOST_DEPTH = 8

Transform = Literal["identity", "log", "sqrt"]
_TRANSFORMS: dict[str, Transform] = {"log": "log", "sqrt": "sqrt"}


@dataclass(frozen=True, order=True)
class Variable:
    """A numeric column, or its logarithm or square root."""

    column: str
    transform: Transform = "identity"

    @property
    def label(self) -> str:
        """How the variable is written in a formula."""
        return self.column if self.transform == "identity" else f"{self.transform}({self.column})"


@dataclass(frozen=True, order=True)
class Power:
    """A positive whole power of a variable."""

    variable: Variable
    exponent: int = 1

    @property
    def label(self) -> str:
        """The power as result tables name it: ``x^2``."""
        return self.variable.label if self.exponent == 1 else f"{self.variable.label}^{self.exponent}"


@dataclass(frozen=True, order=True)
class Factor:
    """A category or boolean by its levels; ``reference`` None is the first of the codebook."""

    column: str
    reference: str | None = None


Term = tuple[Power | Factor, ...]
"""A product of different atoms, in the order in which they are written; the empty one is the intercept."""
INTERCEPT: Term = ()


@dataclass(frozen=True)
class Formula:
    """A formula that fits its dataset. ``terms`` begin with the intercept, if there is one; lower orders come first."""

    response: Variable
    terms: tuple[Term, ...]
    offsets: tuple[Variable, ...]

    @property
    def has_intercept(self) -> bool:
        """Whether the intercept is among the terms."""
        return INTERCEPT in self.terms

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Every factor of the terms, once."""
        return tuple(dict.fromkeys(atom for term in self.terms for atom in term if isinstance(atom, Factor)))

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Every variable of the terms, once."""
        powers = (atom for term in self.terms for atom in term if isinstance(atom, Power))
        return tuple(dict.fromkeys(power.variable for power in powers))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, once, the response first."""
        numbers = (self.response, *self.variables, *self.offsets)
        return tuple(dict.fromkeys([*(each.column for each in numbers), *(each.column for each in self.factors)]))


def parse_formula(text: str, dataset: Dataset) -> Formula:
    """Return the formula that ``text`` spells over the columns of ``dataset``, or raise ``Forbidden``."""
    if len(text) > MOST_CHARACTERS:
        raise _refused("long", "a formula is too long", "its size is bounded", f"use {MOST_CHARACTERS} characters")
    formula = _Parser(_tokens(text), dataset).formula()
    if any(formula.response.column == variable.column for variable in (*formula.variables, *formula.offsets)):
        raise _refused(
            "response", "a formula explains a column by itself", "the response stands on both sides of ~",
            "take it out of the right side",
        )  # fmt: skip
    references: dict[str, str | None] = {}
    for factor in formula.factors:
        if references.setdefault(factor.column, factor.reference) != factor.reference:
            raise _refused(
                "reference", f"{factor.column} has two reference levels", "a model compares with one",
                "name the same reference wherever the column stands",
            )  # fmt: skip
        if factor.column == formula.response.column:
            raise _refused("response", "a formula explains a column by itself", "it is on both sides", "take it out")
    return formula


_TOKEN = re.compile(r'\s*(?:([A-Za-z_][A-Za-z0-9_]*)|([0-9]+)|"([^"\\]*)"|(\*\*|[-~+*:^(),=]))')

Token = tuple[Literal["name", "number", "text", "mark", "end"], str]


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    text = text.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _refused(
                "spelling", "a formula has a sign that means nothing in it", f"character {at + 1} cannot be read",
                "use names of columns, numbers, and ~ + - : * ^ ( ) , only",
            )  # fmt: skip
        at = found.end()
        name, number, quoted, mark = found.groups()
        if name is not None:
            tokens.append(("name", name))
        elif number is not None:
            tokens.append(("number", number))
        elif quoted is not None:
            tokens.append(("text", quoted))
        else:
            tokens.append(("mark", "^" if mark == "**" else mark))
    return [*tokens, ("end", "")]


class _Parser:
    """Recursive descent: sum, product, interaction, atom. Every one returns terms, in order and each once."""

    def __init__(self, tokens: list[Token], dataset: Dataset) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._dataset = dataset
        self._offsets: list[Variable] = []

    def formula(self) -> Formula:
        response = self._response()
        self._expect("~")
        terms = self._sum([INTERCEPT])
        if self._next != ("end", ""):
            raise self._unread()
        if not terms:
            raise _refused("empty", "a formula has nothing right of ~", "a model has a term", "write y ~ 1 at least")
        ordered = sorted(terms, key=len)  # stable: lower orders first, as they are written
        return Formula(response, tuple(ordered), tuple(dict.fromkeys(self._offsets)))

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += token[0] != "end"
        return token

    def _is(self, mark: str) -> bool:
        if self._next != ("mark", mark):
            return False
        self._at += 1
        return True

    def _expect(self, mark: str) -> None:
        if not self._is(mark):
            raise self._unread(mark)

    def _unread(self, expected: str | None = None) -> Forbidden:
        return forbidden(
            "formula.spelling", "a formula cannot be read", why="a sign stands where another is expected",
            remedy="write it like y ~ a + b + a:b", field="formula",
            expected=expected or "+, -, :, * or the end", found=self._next[1] or "the end",
        )  # fmt: skip

    def _response(self) -> Variable:
        name = self._name()
        if self._next == ("mark", "("):
            return self._function_of(name)
        self._column(name, NUMBERS | DECLARED)
        return Variable(name)

    def _sum(self, terms: list[Term]) -> list[Term]:
        first = True
        while first or self._next in {("mark", "+"), ("mark", "-")}:
            minus = self._is("-")
            if not minus:
                self._is("+")
            first = False
            if self._next == ("number", "0"):
                self._take()
                minus, each = not minus, [INTERCEPT]
            else:
                each = self._product()
            if minus:
                terms = [term for term in terms if not any(_same(term, one) for one in each)]
            else:
                terms = _together(terms, each)
        return terms

    def _product(self) -> list[Term]:
        left = self._interaction()
        while self._is("*"):
            right = self._interaction()
            left = _together(_together(left, right), self._crossed(left, right))
        return left

    def _interaction(self) -> list[Term]:
        left = self._atom()
        while self._is(":"):
            left = self._crossed(left, self._atom())
        return left

    def _crossed(self, left: list[Term], right: list[Term]) -> list[Term]:
        if not left or not right:
            raise _refused("offset", "offset() stands in a product", "it has no coefficient", "let it stand alone")
        if len(left) * len(right) > MOST_TERMS:
            raise _too_many()
        crossed: list[Term] = []
        for one, other in product(left, right):
            term = tuple(dict.fromkeys((*one, *other)))
            if len(term) > MOST_ORDER:
                raise _refused("order", "an interaction is of too many", f"at most {MOST_ORDER}", "leave some out")
            crossed = _together(crossed, [term])
        return crossed

    def _atom(self) -> list[Term]:
        if self._is("("):
            self._depth += 1
            if self._depth > MOST_DEPTH:
                raise _refused("depth", "a formula is nested too deep", f"at most {MOST_DEPTH}", "write the terms out")
            terms = self._sum([])
            self._expect(")")
            self._depth -= 1
            return terms
        if self._next == ("number", "1"):
            self._take()
            return [INTERCEPT]
        name = self._name()
        if self._next == ("mark", "("):
            return self._call(name)
        column = self._column(name, NUMBERS | DECLARED)
        return [(Factor(name),)] if column.type in DECLARED else [(Power(Variable(name)),)]

    def _call(self, name: str) -> list[Term]:
        calls: dict[str, Callable[[], list[Term]]] = {
            "C": self._factor, "poly": self._polynomial, "I": self._power, "offset": self._offset,
        }  # fmt: skip
        if name not in calls:
            return [(Power(self._function_of(name)),)]
        self._expect("(")
        terms = calls[name]()
        self._expect(")")
        return terms

    def _factor(self) -> list[Term]:
        name = self._name()
        column = self._column(name, DECLARED)
        reference = None
        if self._is(","):
            if self._name() != "ref":
                raise self._unread("ref")
            self._expect("=")
            kind, reference = self._take()
            if kind != "text" or reference not in level_names(column):
                raise _refused(
                    "reference", f"the reference level of {name} is none of its levels", "the codebook lists them",
                    'write ref="…" with one of its codes, or "true" or "false"',
                )  # fmt: skip
        return [(Factor(name, None if reference == level_names(column)[0] else reference),)]

    def _polynomial(self) -> list[Term]:
        variable = self._variable()
        self._expect(",")
        return [(Power(variable, exponent),) for exponent in range(1, self._exponent() + 1)]

    def _power(self) -> list[Term]:
        variable = self._variable()
        self._expect("^")
        return [(Power(variable, self._exponent()),)]

    def _offset(self) -> list[Term]:
        self._offsets.append(self._variable())
        return []

    def _exponent(self) -> int:
        kind, text = self._take()
        if kind != "number" or not 1 <= int(text[:4]) <= MOST_POWER:
            raise _refused(
                "power", "a formula has a power that it cannot have", f"powers are 1 to {MOST_POWER}",
                "write a lower one, such as poly(x, 3) or I(x^2)",
            )  # fmt: skip
        return int(text)

    def _variable(self) -> Variable:
        name = self._name()
        if self._next == ("mark", "("):
            return self._function_of(name)
        self._column(name, NUMBERS)
        return Variable(name)

    def _function_of(self, name: str) -> Variable:
        if name not in _TRANSFORMS:
            raise _refused(
                "function", f"a formula knows no function {name}", "formulas are parsed and never evaluated",
                "use C, poly, I, offset, log or sqrt",
            )  # fmt: skip
        self._expect("(")
        column = self._column(self._name(), NUMBERS)
        self._expect(")")
        least = None if column.minimum is None else Decimal(column.minimum)
        if least is None or least < 0 or (name == "log" and least == 0):
            raise _refused(
                "domain", f"{name}({column.name}) may have no value",
                f"the contract does not declare a minimum of {column.name} that {name} is defined for",
                f"declare a minimum {'above' if name == 'log' else 'of at least'} 0",
            )  # fmt: skip
        return Variable(column.name, _TRANSFORMS[name])

    def _name(self) -> str:
        kind, name = self._take()
        if kind != "name":
            self._at -= kind != "end"
            raise self._unread("the name of a column")
        return name

    def _column(self, name: str, types: frozenset[ColumnType]) -> Column:
        column = self._dataset.column(name)
        role: Role = "grouped" if column is not None and column.type in DECLARED else "aggregated"
        Columns("formula", role, types, least=1, most=1).uses({"formula": (name,)}, self._dataset)
        if column is None:
            raise AssertionError  # the argument refuses unknown columns
        return column


def level_names(column: Column) -> tuple[str, ...]:
    """Return the levels of a category or boolean as formulas and results write them, in the codebook's order."""
    return tuple(spelled(level) for level in levels(column) or () if level is not None)


def _same(left: Term, right: Term) -> bool:
    return frozenset(left) == frozenset(right)


def _together(terms: list[Term], more: list[Term]) -> list[Term]:
    together = [*terms]
    for term in more:
        if not any(_same(term, known) for known in together):
            together.append(term)
    if len(together) > MOST_TERMS:
        raise _too_many()
    return together


def _too_many() -> Forbidden:
    return _refused("terms", "a formula has too many terms", f"at most {MOST_TERMS}", "leave some out")


def _refused(code: str, what: str, why: str, remedy: str) -> Forbidden:
    return forbidden(f"formula.{code}", what, why=why, remedy=remedy, field="formula")
