"""JSON Web Signatures in the compact form (RFC 7515, 7.1), of the three algorithms that an attestation result needs.

Whose key verifies is said by who verifies, never by the token: a key or a certificate in its header is not looked at.
The algorithm follows from that key (RFC 8725, 3.1), so that a token cannot choose a weaker one.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from mpc.errors import Malformed, Misconfigured
from mpc.evidence.checks import Checks
from mpc.evidence.json_fields import field_of
from mpc.evidence.loose_json import read_json

TOKEN_MAX_BYTES = 64 << 10
KEY_MAX_BYTES = 16 << 10
_WHAT = "the signed result"
_KEY = "the verifier's key"
_PARTS = 3
_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
_ES: Final[Mapping[str, tuple[str, hashes.HashAlgorithm, int]]] = {
    "secp256r1": ("ES256", hashes.SHA256(), 32),
    "secp384r1": ("ES384", hashes.SHA384(), 48),
}  # algorithm, hash, bytes of r and of s (RFC 7518, 3.4)
_EDDSA = "EdDSA"  # RFC 8037, 3.1

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Token:
    """A token, taken apart and believed in nothing; ``signed`` are the bytes under ``signature``.

    ``content_type`` is what its header says that the payload is, where it does.
    """

    algorithm: str
    payload: bytes
    signed: bytes
    signature: bytes
    content_type: str | int | None = None


def is_token(raw: bytes) -> bool:
    """Tell whether ``raw`` has the three parts of a compact token, the first of them JSON."""
    return raw.count(b".") == _PARTS - 1 and raw.startswith(b"eyJ")


def parse_token(raw: bytes) -> Token:
    """Return the token that ``raw`` spells, or raise ``Malformed``."""
    if len(raw) > TOKEN_MAX_BYTES:
        raise malformed("it is over the limit of size")
    parts = [decoded(part) for part in raw.strip().split(b".", _PARTS)]
    if len(parts) != _PARTS:
        raise malformed("it does not have three parts")
    header, payload, signature = parts
    fields = read_json(header, what=_WHAT, max_bytes=TOKEN_MAX_BYTES)
    if "crit" in fields:
        raise malformed("its header asks for what this version does not understand", "crit")
    signed = raw.strip().rpartition(b".")[0]
    content = fields.get("cty")
    return Token(
        field_of(fields, "alg", str, _WHAT), payload, signed, signature, content if isinstance(content, str) else None
    )


def is_wrapper_type(content_type: str | int | None) -> bool:
    """Tell whether a header says that what is signed is a Conceptual Message Wrapper (draft-ietf-rats-msg-wrap, 4)."""
    return isinstance(content_type, str) and content_type.removeprefix("application/").startswith("cmw")


def verify_token(token: Token, keys: Sequence[PublicKey], checks: Checks) -> None:
    """Write down whether one of ``keys`` has signed ``token``; the first check that fails raises ``NotBelieved``."""
    known = sorted({algorithm_of(key) for key in keys} or {"ES256", "ES384", _EDDSA})
    checks.require(
        "algorithm", expected=" or ".join(known), found=token.algorithm[:32], passed=token.algorithm in known,
        why="unknown signature algorithm: the verifier's key is not one of that algorithm",
        remedy="give a result that the verifier signed with its key pair",
    )  # fmt: skip
    checks.require(
        "verifier_key", expected="the verifier's key, given beside the result", found=f"{len(keys)} keys",
        passed=bool(keys), why="no key: a key inside of the result says nothing",
        remedy="give the verifier's public key as JWK or PEM",
    )  # fmt: skip
    passed = any(algorithm_of(key) == token.algorithm and _verifies(key, token) for key in keys)
    checks.require(
        "signature", expected="the verifier's over header and claims", found="such" if passed else "another",
        passed=passed, why="bad signature", remedy="give the result as the verifier signed it, and the verifier's key",
    )  # fmt: skip


def sign_token(payload: bytes, key: PrivateKey) -> bytes:
    """Return the compact token of ``payload`` under ``key``."""
    header = json.dumps({"alg": algorithm_of(key.public_key()), "typ": "JWT"}, separators=(",", ":")).encode()
    signed = encoded(header) + b"." + encoded(payload)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return signed + b"." + encoded(key.sign(signed))
    _, digest, size = _ES[key.curve.name]
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(digest)))
    return signed + b"." + encoded(r.to_bytes(size) + s.to_bytes(size))


def algorithm_of(key: PublicKey) -> str:
    """Return the one algorithm of a key."""
    return _EDDSA if isinstance(key, ed25519.Ed25519PublicKey) else _ES[key.curve.name][0]


def parse_public_key(raw: bytes) -> PublicKey:
    """Return the key of a file in JWK (RFC 7517) or PEM, or raise ``Malformed``."""
    try:
        key = _jwk(raw) if raw.lstrip()[:1] == b"{" else load_pem_public_key(raw[:KEY_MAX_BYTES])
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not _is_known(key):
        raise Malformed(
            "evidence.verifier_key", f"{_KEY} is malformed", why="it is no key of P-256, P-384 or Ed25519",
            remedy="give it as JWK or PEM", field="key",
        )  # fmt: skip
    return key  # type: ignore[return-value]


def parse_private_key(pem: bytes) -> PrivateKey:
    """Return the private key of a PEM file without a password, or raise ``Misconfigured``."""
    try:
        key = load_pem_private_key(pem[:KEY_MAX_BYTES], password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if key is None or not _is_known(key.public_key()):
        raise Misconfigured(
            "ear.key", "the key that signs results is not usable", why="it is no key of P-256, P-384 or Ed25519",
            remedy="make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", field="--ear-key",
        )  # fmt: skip
    return key  # type: ignore[return-value]


def encoded(data: bytes) -> bytes:
    """Return base64url without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def decoded(text: bytes) -> bytes:
    """Return the bytes that unpadded base64url spells in its one spelling, or raise ``Malformed``."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise malformed("a part of it is not base64url") from None
    if encoded(data) != text:
        raise malformed("a part of it is not base64url in its one spelling")
    return data


def malformed(why: str, field: str | None = None) -> Malformed:
    """Return the refusal of bytes that are no attestation result."""
    return Malformed(
        "evidence.result", "the attestation result is malformed", why=why, remedy="give it as its verifier wrote it",
        field=field,
    )  # fmt: skip


def _jwk(raw: bytes) -> object:
    fields: Mapping[str, Any] = read_json(raw, what=_KEY, max_bytes=KEY_MAX_BYTES)
    curve = field_of(fields, "crv", str, _KEY)
    x = decoded(field_of(fields, "x", str, _KEY).encode())
    if curve == "Ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(x)
    if curve not in _CURVES:
        return None
    y = decoded(field_of(fields, "y", str, _KEY).encode())
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), _CURVES[curve]).public_key()


def _is_known(key: object) -> bool:
    return isinstance(key, ed25519.Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _ES
    )


def _verifies(key: PublicKey, token: Token) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(token.signature, token.signed)
            return True
        _, digest, size = _ES[key.curve.name]
        r, s = (int.from_bytes(part) for part in (token.signature[:size], token.signature[size:]))
        if len(token.signature) != 2 * size:
            return False
        key.verify(encode_dss_signature(r, s), token.signed, ec.ECDSA(digest))
    except InvalidSignature:
        return False
    return True
