"""Ed25519 signatures in DSSE envelopes; a key of this project signs nothing outside of one.

The bytes under the signature are DSSE's pre-authentication encoding, ``DSSEv1 SP len(type) SP type SP
len(body) SP body`` (secure-systems-lab/dsse, protocol.md), so a payload of one purpose can never be read as
one of another: the purpose is the payload type.
"""

import base64
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import Field

from mpc.canonical import Base64, Hex32, Term, canonical_json, parse_json, sha256
from mpc.errors import Malformed, Untrusted

ENVELOPE_MAX_BYTES = 2 << 20
SIGNATURE_MAX_BYTES = 1 << 10
_FIELD = 2**255 - 19


class Purpose(StrEnum):
    """What a signature is for; the DSSE payload type."""

    CONTRACT = "application/vnd.sealroom.contract+json"
    ACTIVATION = "application/vnd.sealroom.activation+json"
    PERMIT = "application/vnd.sealroom.permit+json"
    COMMITMENT = "application/vnd.sealroom.commitment+json"
    WITHDRAWAL = "application/vnd.sealroom.withdrawal+json"
    CHECKPOINT = "application/vnd.sealroom.checkpoint+json"
    CHALLENGE = "application/vnd.sealroom.challenge+json"
    REQUEST = "application/vnd.sealroom.request+json"
    STATEMENT = "application/vnd.in-toto+json"


class Signature(Term):
    """One signature; ``keyid`` is the hex SHA-256 of the 32-byte public key."""

    keyid: Hex32
    sig: Base64


class Envelope(Term):
    """A DSSE envelope: base64 payload, its type, and the signatures over both."""

    payload: Base64
    payloadType: Literal[tuple(Purpose)]  # type: ignore[valid-type]  # noqa: N815 - DSSE's own name
    signatures: Annotated[tuple[Signature, ...], Field(min_length=1, max_length=256)]


@dataclass(frozen=True)
class VerifyingKey:
    """The 32 bytes of an Ed25519 public key."""

    raw: bytes

    @property
    def keyid(self) -> str:
        """The hex SHA-256 of the key: what people compare out of band."""
        return sha256(self.raw).hex()

    def verify(self, signature: bytes, purpose: Purpose, body: bytes) -> bool:
        """Tell whether ``signature`` is this key's over ``body`` for ``purpose``; nothing is a key of small order's."""
        try:
            if _has_small_order(self.raw):
                return False
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, pre_authentication_encoding(purpose, body))
        except (InvalidSignature, ValueError):
            return False
        return True


@lru_cache(maxsize=256)
def _has_small_order(raw: bytes) -> bool:
    """Tell whether an Ed25519 point has order 1, 2, 4 or 8: under such a key one signature fits many messages.

    RFC 8032 leaves that check to us. On the birationally equivalent curve, u = (1 + y) / (1 - y) (RFC 7748, 4.1), any
    clamped scalar takes exactly these points to zero, which the exchange refuses (6.1).
    """
    y = int.from_bytes(raw, "little") % 2**255 % _FIELD
    u = (1 + y) * pow(1 - y, _FIELD - 2, _FIELD) % _FIELD
    try:
        X25519PrivateKey.from_private_bytes(bytes(32)).exchange(
            X25519PublicKey.from_public_bytes(u.to_bytes(32, "little"))
        )
    except ValueError:
        return True
    return False


class SigningKey:
    """An Ed25519 private key. It does not print and it signs only DSSE payloads."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @classmethod
    def generate(cls) -> "SigningKey":
        """Return a fresh key from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> VerifyingKey:
        """The public half."""
        return VerifyingKey(self._key.public_key().public_bytes_raw())

    def seed(self) -> bytes:
        """Return the 32 secret bytes, for a party's own key file; an enclave never calls this."""
        return self._key.private_bytes_raw()

    def sign(self, purpose: Purpose, body: bytes) -> bytes:
        """Return the 64-byte signature over ``body`` for ``purpose``."""
        return self._key.sign(pre_authentication_encoding(purpose, body))

    def envelope(self, purpose: Purpose, body: bytes) -> bytes:
        """Return the canonical bytes of an envelope of ``body`` with this key's one signature."""
        signature = Signature(keyid=self.public.keyid, sig=base64.b64encode(self.sign(purpose, body)).decode())
        return envelope_of(purpose, body, signature)

    def __repr__(self) -> str:
        return f"SigningKey(keyid={self.public.keyid[:8]}…)"


def pre_authentication_encoding(purpose: Purpose, body: bytes) -> bytes:
    """Return DSSE's PAE of a payload."""
    kind = purpose.value.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)


@dataclass(frozen=True)
class Opened:
    """The payload of an envelope whose single signature verified under ``key``."""

    body: bytes
    key: VerifyingKey


def envelope_of(purpose: Purpose, body: bytes, signature: Signature) -> bytes:
    """Return the canonical bytes of the envelope of ``body`` with one signature that somebody made before."""
    payload = base64.b64encode(body).decode()
    return canonical_json(Envelope(payload=payload, payloadType=purpose.value, signatures=(signature,)))


def read_unverified(raw: bytes, *, max_bytes: int = ENVELOPE_MAX_BYTES) -> tuple[bytes, tuple[Signature, ...]]:
    """Return payload and signatures of an envelope, of which nothing is believed: to learn whose key to ask for."""
    envelope = parse_json(Envelope, raw, what="the signed envelope", max_bytes=max_bytes)
    return _decoded(envelope.payload), envelope.signatures


def read_signature(raw: bytes) -> Signature:
    """Return the signature that canonical bytes spell, apart from its payload; nothing is verified."""
    return parse_json(Signature, raw, what="the signature", max_bytes=SIGNATURE_MAX_BYTES)


def open_envelope(
    raw: bytes, purpose: Purpose, keys: "tuple[VerifyingKey, ...]", *, max_bytes: int = ENVELOPE_MAX_BYTES
) -> Opened:
    """Return the payload of ``raw`` when exactly one signature, by one of ``keys``, covers it for ``purpose``."""
    envelope = parse_json(Envelope, raw, what="the signed envelope", max_bytes=max_bytes)
    if envelope.payloadType != purpose.value:
        raise Untrusted(
            "signature.purpose", "the envelope was signed for something else", why="its payload type differs",
            remedy="sign the payload for this purpose", field="payloadType",
            expected=purpose.value, found=envelope.payloadType,
        )  # fmt: skip
    if len(envelope.signatures) != 1:
        raise Untrusted(
            "signature.count", "the envelope does not hold exactly one signature", why="one signer was expected",
            remedy="send one envelope for each signer", field="signatures",
            expected="1", found=str(len(envelope.signatures)),
        )  # fmt: skip
    signature = envelope.signatures[0]
    key = next((key for key in keys if key.keyid == signature.keyid), None)
    if key is None:
        raise Untrusted(
            "signature.foreign", "the signer is not one who may sign this", why="its key is not among those expected",
            remedy="sign with the key that the contract names", field="keyid", found=signature.keyid,
            expected=" or ".join(known.keyid for known in keys) or "no key",
        )  # fmt: skip
    body = _decoded(envelope.payload)
    if not key.verify(_decoded(signature.sig), purpose, body):
        raise Untrusted(
            "signature.invalid", "the signature does not verify", why="the payload or the signature was changed",
            remedy="send the bytes as they were signed",
        )  # fmt: skip
    return Opened(body, key)


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if not raw or base64.b64encode(raw).decode() != text:
        raise Malformed(
            "envelope.base64", "the envelope does not decode", why="a field is not canonical base64",
            remedy="send the envelope as it was made",
        )  # fmt: skip
    return raw
