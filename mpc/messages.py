"""The one place where protobuf and the domain meet: messages as frozen values, refusals as gRPC status.

Every message of ``protos/mpc/wire/coordinator.proto`` has a value of the same name and fields here. Both doors
(``mpc.coordinator.service``, ``parties.channel``) move raw bytes; ``decode`` makes them values or raises
``Malformed``, ``encode`` makes them bytes. Unknown fields are skipped, as protobuf does, so that fields may be
added; what is signed never travels in protobuf form.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar, cast, get_args, get_origin, get_type_hints

import grpc
from google.protobuf.message import DecodeError, Message

from mpc.errors import (
    KINDS,
    Exhausted,
    Forbidden,
    Malformed,
    Misconfigured,
    OutOfOrder,
    Refusal,
    Unavailable,
    Untrusted,
)
from mpc.wire import coordinator_pb2 as wire

SERVICE = "sealroom.wire.v1.Coordinator"
VERSIONS = (1,)
"""Protocol versions that this program speaks, best last."""

NONCE_BYTES = 32
REFUSAL_METADATA = "sealroom-refusal-bin"
TOKEN_METADATA = "authorization"  # noqa: S105 - the name of a header, not a token
MESSAGE_MAX_BYTES = 4 << 20
UNAUTHENTICATED_MAX_BYTES = 64 << 10
RESULT_PIECE_BYTES = 2 << 20
REFUSAL_MAX_BYTES = 4096
"""Of a refusal in metadata, for which gRPC has 8 KiB by default: base64 and the status text come on top."""
_TEXT_CHARACTERS = (2000, 500, 80)  # of each text; the last fits in any case: 8 texts, 6 bytes a character


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
    """A contract's bytes and the consents that the caller holds."""

    contract: bytes
    consents: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class AgreeReply:
    """The contract with all consents that the enclave holds, and who has not signed."""

    contract: bytes
    consents: tuple[bytes, ...]
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
    """What the enclave waits for: consent, activation, upload, rewrap, share or permit."""

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
    """One sealed chunk, in order; a view into the message that it came in."""

    sealed: bytes | memoryview


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


_WIRE: Mapping[type, type[Message]] = {
    Signed: wire.Signed,
    AttestRequest: wire.AttestRequest,
    AttestReply: wire.AttestReply,
    AgreeRequest: wire.AgreeRequest,
    AgreeReply: wire.AgreeReply,
    ChallengeRequest: wire.ChallengeRequest,
    ChallengeReply: wire.ChallengeReply,
    AuthenticateReply: wire.AuthenticateReply,
    StatusRequest: wire.StatusRequest,
    Awaited: wire.Awaited,
    Run: wire.Run,
    UploadState: wire.UploadState,
    StatusReply: wire.StatusReply,
    CheckpointReply: wire.CheckpointReply,
    UploadOpen: wire.UploadOpen,
    UploadReply: wire.UploadReply,
    RewrapRequest: wire.RewrapRequest,
    ShareReply: wire.ShareReply,
    RunReply: wire.RunReply,
    ResultRequest: wire.ResultRequest,
    LogRequest: wire.LogRequest,
    LogReply: wire.LogReply,
}

_HINTS: dict[type, dict[str, Any]] = {kind: get_type_hints(kind) for kind in _WIRE}

Value = TypeVar("Value")


def encode(value: object) -> bytes:
    """Return the protobuf bytes of a message value (not of upload and result parts: see below)."""
    return _to_wire(value).SerializeToString()


def decode(kind: type[Value], raw: bytes) -> Value:
    """Return the ``kind`` that protobuf bytes spell, or raise ``Malformed``."""
    return _from_wire(kind, _parsed(_WIRE[kind], raw))


def encode_upload(part: UploadPart) -> bytes:
    """Return the bytes of one ``UploadRequest``; a chunk is framed by hand, so that it is copied once."""
    match part:
        case Chunk(sealed):
            return b"".join((_CHUNK_TAG, _varint(len(sealed)), sealed))
        case UploadOpen():
            return wire.UploadRequest(open=cast("wire.UploadOpen", _to_wire(part))).SerializeToString()
        case UploadCommitment(envelope):
            return wire.UploadRequest(commitment=envelope).SerializeToString()


