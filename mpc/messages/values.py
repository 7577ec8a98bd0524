"""Every message of the protocol as a frozen value, with the name and fields it has on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Signed:
    """A statement in its DSSE envelope, as the exact bytes that were signed."""

    envelope: bytes


@dataclass(frozen=True)
class AttestRequest:
    """Ask for evidence over a fresh ``nonce``; ``contract`` is its digest, empty for the purpose ``boot``."""

    versions: tuple[int, ...]
    nonce: bytes
    purpose: str
    contract: bytes = b""


@dataclass(frozen=True)
class AttestReply:
    """Evidence with what it binds; ``transcript`` only serves to name a difference."""

    version: int
    format: str
    evidence: bytes
    endorsements: tuple[bytes, ...]
    hpke_public_key: bytes
    receipt_public_key: bytes
    transcript: bytes = b""


@dataclass(frozen=True)
class AgreeRequest:
    """A contract's bytes and the signatures on it that the caller holds (``mpc.contract.consent.signature_of``)."""

    contract: bytes
    signatures: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class AgreeReply:
    """The contract with all signatures on it that the enclave holds, and who has not signed."""

    contract: bytes
    signatures: tuple[bytes, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class ChallengeRequest:
    """Ask for a challenge to ``party`` of the contract with this digest."""

    contract: bytes
    party: str


@dataclass(frozen=True)
class ChallengeReply:
    """32 random bytes, to be answered once."""

    challenge: bytes


@dataclass(frozen=True)
class AuthenticateReply:
    """A bearer token and how many seconds it lives."""

    token: str = field(repr=False)
    seconds: int


@dataclass(frozen=True)
class StatusRequest:
    """Ask how things stand; wait up to ``wait_milliseconds`` for a change after ``seen``."""

    seen: int = 0
    wait_milliseconds: int = 0


@dataclass(frozen=True)
class Awaited:
    """What the enclave waits for: consent, activation, upload, rewrap, share, inheritance or permit."""

    party: str
    what: str
    subject: str = ""


@dataclass(frozen=True)
class Run:
    """One requested run; ``state`` is permitting, running, released or failed; ``code`` is told to owners only.

    ``vouched`` names the parties whose countersignatures its receipt carries.
    """

    number: int
    computation: str
    parameters: Mapping[str, str]
    requester: str
    state: str
    missing: tuple[str, ...] = ()
    code: str = ""
    vouched: tuple[str, ...] = ()


@dataclass(frozen=True)
class UploadState:
    """One upload; ``state`` is arriving, loaded, sealed, replaced or refused; ``durable`` chunks are on storage."""

    dataset: str
    owner: str
    upload: bytes
    durable: int
    state: str
    code: str = ""


@dataclass(frozen=True)
class StatusReply:
    """Where the session stands and what it awaits, with a signed checkpoint of the log."""

    state: str
    awaited: tuple[Awaited, ...]
    checkpoint: bytes
    runs: tuple[Run, ...]
    uploads: tuple[UploadState, ...]
    restarted: bool
    change: int


@dataclass(frozen=True)
class CheckpointReply:
    """The checkpoint after what was asked is in the log."""

    checkpoint: bytes


@dataclass(frozen=True)
class UploadOpen:
    """The first part of an upload: its header and its data key, sealed to the enclave."""

    header: bytes
    sealed_key: bytes


@dataclass(frozen=True)
class Chunk:
    """One sealed chunk, in order; a view into the ``message`` that it came in, or that ``framed`` put around it."""

    sealed: bytes | memoryview
    message: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True)
class UploadCommitment:
    """The signed commitment, after the last chunk."""

    envelope: bytes


UploadPart: TypeAlias = UploadOpen | Chunk | UploadCommitment


@dataclass(frozen=True)
class UploadReply:
    """How many chunks are durable (and so the next index awaited), and whether the rows are loaded."""

    durable: int
    loaded: bool


@dataclass(frozen=True)
class RewrapRequest:
    """The data key of an upload that is on disk, sealed to a new instance, with its commitment."""

    upload: bytes
    sealed_key: bytes
    commitment: bytes


@dataclass(frozen=True)
class ShareReply:
    """An owner's share of the state key, sealed to whom it travels to."""

    sealed_share: bytes


@dataclass(frozen=True)
class RunReply:
    """The number of the requested run."""

    run: int


@dataclass(frozen=True)
class ResultRequest:
    """Ask for the receipt and the caller's sealed result of a run."""

    run: int


@dataclass(frozen=True)
class ReceiptPart:
    """The first part of a result."""

    receipt: bytes


@dataclass(frozen=True)
class SealedPart:
    """The next piece of the sealed result."""

    sealed: bytes


ResultPart: TypeAlias = ReceiptPart | SealedPart


@dataclass(frozen=True)
class LogRequest:
    """Ask for the leaves after ``known_size``."""

    known_size: int


@dataclass(frozen=True)
class LogReply:
    """Leaves, the consistency proof from the known size, and the checkpoint they lead to."""

    leaves: tuple[bytes, ...]
    consistency: tuple[bytes, ...]
    checkpoint: bytes
