"""What a contract may want of an SGX enclave or of a TD."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mpc.canonical import Hex32, Term
from mpc.evidence.claims import Check, Claims
from mpc.evidence.intel.certificates import PINNED

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


def roots(reference: SgxReference | TdxReference) -> tuple[bytes, ...]:
    """Return the trust anchor of every quote: Intel's root key."""
    del reference
    return PINNED


def compare_sgx(claims: Claims, reference: SgxReference) -> tuple[Claims, tuple[Check, ...]]:
    """Return the claims, and how enclave and machine compare with what the contract wants."""
    facts = claims.facts
    return claims, (
        *_measured(claims, {name: getattr(reference, name) for name in ("mrenclave", "mrsigner", "configid")}),
        *(
            () if reference.isvprodid is None
            else (_equal("isvprodid", str(reference.isvprodid), str(facts["isvprodid"]), "wrong product"),)
        ),
        Check(
            "isvsvn", f"at least {reference.minimum_isvsvn}", str(facts["isvsvn"]),
            int(str(facts["isvsvn"])) >= reference.minimum_isvsvn,
            why="enclave too old: its security version is below the contract's", remedy="start a newer enclave",
        ),
        _masked("attributes", reference.attributes, reference.attributes_mask, str(facts["attributes"])),
        *machine_checks(claims, reference),
    )  # fmt: skip


def compare_tdx(claims: Claims, reference: TdxReference) -> tuple[Claims, tuple[Check, ...]]:
    """Return the claims, and how TD and machine compare with what the contract wants."""
    names = ("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrconfigid", "mrowner", "mrownerconfig", "mrservicetd")
    facts = claims.facts
    return claims, (
        *_measured(claims, {name: getattr(reference, name) for name in names}),
        _masked("td_attributes", reference.td_attributes, reference.td_attributes_mask, str(facts["td_attributes"])),
        _masked("xfam", reference.xfam, reference.xfam_mask, str(facts["xfam"])),
        *machine_checks(claims, reference),
    )


def _measured(claims: Claims, wanted: dict[str, str | None]) -> tuple[Check, ...]:
    found = {name: str(claims.facts.get(name, "")) for name in wanted}
    found |= {name: value.hex() for name, value in claims.measurements.items()}
    return tuple(
        _equal(name, value, found[name] or "not in the quote", "wrong measurement")
        for name, value in wanted.items()
        if value is not None
    )


def _equal(name: str, expected: str, found: str, why: str) -> Check:
    return Check(
        name, expected, found, expected == found, why=f"{why}: it runs something else than the contract names",
        remedy="start what the contract names, or agree on a contract that names this",
    )  # fmt: skip


def _masked(name: str, expected: str, mask: str, found: str) -> Check:
    bits, wanted, have = (int.from_bytes(bytes.fromhex(text), "little") for text in (mask, expected, found))
    return Check(
        name, f"{expected} under {mask}", found, wanted & bits == have & bits,
        why=f"wrong {name}: it was started in another way than the contract names",
        remedy="start it with the attributes that the contract names",
    )  # fmt: skip


def machine_checks(claims: Claims, reference: MachineTerms) -> tuple[Check, ...]:
    """Return how the machine compares with what is wanted of it: collateral, advisories, which machine it is."""
    facts, least = claims.facts, reference.minimum_tcb_evaluation_data_number
    number = int(str(facts["tcb_evaluation_data_number"]))
    advisories = facts["advisories"] if isinstance(facts["advisories"], tuple) else ()
    refused = sorted(set(reference.refused_advisories).intersection(map(str, advisories)))
    names = {str(facts["ppid"]), str(facts["platform_instance"])}
    known = reference.platforms
    return (
        Check(
            "tcb_evaluation_data_number", f"at least {least}", str(number), number >= least,
            why="collateral too old: a newer evaluation of the machine is agreed on",
            remedy="fetch collateral with the newest evaluation (update=early)",
        ),
        Check(
            "advisories", "none that is refused", ", ".join(refused) or "none", not refused,
            why="advisory refused: the machine is open to what the contract rules out", remedy="update the machine",
        ),
        *(
            ()
            if known is None
            else (
                Check(
                    "platform", f"one of {len(known)} machines", str(facts["ppid"]), not names.isdisjoint(known),
                    why="unknown machine: the contract names the machines, and this is none of them",
                    remedy="use one of the machines that the contract names",
                ),
            )
        ),
    )  # fmt: skip


def _require_not_zeros(name: str, text: str | None) -> None:
    if text is not None and not text.strip("0"):
        raise ValueError(f"{name} of zeros names nothing that was measured")


def _require_mask(value: str, mask: str, least: int) -> None:
    wanted, bits = (int.from_bytes(bytes.fromhex(text), "little") for text in (value, mask))
    if wanted & ~bits:
        raise ValueError("a bit that its mask leaves out is not compared: clear it, or set it in the mask")
    if bits & least != least:
        raise ValueError("the mask has to cover the debug bits")
