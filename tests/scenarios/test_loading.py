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


def test_the_line_is_told_of_a_file_that_is_named_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study.py").write_text("\n\nscenario = 1 / 0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Misconfigured) as caught:
        load_scenario(Path("study.py"))
    assert caught.value.remedy == "correct the file at line 3"


SLIPS = (
    ("owners=[north, south]", 'owners=["north_hospital", south]', "Dataset.owners.0"),
    ('identity="disjoint"', 'identity="same"', "Subject.identity"),
    ('{"1": "well", "2": "moderately", "3": "poorly"}', '["1", "2", "3"]', "Column.codes"),
    ("minimum=18", 'minimum="18"', "Column.minimum"),
    ('missing=["-9"]', "missing=[-9]", "Column.missing.0"),
    ("timedelta(days=30)", "30", "Scenario.valid_for"),
    ("valid_for=", "valid_four=", "Scenario.valid_four"),
    ('title="Lymph nodes by tumour grade"', "title=3", "Scenario.title"),
    ("recipients=[university]", "recipients=university", "Scenario.recipients"),
)  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "place"), SLIPS)
def test_a_value_of_another_type_is_told_with_its_line(tmp_path: Path, right: str, wrong: str, place: str) -> None:
    text = (SHIPPED / "data" / "template.py.txt").read_text()
    assert text.count(right) == 1
    path = tmp_path / "study.py"
    path.write_text(text.replace(right, wrong))
    with pytest.raises(Misconfigured) as caught:
        load_scenario(path)
    assert (caught.value.code, caught.value.field) == ("scenario.type", place)
    assert "correct the file at line" in caught.value.remedy


@pytest.mark.parametrize(("name", "code"), [("absent.py", "scenario.file.absent"), ("study.txt", "scenario.file.kind")])
def test_what_is_no_python_file_refuses(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "study.txt").write_text("scenario = 1")
    with pytest.raises(Misconfigured) as caught:
        load_scenario(tmp_path / name)
    assert caught.value.code == code
