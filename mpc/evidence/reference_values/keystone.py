"""What a contract may want of a Keystone enclave: its measurement, its security monitor's, and the devices."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mpc.canonical import Hex32, Term

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
