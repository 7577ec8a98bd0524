"""``make nist``: the digits of every value that NIST certifies, ours and statsmodels', into ``docs/numerics.md``.

The sets, and how they are asked, are those of the tests in ``tests/statistics``.
"""

import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Another package of the environment is called "tests" as well.
sys.modules["tests"] = types.ModuleType("tests")
sys.modules["tests"].__path__ = [str(ROOT / "tests")]

import page  # noqa: E402

from tests.statistics.nist import analysis, linear, univariate  # noqa: E402
from tests.statistics.test_nist_linear import linear_digits, statsmodels_digits  # noqa: E402
from tests.statistics.test_nist_means import (  # noqa: E402
    analysis_digits,
    anova_statsmodels,
    univariate_digits,
    univariate_statsmodels,
)

OWNERS = ("north", "south", "west")

Digits = dict[str, float]


def sets() -> Iterator[tuple[str, str, str, Digits, Digits]]:
    """Yield kind, name and difficulty of each set, our digits and statsmodels'."""
    for one in univariate.SETS:
        yield "mean", one.name, one.difficulty, univariate_digits(one, OWNERS), univariate_statsmodels(one)
    for each in map(analysis.read, analysis.NAMES):
        yield "analysis of variance", each.name, each.difficulty, analysis_digits(each, OWNERS), anova_statsmodels(each)
    for each in linear.SETS:
        yield "regression", each.name, each.difficulty, linear_digits(each, OWNERS), statsmodels_digits(each)


def lines() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| kind | set | difficulty | certified value | Sealroom | statsmodels |"
    yield "| --- | --- | --- | --- | ---: | ---: |"
    for kind, name, difficulty, ours, theirs in sets():
        for value, digits in ours.items():
            yield f"| {kind} | {name} | {difficulty} | {value} | {digits:.1f} | {theirs[value]:.1f} |"


def main() -> None:
    """Write the table into the page."""
    warnings.simplefilter("ignore")
    table = list(lines())
    page.put("nist", table)
    ours = [float(line.split("|")[5]) for line in table[2:]]
    print(f"{len(ours)} certified values; the worst has {min(ours)} digits; written to {page.PAGE.relative_to(ROOT)}")


main()
