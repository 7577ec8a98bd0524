"""HPKE (RFC 9180) to one recipient: X-Wing, HKDF-SHA256, AES-256-GCM; base mode, one message a call.

X-Wing (draft-connolly-cfrg-xwing-kem, KEM 0x647a) joins ML-KEM-768 and X25519: what is sealed stays closed as
long as either holds. A sealed message is ``enc (1120) || ciphertext || tag (16)``.

``info`` is made by one constructor and holds purpose, context and recipient, so a message that is sealed for one
use, one upload or one key opens in no other.
"""

from dataclasses import dataclass
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from mpc.canonical import canonical_cbor, sha256
from mpc.errors import Malformed, Untrusted

LABEL = "sealroom hpke v1"
PUBLIC_KEY_BYTES = 1216
SEED_BYTES = 96
OVERHEAD_BYTES = 1120 + 16
_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_SEED_BYTES = 64
_CONTEXT_BYTES = 32
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class SealedFor(StrEnum):
    """What a sealed message is for; it opens for nothing else."""

    UPLOAD_KEY = "upload key"
    STATE_SHARE = "state share"
    RETURNED_SHARE = "returned share"
    INHERITED_SHARE = "inherited share"
    RESULT = "result"


@dataclass(frozen=True)
class PublicSealingKey:
    """An X-Wing encapsulation key: ML-KEM-768 key (1184 bytes) followed by X25519 key (32 bytes).

    Raises ``Malformed`` for another length, for an ML-KEM key that FIPS 203 (7.2) refuses, and for an X25519
    point of small order, which would contribute nothing to the secret.
    """

    raw: bytes

    def __post_init__(self) -> None:
        refusal = Malformed(
            "sealing.public_key", "the sealing key is not an X-Wing public key",
            why="its length or its value is not that of a key", remedy="use the key as `sealroom keys new` wrote it",
            field="sealing_key", expected=f"{PUBLIC_KEY_BYTES} bytes", found=f"{len(self.raw)} bytes",
        )  # fmt: skip
        if len(self.raw) != PUBLIC_KEY_BYTES:
            raise refusal
        try:
            MLKEM768PublicKey.from_public_bytes(self.raw[:_MLKEM_PUBLIC_BYTES])
            # Any clamped scalar takes a point of small order to zero, which the exchange refuses (RFC 7748, 6.1).
            X25519PrivateKey.from_private_bytes(bytes(32)).exchange(self._x25519())
        except ValueError:
            raise refusal from None

    @property
    def digest(self) -> bytes:
        """The 32-byte SHA-256 of the key."""
        return sha256(self.raw)

    def _x25519(self) -> X25519PublicKey:
        return X25519PublicKey.from_public_bytes(self.raw[_MLKEM_PUBLIC_BYTES:])

    def _hybrid(self) -> MLKEM768X25519PublicKey:
        mlkem = MLKEM768PublicKey.from_public_bytes(self.raw[:_MLKEM_PUBLIC_BYTES])
        return MLKEM768X25519PublicKey(mlkem, self._x25519())


class SealingKey:
    """An X-Wing private key. It does not print, and an enclave never stores it."""

    def __init__(self, mlkem: MLKEM768PrivateKey, x25519: X25519PrivateKey) -> None:
        self._mlkem = mlkem
        self._x25519 = x25519
        self._hybrid = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = PublicSealingKey(
            mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw(),
        )

    @classmethod
    def generate(cls) -> "SealingKey":
        """Return a fresh key from the operating system's randomness."""
        return cls(MLKEM768PrivateKey.generate(), X25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> "SealingKey":
        """Return the key of a party's key file: ``d || z`` of ML-KEM (64 bytes) and the X25519 scalar (32 bytes).

        These 96 bytes are what the X-Wing draft (5.2) expands its own 32-byte seed to with SHAKE-256.
        """
        if len(seed) != SEED_BYTES:
            raise Malformed(
                "sealing.seed", "the seed is not that of a sealing key", why="its length differs",
                remedy="use the key file as `sealroom keys new` wrote it", field="sealing_seed",
                expected=f"{SEED_BYTES} bytes", found=f"{len(seed)} bytes",
            )  # fmt: skip
        return cls(
            MLKEM768PrivateKey.from_seed_bytes(seed[:_MLKEM_SEED_BYTES]),
            X25519PrivateKey.from_private_bytes(seed[_MLKEM_SEED_BYTES:]),
        )

    def seed(self) -> bytes:
        """Return the 96 secret bytes, for a party's own key file; an enclave never calls this."""
        return self._mlkem.private_bytes_raw() + self._x25519.private_bytes_raw()

    def __repr__(self) -> str:
        return f"SealingKey(public={self.public.digest.hex()[:8]}…)"

    def __reduce__(self) -> str:
        raise TypeError("a sealing key is not serialised")


def seal(purpose: SealedFor, context: bytes, recipient: PublicSealingKey, plaintext: bytes) -> bytes:
    """Return ``plaintext`` sealed to ``recipient`` for one purpose and one context (a 32-byte digest)."""
    return _SUITE.encrypt(plaintext, recipient._hybrid(), info=_info(purpose, context, recipient))  # noqa: SLF001


def open_sealed(purpose: SealedFor, context: bytes, key: SealingKey, sealed: bytes) -> bytes:
    """Return what ``seal`` closed; ``Untrusted`` when purpose, context, key or any byte differs."""
    try:
        return _SUITE.decrypt(sealed, key._hybrid, info=_info(purpose, context, key.public))  # noqa: SLF001
    except (InvalidTag, ValueError):
        raise Untrusted(
            "sealing.open", f"the sealed {purpose.value} does not open",
            why="it was sealed to another key, for another use or upload, or was changed on the way",
            remedy="seal it anew to the key of the instance that was appraised",
        ) from None  # fmt: skip


def _info(purpose: SealedFor, context: bytes, recipient: PublicSealingKey) -> bytes:
    if len(context) != _CONTEXT_BYTES:
        raise ValueError("the context of a sealed message is a 32-byte digest")
    return canonical_cbor([LABEL, purpose.value, context, recipient.digest])
