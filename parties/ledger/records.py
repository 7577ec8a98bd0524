"""What the ledger gives back: what this party agreed to, chose, signed and received, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mpc.contract.terms import Contract
from mpc.signing import VerifyingKey


@dataclass(frozen=True)
class Agreed:
    """A contract as the ledger holds it; ``signed`` and ``withdrawn`` are when this party did either."""

    contract: Contract
    raw: bytes
    digest: bytes
    signed: datetime | None
    withdrawn: datetime | None


@dataclass(frozen=True)
class Head:
    """The last state of an instance's log that this party saw signed and held against its own copy."""

    instance: bytes
    size: int
    root: bytes
    checkpoint: bytes


@dataclass(frozen=True)
class Activated:
    """The instance that this party chose, its receipt key, and the envelope it signed."""

    instance: bytes
    receipt_key: VerifyingKey
    envelope: bytes


@dataclass(frozen=True)
class Uploaded:
    """An upload this party began; ``commitment`` is None until its last chunk was sealed."""

    upload: bytes
    dataset: str
    header: bytes
    data_key: bytes = field(repr=False)
    commitment: bytes | None
    loaded: bool


@dataclass(frozen=True)
class Permitted:
    """A permit this party signed."""

    run: int
    instance: bytes
    computation: str
    parameters: Mapping[str, str]
    unattended: bool
    envelope: bytes


@dataclass(frozen=True)
class Result:
    """A result this party opened, with its receipt; ``shown`` is the time that others vouch for in it, if any."""

    run: int
    computation: str
    receipt: bytes
    release: bytes
    time: datetime
    shown: datetime | None = None


@dataclass(frozen=True)
class Ended:
    """How a contract ended, as the last leaves of its log say; ``by`` is the party that withdrew, if one did."""

    reason: str
    by: str | None

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        if self.by is not None:
            return f"{self.by} has withdrawn from it"
        return "its time is past" if self.reason == "expired" else self.reason


@dataclass(frozen=True)
class Event:
    """Something that happened, for people: a kind and plain data, never a value of anybody's rows."""

    number: int
    time: datetime
    contract: bytes | None
    kind: str
    data: Mapping[str, object]
