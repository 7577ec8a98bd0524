"""A proof is a type that is made at one door: who takes it knows what was checked."""

import ast
from pathlib import Path

import pytest

import mpc

ROOT = Path(mpc.__file__).parent.parent
DOORS = {
    "AttestedKey": {"mpc/evidence/appraisal.py"},
    "Claims": {
        "mpc/evidence/simulated.py",
        "mpc/evidence/tpm.py",
        "mpc/evidence/azure/verification.py",
        "mpc/evidence/nitro/verification.py",
        "mpc/evidence/veracruz/verify.py",
        "mpc/evidence/snp/verify.py",
        "mpc/evidence/keystone/verify.py",
        "mpc/evidence/intel/facts.py",
        "mpc/evidence/enarx/verify.py",
    },
    "Chain": {"mpc/evidence/chain.py"},
}


@pytest.mark.parametrize("proof", DOORS)
def test_a_proof_is_made_only_at_its_door(proof: str) -> None:
    makers = {
        path.relative_to(ROOT).as_posix()
        for package in ("mpc", "parties", "scenarios")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and proof == getattr(node.func, "id", getattr(node.func, "attr", None))
    }
    assert makers == DOORS[proof]
