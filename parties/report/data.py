"""A report for programs: JSON, CSV and Arrow, with the same mark for the same withheld cell.

In CSV and Arrow every measure has a column beside it, ``NAME.status``, that says ``released`` or ``withheld``; totals
are told by ``NAME.total`` beside a key. So an empty cell is never taken for a zero, nor for a withheld one.
"""

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from parties.report.view import Report, ReportTable, Value

if TYPE_CHECKING:
    import pyarrow as pa

RELEASED, WITHHELD = "released", "withheld"


def json_report(report: Report) -> str:
    """Return the whole report as JSON text."""
    return json.dumps(as_data(report), indent=2, ensure_ascii=False) + "\n"


def as_data(report: Report) -> dict[str, Any]:
    """Return the whole report as plain data."""
    return {
        "contract": {"title": report.title, "digest": report.contract_digest, "valid": list(report.valid)},
        "computation": report.computation,
        "purpose": report.purpose,
        "question": report.question,
        "parameters": dict(report.parameters),
        "recipients": list(report.recipients),
        "rules": report.rules.model_dump(mode="json"),
        "trust": [
            {"severity": trust.severity, "headline": trust.headline, "text": trust.text} for trust in report.trust
        ],
        "signers": [vars(signer) for signer in report.signers],
        "receipt": _receipt_data(report),
        "tables": [table_data(table) for table in report.tables],
    }


def table_data(table: ReportTable) -> dict[str, Any]:
    """Return one table as plain data: columns, rows with null where nothing was released, and what was withheld."""
    return {
        "name": table.name,
        "columns": [{"name": column.name, "kind": column.kind, "unit": column.unit} for column in table.columns],
        "rows": [
            {column.name: cell.value for column, cell in zip(table.columns, row, strict=True)} for row in table.rows
        ],
        "withheld_cells": [
            {"row": index, "column": column.name}
            for index, row in enumerate(table.rows)
            for column, cell in zip(table.columns, row, strict=True)
            if cell.withheld
        ],
        "totals": [sorted(table.totalled(index)) for index in range(len(table.rows))],
        "withheld": [vars(held) for held in table.withheld],
        "groups_left_out": table.withheld_cells > table.marked_cells,
    }


def csv_table(table: ReportTable) -> str:
    """Return one table as CSV (RFC 4180, UTF-8); a text that a spreadsheet would run as a formula is quoted with '."""
    text = io.StringIO()
    writer = csv.writer(text)
    names, rows = _flat(table)
    writer.writerow(names)
    writer.writerows([_no_formula(value) for value in row] for row in rows)
    return text.getvalue()


def arrow_table(table: ReportTable) -> "pa.Table":
    """Return one table in Arrow, with status columns."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this rendering needs it

    names, rows = _flat(table)
    columns = [[row[index] for row in rows] for index in range(len(names))]
    return pa.table({name: pa.array(column) for name, column in zip(names, columns, strict=True)})


def arrow_file(table: ReportTable) -> bytes:
    """Return one table as the bytes of an Arrow IPC file (Feather version 2)."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this rendering needs it

    sink = pa.BufferOutputStream()
    shown = arrow_table(table)
    with pa.ipc.new_file(sink, shown.schema) as file:
        file.write_table(shown)
    return bytes(sink.getvalue())


def _flat(table: ReportTable) -> tuple[list[str], list[list[Value]]]:
    has_totals = any(table.totals)
    names: list[str] = []
    for column in table.columns:
        names.append(column.name)
        if not column.is_key:
            names.append(f"{column.name}.status")
        elif has_totals:
            names.append(f"{column.name}.total")
    rows: list[list[Value]] = []
    for index, row in enumerate(table.rows):
        flat: list[Value] = []
        for column, cell in zip(table.columns, row, strict=True):
            flat.append(cell.value)
            if not column.is_key:
                flat.append(WITHHELD if cell.withheld else RELEASED)
            elif has_totals:
                flat.append(column.name in table.totalled(index))
        rows.append(flat)
    return names, rows


def _no_formula(value: Value) -> Value:
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value


def _receipt_data(report: Report) -> dict[str, Any] | None:
    if report.provenance is None:
        return None
    return {
        "digest": report.provenance.digest,
        "run": report.provenance.run,
        "shown": report.provenance.shown,
        "checks": [
            {"check": check.name, "expected": check.expected, "found": check.found, "passed": check.passed}
            for check in report.provenance.checks
        ],
    }
