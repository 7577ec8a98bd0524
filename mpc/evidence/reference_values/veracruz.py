"""What a contract may want of a Veracruz runtime manager: which program, on which platform."""

from typing import Annotated, Literal, Self

from pydantic import StringConstraints, model_validator

from mpc.canonical import Term

Platform = Literal["linux", "nitro", "sevsnp"]
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
