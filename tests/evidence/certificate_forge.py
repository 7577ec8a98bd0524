"""Mints certificates that carry evidence, byte by byte: as mbedTLS, OpenSSL and Occlum write them, and with lies."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from asn1crypto import algos, core, keys, x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Extension = tuple[str, bool, bytes]

_HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384()}  # noqa: S303 - Occlum signs so


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def spki_of(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def mint_certificate(
    key: Key,
    extensions: Sequence[Extension],
    *,
    signer: Key | None = None,
    subject: str = "RATLS",
    issuer: str | None = None,
    digest: str = "sha256",
    version: str = "v3",
    null_parameters: bool = False,
    not_before: datetime = datetime(2001, 1, 1, tzinfo=UTC),
    not_after: datetime = datetime(2049, 12, 31, tzinfo=UTC),
) -> bytes:
    """Return a certificate in DER; ``null_parameters`` is how mbedTLS names ECDSA, against RFC 5758."""
    signer = signer or key
    algorithm = _algorithm(signer, digest, null_parameters=null_parameters)
    limits = (("not_before", not_before), ("not_after", not_after))
    body = x509.TbsCertificate(
        {
            "version": version,
            "serial_number": 1,
            "signature": algorithm,
            "issuer": x509.Name.build({"common_name": issuer or subject}),
            "validity": {name: x509.Time({"utc_time": time}) for name, time in limits},
            "subject": x509.Name.build({"common_name": subject}),
            "subject_public_key_info": keys.PublicKeyInfo.load(spki_of(key)),
            "extensions": [
                {"extn_id": oid, "critical": critical, "extn_value": core.ParsableOctetString(value)}
                for oid, critical, value in extensions
            ],
        }
    )
    certificate = x509.Certificate(
        {
            "tbs_certificate": body,
            "signature_algorithm": algorithm,
            "signature_value": _sign(signer, body.dump(), digest),
        }
    )
    return bytes(certificate.dump())


def _algorithm(signer: Key, digest: str, *, null_parameters: bool) -> algos.SignedDigestAlgorithm:
    name = f"{digest}_{'ecdsa' if isinstance(signer, ec.EllipticCurvePrivateKey) else 'rsa'}"
    parameters: dict[str, Any] = {"parameters": core.Null()} if null_parameters or name.endswith("rsa") else {}
    return algos.SignedDigestAlgorithm({"algorithm": name, **parameters})


def _sign(signer: Key, body: bytes, digest: str) -> bytes:
    if isinstance(signer, ec.EllipticCurvePrivateKey):
        return signer.sign(body, ec.ECDSA(_HASHES[digest]))
    return signer.sign(body, padding.PKCS1v15(), _HASHES[digest])
