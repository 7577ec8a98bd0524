"""`sealroom party check`: the owner's rows held against the contract, on the owner's machine; nothing leaves.

This is the one place where values of rows are shown, to the owner whose rows they are. Nothing here is logged, recorded
or sent; the daemon's API hands it to whoever may open its socket, which is the party itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from mpc.errors import Misconfigured
from mpc.table.schema import Dataset
from parties.config import DatasetSettings
from parties.mapping import MappedColumn, Rule, convert, domain_rules, select_bases
from parties.sources import RULES, Opened, opened

EXAMPLES = 5


@dataclass(frozen=True)
class Problem:
    """A rule that rows break: how many, and some of the source's values that do."""

    rule: str
    meaning: str
    rows: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class ColumnProfile:
    """One column of the contract as the owner's source fills it."""

    name: str
    source: str
    source_type: str
    type: str
    nulls: int
    minimum: str | None
    maximum: str | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Profile:
    """A dataset as the owner's source fills it; ``repeated`` names keys or a subject that repeat and must not."""

    dataset: str
    rows: int
    columns: tuple[ColumnProfile, ...]
    repeated: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no rule is broken, so that an upload would be accepted."""
        return not self.repeated and not any(column.problems for column in self.columns)

    def as_data(self) -> dict[str, Any]:
        """Return the profile as plain data, for ``--json`` and the local API."""
        return {
            "dataset": self.dataset,
            "rows": self.rows,
            "passed": self.passed,
            "repeated": list(self.repeated),
            "columns": [
                {
                    **vars(column),
                    "problems": [{**vars(problem), "examples": list(problem.examples)} for problem in column.problems],
                }
                for column in self.columns
            ],
        }


@dataclass(frozen=True)
class _Asked:
    """One column of the one query: its converted value, its rules as columns of the inner SELECT, in order."""

    index: int
    mapped: MappedColumn
    source_type: str
    inner: tuple[str, ...]
    rules: tuple[Rule, ...]

    def outer(self) -> list[str]:
        prefix, value = f"c{self.index}", f"v{self.index}"
        asked = [
            f"count(*) FILTER ({value} IS NULL) AS {prefix}_nulls",
            f"CAST(min({value}) AS VARCHAR) AS {prefix}_minimum",
            f"CAST(max({value}) AS VARCHAR) AS {prefix}_maximum",
        ]
        for place, rule in enumerate(self.rules):
            asked.append(f"count(*) FILTER ({rule.broken}) AS {prefix}_{place}_rows")
            asked.append(
                f"approx_top_k(CAST(b{self.index} AS VARCHAR), {EXAMPLES})"
                f" FILTER ({rule.broken}) AS {prefix}_{place}_shown"
            )
        return asked

    def read(self, row: Mapping[str, Any]) -> ColumnProfile:
        prefix = f"c{self.index}"
        problems = (
            Problem(rule.name, RULES.get(rule.name, rule.name), row[f"{prefix}_{place}_rows"], shown)
            for place, rule in enumerate(self.rules)
            for shown in [tuple(text for text in row[f"{prefix}_{place}_shown"] or () if text is not None)]
        )
        return ColumnProfile(
            self.mapped.column.name, self.mapped.expression, self.source_type.lower(), self.mapped.column.type,
            row[f"{prefix}_nulls"], row[f"{prefix}_minimum"], row[f"{prefix}_maximum"],
            tuple(problem for problem in problems if problem.rows),
        )  # fmt: skip


def profile(dataset: Dataset, settings: DatasetSettings) -> Profile:
    """Return the profile of the whole source; ``Misconfigured`` when it cannot be read or mapped."""
    with opened(dataset, settings) as source:
        columns = tuple(_asked(dataset, source, index) for index in range(len(source.columns)))
        unique = _unique(dataset)
        inner = ", ".join(expression for column in columns for expression in column.inner)
        outer = ", ".join(
            ["count(*) AS all_rows"]
            + [expression for column in columns for expression in column.outer()]
            + [f"{_repeats(dataset, names)} AS unique_{place}" for place, names in enumerate(unique)]
        )
        bases = select_bases(source.columns, source.relation)
        query = f"SELECT {outer} FROM (SELECT *, {inner} FROM ({bases}))"  # noqa: S608 - the owner's own expressions
        try:
            row = source.connection.sql(query).to_arrow_table().to_pylist()[0]
        except duckdb.Error as error:
            raise Misconfigured(
                "source.read", f"the rows of {dataset.name} cannot be read", why=type(error).__name__,
                remedy="check the read settings of the source", field=dataset.name,
            ) from None  # fmt: skip
    return Profile(
        dataset=dataset.name,
        rows=row["all_rows"],
        columns=tuple(column.read(row) for column in columns),
        repeated=tuple(", ".join(names) for place, names in enumerate(unique) if row[f"unique_{place}"]),
    )


def _asked(dataset: Dataset, source: Opened, index: int) -> _Asked:
    mapped, value = source.columns[index], f"v{index}"
    conversion = convert(mapped, source.types[index], f"b{index}", source.settings)
    inner = [f"{conversion.value} AS {value}"]
    inner += [f"({rule.broken}) AS r{index}_{place}" for place, rule in enumerate(conversion.rules)]
    rules = [Rule(rule.name, f"r{index}_{place}") for place, rule in enumerate(conversion.rules)]
    unbroken = "".join(f" AND NOT coalesce({rule.broken}, false)" for rule in rules)
    rules += [Rule(rule.name, f"({rule.broken}){unbroken}") for rule in domain_rules(mapped.column, value)]
    if mapped.column.nullable and mapped.column.name == dataset.subject.column:
        rules.append(Rule("subject", f"{value} IS NULL{unbroken}"))
    return _Asked(index, mapped, source.types[index], tuple(inner), tuple(rules))


def _unique(dataset: Dataset) -> tuple[tuple[str, ...], ...]:
    """Return the sets of columns that may not repeat within one owner's rows."""
    keys = [key.columns for key in dataset.keys if key.unique]
    subject = dataset.subject
    if subject.column is not None and subject.rows == "one":
        keys.append((subject.column,))
    return tuple(dict.fromkeys(keys))


def _repeats(dataset: Dataset, names: tuple[str, ...]) -> str:
    places = {column.name: index for index, column in enumerate(dataset.columns)}
    values = [f"v{places[name]}" for name in names]
    if dataset.subject.normalisation == "trim_casefold" and names == (dataset.subject.column,):
        values = [f"lower(trim(CAST({value} AS VARCHAR)))" for value in values]
    present = " AND ".join(f"{value} IS NOT NULL" for value in values)
    return f"(count(*) FILTER ({present}) <> count(DISTINCT ({', '.join(values)},)) FILTER ({present}))"
