"""One spelling for every value that is signed or digested.

Terms that people read are RFC 8785 canonical JSON; values that only programs read are deterministic CBOR
(RFC 8949, 4.2). In both, what parses must serialise back to the very same bytes, else it is refused: so a
digest names one value and a value has one digest.
"""

import hashlib
import json
import re
import unicodedata
from datetime import UTC, datetime
from io import BytesIO
from typing import Annotated, Any, TypeVar

import cbor2
import rfc8785
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from mpc.errors import Malformed

JSON_MAX_BYTES = 1 << 20
JSON_MAX_DEPTH = 32
CBOR_MAX_DEPTH = 32

_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Term(BaseModel):
    """A frozen, strict value of a contract or a signed statement; every field is written out."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _plain_text(text: str) -> str:
    if unicodedata.normalize("NFC", text) != text:
        raise ValueError("text must be in Unicode NFC")
    if any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} and char != "\n" for char in text):
        raise ValueError("text must hold no control, format, separator or private-use characters")
    if not _BIDIRECTIONAL.isdisjoint(text):
        raise ValueError("text must hold no bidirectional controls")
    return text


def _whole_number(text: str) -> str:
    if not -(2**63) <= int(text) < 2**63:
        raise ValueError("a whole number must fit 64 bits")
    return text


def _real_time(text: str) -> str:
    parse_time(text)
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=100_000), AfterValidator(_plain_text)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Base64 = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]*={0,2}$")]
Timestamp = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"),
    AfterValidator(_real_time),
]
Whole = Annotated[str, StringConstraints(pattern=r"^(0|-?[1-9][0-9]{0,18})$"), AfterValidator(_whole_number)]
Decimal = Annotated[  # one spelling a number: no trailing zeros, and no negative zero
    str,
    StringConstraints(pattern=r"^(0|-?[1-9][0-9]{0,37}|-?(0|[1-9][0-9]{0,37})\.[0-9]{0,37}[1-9])$"),
]


def parse_time(text: str) -> datetime:
    """Return the aware UTC time that ``YYYY-MM-DDTHH:MM:SSZ`` names; ``ValueError`` when there is none."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def format_time(time: datetime) -> str:
    """Return an aware time as ``YYYY-MM-DDTHH:MM:SSZ``, cut to whole seconds."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone is no time")
    return time.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def sha256(data: bytes | memoryview) -> bytes:
    """Return the 32-byte SHA-256 digest of ``data``."""
    return hashlib.sha256(data).digest()


def canonical_json(term: Term) -> bytes:
    """Return the RFC 8785 bytes of ``term``."""
    return rfc8785.dumps(term.model_dump(mode="json"))


def digest_of(term: Term) -> bytes:
    """Return the SHA-256 digest of the canonical bytes of ``term``."""
    return sha256(canonical_json(term))


AnyTerm = TypeVar("AnyTerm", bound=Term)


def parse_json(kind: type[AnyTerm], raw: bytes, *, what: str, max_bytes: int = JSON_MAX_BYTES) -> AnyTerm:
    """Return the ``kind`` that ``raw`` canonically spells, or raise ``Malformed``.

    Size and nesting are checked before any parser sees the bytes. Duplicate and unknown fields, floats,
    other spellings of the same value and a wrong order of keys all refuse, each with a code of its own.
    """
    if len(raw) > max_bytes:
        raise Malformed(
            "json.size", f"{what} is too long", why="it is over the limit of size", remedy="send a smaller one",
            field="size", expected=f"at most {max_bytes} bytes", found=f"{len(raw)} bytes",
        )  # fmt: skip
    if json_depth(raw) > JSON_MAX_DEPTH:
        raise Malformed(
            "json.depth", f"{what} is nested too deeply", why="it is over the limit of nesting",
            remedy=f"nest at most {JSON_MAX_DEPTH} levels",
        )  # fmt: skip
    _refuse_duplicate_keys(raw, what)
    try:
        term = kind.model_validate_json(raw)
        again = canonical_json(term)
    except ValidationError as refusal:
        raise _malformed_fields(what, refusal) from None
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeError) as refusal:
        raise Malformed(
            "json.invalid", f"{what} is not valid JSON", why=type(refusal).__name__, remedy="write it with this project"
        ) from None
    if again != raw:
        raise Malformed(
            "json.not_canonical", f"{what} is not canonical JSON",
            why="the same value has other bytes in RFC 8785", remedy="use the bytes that were signed, unchanged",
        )  # fmt: skip
    return term


def json_depth(raw: bytes) -> int:
    """Return the deepest nesting of brackets outside strings; works on any bytes and parses nothing."""
    # A string that is never closed is taken to the end: giving up on it would start anew at each quote within.
    bare = re.sub(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', b"", raw, flags=re.DOTALL)
    depth = deepest = 0
    for bracket in re.findall(rb"[\[\]{}]", bare):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _refuse_duplicate_keys(raw: bytes, what: str) -> None:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(items)
        if len(seen) != len(items):
            raise Malformed(
                "json.duplicate_field", f"{what} names a field twice", why="two readers could see two values",
                remedy="write every field once",
            )  # fmt: skip
        return seen

    try:
        json.loads(raw, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        raise Malformed(
            "json.invalid", f"{what} is not valid JSON", why="it does not parse", remedy="write it with this project"
        ) from None


def _malformed_fields(what: str, refusal: ValidationError) -> Malformed:
    first = refusal.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "document"
    if field == "format":
        return Malformed(
            "json.format", f"this is not {what}", why="it says that it is something else, or not what it is",
            remedy="give the file that is meant", field=field, expected=first.get("ctx", {}).get("expected"),
            found="another format",
        )  # fmt: skip
    codes = {"extra_forbidden": "json.unknown_field", "missing": "json.missing_field"}
    return Malformed(
        codes.get(first["type"], "json.field"), f"{what} does not have the agreed form",
        why=f"{field}: {first['msg']}", field=field,
        remedy="give the file that is meant; if this is it, write the field as the format describes it",
    )  # fmt: skip


def canonical_cbor(value: Any) -> bytes:  # noqa: ANN401 - CBOR is a format of arbitrary plain values
    """Return the deterministic CBOR of plain values (None, bool, int, str, bytes, list, dict)."""
    return cbor2.dumps(value, canonical=True)


def _refuse_tag(*_decoder_and_tag: object) -> None:
    raise ValueError("a tagged value is not a plain one")


# The tags that cbor2 decodes by itself (its documentation, "Decoding tags"); the hook refuses all others. Some of them
# run code on what they hold: regular expressions, messages, numbers of any size.
_NO_TAGS = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799), _refuse_tag
)


def parse_cbor(raw: bytes, *, what: str, max_bytes: int) -> Any:  # noqa: ANN401
    """Return the plain value that ``raw`` deterministically spells, or raise ``Malformed``.

    Tags, trailing bytes, duplicate keys and every other spelling refuse.
    """
    refusal = Malformed(
        "cbor.invalid", f"{what} is not deterministic CBOR",
        why="it does not parse to one value that encodes back to it",
        remedy="send the bytes that were made by this protocol",
    )  # fmt: skip
    if len(raw) > max_bytes:
        raise Malformed(
            "cbor.size", f"{what} is too long", why="it is over the limit of size", remedy="send a smaller one",
            field="size", expected=f"at most {max_bytes} bytes", found=f"{len(raw)} bytes",
        )  # fmt: skip
    try:
        stream = BytesIO(raw)
        value = cbor2.load(
            stream, max_depth=CBOR_MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False,
            tag_hook=_refuse_tag, semantic_decoders=_NO_TAGS,
        )  # fmt: skip
        whole = not stream.read(1) and canonical_cbor(value) == raw
    except (cbor2.CBORError, ValueError, TypeError, RecursionError, OverflowError, MemoryError):
        raise refusal from None
    if not whole:
        raise refusal
    return value


def labelled_cbor(label: str, version: int, *values: Any) -> bytes:  # noqa: ANN401
    """Return the deterministic CBOR of the list of label, version and values: how this project's own formats begin."""
    return canonical_cbor([label, version, *values])


def parse_labelled_cbor(raw: bytes, label: str, version: int, *, what: str, max_bytes: int) -> list[Any]:
    """Return the values behind label and version in ``raw``, or raise ``Malformed``."""
    value = parse_cbor(raw, what=what, max_bytes=max_bytes)
    # True equals 1 in Python and is another value in CBOR.
    if isinstance(value, list) and value[:2] == [label, version] and type(value[1]) is int:
        return value[2:]
    raise Malformed(
        "cbor.label", f"{what} is of another kind", why="it does not begin with the expected label and version",
        remedy="let both sides run the same version", field="label", expected=f"{label}, version {version}",
        found="another label or version",
    )  # fmt: skip
