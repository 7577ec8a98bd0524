"""One self-contained page: results with plots, what was withheld, the contract, the appraisal, the receipts."""

import re
from collections.abc import Sequence
from importlib import metadata, resources
from typing import TYPE_CHECKING, Any

from parties.report.plots import plots
from parties.report.view import Report, ReportTable
from parties.report.words import said

if TYPE_CHECKING:
    from markupsafe import Markup

LONG_DIGEST = 40
WIDE_FROM = 8
WIDEST_FROM = 12
"""From how many columns on a table is set closer, and closer still, so that it fits the page and the sheet."""


def html(reports: Sequence[Report]) -> str:
    """Return the page for the results of one contract; opens without a network, prints, and follows the theme.

    Raises ``ValueError`` when there is no report, or when they belong to different contracts.
    """
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - only this renderer needs it
    from markupsafe import Markup  # noqa: PLC0415 - likewise

    if len({report.contract_digest for report in reports}) != 1:
        raise ValueError("a page holds the results of exactly one contract")
    here = resources.files("parties.report")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page.filters["digest"] = lambda text: _breakable(text, Markup)
    first = reports[0]
    template = page.from_string((here / "report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        css=Markup((here / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        version=metadata.version("sealroom"),
        title=first.title,
        lead=first.contract_purpose if len(reports) > 1 else first.purpose,
        contract_purpose=first.contract_purpose,
        trusts=first.trust,
        rules=first.rules,
        digest=first.contract_digest,
        valid_until=first.valid[1],
        signers=first.signers,
        owners=sorted({owner for report in reports for _, _, owners in report.sources for owner in owners}),
        sources=sorted({source for report in reports for source in report.sources}),
        withheld_cells=sum(report.withheld_cells for report in reports),
        all_cells=sum(report.cells for report in reports),
        verified=all(report.provenance is not None and report.provenance.verified for report in reports),
        shown=next((report.provenance.shown for report in reports if report.provenance), "no receipt"),
        reports=[_answer(report, len(reports), Markup) for report in reports],
        receipts=[
            {
                "computation": report.computation,
                "accepted_by": _accepted_by(report),
                "verified": report.provenance.verified,
                **vars(report.provenance),
            }
            for report in reports
            if report.provenance
        ],
    )


def _accepted_by(report: Report) -> str:
    return " ".join(dict.fromkeys(trust.accepted_by for trust in report.trust if trust.accepted_by))


def _answer(report: Report, among: int, markup: "type[Markup]") -> dict[str, Any]:
    return {
        "computation": report.computation,
        "purpose": report.purpose,
        "question": report.question,
        "recipients": report.recipients,
        "parameters": ", ".join(f"{name} = {value}" for name, value in sorted(report.parameters.items())),
        "tables": [_table(report, table, among, markup) for table in report.tables],
    }


def _table(report: Report, table: ReportTable, among: int, markup: "type[Markup]") -> dict[str, Any]:
    named = len(report.tables) > 1
    heading = " · ".join(
        part.replace("_", " ").capitalize() for part in (report.computation, table.name if named else "") if part
    )
    drawn = plots(table)
    return {
        "anchor": re.sub(r"\W", "-", f"{report.computation}-{table.name}"),
        "heading": heading if among or named else "Result",
        "caption": table.in_words,
        "plots": [
            # The drawing is matplotlib's own SVG, which escapes every text that went into it.
            {"svg": markup(plot.svg), "caption": plot.caption, "description": plot.description}
            for plot in drawn
        ],
        "columns": _columns(table),
        "rows": _upright(table) if table.stands_upright else [_row(table, index) for index in range(len(table.rows))],
        "widest": not table.stands_upright and len(table.columns) >= WIDEST_FROM,
        "wide": not table.stands_upright and len(table.columns) >= WIDE_FROM,
        "reasons": table.reasons,
    }


def _columns(table: ReportTable) -> list[dict[str, Any]]:
    if table.stands_upright:
        return []
    return [{"heading": column.heading, "numeric": not column.is_key} for column in table.columns]


def _row(table: ReportTable, index: int) -> dict[str, Any]:
    return {
        "total": bool(table.totalled(index)),
        "cells": [
            {"key": column.is_key, "withheld": cell.withheld, "text": cell.text}
            for cell, column in zip(said(table, index), table.columns, strict=True)
        ],
    }


def _upright(table: ReportTable) -> list[dict[str, Any]]:
    """Return the one row of ``table`` from top to bottom: each heading with its number."""
    return [
        {
            "total": False,
            "cells": [
                {"key": True, "withheld": False, "text": column.heading},
                {"key": False, "withheld": cell.withheld, "text": cell.text},
            ],
        }
        for cell, column in zip(said(table, 0), table.columns, strict=True)
    ]


def _breakable(text: str, markup: "type[Markup]") -> Any:  # noqa: ANN401 - markup or text
    """Return a long digest as code that may break anywhere, anything else as it is."""
    if len(text) >= LONG_DIGEST and re.fullmatch(r"[0-9a-f]+", text):
        return markup("<code>{}</code>").format(f"{text[:16]}…{text[-8:]}")
    return text
