"""The keys of one instance: made at boot, held in memory, gone with the process.

None of them has a way to disk. The TLS key signs nothing but handshakes, as a pinned certificate vouches for
everything that its key signs.

The certificate may carry evidence, so that other RA-TLS clients can look at it. Parties never rely on that: it is as
old as the instance and answers nobody's nonce.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from mpc.attesters import Attester
from mpc.canonical import sha256
from mpc.coordinator.certificate import certificate_evidence
from mpc.signing import SigningKey

SERVER_NAME = "sealroom"
# The enclave believes no clock, so its certificate has no expiry that one could check (RFC 5280, 4.1.2.5: UTCTime
# until 2049, GeneralizedTime after). What ends it is the instance.
_NOT_BEFORE = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


Extensions = Callable[[bytes], Sequence[x509.ExtensionType]]
"""Makes further, non-critical extensions of a certificate from its DER SubjectPublicKeyInfo."""


def _none(spki: bytes) -> Sequence[x509.ExtensionType]:
    del spki
    return ()


@dataclass(frozen=True)
class TlsKey:
    """A self-signed P-256 certificate with its key, as gRPC wants them: PEM."""

    certificate: bytes
    private_key: bytes = field(repr=False)
    spki: bytes
    """SHA-256 of the certificate's SubjectPublicKeyInfo, 32 bytes: what transcripts and challenges bind."""

    @classmethod
    def generate(cls, extensions: Extensions = _none) -> Self:
        """Return a fresh key with its certificate: CN and SAN ``sealroom``, CA:FALSE, and the further extensions."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_NOT_BEFORE)
            .not_valid_after(_NOT_AFTER)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        for extension in extensions(public):
            builder = builder.add_extension(extension, critical=False)
        return cls(
            builder.sign(key, SHA256()).public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            sha256(public),
        )


@dataclass(frozen=True)
class InstanceKeys:
    """What names and serves one boot. The contract's sealing key is not among them: it is made once all have signed."""

    tls: TlsKey
    receipt: SigningKey

    @classmethod
    def generate(cls, attester: Attester | None = None) -> Self:
        """Return the keys of a new instance; an ``attester`` that has measured vouches for them in the certificate."""
        receipt = SigningKey.generate()
        if attester is None:
            return cls(TlsKey.generate(), receipt)
        return cls(TlsKey.generate(lambda spki: certificate_evidence(attester, spki, receipt.public.raw)), receipt)

    @property
    def instance(self) -> bytes:
        """The instance's name: SHA-256 of its receipt key, 32 bytes."""
        return sha256(self.receipt.public.raw)
