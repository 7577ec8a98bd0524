"""Two shops and a club: sales, and members who are known by several keys."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import pyarrow as pa

from mpc.engines import run_linkage
from mpc.questions.linkage import CheckedLinkage, check_linkage
from mpc.questions.terms import Link, LinkageQuestion, LinkPass, MatchedColumns
from mpc.results import RawResult, RawTable
from mpc.table.batches import Table, arrow_schema, loaded_table
from mpc.table.schema import Code, Column, Dataset, Freshness, Key, Subject

Row = Mapping[str, Any]


def column(name: str, kind: Any = "text", **terms: Any) -> Column:
    plain: dict[str, Any] = {
        "description": name, "precision": None, "scale": None, "unit": None, "nullable": True, "missing": (),
        "minimum": None, "maximum": None, "codes": (), "filterable": False, "identifier": False,
    }  # fmt: skip
    return Column(name=name, type=kind, **{**plain, **terms})


def dataset(name: str, owners: Sequence[str], columns: Sequence[Column], keys: Sequence[Sequence[str]],
            subject: str | None = None, **terms: Any) -> Dataset:  # fmt: skip
    return Dataset(
        name=name, description=name, owners=tuple(owners), columns=tuple(columns),
        subject=Subject(
            domain=terms.get("domain", name), column=subject, identity="none" if subject is None else "disjoint",
            normalisation="exact", rows=terms.get("rows", "many"),
        ),
        keys=tuple(Key(columns=tuple(key), unique=False) for key in keys), freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip


REGION = tuple(Code(value=value, label=value) for value in ("north", "south"))

SALES = dataset(
    "sales", ["shop_a", "shop_b"],
    [
        column("buyer", nullable=False, identifier=True), column("email", identifier=True), column("phone"),
        column("born", "date"),
        column("surname"), column("code", "integer"), column("amount", "float", unit="EUR"),
    ],
    [["email"], ["phone"], ["born", "surname"], ["code"]], "buyer", domain="buyer",
)  # fmt: skip
MEMBERS = dataset(
    "members", ["club"],
    [
        column("member", nullable=False, identifier=True), column("email", identifier=True), column("mobile"),
        column("birthday"),
        column("name"), column("code", "integer"), column("region", "category", codes=REGION, filterable=True),
        column("age", "integer", unit="years"),
    ],
    [["email"], ["mobile"], ["birthday", "name"], ["code"]], "member", domain="member", rows="one",
)  # fmt: skip


def table(terms: Dataset, owner: str, rows: Sequence[Row], *, batch: int = 1000) -> Table:
    schema = arrow_schema(terms)
    batches = [
        pa.record_batch(
            [pa.array([row.get(field.name) for row in rows[at : at + batch]], field.type) for field in schema],
            schema=schema,
        )
        for at in range(0, len(rows), batch)
    ]
    return loaded_table(terms, owner, partial(iter, batches))


def pair(left: str, right: str, how: str = "exact") -> MatchedColumns:
    normalisation, _, country = how.partition(" ")
    return MatchedColumns(left=left, right=right, normalisation=normalisation, country=country or None)


def link(*passes: Sequence[MatchedColumns], left_rows: Literal["one", "many"] = "one", left: str = "sales",
         right: str = "members") -> Link:  # fmt: skip
    return Link(
        left=left, right=right, left_rows=left_rows, passes=tuple(LinkPass(columns=tuple(each)) for each in passes)
    )


def checked(
    how: Link, method: str = "totals", sides: tuple[Dataset, Dataset] = (SALES, MEMBERS), **arguments: Sequence[str]
) -> CheckedLinkage:
    given = {name: tuple(values) for name, values in arguments.items()}
    question = LinkageQuestion(kind="linkage", link=how, method=method, arguments=given)
    return check_linkage("q", question, {side.name: side for side in sides})


def run(
    question: CheckedLinkage, sales: Mapping[str, Sequence[Row]], members: Sequence[Row], **given: Any
) -> RawResult:
    tables = {
        question.left.name: tuple(table(question.left, owner, rows, **given) for owner, rows in sales.items()),
        question.right.name: (table(question.right, "club", members, **given),),
    }
    return run_linkage(question, tables, memory_bytes=1 << 30, threads=1)


def by_name(result: RawResult) -> dict[str, RawTable]:
    return {each.name: each for each in result.tables}
