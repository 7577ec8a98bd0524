"""What a contract may want of an Azure confidential VM: its paravisor, on which machine, and what that booted."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mpc.canonical import Hex32, Term
from mpc.evidence import snp
from mpc.evidence.azure.verification import PINNED
from mpc.evidence.claims import BOOT_PCRS, Check, Claims, PcrIndex
from mpc.evidence.intel.careful import careful_tdx
from mpc.evidence.intel.reference import MachineTerms, TcbWaiver, machine_checks
from mpc.evidence.snp.reference import compare as compare_snp
from mpc.evidence.tpm import PCR_BYTES, extended

Hex48 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$")]
_NOTHING = "0" * 64


class AzureTd(MachineTerms):
    """The paravisor of a TD (``mrtd``, hex, 48 bytes). Azure leaves the RTMRs at zero: the vTPM measures instead."""

    format: Literal["tdx"]
    mrtd: Hex48
    accepted: tuple[Literal["debug", "sept_ve_disable", "service_td"] | TcbWaiver, ...]

    @model_validator(mode="after")
    def _names_a_paravisor(self) -> Self:
        if not self.mrtd.strip("0"):
            raise ValueError("a measurement of zeros names nothing that was measured")
        return self


class AzureReference(Term):
    """Accept an Azure confidential VM.

    ``hardware`` names paravisor and machine. ``code_pcr`` (8 to 15, not 9) holds the code digest, extended once from
    zero; ``boot_pcrs`` gives the registers of the boot chain in the SHA-256 bank, at least 0 to 7 and 9, none zero.
    ``secure_boot`` and ``ak_endorsed`` (a certificate of Microsoft's for the vTPM's key) are required where true.
    """

    format: Literal["azure-vtpm"]
    hardware: Annotated[snp.SnpReference | AzureTd, Field(discriminator="format")]
    code_digest: Hex32
    code_pcr: Annotated[int, Field(ge=8, le=15)]
    boot_pcrs: dict[PcrIndex, Hex32]
    secure_boot: bool
    ak_endorsed: bool
    measured_by: Literal["boot"]
    memory_protected: Literal[True]

    @property
    def accepted(self) -> tuple[str, ...]:
        """The careful checks that are waived by name."""
        return self.hardware.accepted

    @model_validator(mode="after")
    def _names_a_boot_chain(self) -> Self:
        given = {int(index) for index in self.boot_pcrs}
        if not given >= BOOT_PCRS or _NOTHING in self.boot_pcrs.values():
            raise ValueError("boot_pcrs must name at least the registers 0 to 7 and 9, none of them zero")
        if self.code_pcr in given | BOOT_PCRS:
            raise ValueError("code_pcr cannot be 9, nor one of boot_pcrs")
        return self


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
        "tee", "snp" if isinstance(reference.hardware, snp.SnpReference) else "tdx", str(claims.facts["tee"]),
        claims.facts["tee"] == ("snp" if isinstance(reference.hardware, snp.SnpReference) else "tdx"),
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


def _hardware_checks(claims: Claims, hardware: snp.SnpReference | AzureTd) -> tuple[Check, ...]:
    if isinstance(hardware, snp.SnpReference):
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
