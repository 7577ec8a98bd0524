"""Terms and tables that the tests of questions in SQL share."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from mpc.questions.sql import CheckedSql, check_sql
from mpc.questions.terms import Parameter
from mpc.table.batches import Table, arrow_schema, loaded_table
from mpc.table.schema import Code, Column, Dataset, Freshness, Key, Subject

DAY = dt.date(2026, 1, 1)


def column(name: str, kind: Any = "float", **marks: Any) -> Column:
    is_decimal = kind == "decimal"
    return Column(
        name=name, description=name, type=kind, precision=12 if is_decimal else None, scale=2 if is_decimal else None,
        unit=marks.get("unit"), nullable=marks.get("nullable", True), missing=(), minimum=marks.get("minimum"),
        maximum=marks.get("maximum"), codes=tuple(Code(value=code, label=code) for code in marks.get("codes", ())),
        filterable=marks.get("filterable", False), identifier=marks.get("identifier", False),
    )  # fmt: skip


def dataset(name: str, columns: Sequence[Column], subject: str | None, **terms: Any) -> Dataset:
    return Dataset(
        name=name, description=name, owners=terms.get("owners", ("a", "b")), columns=tuple(columns),
        subject=Subject(
            domain=terms.get("domain", "person"), column=subject, identity=terms.get("identity", "disjoint"),
            normalisation=terms.get("normalisation", "exact"), rows=terms.get("rows", "one"),
        ),
        keys=tuple(Key(columns=columns, unique=unique) for columns, unique in terms.get("keys", ())),
        freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip


def people(**terms: Any) -> Dataset:
    columns = [
        column("pid", "text", nullable=False),
        column("badge", "integer", identifier=True),
        column("ward", "text", identifier=True),
        column("age", "integer", filterable=True, minimum="0", maximum="120", unit="year"),
        column("city", "category", filterable=True, codes=("x", "y", "z")),
        column("born", "date", filterable=True, minimum="1900-01-01", maximum="2026-12-31"),
        column("smokes", "boolean", filterable=True),
        column("amt", unit="EUR"),
        column("flag", "integer"),
        column("cents", "decimal"),
        column("note", "text"),
    ]
    keys = ((("pid",), True), (("ward",), False))
    return dataset("people", columns, "pid", **({"keys": keys} | terms))


def events(**terms: Any) -> Dataset:
    columns = [
        column("pid", "text", nullable=False),
        column("kind", "category", filterable=True, codes=("u", "v")),
        column("at", "timestamp", filterable=True),
        column("cost"),
    ]
    return dataset("events", columns, "pid", **({"keys": ((("pid",), False),), "rows": "many"} | terms))


def wards(**terms: Any) -> Dataset:
    columns = [column("ward", "text", nullable=False), column("region", "category", filterable=True, codes=("n", "s"))]
    public = {"identity": "none", "owners": ("a",), "domain": "wards", "keys": ((("ward",), True),)}
    return dataset("wards", columns, None, **(public | terms))


DATASETS: Mapping[str, Dataset] = {one.name: one for one in (people(), events(), wards())}
PARAMETERS = (
    Parameter(name="since", description="age", type="integer", allowed=None, minimum="18", maximum="99"),
    Parameter(name="town", description="city", type="category", allowed=("x", "y"), minimum=None, maximum=None),
    Parameter(name="free", description="no domain", type="text", allowed=None, minimum=None, maximum=None),
    Parameter(name="wide", description="age", type="integer", allowed=None, minimum="0", maximum="999"),
)


def check(text: str, datasets: Mapping[str, Dataset] = DATASETS) -> CheckedSql:
    return check_sql("question", text, PARAMETERS, datasets)


def table(terms: Dataset, owner: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of ``rows``; what a row leaves out is NULL."""
    schema = arrow_schema(terms)
    full = [{name: row.get(name) for name in schema.names} for row in rows]
    return loaded_table(terms, owner, pa.Table.from_pylist(full, schema=schema))
