"""A false TPM maker: software keys that sign quotes of anything, so that each check meets what it must refuse."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from mpc.evidence import tpm
from mpc.evidence.tpm_structures import parse_public

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BEGIN, END = NOW - timedelta(days=1), NOW + timedelta(days=365)
RIGHT_ATTRIBUTES = 0x00050472  # fixedTPM fixedParent sensitiveDataOrigin userWithAuth noDA restricted sign
PCRS = {0: bytes([1]) * 32, 7: bytes([7]) * 32, 8: hashlib.sha256(bytes(32) + bytes(32)).digest()}
Key = ec.EllipticCurvePrivateKey


def sized(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def ecc_public(key: Key, *, attributes: int = RIGHT_ATTRIBUTES) -> bytes:
    numbers = key.public_key().public_numbers()
    point = sized(numbers.x.to_bytes(32)) + sized(numbers.y.to_bytes(32))
    return (
        bytes.fromhex("0023000b")
        + attributes.to_bytes(4)
        + sized(b"")
        + bytes.fromhex("0010 0018 000b 0003 0010")
        + point
    )


def selection(indices: tuple[int, ...], *, bank: int = 0x000B) -> bytes:
    bitmap = sum(1 << index for index in indices).to_bytes(3, "little")
    return bank.to_bytes(2) + b"\3" + bitmap


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@dataclass
class Issuer:
    """A certificate authority of any quality."""

    text: str
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def certify(
        self,
        subject: str,
        key: Key,
        *,
        authority: bool = False,
        path_length: int | None = None,
        signs: bool | None = None,
        usage: str | None = tpm.ATTESTATION_KEY_USAGE,
        begin: datetime = BEGIN,
        end: datetime = END,
        extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    ) -> bytes:
        builder = (
            x509.CertificateBuilder(name(self.text), name(subject), key.public_key(), x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(authority, path_length if authority else None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    not authority,
                    False,
                    False,
                    False,
                    False,
                    authority if signs is None else signs,
                    False,
                    False,
                    False,
                ),
                True,
            )
        )
        if usage and not authority:
            builder = builder.add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier(usage)]), critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def root(self, **changed: object) -> bytes:
        return self.certify(self.text, self.key, **({"authority": True} | changed))  # type: ignore[arg-type]


@dataclass
class Forge:
    """Makes evidence out of parts, each of which can be wrong."""

    authority: Issuer = field(default_factory=lambda: Issuer("authority"))
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def root(self) -> bytes:
        return self.authority.root()

    def certificate(self, **changed: object) -> bytes:
        return self.authority.certify("attestation key", self.key, **changed)  # type: ignore[arg-type]

    def attest(
        self,
        *,
        public: bytes,
        magic: bytes = bytes.fromhex("ff544347"),
        kind: bytes = bytes.fromhex("8018"),
        signer: bytes | None = None,
        extra: bytes = bytes(32),
        selections: tuple[bytes, ...] = (selection(tuple(PCRS)),),
        digest: bytes | None = None,
        safe: bytes = b"\1",
        tail: bytes = b"",
    ) -> bytes:
        signer = parse_public(public).qualified_name((0x4000000B).to_bytes(4)) if signer is None else signer
        digest = hashlib.sha256(b"".join(PCRS.values())).digest() if digest is None else digest
        clock = bytes(8) + (3).to_bytes(4) + bytes(4) + safe + bytes(8)
        chosen = len(selections).to_bytes(4) + b"".join(selections)
        return magic + kind + sized(signer) + sized(extra) + clock + chosen + sized(digest) + tail

    def sign(self, attest: bytes, *, key: Key | None = None) -> bytes:
        r, s = decode_dss_signature((key or self.key).sign(attest, ec.ECDSA(hashes.SHA256())))
        return bytes.fromhex("0018000b") + sized(r.to_bytes(32)) + sized(s.to_bytes(32))

    def evidence(
        self,
        *,
        attributes: int = RIGHT_ATTRIBUTES,
        pcrs: Mapping[int, bytes] | None = None,
        certificates: list[bytes] | None = None,
        signing_key: Key | None = None,
        **changed: object,
    ) -> bytes:
        public = ecc_public(self.key, attributes=attributes)
        attest = self.attest(public=public, **changed)  # type: ignore[arg-type]
        given = [self.certificate()] if certificates is None else certificates
        return tpm.pack(attest, self.sign(attest, key=signing_key), public, PCRS if pcrs is None else pcrs, given)
