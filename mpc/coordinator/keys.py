"""The keys of one instance: made at boot, held in memory, gone with the process.

None of them has a way to disk. The TLS key signs nothing but handshakes, as a pinned certificate vouches for
everything that its key signs.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from mpc.canonical import sha256
from mpc.signing import SigningKey

SERVER_NAME = "sealroom"
# The enclave believes no clock, so its certificate has no expiry that one could check (RFC 5280, 4.1.2.5: UTCTime
# until 2049, GeneralizedTime after). What ends it is the instance.
_NOT_BEFORE = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True)
class TlsKey:
    """A self-signed P-256 certificate with its key, as gRPC wants them: PEM."""

    certificate: bytes
    private_key: bytes = field(repr=False)
    spki: bytes
    """SHA-256 of the certificate's SubjectPublicKeyInfo, 32 bytes: what transcripts and challenges bind."""

    @classmethod
    def generate(cls) -> Self:
        """Return a fresh key with its certificate: CN and SAN ``sealroom``, CA:FALSE."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_NOT_BEFORE)
            .not_valid_after(_NOT_AFTER)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(key, SHA256())
        )
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(
            certificate.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            sha256(public),
        )


@dataclass(frozen=True)
class InstanceKeys:
    """What names and serves one boot. The contract's sealing key is not among them: it is made once all have signed."""

    tls: TlsKey
    receipt: SigningKey

    @classmethod
    def generate(cls) -> Self:
        """Return the keys of a new instance."""
        return cls(TlsKey.generate(), SigningKey.generate())

    @property
    def instance(self) -> bytes:
        """The instance's name: SHA-256 of its receipt key, 32 bytes."""
        return sha256(self.receipt.public.raw)
