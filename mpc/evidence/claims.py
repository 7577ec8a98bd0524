"""What verified evidence says (``Claims``), and what a contract wants it to say (reference values)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mpc.canonical import Base64, Hex32, Identifier, Term

MeasuredBy = Literal["hardware", "boot", "self"]
PcrIndex = Annotated[str, StringConstraints(pattern=r"^(0|[1-9]|1[0-9]|2[0-3])$")]


@dataclass(frozen=True)
class Check:
    """One comparison that was made, as a person reads it."""

    name: str
    expected: str
    found: str
    passed: bool


@dataclass(frozen=True)
class Claims:
    """What evidence says after its signatures were believed; made only by a format's ``verify``.

    ``bound`` is the field that carries the transcript (64 bytes of report data, or 32 of qualifying data);
    ``measurements`` holds raw digests by name (``code`` always), ``facts`` further claims as text.
    """

    format: str
    bound: bytes
    measurements: Mapping[str, bytes]
    measured_by: MeasuredBy
    memory_protected: bool
    debug: bool
    verified_at: datetime
    facts: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


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


ReferenceValues = Annotated[SimulatedReference | TpmReference, Field(discriminator="format")]
