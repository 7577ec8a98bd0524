"""Keys of a verifier of one's own, and COSE messages signed with them."""

from datetime import UTC, datetime
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NOW = datetime(2026, 6, 1, tzinfo=UTC)
P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> bytes:
    found: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


def signed(
    payload: Any, key: Any = P256, algorithm: int = -7, *, tags: tuple[int, ...] = (18,), header: Any = None
) -> bytes:
    protected = cbor2.dumps({1: algorithm} | (header or {}))
    body = payload if isinstance(payload, bytes) else cbor2.dumps(payload)
    covered = cbor2.dumps(["Signature1", protected, b"", body])
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(covered)
    else:
        size = key.key_size // 8
        digest = hashes.SHA256() if size == 32 else hashes.SHA384()
        signature = b"".join(part.to_bytes(size) for part in decode_dss_signature(key.sign(covered, ec.ECDSA(digest))))
    value: Any = [protected, {}, body, signature]
    for tag in tags:
        value = cbor2.CBORTag(tag, value)
    return cbor2.dumps(value)
