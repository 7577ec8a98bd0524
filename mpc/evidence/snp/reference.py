"""What a contract may want of an SEV-SNP guest, and what no guest should be whatever the contract."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mpc.canonical import Hex32, Term, Text
from mpc.evidence.claims import Check, Claims
from mpc.evidence.snp.layout import PLATFORM_KNOWN, PLATFORM_NAMES, Product, set_bits
from mpc.evidence.snp.verify import PINNED, words_of

Hex48 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$")]
ChipId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
Level = Annotated[int, Field(ge=0, le=255)]
Number = Annotated[int, Field(ge=0, lt=2**32)]
Permission = Literal["cxl", "debug", "migrate_ma", "smt"]
Restriction = Literal["ciphertext_hiding_dram", "mem_aes_256_xts", "page_swap_disable", "rapl_dis", "single_socket"]
PlatformBit = Literal[
    "alias_check_complete", "ciphertext_hiding_dram_en", "ecc_en", "rapl_dis", "smt_en", "tio_en", "tsme_en"
]
Acceptable = Literal["debug", "migrate_ma", "unknown_platform_bits"]
# The host sets what is reported; it may go back to what is committed; the guest's memory was measured at launch.
_FLOORED = ("reported_tcb", "committed_tcb", "launch_tcb")
_PERMISSIONS = frozenset({"cxl", "debug", "migrate_ma", "smt"})


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


def roots(reference: SnpReference) -> tuple[bytes, ...]:
    """Return the trust anchors of every SEV-SNP guest: AMD's roots, by their digests."""
    del reference
    return PINNED


def careful(claims: Claims, accepted: frozenset[str]) -> tuple[Check, ...]:
    """Return the checks that hold without reference values: no migration agent, a platform that is understood."""
    return careful_of(claims.facts, accepted)


def careful_of(facts: Mapping[str, object], accepted: frozenset[str]) -> tuple[Check, ...]:
    """Make the careful checks from the facts of a report; see ``careful``."""
    migrates, platform = bool(facts["migrate_ma"]), int(str(facts["platform_info"]), 16)
    unknown = platform & ~PLATFORM_KNOWN
    return (
        Check(
            "migrate_ma", "off", "on" if migrates else "off", not migrates or "migrate_ma" in accepted,
            why="migration agent allowed: a guest that this report does not describe may take it to another machine",
            remedy="start the guest with a policy that allows no migration agent",
        ),
        Check(
            "unknown_platform_bits", "none", f"{unknown:#x}", not unknown or "unknown_platform_bits" in accepted,
            why="unknown platform bits: the machine runs in a way that this version does not understand",
            remedy="use a newer version of this project, or accept unknown_platform_bits by name",
        ),
    )  # fmt: skip


def compare(claims: Claims, reference: SnpReference) -> tuple[Claims, tuple[Check, ...]]:
    """Return the claims, and how they compare with what the contract wants."""
    return claims, (
        *_guest_checks(claims, reference),
        *_policy_checks(claims, reference),
        *_machine_checks(claims, reference),
    )


def _guest_checks(claims: Claims, reference: SnpReference) -> tuple[Check, ...]:
    named = {
        name: getattr(reference, name)
        for name in ("measurement", "id_key_digest", "author_key_digest", "host_data")
        if getattr(reference, name) is not None
    }
    svn, vmpl = _number(claims, "guest_svn"), _number(claims, "vmpl")
    return (
        *(
            Check(
                name, wanted, claims.measurements[name].hex(), claims.measurements[name].hex() == wanted,
                why=f"wrong {name.replace('_', ' ')}: another guest runs than the contract names",
                remedy="start the image that the contract names, or agree on one that names this",
            )
            for name, wanted in named.items()
        ),
        Check(
            "vmpl", str(reference.vmpl), str(vmpl), vmpl == reference.vmpl,
            why="wrong privilege level: other code in the guest stands above this one, or asked for the report",
            remedy="ask for the report at the privilege level that the contract names",
        ),
        Check(
            "guest_svn", f"at least {reference.minimum_guest_svn}", str(svn), svn >= reference.minimum_guest_svn,
            why="guest too old: its security version is below the contract's", remedy="start a newer image",
        ),
    )  # fmt: skip


