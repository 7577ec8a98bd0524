"""A refusal as a gRPC status, and the way back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import grpc

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

REFUSAL_METADATA = "sealroom-refusal-bin"
REFUSAL_MAX_BYTES = 4096
"""Of a refusal in metadata, for which gRPC has 8 KiB by default: base64 and the status text come on top."""
_TEXT_CHARACTERS = (2000, 500, 80)  # of each text; the last fits in any case: 8 texts, 6 bytes a character

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
