from pathlib import Path

import pytest

from mpc.errors import Misconfigured
from parties.report.folder import write_folder
from tests.report.reports import REPORT


def test_a_folder_holds_the_page_the_data_and_the_receipt(tmp_path: Path) -> None:
    written = write_folder(tmp_path / "out", [(REPORT, b"the receipt")])
    assert written[0].name == "report.html"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.html",
        "patients_by_grade-1.json",
        "patients_by_grade-1.receipt.json",
        "patients_by_grade-1-counts.csv",
        "patients_by_grade-1-counts.arrow",
        "patients_by_grade-1-ages.csv",
        "patients_by_grade-1-ages.arrow",
    }
    assert (tmp_path / "out" / "patients_by_grade-1.receipt.json").read_bytes() == b"the receipt"
    assert "sealroom verify patients_by_grade-1.receipt.json" in written[0].read_text()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured) as refused:
        write_folder(tmp_path / "file", [(REPORT, None)])
    assert refused.value.code == "report.unwritable"
