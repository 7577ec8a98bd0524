"""What a contract may want of a Veracruz runtime manager: which program, on which platform."""

from typing import Annotated, Literal, Self

from pydantic import StringConstraints, model_validator

from mpc.canonical import Term
from mpc.errors import Malformed
from mpc.evidence.claims import Check, Claims
from mpc.evidence.veracruz.policy import Platform, Policy
from mpc.evidence.veracruz.verify import PINNED

Measurement = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64}|[0-9a-f]{96})$")]
Acceptable = Literal["debug", "migrate_ma", "published_test_key", "unknown_platform_bits"]


class VeracruzReference(Term):
    """Accept one runtime manager, by the hash that a Veracruz policy names for the platform.

    ``runtime_manager_hash`` is hex; of a measurement of 48 bytes, Veracruz keeps the first 32, and either length does.
    On plain Linux nothing but the program itself says what runs.
    """

    format: Literal["veracruz"]
    platform: Platform
    runtime_manager_hash: Measurement
    accepted: tuple[Acceptable, ...]
    measured_by: Literal["hardware", "self"]
    memory_protected: bool

    @model_validator(mode="after")
    def _says_what_the_platform_is(self) -> Self:
        if not any(bytes.fromhex(self.runtime_manager_hash)):
            raise ValueError("a hash of zeros names no runtime manager")
        if list(self.accepted) != sorted(set(self.accepted)):
            raise ValueError("accepted must be sorted, each one once")
        in_hardware = self.platform != "linux"
        if (self.measured_by == "hardware", self.memory_protected) != (in_hardware, in_hardware):
            raise ValueError("linux is measured by itself and hides nothing; nitro and sevsnp are hardware that does")
        return self


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
