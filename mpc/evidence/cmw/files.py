"""Wrappers as files: what lies in them is told, and verified by nobody here; unwrap it, and verify what it is.

A signed wrapper (draft-ietf-rats-msg-wrap, 4: COSE_Sign1 or JWS around a collection) is read under the signer's key,
which is given beside it or as a root; a key that it brings along is not looked at.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NoReturn

from mpc.errors import Malformed, Untrusted
from mpc.evidence.certificate import certificates_of, parse_certificate
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Fact, Given, Shown
from mpc.evidence.cmw.reading import EXTENSION, malformed, parse_wrapper, wrapper_in
from mpc.evidence.cmw.wrapper import Collection, Record, Wrapper
from mpc.evidence.ear.cose import is_message, parse_message
from mpc.evidence.ear.files import key_file
from mpc.evidence.ear.jws import Token, is_token, is_wrapper_type, parse_public_key, parse_token, verify_token
from mpc.evidence.format import Document, Format, no_roots

NAME = "cmw"
_WHAT = "the signed wrapper is not believed"
_OURS = "application/vnd.sealroom."
_DER, _PEM = b"\x30\x82", b"-----BEGIN"


def is_wrapper(raw: bytes) -> bool:
    """Tell whether ``raw`` is a wrapper, bare or in a certificate that is no RA-TLS certificate of this project."""
    try:
        wrapper = parse(raw)
    except Malformed:
        return False
    ours = isinstance(wrapper, Record) and str(wrapper.type).startswith(_OURS)
    return not (ours and raw.startswith((_DER, _PEM)))


def parse(raw: bytes) -> Wrapper:
    """Return the wrapper that ``raw`` is or holds, or raise ``Malformed``."""
    return _read(raw)[0]


def gather(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[Wrapper, tuple[bytes, ...]]:
    """Return the wrapper alone."""
    del files, given
    return parse(raw), ()


def read_wrapper(raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime) -> Document:
    """Return what a wrapper holds."""
    del given, at
    wrapper, facts = _read(raw)
    kind, token, checks = "record" if isinstance(wrapper, Record) else "collection", _signed(raw), Checks(_WHAT)
    if token is not None:
        verify_token(token, [parse_public_key(key) for key in (*files, *roots)], checks)
    facts |= {"keys": _labels(wrapper), "types": _types(wrapper), "signed": token is not None}
    return Document(kind, "parse" if token is None else "verify", facts, checks.made)


def describe(wrapper: Wrapper) -> tuple[Shown, ...]:
    """Return every record, with its path of labels."""
    return tuple(
        Shown(
            "/".join(map(str, path)) or "record",
            f"{record.type}: {len(record.value)} bytes",
            f"says of itself that it is {_kind(record)}",
        )
        for path, record in _records(wrapper)
    )


def no_evidence(*_: object, **__: object) -> NoReturn:
    """Refuse: a wrapper is verified by what it holds."""
    raise Untrusted(
        "evidence.wrapper", "a message wrapper is no evidence", why="nothing in it is signed as a whole",
        remedy="unwrap it, and give the evidence in it under its own format",
    )  # fmt: skip


def _signed(raw: bytes) -> Token | None:
    """Return the token whose header says that a wrapper is signed, None where ``raw`` is no such."""
    try:
        token = parse_token(raw) if is_token(raw) else parse_message(raw) if is_message(raw) else None
    except Malformed:
        return None
    return token if token is not None and is_wrapper_type(token.content_type) else None


def _read(raw: bytes) -> tuple[Wrapper, dict[str, Fact]]:
    token = _signed(raw)
    raw = raw if token is None else token.payload
    if not raw.startswith((_DER, _PEM)):
        wrapper, spelled = parse_wrapper(raw)
        return wrapper, {"serialization": spelled}
    certificates = certificates_of(raw)
    if len(certificates) != 1:
        raise malformed(f"there is more than one certificate that could hold {EXTENSION}")
    wrapper, spelled, critical = wrapper_in(parse_certificate(certificates[0]))
    return wrapper, {"serialization": spelled, "critical": critical}


def _labels(wrapper: Wrapper) -> tuple[str | int, ...]:
    return tuple(wrapper.items) if isinstance(wrapper, Collection) else ()


def _types(wrapper: Wrapper) -> dict[str, Fact]:
    return {"/".join(map(str, path)) or "record": record.type for path, record in _records(wrapper)}


def _records(wrapper: Wrapper, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Record]]:
    if isinstance(wrapper, Record):
        yield path, wrapper
        return
    for label, item in wrapper.items.items():
        yield from _records(item, (*path, label))


def _kind(record: Record) -> str:
    if record.indicator is None:
        return "nothing in particular"
    return " and ".join(str(each.name).lower().replace("_", " ") for each in record.indicator)


FORMAT = Format(
    NAME, is_wrapper, parse, gather, no_evidence, no_evidence, describe, no_roots, anchors=key_file,
    document=read_wrapper,
)  # fmt: skip
