"""``crosstab``: counts of two categories against each other, with totals, and Pearson's chi-square test."""

from mpc.questions.statistics.method import (
    DECLARED,
    Arguments,
    Columns,
    Method,
    Options,
    check_cells,
    forbidden,
    listed,
)
from mpc.table.schema import Dataset

_TAKEN = {"n", "subjects", "chi_square", "degrees_of_freedom", "p_value", "fisher_p_value"}


def _sentence(arguments: Arguments, dataset: Dataset) -> str:
    by = arguments["by"]
    strata = f", separately for each {listed(by)}" if by else ""
    row, column = arguments["row"][0], arguments["column"][0]
    exact = " and Fisher's exact test" if "fisher" in arguments["tests"] else " test"
    return (
        f"Number of rows of {dataset.name} for every combination of {row} and {column}, "
        f"with totals, and Pearson's chi-square{exact} of the two{strata}; rows with a missing value are left out."
    )


def _check(arguments: Arguments, dataset: Dataset) -> None:
    names = (*arguments["by"], *arguments["row"], *arguments["column"])
    if len(set(names)) != len(names):
        raise forbidden(
            "repeated", "a crosstab names a column twice", why="a column against itself says nothing",
            remedy="name different columns for row, column and by",
        )  # fmt: skip
    for name in sorted(_TAKEN & set(names)):
        raise forbidden(
            "name", f"a crosstab cannot have a column called {name}", why="a result column has that name",
            remedy="give the column another name in the contract",
        )  # fmt: skip
    check_cells(names, dataset)


METHOD = Method(
    name="crosstab",
    arguments=(
        Columns("row", "grouped", DECLARED, least=1, most=1),
        Columns("column", "grouped", DECLARED, least=1, most=1),
        Columns("by", "grouped", DECLARED, least=0, most=6),
        Options("tests", ("fisher",)),
    ),
    sentence=_sentence,
    check=_check,
)
