"""What a contract may want of a Keystone enclave: its measurement, its security monitor's, and the devices."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mpc.canonical import Hex32, Term
from mpc.evidence.claims import Check, Claims
from mpc.evidence.keystone.verify import anchor

Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
Acceptable = Literal["published_test_key"]

_NOTHING = "0" * 128


class KeystoneReference(Term):
    """Accept one enclave (``measurement``) under one security monitor (``sm_hash``) on the devices of ``device_keys``.

    Both hashes are hex SHA3-512; device keys are hex, sorted, each once. ``memory_protected`` is false: the monitor
    keeps the host's software out of the enclave's memory, and nobody who holds the machine.
    """

    format: Literal["keystone"]
    measurement: Hex64
    sm_hash: Hex64
    device_keys: Annotated[tuple[Hex32, ...], Field(min_length=1, max_length=64)]
    accepted: tuple[Acceptable, ...]
    measured_by: Literal["hardware"]
    memory_protected: Literal[False]

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if _NOTHING in {self.measurement, self.sm_hash}:
            raise ValueError("a hash of zeros is what a monitor without keys reports; it names nothing")
        for name in ("device_keys", "accepted"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)):
                raise ValueError(f"{name} must be sorted, each one once")
        return self


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
