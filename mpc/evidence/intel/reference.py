"""How an SGX enclave or a TD compares with what a contract wants of it."""

from mpc.evidence.claims import Check, Claims
from mpc.evidence.intel.certificates import PINNED
from mpc.evidence.reference_values.intel import MachineTerms, SgxReference, TdxReference


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
