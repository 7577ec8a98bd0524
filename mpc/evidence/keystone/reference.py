"""How a Keystone enclave compares with what a contract wants of it."""

from mpc.evidence.claims import Check, Claims
from mpc.evidence.keystone.verify import anchor
from mpc.evidence.reference_values.keystone import KeystoneReference


def roots(reference: KeystoneReference) -> tuple[bytes, ...]:
    """Return the trust anchors: the devices' keys."""
    return tuple(anchor(bytes.fromhex(key)) for key in reference.device_keys)


def compare(claims: Claims, reference: KeystoneReference) -> tuple[Claims, tuple[Check, ...]]:
    """Return the claims, and how they compare with what the contract wants."""
    return claims, (
        _hash_check(
            "measurement", reference.measurement, claims, "wrong measurement: another enclave runs",
            "start the loader, runtime and application that the contract names, or agree on one that names these",
        ),
        _hash_check(
            "sm_hash", reference.sm_hash, claims, "wrong security monitor: other firmware guards the enclave",
            "boot the firmware that the contract names, or agree on one that names this",
        ),
        Check(
            "trusted_device", " or ".join(reference.device_keys), str(claims.facts["device_key"]),
            claims.facts["device_key"] in reference.device_keys,
            why="wrong device: the contract names others", remedy="run it on a device that the contract names",
        ),
    )  # fmt: skip


def _hash_check(name: str, expected: str, claims: Claims, why: str, remedy: str) -> Check:
    found = claims.measurements[name].hex()
    return Check(name, expected, found, found == expected, why=why, remedy=remedy)
