"""Linked rows: ``link(…)`` says which rows of two datasets belong together, and ``linkage`` what is asked of them.

    same = link(sales, customers, ["email"], [("phone", "mobile", "phone 31")], left_rows="many")
    linkage.intersection(same)
    linkage.intersection_sum(same, [sales["amount"]], by=[customers["region"]])
    linkage.over(same, statistics.linear("sales_amount ~ customers_age", same, errors="HC1"))
    linkage.over(same, statistics.summary(same[sales["amount"]], by=["customers_region"]))

Each further argument is a pass: columns that all have to agree. A column is named once where both datasets call it the
same, or as ``(left, right)``, and with a normalisation as ``(left, right, "text")``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Unpack

from mpc.errors import Misconfigured
from mpc.questions.linkage import linked_name
from mpc.questions.linkage.views import LINKED
from scenarios.computation import ColumnNamed, Computation, Named, Terms, names

Match = str | tuple[str, str] | tuple[str, str, str]


class Linkable(Named, Protocol):
    """A dataset."""


@dataclass(frozen=True)
class Link:
    """Which rows of two datasets belong together; made by ``link``. Methods name its rows as they name a dataset."""

    term: Mapping[str, Any]
    name: str = LINKED

    def __getitem__(self, column: ColumnNamed) -> "LinkedColumn":
        """Return a column of either dataset as linked rows have it."""
        return LinkedColumn(linked_name(column.dataset, column.name))


@dataclass(frozen=True)
class LinkedColumn:
    """A column of linked rows."""

    name: str
    dataset: str = LINKED


def link(left: Linkable, right: Linkable, *passes: Sequence[Match], left_rows: Literal["one", "many"] = "one") -> Link:
    """Return the link of two datasets in passes; who is linked in one takes no part in a later one.

    A normalisation is ``exact``, ``text``, ``name``, ``digits``, ``date``, or ``phone`` and the calling code of numbers
    without one (``phone 31``). With ``left_rows="many"`` any number of left rows may belong to one right row.
    """
    return Link({
        "left": left.name, "right": right.name, "left_rows": left_rows,
        "passes": [{"columns": [_matched(one) for one in each]} for each in passes],
    })  # fmt: skip


def _matched(one: Match) -> dict[str, str | None]:
    parts = (one, one) if isinstance(one, str) else one
    how = parts[2] if len(parts) > 2 else "exact"  # noqa: PLR2004 - the third names it
    normalisation, _, country = how.partition(" ")
    return {"left": parts[0], "right": parts[1], "normalisation": normalisation, "country": country or None}


class Linkage:
    """Questions about linked rows; use the ready instance ``linkage``."""

    def intersection(self, link: Link, **terms: Unpack[Terms]) -> Computation:
        """Return how many rows and subjects the datasets have in common."""
        return _asked(link, "totals", {}, **terms)

    def intersection_sum(
        self, link: Link, columns: Sequence[ColumnNamed], *, by: Sequence[ColumnNamed] = (), **terms: Unpack[Terms]
    ) -> Computation:
        """Return how many rows are in common, and the sums of columns of either dataset over them, by groups."""
        return _asked(link, "totals", {"columns": _linked(columns), "by": _linked(by)}, **terms)

    def over(self, link: Link, asked: Computation) -> Computation:
        """Return what ``statistics`` asks of the rows of ``link``, under the same terms."""
        if asked.question.get("dataset") != LINKED:
            raise Misconfigured(
                "scenario.linkage", "a method over linked rows names columns of a dataset",
                why="linked rows have columns of both datasets, under other names", field="over",
                remedy='name the link where a method asks for a dataset, and link[dataset["column"]] for a column',
            )  # fmt: skip
        question = {"kind": "linkage", "link": dict(link.term)}
        question |= {name: asked.question[name] for name in ("method", "arguments")}
        return replace(asked, question=question)

    def method(
        self, link: Link, name: str, arguments: Mapping[str, Sequence[str]], **terms: Unpack[Terms]
    ) -> Computation:
        """Return a statistical method over linked rows, by its arguments as they stand in the contract."""
        return _asked(link, name, arguments, **terms)


def _linked(columns: Sequence[ColumnNamed]) -> list[str]:
    return [linked_name(column.dataset, column.name) for column in columns]


def _asked(link: Link, method: str, arguments: Mapping[str, Sequence[str]], **terms: Unpack[Terms]) -> Computation:
    given = {name: list(values) for name, values in arguments.items() if values}
    question = {"kind": "linkage", "link": dict(link.term), "method": method, "arguments": given}
    return Computation(
        question, terms.get("purpose", ""), names(terms.get("recipients", ())), terms.get("runs", 1),
        terms.get("unattended", 0),
    )  # fmt: skip


linkage = Linkage()
