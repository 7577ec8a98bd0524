"""R's package ``survival`` as an oracle: rows go in as CSV, numbers come out with all their digits."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

_PROLOGUE = """
suppressMessages(library(survival))
d <- read.csv("rows.csv", stringsAsFactors=FALSE)
tell <- function(name, x) cat(name, formatC(as.numeric(x), digits=17, format="g"), "\\n")
"""


@cache
def _is_there() -> bool:
    if shutil.which("Rscript") is None:
        return False
    asked = subprocess.run(
        ["Rscript", "-e", 'quit(status = !requireNamespace("survival", quietly = TRUE))'],  # noqa: S607 - R's own name
        check=False, capture_output=True,
    )  # fmt: skip
    return asked.returncode == 0


def r(script: str, rows: Mapping[str, Sequence[Any]]) -> dict[str, list[float]]:
    """Run ``script`` over the data frame ``d`` of ``rows``; return what it ``tell``s by name. Skips without R."""
    if not _is_there():
        pytest.skip("R with its package survival is not installed (apt-get install r-base-core r-cran-survival)")
    with TemporaryDirectory() as folder:
        lines = [",".join(rows)]
        lines += [",".join("NA" if x is None else str(x) for x in row) for row in zip(*rows.values(), strict=True)]
        (Path(folder) / "rows.csv").write_text("\n".join(lines) + "\n")
        done = subprocess.run(
            ["Rscript", "-e", _PROLOGUE + script], cwd=folder, check=True, capture_output=True, text=True  # noqa: S607
        )  # fmt: skip
    told = (line.split() for line in done.stdout.splitlines())
    return {name: [float("nan") if x in {"NA", "NaN"} else float(x) for x in values] for name, *values in told}
