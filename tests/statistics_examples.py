"""One study that every statistical method can be asked of, its rows, and an example of a question for each method.

Whoever adds a method adds its example here; the tests over all methods then cover it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from mpc.table.batches import Table, arrow_schema, loaded_table
from mpc.table.schema import Dataset

EXAMPLES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "summary": {"columns": ["age", "cost"], "by": ["grade"]},
    "totals": {"columns": ["nodes", "cost"], "by": ["grade"]},
    "crosstab": {"row": ["grade"], "column": ["treated"], "by": ["site"], "tests": ["fisher"]},
    "quantiles": {"columns": ["age", "cost"], "by": ["grade"], "at": ["0.1", "0.5", "0.9"]},
    "histogram": {"column": ["age"], "by": ["treated"], "edges": ["40", "50", "60", "70"]},
    "missing": {"columns": ["nodes", "age"], "by": ["site"]},
    "concentration": {"column": ["cost"], "by": ["site"]},
    "standardised_rates": {
        "events": ["visits"], "exposure": ["years"], "strata": ["grade"], "standard": ["2", "1.5", "1"],
        "by": ["treated"], "per": ["1000"], "confidence": ["0.95"],
    },
    "correlation": {
        "columns": ["age", "marker", "nodes"], "by": ["site"], "coefficient": ["spearman"], "confidence": ["0.95"],
    },
    "t_test": {"column": ["marker"], "by": ["treated"], "levels": ["true", "false"], "confidence": ["0.95"]},
    "anova": {"column": ["marker"], "by": ["grade"]},
    "mann_whitney": {"column": ["nodes"], "by": ["grade"], "levels": ["3", "1"]},
    "risk": {
        "exposure": ["treated"], "exposed": ["true"], "outcome": ["died"], "event": ["true"], "by": ["site"],
        "confidence": ["0.95"],
    },
    "roc": {
        "score": ["marker"], "outcome": ["died"], "event": ["true"], "thresholds": ["-0.5", "0", "0.5"],
        "confidence": ["0.95"],
    },
    "linear": {
        "formula": ["marker ~ age + grade * treated"], "errors": ["HC3"], "residuals": ["bands"], "parties": ["pooled"],
        "confidence": ["0.95"],
    },
    "kaplan_meier": {"time": ["months"], "event": ["died"], "by": ["treated"], "at": ["12", "24", "36"]},
    "log_rank": {"time": ["months"], "event": ["died"], "by": ["grade"], "strata": ["site"]},
    "logistic": {
        "formula": ["died ~ marker + grade"], "residuals": ["bands"], "parties": ["pooled"], "confidence": ["0.95"],
    },
    "poisson": {
        "formula": ["visits ~ grade + offset(log(years))"], "residuals": ["bands"], "parties": ["pooled"],
        "confidence": ["0.95"],
    },
    "negative_binomial": {
        "formula": ["nodes ~ grade + age"], "residuals": ["bands"], "parties": ["pooled"], "confidence": ["0.95"],
    },
    "cox": {
        "formula": ["died ~ marker + treated"], "time": ["months"], "entry": ["entry"], "ties": ["efron"],
        "baseline": ["joint"], "variance": ["model"], "transform": ["km"], "residuals": ["bands"],
        "confidence": ["0.95"],
    },
}  # fmt: skip
"""For each method, the arguments of a question about ``study``."""

VARIANTS: Mapping[str, tuple[str, Mapping[str, Sequence[str]]]] = {
    "kaplan_meier_left_truncated": ("kaplan_meier", {**EXAMPLES["kaplan_meier"], "entry": ["entry"]}),
    "log_rank_left_truncated": ("log_rank", {**EXAMPLES["log_rank"], "entry": ["entry"]}),
    "cox_robust_by_cluster": ("cox", {**EXAMPLES["cox"], "variance": ["robust"], "cluster": ["clinic"]}),
    "cox_robust_by_subject": ("cox", {**EXAMPLES["cox"], "variance": ["robust"], "strata": ["site"]}),
}  # fmt: skip
"""Other ways to ask of a method, by a name of their own: what its example leaves out."""


def _column(name: str, kind: str, **marks: object) -> dict[str, Any]:
    return {
        "name": name, "description": name, "type": kind, "precision": None, "scale": None, "unit": None,
        "nullable": False, "missing": [], "minimum": None, "maximum": None, "codes": [], "filterable": False,
        "identifier": False, **marks,
    }  # fmt: skip


def _category(name: str, values: str) -> dict[str, Any]:
    return _column(
        name, "category", filterable=True, codes=[{"value": value, "label": f"{name} {value}"} for value in values]
    )


def study(
    owners: Sequence[str] = ("north", "south"), *, identity: str = "disjoint", rows: str = "one"
) -> dict[str, Any]:
    """Return the dataset as it stands in a contract."""
    return {
        "name": "patients", "description": "patients", "owners": list(owners),
        "columns": [
            _column("pid", "integer", identifier=True), _category("grade", "123"), _category("site", "ab"),
            _column("treated", "boolean", filterable=True), _column("died", "boolean", filterable=True),
            _column("clinic", "text", filterable=True),
            _column("age", "integer", minimum="18", maximum="110", unit="years"),
            _column("nodes", "integer", minimum="0", nullable=True),
            _column("cost", "decimal", precision=9, scale=2, minimum="0", unit="EUR"),
            _column("marker", "float"), _column("weight", "float", minimum="0.1"),
            _column("months", "float", minimum="0", unit="months"), _column("entry", "float", minimum="0"),
            _column("visits", "integer", minimum="0"), _column("years", "float", minimum="0.1"),
        ],
        "subject": {
            "domain": "patient", "column": "pid", "identity": identity, "normalisation": "exact", "rows": rows,
        },
        "keys": [], "freshness": {"refreshes": 0, "until": None},
    }  # fmt: skip


def rows(count: int, seed: int = 0, first: int = 0) -> pa.RecordBatch:
    """Return rows of ``study`` in which everything that a method looks for is there; nobody occurs twice."""
    draw = np.random.default_rng(seed)
    grade = draw.choice(3, count, p=[0.3, 0.4, 0.3])
    treated = draw.random(count) < 0.5
    age = np.clip(draw.normal(58, 11, count), 18, 110).astype(int)
    marker = draw.normal(0.4 * grade - 0.3 * treated, 1.0)
    hazard = 0.02 * np.exp(0.3 * grade + 0.4 * marker - 0.4 * treated)
    event, censored = draw.exponential(1 / hazard), draw.uniform(6, 80, count)
    months = np.round(np.minimum(event, censored), 1) + 3.1
    # Some enter after others have had the event, or left truncation would change nothing.
    entry = np.floor(10 * months * draw.uniform(0, 1, count) * (draw.random(count) < 0.3)) / 10
    years = np.round(draw.uniform(0.5, 4, count), 2)
    nodes = draw.poisson(2 + grade)
    columns = {
        "pid": first + np.arange(count), "grade": [str(each + 1) for each in grade],
        "site": draw.choice(["a", "b"], count), "treated": treated, "died": event <= censored,
        "clinic": [f"clinic {each}" for each in draw.integers(0, 15, count)], "age": age,
        "nodes": [None if draw.random() < 0.15 else int(each) for each in nodes],
        "cost": [Decimal(int(each)) / 100 for each in draw.gamma(2, 30_000, count)], "marker": marker,
        "weight": draw.uniform(0.5, 2, count), "months": months,
        "entry": entry, "visits": draw.poisson(years * np.exp(0.2 + 0.2 * grade)), "years": years,
    }  # fmt: skip
    schema = arrow_schema(dataset())
    return pa.record_batch([pa.array(columns[each.name], each.type) for each in schema], schema=schema)


def dataset(owners: Sequence[str] = ("north", "south"), **terms: str) -> Dataset:
    """Return the dataset, parsed."""

    return Dataset.model_validate_json(json.dumps(study(owners, **terms)))


def tables(terms: Dataset, whole: pa.RecordBatch, size: int) -> tuple[Table, ...]:
    """Return ``whole`` dealt to the owners in turns, each with batches of ``size`` rows, streamed."""
    count = len(terms.owners)
    return tuple(
        loaded_table(terms, owner, partial(batches, whole.take(np.arange(i, whole.num_rows, count)), size))
        for i, owner in enumerate(terms.owners)
    )


def batches(part: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    """Yield ``part`` in batches of ``size`` rows; none when it has no rows."""
    yield from (part.slice(start, size) for start in range(0, part.num_rows, size))
