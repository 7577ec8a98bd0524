"""What is deployed fits the project: pins for every dependency, and commands that exist."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.main import get_command

from parties.cli.application import app

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)[^\n]*\\\n(?:\s+--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", re.MULTILINE)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in PIN.findall((DEPLOY / "requirements.txt").read_text(encoding="utf-8")):
        found.setdefault(normal(name), set()).add(version)
    return found


def test_every_dependency_is_pinned_with_its_hashes_in_a_version_that_the_project_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    pinned = pins()
    assert len(wanted) > 20
    for requirement in wanted:
        versions = pinned.get(normal(requirement.name), set())
        assert versions, f"make -C deploy lock: {requirement.name} is not pinned"
        assert all(requirement.specifier.contains(version) for version in versions), requirement.name


@pytest.mark.parametrize("name", ["Containerfile.coordinator", "Containerfile.party"])
def test_what_an_image_copies_is_there(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    copied = [word for line in re.findall(r"^COPY (?!--from)(.+)", text, re.MULTILINE) for word in line.split()[:-1]]
    assert {"mpc", "parties", "scenarios", "pyproject.toml"} <= set(copied)
    assert [word for word in copied if not (ROOT / word).exists()] == []


def started() -> list[tuple[str, list[str]]]:
    units = [
        (path.name, shlex.split(line)[1:])
        for path in sorted(DEPLOY.glob("*.service"))
        for line in re.findall(r"^ExecStart=(.+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    images = [
        (path.name, [word for line in re.findall(r"^(?:ENTRYPOINT|CMD) \[(.+)\]", path.read_text(), re.MULTILINE)
                     for word in re.findall(r'"([^"]+)"', line)][1:])
        for path in sorted(DEPLOY.glob("Containerfile.*"))
    ]  # fmt: skip
    return units + images


@pytest.mark.parametrize(("name", "words"), started(), ids=lambda value: value if isinstance(value, str) else "")
def test_what_a_unit_or_an_image_starts_is_a_command_with_these_options(name: str, words: list[str]) -> None:
    command = get_command(app)
    context = command.make_context("sealroom", [], resilient_parsing=True)
    while hasattr(command, "get_command"):
        command = command.get_command(context, words[0])
        assert command is not None, (name, words[0])
        words = words[1:]
    options = {spelling for parameter in command.params for spelling in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_units_and_images_are_there() -> None:
    assert len(started()) == 4


def test_editors_and_type_checkers_find_the_packages_from_anywhere(tmp_path: Path) -> None:
    study = tmp_path / "study.py"
    study.write_text("import mpc.errors\nimport parties.config\nfrom scenarios.scenario import Scenario, party_of\n")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir", str(tmp_path), "--follow-imports=silent",
         str(study)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert "import-not-found" not in ran.stdout + ran.stderr
    assert "import-untyped" not in ran.stdout + ran.stderr
    assert 'has no attribute "party_of"' in ran.stdout
