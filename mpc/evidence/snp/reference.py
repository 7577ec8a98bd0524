"""How an SEV-SNP guest compares with what a contract wants of it, and what no guest should be whatever the contract."""

from collections.abc import Mapping

from mpc.evidence.claims import Check, Claims
from mpc.evidence.reference_values.snp import SnpReference, TcbFloor
from mpc.evidence.snp.layout import PLATFORM_NAMES, known_platform_bits, set_bits
from mpc.evidence.snp.verify import PINNED, words_of

# The host sets what is reported; it may go back to what is committed; the guest's memory was measured at launch.
_FLOORED = ("reported_tcb", "committed_tcb", "launch_tcb")
_PERMISSIONS = frozenset({"cxl", "debug", "migrate_ma", "smt"})


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
    unknown = platform & ~known_platform_bits(str(facts["product"]))
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
