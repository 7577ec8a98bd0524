"""A false AWS: its own root, authorities and security module, each part of which can be wrong."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PCRS = {index: bytes([index + 1]) * 48 for index in (0, 1, 2, 3, 4, 8)} | {index: bytes(48) for index in (5, 6, 7)}
ES384 = bytes.fromhex("a1013822")
Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP384R1())


def certify(
    subject: str,
    key: Key | rsa.RSAPrivateKey,
    issuer: str,
    signer: Key,
    *,
    authority: bool = True,
    path_length: int | None = None,
    usage: str = "key_cert_sign",
    begin: datetime = NOW - timedelta(hours=1),
    end: datetime = NOW + timedelta(hours=2),
) -> bytes:
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (issuer, subject)]
    bits = dict.fromkeys(
        (
            "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
        ),
        False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder(*names, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(authority, path_length if authority else None), critical=True)
    )
    if usage:
        builder = builder.add_extension(x509.KeyUsage(**(bits | {usage: True})), critical=True)
    return builder.sign(signer, hashes.SHA384()).public_bytes(Encoding.DER)


@dataclass
class NitroForge:
    """Root, zone and instance, as AWS has them, and a document signed under them."""

    root_key: Key = field(default_factory=new_key)
    zone_key: Key = field(default_factory=new_key)
    instance_key: Key = field(default_factory=new_key)
    leaf_key: Key = field(default_factory=new_key)

    def root(self, **changed: Any) -> bytes:
        return certify("root", self.root_key, "root", self.root_key, **changed)

    def zone(self, **changed: Any) -> bytes:
        return certify("zone", self.zone_key, "root", self.root_key, **({"path_length": 1} | changed))

    def instance(self, **changed: Any) -> bytes:
        return certify("instance", self.instance_key, "zone", self.zone_key, **({"path_length": 0} | changed))

    def leaf(self, *, key: Key | rsa.RSAPrivateKey | None = None, **changed: Any) -> bytes:
        right = {"authority": False, "usage": "digital_signature"}
        return certify("leaf", key or self.leaf_key, "instance", self.instance_key, **(right | changed))

    def payload(self, *, root: bytes | None = None, **changed: Any) -> dict[str, Any]:
        fields = {
            "module_id": "i-0123-enc4567",
            "digest": "SHA384",
            "timestamp": int(NOW.timestamp() * 1000),
            "pcrs": PCRS,
            "certificate": self.leaf(),
            "cabundle": [root or self.root(), self.zone(), self.instance()],
            "public_key": b"key",
            "user_data": bytes(64),
            "nonce": b"nonce",
        } | changed
        return {name: value for name, value in fields.items() if value is not ...}

    def document(
        self,
        payload: Any,
        *,
        protected: bytes = ES384,
        unprotected: Any = None,
        key: Key | None = None,
        hash_: hashes.HashAlgorithm | None = None,
        context: str = "Signature1",
        tagged: int | None = None,
    ) -> bytes:
        packed = payload if isinstance(payload, bytes) else cbor2.dumps(payload)
        signed = cbor2.dumps([context, protected, b"", packed])
        r, s = decode_dss_signature((key or self.leaf_key).sign(signed, ec.ECDSA(hash_ or hashes.SHA384())))
        whole = [protected, unprotected or {}, packed, r.to_bytes(48) + s.to_bytes(48)]
        return cbor2.dumps(whole if tagged is None else cbor2.CBORTag(tagged, whole))
