"""NIST StRD, analysis of variance: data and certified values, read out of scipy's own installation.

Source: Statistical Reference Datasets, National Institute of Standards and Technology,
https://www.itl.nist.gov/div898/strd/anova/anova.html. Works of the United States government, in the public domain.
"""

import re
from dataclasses import dataclass
from importlib.resources import files

NAMES = ("SiRstv", "AtmWtAg", *(f"SmLs{i:02}" for i in range(1, 10)))


@dataclass(frozen=True)
class AnalysisSet:
    """One set: (treatment, value) pairs, and certified values by name."""

    name: str
    difficulty: str
    data: list[tuple[str, str]]
    certified: dict[str, str]


def read(name: str) -> AnalysisSet:
    """Return one set."""
    text = (files("scipy.stats") / f"tests/data/nist_anova/{name}.dat").read_text()
    between = re.search(r"^Between \S+ +(.*)$", text, re.MULTILINE)
    within = re.search(r"^Within \S+ +(.*)$", text, re.MULTILINE)
    explained = re.search(r"Certified R-Squared\s+(\S+)", text)
    residual = re.search(r"Standard Deviation\s+(\S+)", text)
    difficulty = re.search(r"(\w+) Level of Difficulty", text)
    assert between
    assert within
    assert explained
    assert residual
    assert difficulty
    squares, mean_square, f = between[1].split()[1:]
    own_squares, own_mean = within[1].split()[1:]
    # Data stand from line 61 on in each of NIST's files.
    rows = [tuple(line.split()) for line in text.splitlines()[60:]]
    return AnalysisSet(
        name, difficulty[1].lower(), [(row[0], row[1]) for row in rows if len(row) == 2],
        {
            "between sum of squares": squares, "between mean square": mean_square, "f": f,
            "within sum of squares": own_squares, "within mean square": own_mean, "r_squared": explained[1],
            "residual_sd": residual[1],
        },
    )  # fmt: skip
