"""What a contract may want of an Azure confidential VM: its paravisor, on which machine, and what that booted."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mpc.canonical import Hex32, Term
from mpc.evidence.claims import BOOT_PCRS, PcrIndex
from mpc.evidence.reference_values.intel import MachineTerms, TcbWaiver
from mpc.evidence.reference_values.snp import SnpReference

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
    hardware: Annotated[SnpReference | AzureTd, Field(discriminator="format")]
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
