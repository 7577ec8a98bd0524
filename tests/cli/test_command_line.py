import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpc.errors import KINDS
from parties.cli.application import app
from tests.cli.command import sealroom


def help_of(*path: str) -> str:
    """Return the help of a command, in this process: there are many, and a process each takes its time."""
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "160", "NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    return result.output


def commands(*path: str) -> list[tuple[str, ...]]:
    """Return every command below ``path``, as its help lists them."""
    box = re.search(r"─ Commands ─.*?╰", help_of(*path), re.DOTALL)
    if box is None:
        return [path]
    names = re.findall(r"^│ ([a-z][a-z-]*)", box[0], re.MULTILINE)
    return [found for name in names for found in commands(*path, name)]


def test_every_command_has_help_with_an_example() -> None:
    found = commands()
    promised = {
        ("keys", "new"), ("measure",), ("coordinator", "serve"), ("party", "serve"), ("party", "check"),
        ("contract", "build"), ("contract", "amend"), ("contract", "explain"), ("contract", "diff"),
        ("contract", "sign"), ("contract", "verify"), ("attest",), ("evidence", "verify"), ("run",),
        ("permit",), ("results",), ("verify",),
        ("status",), ("withdraw",), ("scenario", "new"), ("scenario", "run"), ("demo",),
    }  # fmt: skip
    assert promised <= set(found)
    without = [" ".join(path) for path in found if "Example:" not in help_of(*path)]
    assert without == []


def test_a_refusal_says_what_why_and_remedy_and_ends_with_the_code_of_its_kind(tmp_path: Path) -> None:
    said = sealroom("contract", "verify", str(tmp_path / "absent.json"))
    assert said.code == KINDS["misconfigured"].exit_code
    assert said.out == ""
    for word in ("Refused:", "why", "remedy", "file.unreadable", "No such file"):
        assert word in said.err
    assert "Traceback" not in said.err


def test_a_refusal_is_data_for_those_who_ask_for_data(tmp_path: Path) -> None:
    (tmp_path / "contract.json").write_text("{}")
    said = sealroom("contract", "explain", str(tmp_path / "contract.json"), "--json")
    assert said.code == KINDS["malformed"].exit_code
    assert said.data["refusal"]["kind"] == "malformed"


def test_what_a_file_holds_is_never_read_as_markup(tmp_path: Path) -> None:
    said = sealroom("contract", "verify", str(tmp_path / "[red]absent[/red].json"))
    assert "[red]absent[/red].json" in said.err


@pytest.mark.parametrize("arguments", [("nonsense",), ("keys", "new"), ("keys", "nonsense")])
def test_a_misspelt_command_is_an_error_of_use(arguments: tuple[str, ...]) -> None:
    said = sealroom(*arguments)
    assert said.code == 2
    assert "Traceback" not in said.err


def test_completion_can_be_installed() -> None:
    said = sealroom("--show-completion", "bash", SHELL="/bin/bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert said.code == 0, said.err
    assert "complete" in said.out


def test_help_does_not_load_the_engines() -> None:
    said = sealroom("keys", "--help", PYTHONPROFILEIMPORTTIME="1")
    loaded = {line.rpartition("|")[2].strip() for line in said.err.splitlines() if line.startswith("import time:")}
    assert "typer" in loaded
    heavy = {"duckdb", "pyarrow", "numpy", "matplotlib", "grpc", "sqlglot", "cryptography"}
    assert loaded & heavy == set()


def test_help_is_as_wide_as_the_screen_and_flags_take_no_value() -> None:
    shown = help_of("attest")
    paragraph = shown[shown.index("Without --replace") :].splitlines()[0].strip()
    assert len(paragraph) > 125  # wider than the docstring's own lines
    assert "<bool>" not in "".join(help_of(*path) for path in commands())
    assert "<bool>" not in help_of()


def test_a_file_of_another_kind_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"format":"sealroom.key"}')
    said = sealroom("keys", "fingerprint", str(tmp_path / "other.json"))
    assert said.code == KINDS["malformed"].exit_code
    assert "this is not the public card" in said.err
    assert "give the file that is meant" in said.err


def test_a_name_with_a_space_is_quoted_in_what_to_type_next(tmp_path: Path) -> None:
    said = sealroom("scenario", "new", "lymph nodes", folder=tmp_path)
    assert "sealroom scenario run 'lymph nodes.py'" in said.err