def decode_upload(raw: bytes) -> UploadPart:
    """Return the part that an ``UploadRequest`` holds, or raise ``Malformed``; a chunk is a view, not a copy."""
    if raw[:1] == _CHUNK_TAG:
        start, size = _read_varint(raw, 1)
        if start + size == len(raw):
            return Chunk(memoryview(raw)[start:])
    request = _parsed(wire.UploadRequest, raw)
    match request.WhichOneof("part"):
        case "open":
            return _from_wire(UploadOpen, request.open)
        case "chunk":
            return Chunk(request.chunk)
        case "commitment":
            return UploadCommitment(request.commitment)
    raise _malformed("an upload message holds no part")


def encode_result(part: ResultPart) -> bytes:
    """Return the bytes of one ``ResultReply``."""
    if isinstance(part, ReceiptPart):
        return wire.ResultReply(receipt=part.receipt).SerializeToString()
    return wire.ResultReply(sealed=part.sealed).SerializeToString()


def decode_result(raw: bytes) -> ResultPart:
    """Return the part that a ``ResultReply`` holds, or raise ``Malformed``."""
    reply = _parsed(wire.ResultReply, raw)
    match reply.WhichOneof("part"):
        case "receipt":
            return ReceiptPart(reply.receipt)
        case "sealed":
            return SealedPart(reply.sealed)
    raise _malformed("a result message holds no part")


def negotiate(versions: Iterable[int]) -> int:
    """Return the best protocol version that both sides speak, or refuse in one sentence."""
    offered = sorted(set(versions))
    common = [version for version in offered if version in VERSIONS]
    if not common:
        raise OutOfOrder(
            "protocol.version", "the two programs speak no common version of the protocol",
            why="one of them is older", remedy="install the same release on both sides", field="versions",
            expected=" or ".join(map(str, VERSIONS)), found=", ".join(map(str, offered[:8])) or "none",
        )  # fmt: skip
    return common[-1]


# Field 2 of UploadRequest, length-delimited (protobuf encoding, "Message Structure": 2 << 3 | 2).
_CHUNK_TAG = b"\x12"
_VARINT_MAX_BYTES = 5


def _varint(number: int) -> bytes:
    spelled = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        spelled.append(number & 0x7F | 0x80)
        number >>= 7
    spelled.append(number)
    return bytes(spelled)


def _read_varint(raw: bytes, start: int) -> tuple[int, int]:
    number = 0
    for place, byte in enumerate(raw[start : start + _VARINT_MAX_BYTES]):
        number |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return start + place + 1, number
    raise _malformed("an upload message has a length that never ends")


AnyMessage = TypeVar("AnyMessage", bound=Message)


def _parsed(kind: type[AnyMessage], raw: bytes) -> AnyMessage:
    message = kind()
    try:
        message.ParseFromString(raw)
    except DecodeError:
        raise _malformed(f"the bytes are no {kind.DESCRIPTOR.name}") from None
    return message


def _malformed(why: str) -> Malformed:
    return Malformed("message.malformed", "a message cannot be read", why=why, remedy="send it with this protocol")


def _to_wire(value: object) -> Message:
    kind = type(value)
    message = _WIRE[kind]()
    for name in _HINTS[kind]:
        content = getattr(value, name)
        match content:
            case tuple():
                getattr(message, name).extend(_to_wire(item) if type(item) in _WIRE else item for item in content)
            case Mapping():
                getattr(message, name).update(content)
            case _:
                setattr(message, name, content)
    return message


def _from_wire(kind: type[Value], message: Message) -> Value:
    contents: dict[str, Any] = {}
    for name, hint in _HINTS[kind].items():
        content = getattr(message, name)
        if get_origin(hint) is tuple:
            item = get_args(hint)[0]
            contents[name] = tuple(_from_wire(item, each) if item in _WIRE else each for each in content)
        elif get_origin(hint) is not None:
            contents[name] = MappingProxyType(dict(content))
        else:
            contents[name] = content
    return kind(**contents)


