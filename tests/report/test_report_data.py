import csv
import io
import json

import pyarrow as pa

from parties.report.data import arrow_file, csv_table, json_report
from parties.report.view import Cell, ReportColumn, ReportTable
from tests.report.reports import COUNTS, REPORT


def test_json_tells_withheld_from_empty() -> None:
    table = json.loads(json_report(REPORT))["tables"][0]
    assert {(cell["row"], cell["column"]) for cell in table["withheld_cells"]} == {
        (3, "patients"),
        (3, "recurrence_rate"),
    }
    assert table["rows"][3]["patients"] is None
    assert table["rows"][1]["recurrence_rate"] is None
    assert table["withheld"][0]["remedy"] == "ask for coarser groups"
    assert table["totals"][4] == ["hormon"]


def test_json_carries_contract_receipt_and_trust() -> None:
    data = json.loads(json_report(REPORT))
    assert data["contract"]["digest"] == "3f" * 32
    assert data["receipt"]["digest"] == "99" * 32
    assert data["trust"][0]["severity"] == "none"


def test_csv_and_arrow_carry_the_same_cells_with_a_status_beside_each() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table(COUNTS))))
    table = pa.ipc.open_file(arrow_file(COUNTS)).read_all()
    assert [row["patients.status"] for row in rows] == table["patients.status"].to_pylist()
    assert table["patients.status"].to_pylist() == ["released", "released", "released", "withheld", "released"]
    assert table["patients"].to_pylist() == [12_345, 212, 48, None, 12_557]
    assert table["hormon.total"].to_pylist() == [False, False, False, False, True]
    assert [row["patients"] for row in rows] == ["12345", "212", "48", "", "12557"]


def test_a_spreadsheet_runs_no_formula_out_of_a_group_s_name() -> None:
    table = ReportTable("t", (ReportColumn("k", "key"), ReportColumn("n", "count")), ((Cell("=1+1"), Cell(-5)),))
    row = next(csv.DictReader(io.StringIO(csv_table(table))))
    assert row["k"] == "'=1+1"
    assert row["n"] == "-5", "a negative number is no formula"
