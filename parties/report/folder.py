"""A folder with everything about some results: the page, the data, the receipts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mpc.errors import Misconfigured
from parties.report.data import arrow_file, csv_table, json_report
from parties.report.html import html
from parties.report.view import Report, ReportTable

PAGE = "report.html"


def write_folder(folder: Path, answers: Sequence[tuple[Report, bytes | None]]) -> tuple[Path, ...]:
    """Write the page, and JSON, CSV, Arrow and receipt of each answer; return what was written, the page first.

    ``answers`` are reports with their receipts as they came. Files of an earlier report of the same name are replaced.
    """
    written = {PAGE: b""}
    placed = []
    for report, receipt in answers:
        name = file_name(report)
        if receipt is not None:
            written[f"{name}.receipt.json"] = receipt
        placed.append(_with_receipt_file(report, f"{name}.receipt.json") if receipt is not None else report)
        written[f"{name}.json"] = json_report(report).encode()
        for table in report.tables:
            stem = table_stem(report, table)
            written[f"{stem}.csv"] = csv_table(table).encode()
            written[f"{stem}.arrow"] = arrow_file(table)
    written[PAGE] = html(placed).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, raw in written.items():
            (folder / name).write_bytes(raw)
    except OSError as error:
        raise Misconfigured(
            "report.unwritable", "the report cannot be written", why=error.strerror or "the folder cannot be used",
            remedy="name another folder", field=str(folder),
        ) from None  # fmt: skip
    return tuple(folder / name for name in written)


def file_name(report: Report) -> str:
    """Return the stem of a report's files: the computation, with its run when that is known."""
    run = report.provenance.run if report.provenance else None
    return report.computation if run is None else f"{report.computation}-{run}"


def table_stem(report: Report, table: ReportTable) -> str:
    """Return the stem of a table's files: the table is named only where there are several."""
    name = "".join(char if char.isalnum() else "_" for char in table.name)
    return f"{file_name(report)}-{name}" if len(report.tables) > 1 else file_name(report)


def _with_receipt_file(report: Report, file: str) -> Report:
    return report if report.provenance is None else replace(report, provenance=replace(report.provenance, file=file))
