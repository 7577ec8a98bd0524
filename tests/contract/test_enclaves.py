"""The page that is read before signing names the program, who could forge its evidence, and what is waived."""

from collections.abc import Callable
from typing import Any, get_args

import pytest

from mpc.contract import enclaves
from mpc.contract.document import parse_contract
from mpc.contract.explain import explain
from mpc.evidence.reference_values import ReferenceValues

Document = dict[str, Any]
Spell = Callable[[Document], bytes]

SNP: dict[str, Any] = {
    "format": "sev-snp", "measurement": "ab" * 48, "vmpl": 0, "minimum_guest_svn": 0, "id_key_digest": None,
    "author_key_digest": None, "host_data": None, "allowed_policy": ["smt"], "required_policy": [],
    "required_platform": [], "signing_key": "VCEK", "chip_ids": None, "csp_id": None, "crl_required": True,
    "minimum_tcb": {"Genoa": {"bl": 10, "tee": 0, "snp": 27, "ucode": 27, "fmc": None}}, "accepted": [],
    "measured_by": "hardware", "memory_protected": True,
}  # fmt: skip
POLICY: dict[str, Any] = {
    "signer": [], "hash": ["cd" * 32], "hash_blacklist": [], "features": [], "enclave_security_version": None,
    "enclave_product_id": None, "misc_select": [], "allowed_advisories": [],
}  # fmt: skip
ENARX: dict[str, Any] = {
    "format": "enarx", "sgx": POLICY, "snp": None, "accepted": [], "measured_by": "hardware", "memory_protected": True,
}  # fmt: skip
NITRO: dict[str, Any] = {
    "format": "nitro", "pcr0": "ab" * 48, "pcr1": "ac" * 48, "pcr2": "ad" * 48, "pcr3": None, "pcr4": None,
    "pcr8": None, "measured_by": "hardware", "memory_protected": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "program", "forger"),
    [(SNP, "ab" * 48, "AMD"), (NITRO, "ab" * 48, "AWS"), (ENARX, "", "Intel and AMD")],
)
def test_an_enclave_of_hardware_is_told_by_program_and_forger(
    document: Document, spell: Spell, reference: dict[str, Any], program: str, forger: str
) -> None:
    document["enclaves"][0] = reference
    page = explain(parse_contract(spell(document)), b"", party=None)
    (enclave,) = page.enclaves
    assert enclave.code_digest == program or (not program and len(enclave.code_digest) == 64)
    assert enclave.forged_by.startswith(forger)
    assert not enclave.warning
    assert "the hardware hides its memory" in page.text


def test_what_is_waived_is_a_warning_that_names_it(document: Document, spell: Spell) -> None:
    document["enclaves"][0] = SNP | {"accepted": ["debug", "migrate_ma"]}
    page = explain(parse_contract(spell(document)), b"", party=None)
    assert page.enclaves[0].warning
    assert "accepted all the same: debug, migrate_ma" in page.text


def test_every_kind_of_reference_values_has_its_forger() -> None:
    union, _ = get_args(ReferenceValues)
    formats = {get_args(kind.model_fields["format"].annotation)[0] for kind in get_args(union)}
    assert formats - {"tpm", "veracruz"} <= set(enclaves._FORGERS)
