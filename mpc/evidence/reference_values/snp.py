"""What a contract may want of an SEV-SNP guest."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mpc.canonical import Hex32, Term, Text

Product = Literal["Milan", "Genoa", "Turin"]
Hex48 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$")]
ChipId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
Level = Annotated[int, Field(ge=0, le=255)]
Number = Annotated[int, Field(ge=0, lt=2**32)]
Permission = Literal["cxl", "debug", "migrate_ma", "smt"]
Restriction = Literal["ciphertext_hiding_dram", "mem_aes_256_xts", "page_swap_disable", "rapl_dis", "single_socket"]
PlatformBit = Literal[
    "alias_check_complete",
    "ciphertext_hiding_dram_en",
    "ecc_en",
    "iommu_write_safe",
    "rapl_dis",
    "smt_en",
    "tio_en",
    "tsme_en",
]
Acceptable = Literal["debug", "migrate_ma", "unknown_platform_bits"]


class TcbFloor(Term):
    """The least security patch levels on one product; ``fmc`` is Turin's alone, null elsewhere."""

    bl: Level
    tee: Level
    snp: Level
    ucode: Level
    fmc: Level | None

    def levels(self) -> dict[str, int]:
        """Return the levels by their names."""
        return {part: level for part, level in self.model_dump().items() if level is not None}


class SnpReference(Term):
    """Accept one guest image (``measurement``, hex, 48 bytes) at one privilege level, on machines that are new enough.

    ``minimum_tcb`` names the products that will do, each with a floor for what the machine reports, what it has
    committed and what ran when the guest was launched. ``allowed_policy`` lists what the guest's policy may permit
    to its host, ``required_policy`` and ``required_platform`` what guest and machine must have switched on.
    ``id_key_digest``, ``author_key_digest`` and ``host_data`` are null where any will do. ``chip_ids`` names the chips
    (a host may hide which one it is), null for any; under a VLEK, ``csp_id`` names the cloud. ``crl_required`` refuses
    evidence that comes without AMD's revocation list.
    """

    format: Literal["sev-snp"]
    measurement: Hex48
    vmpl: Annotated[int, Field(ge=0, le=3)]
    minimum_guest_svn: Number
    id_key_digest: Hex48 | None
    author_key_digest: Hex48 | None
    host_data: Hex32 | None
    allowed_policy: tuple[Permission, ...]
    required_policy: tuple[Restriction, ...]
    required_platform: tuple[PlatformBit, ...]
    minimum_tcb: Annotated[dict[Product, TcbFloor], Field(min_length=1)]
    signing_key: Literal["VCEK", "VLEK"]
    chip_ids: Annotated[tuple[ChipId, ...], Field(min_length=1, max_length=1024)] | None
    csp_id: Text | None
    crl_required: bool
    accepted: tuple[Acceptable, ...]
    measured_by: Literal["hardware"]
    memory_protected: Literal[True]

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not any(bytes.fromhex(self.measurement)):
            raise ValueError("a measurement of zeros names no guest")
        for name in ("allowed_policy", "required_policy", "required_platform", "chip_ids", "accepted"):
            values = getattr(self, name) or ()
            if list(values) != sorted(set(values)):
                raise ValueError(f"{name} must be sorted, each one once")
        if (self.signing_key == "VLEK") != (self.csp_id is not None):
            raise ValueError("csp_id names the cloud under a VLEK, and is null under a VCEK")
        for product, floor in self.minimum_tcb.items():
            if (product == "Turin") != (floor.fmc is not None):
                raise ValueError("fmc is a part of Turin's TCB, and of no other's")
        return self
