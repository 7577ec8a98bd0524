"""The attestation report of AMD SEV-SNP, parsed and believed in nothing; all numbers are little-endian.

"SEV Secure Nested Paging Firmware ABI Specification" (AMD, 56860), table ATTESTATION_REPORT: 0x2A0 signed bytes, then
the signature. Version 2 names no processor, 3 and 4 its CPUID family and model, 5 the mitigations too. Every reserved
byte is required to be zero, the padding after the signature included: a report has one spelling.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final, Literal

from mpc.errors import Malformed
from mpc.evidence.reference_values.snp import Product

REPORT_BYTES: Final = 1184
SIGNED_BYTES: Final = 0x2A0
REPORT_DATA_BYTES: Final = 64
VERSIONS: Final = (2, 3, 4, 5)
ECDSA_P384_SHA384: Final = 1  # SIGNATURE_ALGO; no other is defined
TCB_BYTES: Final = 8
SCALAR_BYTES: Final = 72  # r and s stand in 72 bytes each, of which P-384 fills 48
_SCALAR_FILLED: Final = 48

SigningKey = Literal["VCEK", "VLEK", "none"]

# The guest's policy, set at launch (4.3). Bit 17 is reserved and always one.
POLICY_SMT, POLICY_ALWAYS_ONE, POLICY_MIGRATE_MA, POLICY_DEBUG = (1 << bit for bit in (16, 17, 18, 19))
POLICY_KNOWN: Final = (1 << 26) - 1
POLICY_NAMES: Final[Mapping[str, int]] = MappingProxyType({
    "smt": 16, "migrate_ma": 18, "debug": 19, "single_socket": 20, "cxl": 21, "mem_aes_256_xts": 22,
    "rapl_dis": 23, "ciphertext_hiding_dram": 24, "page_swap_disable": 25,
})  # fmt: skip
PLATFORM_NAMES: Final[Mapping[str, int]] = MappingProxyType({
    "smt_en": 0, "tsme_en": 1, "ecc_en": 2, "rapl_dis": 3, "ciphertext_hiding_dram_en": 4,
    "alias_check_complete": 5, "iommu_write_safe": 6, "tio_en": 7,
})  # fmt: skip
# Turin's firmware sets bit 6, and other verifiers know it by this name; before Turin the bit is reserved.
_PLATFORM_SINCE_TURIN: Final = 1 << PLATFORM_NAMES["iommu_write_safe"]
_PLATFORM_KNOWN: Final = sum(1 << bit for bit in PLATFORM_NAMES.values())
_FLAGS_KNOWN: Final = 0b11111
_MASK_CHIP_KEY: Final = 0b10

# TCB_VERSION (2.2): which of the eight bytes is which part. Turin's order is its own.
_TCB_BYTES: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType({
    "Milan": MappingProxyType({"bl": 0, "tee": 1, "snp": 6, "ucode": 7}),
    "Genoa": MappingProxyType({"bl": 0, "tee": 1, "snp": 6, "ucode": 7}),
    "Turin": MappingProxyType({"fmc": 0, "bl": 1, "tee": 2, "snp": 3, "ucode": 7}),
})  # fmt: skip

# Reserved bytes that must be zero, by the version that has them: (first, one past the last).
_RESERVED: Final[Mapping[int, tuple[tuple[int, int], ...]]] = MappingProxyType({
    version: ((0x4C, 0x50), (0x188 if version == 2 else 0x18B, 0x1A0), (0x1EB, 0x1EC), (0x1EF, 0x1F0),  # noqa: PLR2004
              (0x208 if version == 5 else 0x1F8, SIGNED_BYTES), (0x2A0 + _SCALAR_FILLED, 0x2A0 + SCALAR_BYTES),  # noqa: PLR2004
              (0x2A0 + SCALAR_BYTES + _SCALAR_FILLED, REPORT_BYTES))
    for version in VERSIONS
})  # fmt: skip


@dataclass(frozen=True)
class Report:
    """A report; ``raw`` is all of it. TCBs stay eight bytes, since only a product says what they mean.

    ``product`` is what the report says of its processor, None where it says nothing (version 2); ``product_beside``
    what a certificate that lies beside it says, for showing only.
    ``signature`` is (r, s). ``chip_id`` is all zeros where the host masks it.
    """

    raw: bytes
    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    signature_algorithm: int
    current_tcb: bytes
    platform_info: int
    flags: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: bytes
    processor: tuple[int, int, int] | None
    chip_id: bytes
    committed_tcb: bytes
    current_firmware: tuple[int, int, int]
    committed_firmware: tuple[int, int, int]
    launch_tcb: bytes
    launch_mitigations: int | None
    current_mitigations: int | None
    signature: tuple[int, int]
    product_beside: Product | None = None

    @property
    def signed(self) -> bytes:
        """The bytes under the signature."""
        return self.raw[:SIGNED_BYTES]

    @property
    def debug(self) -> bool:
        """Whether the guest's policy lets the host decrypt its memory."""
        return bool(self.policy & POLICY_DEBUG)

    @property
    def migrate_ma(self) -> bool:
        """Whether the guest's policy lets a migration agent move it to another machine."""
        return bool(self.policy & POLICY_MIGRATE_MA)

    @property
    def signing_key(self) -> SigningKey:
        """Which kind of key signed: the chip's (VCEK), a cloud's on this chip (VLEK), or none."""
        kinds: dict[int, SigningKey] = {0: "VCEK", 1: "VLEK"}
        return kinds.get(self.flags >> 2 & 0b111, "none")

    @property
    def key_masked(self) -> bool:
        """Whether the host has the chip's keys masked: the firmware then signs nothing."""
        return bool(self.flags & _MASK_CHIP_KEY)

    @property
    def author_key_enabled(self) -> bool:
        """Whether an author key vouches for the key of the ID block."""
        return bool(self.flags & 1)

    @cached_property
    def product(self) -> Product | None:
        """The product of which the processor is, by its CPUID family and model; None in version 2."""
        return None if self.processor is None else product_of(*self.processor[:2])


