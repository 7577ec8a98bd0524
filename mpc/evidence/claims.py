"""What verified evidence says (``Claims``), and what a contract wants it to say (reference values)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from mpc.canonical import Base64, Hex32, Identifier, Term, format_time

MeasuredBy = Literal["hardware", "boot", "self"]
Fact: TypeAlias = "str | int | float | bool | tuple[Fact, ...] | Mapping[str, Fact] | None"
PlainFact: TypeAlias = "str | int | float | bool | list[PlainFact] | dict[str, PlainFact] | None"
PcrIndex = Annotated[str, StringConstraints(pattern=r"^(0|[1-9]|1[0-9]|2[0-3])$")]

BOOT_PCRS = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 9})
"""The registers of a measured boot: firmware, settings, what it loaded, Secure Boot; command line and initrd."""
_NOTHING = "0" * 64


@dataclass(frozen=True)
class Check:
    """One comparison that was made, as a person reads it; ``why`` and ``remedy`` speak where it did not pass."""

    name: str
    expected: str
    found: str
    passed: bool
    why: str = ""
    remedy: str = ""

    def as_data(self) -> dict[str, str | bool]:
        """Return the check as plain data, for ``--json``."""
        return {"check": self.name, "expected": self.expected, "found": self.found, "passed": self.passed}


@dataclass(frozen=True)
class Given:
    """What the one who asks knows beside the files: the nonce, the bank of registers, the form of a certificate."""

    nonce: bytes | None = None
    bank: str | None = None
    form: str | None = None


@dataclass(frozen=True)
class Attestation:
    """What an enclave hands out: evidence in one format, and the collateral that it knows of.

    ``transcript`` is what the enclave says it bound: it only serves to name a difference, nothing is believed from it.
    """

    format: str
    evidence: bytes
    endorsements: tuple[bytes, ...]
    transcript: bytes


@dataclass(frozen=True)
class Shown:
    """One field of evidence as it is shown to a person, before anything is believed; ``meaning`` gives its unit."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Claims:
    """What evidence says after its signatures were believed; made only by a format's ``verify``.

    ``bound`` is the field that carries the transcript (64 bytes of report data, or 32 of qualifying data);
    ``measurements`` holds raw digests by name, ``facts`` further claims by name. ``measured_by`` is what the evidence
    shows by itself; comparing it with reference values may show more. ``valid_until`` is when its collateral expires.
    """

    format: str
    bound: bytes
    measurements: Mapping[str, bytes]
    measured_by: MeasuredBy
    memory_protected: bool
    debug: bool
    verified_at: datetime
    facts: Mapping[str, Fact] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    valid_until: datetime | None = None

    def as_data(self) -> dict[str, object]:
        """Return the claims as plain data, digests in hex, for ``--json``."""
        return {
            "format": self.format,
            "bound": self.bound.hex(),
            "measurements": {name: value.hex() for name, value in self.measurements.items()},
            "measured_by": self.measured_by,
            "memory_protected": self.memory_protected,
            "debug": self.debug,
            "verified_at": format_time(self.verified_at),
            "valid_until": format_time(self.valid_until) if self.valid_until else None,
            "facts": plain_facts(self.facts),
        }


def plain_facts(facts: Mapping[str, Fact]) -> dict[str, PlainFact]:
    """Return facts as plain data, for ``--json``."""
    return {name: _plain(fact) for name, fact in facts.items()}


def _plain(fact: Fact) -> PlainFact:
    if isinstance(fact, Mapping):
        return plain_facts(fact)
    return [_plain(one) for one in fact] if isinstance(fact, tuple) else fact


class SimulatedReference(Term):
    """Accept evidence that anybody can forge: for trying things out, never for data that matters."""

    format: Literal["simulated"]
    code_digest: Hex32
    measured_by: Literal["self"]
    memory_protected: Literal[False]


class TpmReference(Term):
    """Accept a TPM 2.0 quote by a key that ``issuer``'s certificate authority vouches for.

    ``code_pcr`` (8 to 15) holds the code digest, extended once from zero. ``boot_pcrs`` gives the hex SHA-256
    values of the boot chain; they are what makes ``measured_by`` ``boot`` true, and are empty under ``self``.
    ``authority`` is the DER certificate of the attestation-key CA, which belongs to the party ``issuer``.
    """

    format: Literal["tpm"]
    code_digest: Hex32
    code_pcr: Annotated[int, Field(ge=8, le=15)]
    boot_pcrs: dict[PcrIndex, Hex32]
    authority: Base64
    issuer: Identifier
    measured_by: Literal["boot", "self"]
    memory_protected: Literal[False]

    @model_validator(mode="after")
    def _boot_is_what_its_registers_say(self) -> Self:
        given = {int(index) for index in self.boot_pcrs}
        if self.measured_by == "self" and given:
            raise ValueError("under measured_by self, boot_pcrs must be empty: they would not be relied on")
        if self.measured_by == "boot" and not given >= BOOT_PCRS:
            raise ValueError("under measured_by boot, boot_pcrs must name at least the registers 0 to 7 and 9")
        if self.code_pcr in BOOT_PCRS:
            raise ValueError("code_pcr cannot be 9: the boot loader extends it")
        if self.code_pcr in given:
            raise ValueError("code_pcr cannot also be one of boot_pcrs")
        if _NOTHING in self.boot_pcrs.values():
            raise ValueError("a register of boot_pcrs that holds zeros was not measured by the boot chain")
        return self
