from pathlib import Path

import pytest

from mpc.errors import Misconfigured, Refusal
from scenarios.loading import load_scenario

SHIPPED = Path(__file__).parents[2] / "scenarios"


@pytest.mark.parametrize("name", ["breast_cancer.py", "flights.py"])
def test_shipped_scenarios_load_from_their_files(name: str) -> None:
    assert load_scenario(SHIPPED / name).computations


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("scenario = (", "scenario.file.error", "line 1"),
        ("\n\nscenario = 1 / 0\n", "scenario.file.error", "line 3"),
        ("import no_such_module_anywhere\n", "scenario.file.error", "line 1"),
        ("study = 1\n", "scenario.file.empty", "scenario"),
        ("scenario = 1\n", "scenario.file.empty", "scenario"),
        ("from scenarios.breast_cancer import patients\npatients['nodse']\n", "scenario.column", "nodes"),
    ],
)
def test_a_file_that_makes_no_scenario_says_where(tmp_path: Path, text: str, code: str, said: str) -> None:
    path = tmp_path / "study.py"
    path.write_text(text)
    with pytest.raises(Refusal) as caught:
        load_scenario(path)
    assert caught.value.code == code
    assert said in caught.value.remedy


@pytest.mark.parametrize(("name", "code"), [("absent.py", "scenario.file.absent"), ("study.txt", "scenario.file.kind")])
def test_what_is_no_python_file_refuses(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "study.txt").write_text("scenario = 1")
    with pytest.raises(Misconfigured) as caught:
        load_scenario(tmp_path / name)
    assert caught.value.code == code
