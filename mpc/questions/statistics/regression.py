"""What the regression methods have in common: a formula, how parties are compared, and how they are explained."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from mpc.questions.statistics.formula import Formula, Variable, level_names, parse_formula
from mpc.questions.statistics.layout import layout
from mpc.questions.statistics.method import DECLARED, NUMBERS, Arguments, Choice, Numbers, forbidden
from mpc.questions.uses import ColumnUse
from mpc.table.schema import Column, Dataset

Response = Literal["number", "count", "binary"]


@dataclass(frozen=True)
class FormulaText:
    """The argument that holds a formula. ``response`` says what kinds of column may stand left of ``~``.

    ``number`` any numeric one; ``count`` a whole number that is never negative; ``binary`` a boolean, a category of
    two codes (the second is the event), or a whole number from 0 to 1.
    """

    name: str
    response: Response
    offsets: bool

    def uses(self, arguments: Arguments, dataset: Dataset) -> tuple[ColumnUse, ...]:
        """Return a use of each column that the formula names, or raise ``Forbidden``."""
        formula = self.parsed(arguments[self.name], dataset)
        grouped = {factor.column for factor in formula.factors}
        return tuple(
            ColumnUse(dataset.name, name, "grouped" if name in grouped else "aggregated") for name in formula.columns
        )

    def parsed(self, values: tuple[str, ...], dataset: Dataset) -> Formula:
        """Return the formula that the argument spells, or raise ``Forbidden``."""
        if len(values) != 1:
            raise forbidden(
                "formula", "a model has no formula, or several", why="it is fitted by exactly one",
                remedy="write one formula, such as y ~ x", field=self.name, expected="1", found=str(len(values)),
            )  # fmt: skip
        formula = parse_formula(values[0], dataset)
        self._check_response(formula.response, dataset)
        if formula.offsets and not self.offsets:
            raise forbidden(
                "formula.offset", "offset() has no place in this model", why="its method takes none",
                remedy="leave it out", field=self.name,
            )  # fmt: skip
        return formula

    def _check_response(self, response: Variable, dataset: Dataset) -> None:
        column = dataset.column(response.column)
        if column is None or not _fits(response, column, self.response):
            raise forbidden(
                "formula.response", f"{response.label} cannot be explained by this model",
                why="its type or range in the contract is another", field=self.name,
                remedy="choose another method, or declare the column's type and range",
                expected={
                    "number": "a number", "count": "an integer with a minimum of at least 0",
                    "binary": "a boolean, a category of two codes, or an integer from 0 to 1",
                }[self.response], found="nothing" if column is None else column.type,
            )  # fmt: skip


def _fits(response: Variable, column: Column, kind: Response) -> bool:
    if kind == "number":
        return column.type in NUMBERS
    if kind == "binary" and column.type in DECLARED:
        return len(level_names(column)) == 2  # noqa: PLR2004 - a binary outcome
    if column.type != "integer" or response.transform != "identity" or column.minimum is None:
        return False
    return (column.minimum, column.maximum) == ("0", "1") if kind == "binary" else Decimal(column.minimum) >= 0


PARTIES = Choice("parties", ("pooled", "effects", "compared", "left_out"))
"""What is told of parties: nothing; an effect of each beside the intercept; estimates of each and how they differ; that
and the model without each."""

LEFT_OUT_MOST = 32
"""Parties beyond which models without each of them are not offered."""

RESIDUALS = Choice("residuals", ("none", "bands"))
"""Whether it is told how many residuals lie in each of some bands."""

CONFIDENCE = Numbers("confidence", "0.5", "0.9999")


def parsed(arguments: Arguments, dataset: Dataset) -> Formula:
    """Return the formula of arguments that were checked."""
    return parse_formula(arguments["formula"][0], dataset)


def effects(arguments: Arguments, dataset: Dataset) -> tuple[str, ...]:
    """Return the parties that have an effect of their own: all or none."""
    return dataset.owners if arguments["parties"] == ("effects",) else ()


def check_model(arguments: Arguments, dataset: Dataset) -> None:
    """Raise ``Forbidden`` for a model that has too many coefficients, or parties that cannot be compared."""
    formula = parsed(arguments, dataset)
    compared = arguments["parties"] != ("pooled",)
    if compared and len(dataset.owners) == 1:
        raise forbidden(
            "parties", "parties are compared where there is one", why=f"{dataset.name} has one owner",
            remedy='write parties="pooled"', field="parties",
        )  # fmt: skip
    if arguments["parties"] == ("left_out",) and len(dataset.owners) > LEFT_OUT_MOST:
        raise forbidden(
            "parties", "there are too many parties to leave each out", why="each makes a model of its own",
            remedy='write parties="compared"', field="parties", expected=f"at most {LEFT_OUT_MOST}",
            found=str(len(dataset.owners)),
        )  # fmt: skip
    if arguments["parties"] == ("effects",) and not formula.has_intercept:
        raise forbidden(
            "parties", "effects of parties stand in a model without intercept",
            why="each is a difference from the first party's intercept", remedy="leave out the - 1", field="parties",
        )  # fmt: skip
    layout(formula, dataset, effects(arguments, dataset))


def sentence(kind: str, arguments: Arguments, dataset: Dataset) -> str:
    """Return the words that explain a model: what is estimated of whom, and what is told of parties."""
    formula = parsed(arguments, dataset)
    coefficients = len(layout(formula, dataset, effects(arguments, dataset)))
    many = "one coefficient" if coefficients == 1 else f"{coefficients} coefficients"
    parties = {
        "pooled": "",
        "effects": ", with an effect of each party",
        "compared": ", for all and for each party alone, with how much they differ",
        "left_out": ", for all, for each party alone and for all but each, with how much they differ",
    }[arguments["parties"][0]]
    percent = f"{Decimal(arguments['confidence'][0]) * 100:f}"
    percent = percent.rstrip("0").rstrip(".") if "." in percent else percent
    return (
        f"{kind} of {arguments['formula'][0]} over the rows of {dataset.name} that miss no value: {many} with standard "
        f"errors and {percent} % confidence intervals{parties}."
    )


def bands(arguments: Arguments, residuals: str) -> str:
    """Return what is told of ``residuals`` as another sentence, if anything is."""
    asked = arguments["residuals"] == ("bands",)
    return f" Also how many {residuals} lie in each of six bands about 0." if asked else ""
