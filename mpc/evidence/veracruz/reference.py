"""How a Veracruz runtime manager compares with what a contract or a policy wants of it."""

from mpc.errors import Malformed
from mpc.evidence.claims import Check, Claims
from mpc.evidence.reference_values.veracruz import Platform, VeracruzReference
from mpc.evidence.veracruz.policy import Policy
from mpc.evidence.veracruz.verify import PINNED


def reference_of(policy: Policy, platform: Platform) -> VeracruzReference:
    """Return what a policy wants on one platform, with nothing accepted; ``Malformed`` when it names no hash for it."""
    wanted = policy.runtime_hashes.get(platform, policy.runtime_hashes.get("any"))
    if wanted is None:
        raise Malformed(
            "evidence.policy", "the policy names no runtime manager", why=f"it has no hash for {platform}",
            remedy="choose a platform that the policy is for", field=f"runtime_manager_hash_{platform}",
            expected=" or ".join(policy.runtime_hashes) or "none", found=platform,
        )  # fmt: skip
    return VeracruzReference(
        format="veracruz", platform=platform, runtime_manager_hash=wanted.hex(), accepted=(),
        measured_by="self" if platform == "linux" else "hardware", memory_protected=platform != "linux",
    )  # fmt: skip


def roots(reference: VeracruzReference) -> tuple[bytes, ...]:
    """Return the trust anchors of all platforms."""
    del reference
    return PINNED


def compare(claims: Claims, reference: VeracruzReference) -> tuple[Claims, tuple[Check, ...]]:
    """Return the claims, and how they compare with what the contract wants."""
    platform, wanted = str(claims.facts["platform"]), reference.runtime_manager_hash
    found = claims.measurements["runtime_manager"].hex()
    return claims, (
        Check(
            "platform", reference.platform, platform, platform == reference.platform,
            why="wrong platform: the contract names another", remedy="use a machine that the contract names",
        ),
        Check(
            "runtime_manager", wanted, found, found[: len(wanted)] == wanted,
            why="wrong measurement: another runtime manager runs",
            remedy="start the runtime manager that the contract names, or agree on one that names this",
        ),
    )  # fmt: skip