def _policy_checks(claims: Claims, reference: SnpReference) -> tuple[Check, ...]:
    bits = frozenset(map(str, _tuple(claims, "policy_bits")))
    allowed, wanted = frozenset(reference.allowed_policy), frozenset(reference.required_policy)
    platform = frozenset(set_bits(int(str(claims.facts["platform_info"]), 16), PLATFORM_NAMES))
    return (
        Check(
            "allowed_policy", _words(allowed), _words(bits & _PERMISSIONS), bits & _PERMISSIONS <= allowed,
            why="policy too wide: it permits its host what the contract does not allow",
            remedy="start the guest with a narrower policy",
        ),
        Check(
            "required_policy", _words(wanted), _words(bits - _PERMISSIONS), wanted <= bits,
            why="policy too wide: it does not demand of its machine what the contract requires",
            remedy="start the guest with a policy that demands it",
        ),
        Check(
            "required_platform", _words(reference.required_platform), _words(platform),
            platform >= frozenset(reference.required_platform),
            why="wrong platform: the machine does not have switched on what the contract requires",
            remedy="switch it on in the machine's firmware, or use another machine",
        ),
    )  # fmt: skip


def _machine_checks(claims: Claims, reference: SnpReference) -> tuple[Check, ...]:
    product, kind = str(claims.facts["product"]), str(claims.facts["signing_key"])
    floor = {str(name): value for name, value in reference.minimum_tcb.items()}.get(product)
    chip = str(claims.facts["chip_id"])
    return (
        Check(
            "wanted_product", " or ".join(sorted(reference.minimum_tcb)), product, floor is not None,
            why="wrong product: the contract names no patch levels for this processor",
            remedy="use a machine with a processor that the contract names",
        ),
        *(_floor_check(claims, name, floor) for name in _FLOORED if floor is not None),
        Check(
            "wanted_key", reference.signing_key, kind, kind == reference.signing_key,
            why="wrong kind of key: the contract wants another kind to have signed",
            remedy="use a machine whose reports are signed by that kind of key",
        ),
        Check(
            "csp_id", reference.csp_id or "none", str(claims.facts["csp_id"]) or "none",
            (reference.csp_id or "") == claims.facts["csp_id"],
            why="wrong cloud: the key was leased to another provider",
            remedy="use the provider that the contract names",
        ),
        Check(
            "wanted_chip", " or ".join(reference.chip_ids or ("any",)), chip,
            reference.chip_ids is None or chip in reference.chip_ids,
            why="wrong chip: the contract does not list this machine", remedy="use a machine that the contract lists",
        ),
        Check(
            "crl", "AMD's revocation list" if reference.crl_required else "none required",
            str(claims.facts["revocation"]),
            not reference.crl_required or str(claims.facts["revocation"]).startswith("checked"),
            why="no CRL: nothing says that AMD has not called back the key's authority",
            remedy="give AMD's present revocation list for the product",
        ),
    )  # fmt: skip


def _floor_check(claims: Claims, name: str, floor: TcbFloor) -> Check:
    found = claims.facts[name]
    levels = {part: int(str(level)) for part, level in found.items()} if isinstance(found, Mapping) else {}
    passed = all(levels.get(part, -1) >= least for part, least in floor.levels().items())
    return Check(
        f"minimum_{name}", f"at least {words_of(floor.levels())}", words_of(levels), passed,
        why="TCB out of date: the machine's firmware is below the contract's floor",
        remedy="update the machine's firmware, and let the host commit it",
    )  # fmt: skip


def _number(claims: Claims, name: str) -> int:
    return int(str(claims.facts[name]))


def _tuple(claims: Claims, name: str) -> tuple[object, ...]:
    found = claims.facts[name]
    return found if isinstance(found, tuple) else ()


def _words(names: frozenset[str] | tuple[str, ...]) -> str:
    return " ".join(sorted(names)) or "nothing"
