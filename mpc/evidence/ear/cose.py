"""COSE_Sign1 (RFC 9052, 4.2) of the three algorithms that an attestation result needs; the rules are those of ``jws``.

Whose key verifies is said by who verifies: a key or a chain in the headers is not looked at.
"""

from collections.abc import Mapping
from typing import Any, Final

from mpc.canonical import canonical_cbor
from mpc.errors import Malformed
from mpc.evidence.cbor import CBORTag, read_cbor
from mpc.evidence.ear.jws import TOKEN_MAX_BYTES, Token, malformed

_WHAT = "the signed message"
_SIGN1, _CWT = 18, 61  # tags: RFC 9052, 2; RFC 8392, 6
_ALGORITHM, _CRITICAL, _CONTENT_TYPE = 1, 2, 3  # RFC 9052, 3.1
_ALGORITHMS: Final = {-7: "ES256", -35: "ES384", -8: "EdDSA"}  # RFC 9053, 2.1 and 2.2
_STARTS: Final = (b"\xd2\x84", b"\x84", b"\xd8\x3d")


def is_message(raw: bytes) -> bool:
    """Tell whether ``raw`` is a COSE_Sign1, tagged or not."""
    if not raw.startswith(_STARTS):
        return False
    try:
        parse_message(raw)
    except Malformed:
        return False
    return True


def parse_message(raw: bytes) -> Token:
    """Return the message that ``raw`` spells, or raise ``Malformed``."""
    value = read_cbor(raw, max_bytes=TOKEN_MAX_BYTES, what=_WHAT)
    for tag in (_CWT, _SIGN1):
        if isinstance(value, CBORTag) and value.tag == tag:
            value = value.value
    match value:
        case [bytes(protected), dict(), bytes(payload), bytes(signature)]:
            pass
        case _:
            raise malformed("it is not a COSE_Sign1 with its payload inside")
    header: Any = read_cbor(protected, max_bytes=TOKEN_MAX_BYTES, what=_WHAT) if protected else {}
    if not isinstance(header, Mapping) or _CRITICAL in header:
        raise malformed("its protected header asks for what this version does not understand", "crit")
    signed = canonical_cbor(["Signature1", protected, b"", payload])
    algorithm = header.get(_ALGORITHM)
    named = _ALGORITHMS.get(algorithm, f"COSE {algorithm}") if isinstance(algorithm, int) else "none"
    content = header.get(_CONTENT_TYPE)
    return Token(named, payload, signed, signature, content if isinstance(content, str | int) else None)
