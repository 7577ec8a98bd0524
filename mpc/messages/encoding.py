"""Values to protobuf bytes, and bytes to values or ``Malformed``.

Unknown fields are skipped, as protobuf does, so that fields may be added; what is signed never travels in this form.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from google.protobuf.message import DecodeError, Message

from mpc.errors import Malformed
from mpc.messages.values import (
    AgreeReply,
    AgreeRequest,
    AttestReply,
    AttestRequest,
    AuthenticateReply,
    Awaited,
    ChallengeReply,
    ChallengeRequest,
    CheckpointReply,
    Chunk,
    LogReply,
    LogRequest,
    ReceiptPart,
    ResultPart,
    ResultRequest,
    RewrapRequest,
    Run,
    RunReply,
    SealedPart,
    ShareReply,
    Signed,
    StatusReply,
    StatusRequest,
    UploadCommitment,
    UploadOpen,
    UploadPart,
    UploadReply,
    UploadState,
)
from mpc.wire import coordinator_pb2 as wire

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
    """Return the bytes of one ``UploadRequest``."""
    match part:
        case Chunk():
            return part.message or framed(part.sealed).message
        case UploadOpen():
            return wire.UploadRequest(open=cast("wire.UploadOpen", _to_wire(part))).SerializeToString()
        case UploadCommitment(envelope):
            return wire.UploadRequest(commitment=envelope).SerializeToString()


def framed(sealed: bytes | memoryview) -> Chunk:
    """Return ``sealed`` copied into its ``UploadRequest``; written by hand, so that it is copied once."""
    start = _CHUNK_TAG + _varint(len(sealed))
    message = b"".join((start, sealed))
    return Chunk(memoryview(message)[len(start) :], message)


def decode_upload(raw: bytes) -> UploadPart:
    """Return the part that an ``UploadRequest`` holds, or raise ``Malformed``; a chunk is a view, not a copy."""
    if raw[:1] == _CHUNK_TAG:
        start, size = _read_varint(raw, 1)
        if start + size == len(raw):
            return Chunk(memoryview(raw)[start:], raw)
    request = _parsed(wire.UploadRequest, raw)
    match request.WhichOneof("part"):
        case "open":
            return _from_wire(UploadOpen, request.open)
        case "chunk":
            return Chunk(request.chunk)
        case "commitment":
            return UploadCommitment(request.commitment)
    raise malformed("an upload message holds no part")


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
    raise malformed("a result message holds no part")


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
    raise malformed("an upload message has a length that never ends")


AnyMessage = TypeVar("AnyMessage", bound=Message)


def _parsed(kind: type[AnyMessage], raw: bytes) -> AnyMessage:
    message = kind()
    try:
        message.ParseFromString(raw)
    except DecodeError:
        raise malformed(f"the bytes are no {kind.DESCRIPTOR.name}") from None
    return message


def malformed(why: str) -> Malformed:
    """Return the refusal of a message that cannot be read."""
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