def product_of(family: int, model: int) -> Product | None:
    """Return the product of a processor (CPUID family and model, extended parts included), None where unknown.

    AMD endorses the models of one generation by one chain: Bergamo and Siena (0xA0 to 0xAF) by Genoa's.
    """
    match family, model >> 4:
        case 0x19, 0x0:
            return "Milan"
        case 0x19, 0x1 | 0xA:
            return "Genoa"
        case 0x1A, 0x0 | 0x1:
            return "Turin"
    return None


def known_platform_bits(product: str) -> int:
    """Return the bits of PLATFORM_INFO that mean something on ``product``."""
    return _PLATFORM_KNOWN if product == "Turin" else _PLATFORM_KNOWN & ~_PLATFORM_SINCE_TURIN


def tcb_parts(tcb: bytes, product: Product) -> dict[str, int]:
    """Return the security patch levels that the eight bytes ``tcb`` hold on ``product``: bl, tee, snp, ucode (fmc)."""
    return {part: tcb[at] for part, at in _TCB_BYTES[product].items()}


def tcb_bytes(parts: Mapping[str, int], product: Product) -> bytes:
    """Return the eight bytes of a TCB of these ``parts``; a part that ``product`` does not have is ``ValueError``."""
    at = _TCB_BYTES[product]
    if not parts.keys() <= at.keys():
        raise ValueError("a part that this product's TCB does not have")
    named = {at[part]: level for part, level in parts.items()}
    return bytes(named.get(index, 0) for index in range(TCB_BYTES))


def tcb_reserved(tcb: bytes, product: Product) -> bytes:
    """Return those of the eight bytes that have no meaning on ``product``."""
    used = set(_TCB_BYTES[product].values())
    return bytes(byte for at, byte in enumerate(tcb) if at not in used)


def parse_report(raw: bytes) -> Report:
    """Return the report that ``raw`` (exactly 1184 bytes) spells, or raise ``Malformed``."""
    if len(raw) != REPORT_BYTES:
        short = "truncated: " if len(raw) < REPORT_BYTES else ""
        raise malformed(f"{short}it has another length", "length", f"{REPORT_BYTES} bytes", f"{len(raw)} bytes")
    version = _number(raw, 0, 4)
    if version not in VERSIONS:
        raise malformed("its version is unknown", "version", " or ".join(map(str, VERSIONS)), str(version))
    for start, end in _RESERVED[version]:
        if any(raw[start:end]):
            raise malformed("reserved bytes are set", f"bytes {start:#x} to {end - 1:#x}", "zeros", "others")
    return Report(
        raw=raw, version=version, guest_svn=_number(raw, 0x04, 4), policy=_number(raw, 0x08, 8),
        family_id=raw[0x10:0x20], image_id=raw[0x20:0x30], vmpl=_number(raw, 0x30, 4),
        signature_algorithm=_number(raw, 0x34, 4), current_tcb=raw[0x38:0x40], platform_info=_number(raw, 0x40, 8),
        flags=_flags(raw), report_data=raw[0x50:0x90], measurement=raw[0x90:0xC0], host_data=raw[0xC0:0xE0],
        id_key_digest=raw[0xE0:0x110], author_key_digest=raw[0x110:0x140], report_id=raw[0x140:0x160],
        report_id_ma=raw[0x160:0x180], reported_tcb=raw[0x180:0x188],
        processor=None if version == 2 else (raw[0x188], raw[0x189], raw[0x18A]),  # noqa: PLR2004 - the version without
        chip_id=raw[0x1A0:0x1E0], committed_tcb=raw[0x1E0:0x1E8],
        current_firmware=(raw[0x1EA], raw[0x1E9], raw[0x1E8]),
        committed_firmware=(raw[0x1EE], raw[0x1ED], raw[0x1EC]), launch_tcb=raw[0x1F0:0x1F8],
        launch_mitigations=_number(raw, 0x1F8, 8) if version == 5 else None,  # noqa: PLR2004 - the version with them
        current_mitigations=_number(raw, 0x200, 8) if version == 5 else None,  # noqa: PLR2004
        signature=(_number(raw, 0x2A0, SCALAR_BYTES), _number(raw, 0x2A0 + SCALAR_BYTES, SCALAR_BYTES)),
    )  # fmt: skip


def set_bits(value: int, names: Mapping[str, int]) -> tuple[str, ...]:
    """Return the names of the bits that are set in ``value``."""
    return tuple(name for name, bit in names.items() if value >> bit & 1)


def _flags(raw: bytes) -> int:
    flags = _number(raw, 0x48, 4)
    if flags & ~_FLAGS_KNOWN:
        raise malformed("reserved bits are set", "flags", "bits 0 to 4", f"{flags:#x}")
    return flags


def _number(raw: bytes, at: int, size: int) -> int:
    return int.from_bytes(raw[at : at + size], "little")


def malformed(why: str, field: str | None = None, expected: str | None = None, found: str | None = None) -> Malformed:
    """Return the refusal of bytes that are no report."""
    return Malformed(
        "evidence.snp_malformed", "the SEV-SNP report is malformed", why=why,
        remedy="give the report of 1184 bytes as the firmware wrote it", field=field, expected=expected, found=found,
    )  # fmt: skip
