"""How an Azure confidential VM compares with what a contract wants of it."""

from collections.abc import Mapping
from dataclasses import replace

from mpc.evidence import snp
from mpc.evidence.azure.verification import PINNED
from mpc.evidence.claims import Check, Claims
from mpc.evidence.intel.careful import careful_tdx
from mpc.evidence.intel.reference import machine_checks
from mpc.evidence.reference_values.azure import AzureReference, AzureTd
from mpc.evidence.reference_values.snp import SnpReference
from mpc.evidence.snp.reference import compare as compare_snp
from mpc.evidence.tpm import PCR_BYTES, extended


def roots(reference: AzureReference) -> tuple[bytes, ...]:
    """Return the trust anchors: the processor's vendors', and Microsoft's for the vTPM."""
    del reference
    return PINNED


def careful(claims: Claims, accepted: frozenset[str]) -> tuple[Check, ...]:
    """Return the careful checks of the hardware under the VM."""
    return snp.careful_of(claims.facts, accepted) if claims.facts["tee"] == "snp" else careful_tdx(claims, accepted)


def compare(claims: Claims, reference: AzureReference) -> tuple[Claims, tuple[Check, ...]]:
    """Return the claims, completed by what the reference makes of them, and how they compare with it."""
    tee = Check(
        "tee", "snp" if isinstance(reference.hardware, SnpReference) else "tdx", str(claims.facts["tee"]),
        claims.facts["tee"] == ("snp" if isinstance(reference.hardware, SnpReference) else "tdx"),
        why="wrong hardware: the contract names another kind of processor",
        remedy="use a VM of the kind that the contract names",
    )  # fmt: skip
    if not tee.passed:
        return claims, (tee,)
    boot = tuple(_register(claims, int(index), value) for index, value in reference.boot_pcrs.items())
    if all(check.passed for check in boot):
        claims = replace(claims, measured_by="boot")
    code = extended(bytes(PCR_BYTES), bytes.fromhex(reference.code_digest)).hex()
    wanted: Mapping[str, bool] = {"secure_boot": reference.secure_boot, "ak_endorsed": reference.ak_endorsed}
    return claims, (
        tee,
        *_hardware_checks(claims, reference.hardware),
        *boot,
        _register(claims, reference.code_pcr, code),
        *(_required(claims, name) for name, required in wanted.items() if required),
    )


def _hardware_checks(claims: Claims, hardware: SnpReference | AzureTd) -> tuple[Check, ...]:
    if isinstance(hardware, SnpReference):
        return compare_snp(claims, hardware)[1]
    found = claims.measurements["mrtd"].hex()
    paravisor = Check(
        "mrtd", hardware.mrtd, found, found == hardware.mrtd,
        why="wrong measurement: another paravisor runs than the contract names",
        remedy="agree on a contract that names Azure's present paravisor",
    )  # fmt: skip
    return paravisor, *machine_checks(claims, hardware)


def _register(claims: Claims, index: int, expected: str) -> Check:
    name = f"pcr{index}"
    found = claims.measurements.get(name, b"").hex()
    return Check(
        name, expected, found or "not quoted", found == expected,
        why="wrong measurement: it booted or runs something else than the contract names",
        remedy="boot the agreed image and start the agreed version, once",
    )  # fmt: skip


def _required(claims: Claims, name: str) -> Check:
    passed = claims.facts[name] is True
    return Check(
        name, "yes", "yes" if passed else "no", passed,
        why=f"{name.replace('_', ' ')} is required, and is not so",
        remedy="use a VM that has it, or agree on a contract without",
    )  # fmt: skip
