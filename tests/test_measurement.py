"""A change of any file of the coordinator changes its digest, and the list says where."""

import ast
import shutil
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from mpc.errors import Misconfigured
from mpc.measurement import ENCLAVE_DISTRIBUTIONS, PACKAGE, Measurement, measure

SMALL = ("rfc8785",)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    copy = tmp_path / "mpc"
    shutil.copytree(PACKAGE, copy)
    return copy


def named(measured: Measurement) -> dict[str, bytes]:
    return {part.name: part.digest for part in measured.components}


def test_an_unchanged_copy_measures_the_same_wherever_it_lies(package: Path) -> None:
    assert measure(package, SMALL) == measure(PACKAGE, SMALL)


def test_the_whole_enclave_is_measured_and_each_part_listed() -> None:
    measured = measure()
    assert list(named(measured)) == ["python", "mpc", *sorted(ENCLAVE_DISTRIBUTIONS)]
    assert len(measured.code_digest) == 32
    assert measured.as_data()["code_digest"] == measured.code_digest.hex()
    assert measure() == measured


def test_any_changed_added_removed_or_renamed_file_changes_the_digest(package: Path) -> None:
    before = measure(package, SMALL)
    errors = package / "errors.py"
    text = errors.read_bytes()
    digests = {before.code_digest}

    def remeasured() -> None:
        after = measure(package, SMALL)
        assert named(after)["rfc8785"] == named(before)["rfc8785"]
        assert named(after)["mpc"] != named(before)["mpc"]
        assert after.code_digest not in digests
        digests.add(after.code_digest)

    errors.write_bytes(text + b"\n")
    remeasured()
    errors.unlink()
    remeasured()
    (package / "wire" / "errors.py").write_bytes(text)
    remeasured()
    (package / "wire" / "errors.py").unlink()
    errors.write_bytes(text)
    assert measure(package, SMALL) == before


def test_compiled_files_are_not_measured(package: Path) -> None:
    before = measure(package, SMALL)
    cache = package / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "anything.cpython-311.pyc").write_bytes(b"derived")
    assert measure(package, SMALL) == before


def test_a_link_a_missing_package_and_a_missing_distribution_are_refused(package: Path, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        measure(package, ("no-such-distribution",))
    assert caught.value.code == "measurement.missing"
    with pytest.raises(Misconfigured):
        measure(tmp_path / "nowhere", SMALL)
    (package / "linked.py").symlink_to(package / "errors.py")
    with pytest.raises(Misconfigured) as caught:
        measure(package, SMALL)
    assert caught.value.code == "measurement.link"


def test_everything_that_mpc_imports_is_measured() -> None:
    known = packages_distributions()
    optional = {"tpm2_pytss"}  # compiled on each machine: see ENCLAVE_DISTRIBUTIONS
    not_in_the_enclave = {"typer", "rich"}  # the command line
    # A program of its own, for operators of Enarx keeps: no enclave runs it, and nothing else here imports it.
    steward = PACKAGE / "steward"
    named = {
        name
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(steward)
        for node in ast.walk(ast.parse(path.read_bytes()))
        for name in _names(node)
    }
    assert not any(name.startswith("mpc.steward") for name in named)
    imported = {name.split(".")[0] for name in named}
    strangers = imported - set(sys.stdlib_module_names) - {"mpc"} - optional - not_in_the_enclave
    assert strangers
    measured = {
        name
        for name in strangers
        if {distribution.lower().replace("_", "-") for distribution in known[name]} & set(ENCLAVE_DISTRIBUTIONS)
    }
    assert strangers == measured


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module]
    return []