STATUS: Mapping[type[Refusal], grpc.StatusCode] = {
    Malformed: grpc.StatusCode.INVALID_ARGUMENT,
    Untrusted: grpc.StatusCode.UNAUTHENTICATED,
    Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    OutOfOrder: grpc.StatusCode.FAILED_PRECONDITION,
    Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    Misconfigured: grpc.StatusCode.INTERNAL,
}
"""How a refusal shows to a gRPC client that does not know this project."""


@dataclass(frozen=True)
class RefusalStatus:
    """A refusal as gRPC speaks it: the status code, its text, and the whole of it in trailing metadata."""

    code: grpc.StatusCode
    details: str
    metadata: tuple[tuple[str, bytes], ...]


def refusal_status(refusal: Refusal) -> RefusalStatus:
    """Return how ``refusal`` travels; long texts are cut, as gRPC drops a call whose metadata outgrow its limit."""
    for characters in _TEXT_CHARACTERS:
        data = {name: text and text[:characters] for name, text in refusal.as_data().items()}
        raw = json.dumps(data, ensure_ascii=True, separators=(",", ":")).encode()
        if len(raw) <= REFUSAL_MAX_BYTES:
            break
    details = f"{refusal.what} ({refusal.code})"[: _TEXT_CHARACTERS[-1]]
    return RefusalStatus(STATUS[type(refusal)], details, ((REFUSAL_METADATA, raw),))


def refusal_from(error: grpc.RpcError) -> Refusal:
    """Return the refusal behind a failed call: the one that the other side sent, or ``Unavailable`` and its like.

    The text is another program's: it is cut to length and freed of control characters before anybody sees it.
    """
    call = cast("grpc.Call", error)
    for key, raw in call.trailing_metadata() or ():
        if key == REFUSAL_METADATA and isinstance(raw, bytes):
            return _refusal_from_json(raw)
    return _refusal_from_status(call.code())


def _refusal_from_json(raw: bytes) -> Refusal:
    try:
        data = json.loads(raw)
        kind = KINDS[data.pop("kind")]
        texts = {
            name: None if text is None else _printable(text)
            for name, text in data.items()
            if name in {"code", "what", "why", "remedy", "field", "expected", "found"}
        }
        said = {name: texts.pop(name) or "" for name in ("code", "what", "why", "remedy")}
        return kind(**said, **cast("dict[str, Any]", texts))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Malformed(
            "message.refusal", "the coordinator refused, but its reason cannot be read", why="it has another form",
            remedy="install the same release on both sides",
        )  # fmt: skip


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text[:2000])


_PLAIN_STATUS: Mapping[grpc.StatusCode, tuple[type[Refusal], str, str]] = {
    grpc.StatusCode.UNAVAILABLE: (
        Unavailable,
        "channel.unavailable",
        "it is down, or its address is wrong",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (Unavailable, "channel.deadline", "it did not answer in time"),
    grpc.StatusCode.CANCELLED: (Unavailable, "channel.cancelled", "the call was ended before its answer"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (Exhausted, "channel.exhausted", "a limit on calls or messages is reached"),
    grpc.StatusCode.UNIMPLEMENTED: (OutOfOrder, "channel.unimplemented", "it does not know what was asked"),
}


def _refusal_from_status(code: grpc.StatusCode) -> Refusal:
    kind, name, why = _PLAIN_STATUS.get(code, (Unavailable, "channel.failed", f"the call ended with {code.name}"))
    return kind(
        name, "the coordinator cannot be reached", why=why, remedy="try again; ask who runs it if it stays away"
    )


Purpose: TypeAlias = Literal["boot", "contract"]


def attest_purpose(request: AttestRequest) -> Purpose:
    """Return the purpose of an attestation whose nonce and contract digest have their lengths, else refuse."""
    digest_bytes = {"boot": 0, "contract": 32}.get(request.purpose)
    if len(request.nonce) != NONCE_BYTES or len(request.contract) != digest_bytes:
        raise _malformed("an attestation wants a nonce of 32 bytes, and a contract's digest exactly for its purpose")
    return cast("Purpose", request.purpose)
