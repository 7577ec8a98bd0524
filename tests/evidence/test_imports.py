"""Reading a contract loads no verifier: loaders, runners and the command line start without the vendors' formats."""

import subprocess
import sys

import pytest

import mpc.evidence

LOADED = "import sys, {}; print(*(name for name in sys.modules if name.startswith(('mpc.evidence.', 'asn1crypto'))))"


@pytest.mark.parametrize("module", ["mpc.contract.terms", "mpc.coordinator.loader"])
def test_terms_need_reference_values_and_nothing_else_of_evidence(module: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LOADED.format(module)], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(run.stdout.split())
    assert "mpc.evidence.reference_values" in loaded
    assert {name for name in loaded if not name.startswith("mpc.evidence.reference_values")} == {"mpc.evidence.claims"}


def test_every_name_of_the_package_is_there_when_it_is_asked_for() -> None:
    assert all(getattr(mpc.evidence, name) is not None for name in mpc.evidence.__all__)
    assert mpc.evidence.FORMATS is sys.modules["mpc.evidence.formats"].FORMATS
    with pytest.raises(AttributeError, match="nothing_of_the_sort"):
        _ = mpc.evidence.nothing_of_the_sort
