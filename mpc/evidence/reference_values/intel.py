"""What a contract may want of an SGX enclave, of a TD, and of the machine under either."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mpc.canonical import Hex32, Term

Hex8 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Hex16 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Hex48 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
Short = Annotated[int, Field(ge=0, le=0xFFFF)]
Advisory = Annotated[str, StringConstraints(pattern=r"^INTEL-SA-[0-9]{5}$")]
TcbWaiver = Literal[
    "tcb:ConfigurationAndSWHardeningNeeded", "tcb:ConfigurationNeeded", "tcb:OutOfDate",
    "tcb:OutOfDateConfigurationNeeded", "tcb:SWHardeningNeeded", "tcb:TDRelaunchAdvised",
    "tcb:TDRelaunchAdvisedConfigurationNeeded",
]  # fmt: skip
_DEBUG_MASKS = {"sgx": 0x02, "tdx": 0xFF}


class MachineTerms(Term):
    """What is wanted of the machine. ``accepted`` waives careful checks by name.

    ``minimum_tcb_evaluation_data_number`` keeps out collateral that is in date and older than an agreed one (Intel
    lets several live at once). An advisory among ``refused_advisories`` refuses whatever the status. ``platforms``
    names machines by PPID or platform instance, hex, null for any.
    """

    minimum_tcb_evaluation_data_number: Annotated[int, Field(ge=1, lt=2**32)]
    refused_advisories: Annotated[tuple[Advisory, ...], Field(max_length=1024)]
    platforms: Annotated[tuple[Hex16, ...], Field(min_length=1, max_length=1024)] | None
    measured_by: Literal["hardware"]
    memory_protected: Literal[True]

    @model_validator(mode="after")
    def _sets_are_sorted(self) -> Self:
        for name in ("refused_advisories", "platforms", "accepted"):
            values = getattr(self, name, None) or ()
            if list(values) != sorted(set(values)):
                raise ValueError(f"{name} must be sorted, each one once")
        return self


class SgxReference(MachineTerms):
    """Accept an SGX enclave: by its program (``mrenclave``), or by signer, product and least security version.

    Whichever is not null must be as it says; at least one of ``mrenclave`` and ``mrsigner`` is given, and with a
    signer its product. ``attributes`` are compared under ``attributes_mask`` (16 bytes each: flags, XFRM), which
    covers at least the debug bit. ``configid`` is null where any will do.
    """

    format: Literal["sgx"]
    mrenclave: Hex32 | None
    mrsigner: Hex32 | None
    isvprodid: Short | None
    minimum_isvsvn: Short
    attributes: Hex16
    attributes_mask: Hex16
    configid: Hex64 | None
    accepted: tuple[Literal["debug"] | TcbWaiver, ...]

    @model_validator(mode="after")
    def _names_an_enclave(self) -> Self:
        if self.mrenclave is None and self.mrsigner is None:
            raise ValueError("name the enclave: mrenclave, or mrsigner and isvprodid")
        if self.mrsigner is not None and self.isvprodid is None:
            raise ValueError("one signer signs many products: isvprodid must say which one")
        for name in ("mrenclave", "mrsigner"):
            _require_not_zeros(name, getattr(self, name))
        _require_mask(self.attributes, self.attributes_mask, _DEBUG_MASKS["sgx"])
        return self


class TdxReference(MachineTerms):
    """Accept a TD by what it started with (``mrtd``) and what that started then (``rtmr0`` to ``rtmr3``).

    ``mrtd`` alone says nothing of kernel and programs, so ``rtmr1`` and ``rtmr2`` are never null; ``rtmr0`` (the
    machine's layout) and ``rtmr3`` may be. Of the owner's fields and ``mrservicetd`` null means any; where
    ``service_td`` is accepted, ``mrservicetd`` says which. Attributes and XFAM (8 bytes each) are compared under
    their masks.
    """

    format: Literal["tdx"]
    mrtd: Hex48
    rtmr0: Hex48 | None
    rtmr1: Hex48
    rtmr2: Hex48
    rtmr3: Hex48 | None
    mrconfigid: Hex48 | None
    mrowner: Hex48 | None
    mrownerconfig: Hex48 | None
    mrservicetd: Hex48 | None
    td_attributes: Hex8
    td_attributes_mask: Hex8
    xfam: Hex8
    xfam_mask: Hex8
    accepted: tuple[Literal["debug", "sept_ve_disable", "service_td"] | TcbWaiver, ...]

    @model_validator(mode="after")
    def _names_a_td(self) -> Self:
        for name in ("mrtd", "rtmr1", "rtmr2"):
            _require_not_zeros(name, getattr(self, name))
        if "service_td" in self.accepted and self.mrservicetd is None:
            raise ValueError("where service_td is accepted, mrservicetd must say which one")
        _require_mask(self.td_attributes, self.td_attributes_mask, _DEBUG_MASKS["tdx"])
        _require_mask(self.xfam, self.xfam_mask, 0)
        return self


def _require_not_zeros(name: str, text: str | None) -> None:
    if text is not None and not text.strip("0"):
        raise ValueError(f"{name} of zeros names nothing that was measured")


def _require_mask(value: str, mask: str, least: int) -> None:
    wanted, bits = (int.from_bytes(bytes.fromhex(text), "little") for text in (value, mask))
    if wanted & ~bits:
        raise ValueError("a bit that its mask leaves out is not compared: clear it, or set it in the mask")
    if bits & least != least:
        raise ValueError("the mask has to cover the debug bits")
