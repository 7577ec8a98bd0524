"""The trustworthiness vector: what a verifier says of one attester, in eight numbers (draft-ietf-rats-ar4si).

Each claim is a number from -128 to 127; its tier follows from the range it lies in, its exact meaning from the table
of its claim. Zero says nothing. A status is the worst tier that any claim has, and may be worse, but never better.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal

Status = Literal["none", "affirming", "warning", "contraindicated"]
TIERS: Final[tuple[Status, ...]] = ("none", "affirming", "warning", "contraindicated")
"""The best first, as far as anything is said at all."""

CLAIMS: Final = (
    "instance-identity", "configuration", "executables", "file-system", "hardware", "runtime-opaque",
    "storage-opaque", "sourced-data",
)  # fmt: skip

NO_CLAIM, UNEXPECTED, NOT_VALIDATED = 0, 1, 99
TRUSTWORTHY_INSTANCE, UNKNOWN_INSTANCE = 2, 97
APPROVED_CONFIGURATION, NO_KNOWN_VULNERABILITIES, UNSAFE_CONFIGURATION, UNSUPPORTABLE_CONFIGURATION = 2, 3, 32, 96
APPROVED_RUNTIME, APPROVED_BOOT, UNKNOWN_RUNTIME = 2, 3, 33
GENUINE_HARDWARE, UNSAFE_HARDWARE, CONTRAINDICATED_HARDWARE, UNKNOWN_HARDWARE = 2, 32, 96, 97
ENCRYPTED_MEMORY, VISIBLE_MEMORY = 2, 96

# 2.3.2 of the draft: none, then three ranges on either side.
_AFFIRMING, _WARNING, _CONTRAINDICATED = 2, 32, 96
_LEAST, _MOST = -128, 127
# The status may be spelled as the number of its tier.
_SPELLED: Final[Mapping[object, Status]] = MappingProxyType({
    0: "none", 2: "affirming", 32: "warning", 96: "contraindicated", **{tier: tier for tier in TIERS},
})  # fmt: skip


def tier_of(value: int) -> Status:
    """Return the tier of one claim's value; ``ValueError`` outside of a signed byte."""
    if not _LEAST <= value <= _MOST:
        raise ValueError("a claim is a number from -128 to 127")
    if -1 <= value < _AFFIRMING:
        return "none"
    # -32 is still affirming and -33 is not: the ranges below zero end one further out.
    strength = value if value >= 0 else -value - 1
    if strength < _WARNING:
        return "affirming"
    return "warning" if strength < _CONTRAINDICATED else "contraindicated"


def worst_of(tiers: Iterable[Status]) -> Status:
    """Return the worst of some tiers; ``none`` where there is nothing."""
    return max(tiers, key=TIERS.index, default="none")


def status_named(spelled: object) -> Status | None:
    """Return the status that a name or a number spells, None where it is none."""
    return _SPELLED.get(spelled) if isinstance(spelled, str | int) and not isinstance(spelled, bool) else None
