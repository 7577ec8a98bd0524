"""A false AMD: roots, issuers, chips, clouds and reports of one's own, each of which can be wrong in one way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 6, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
MEASUREMENT = bytes(range(1, 49))
CHIP = bytes(range(100, 164))
ID_KEY, AUTHOR_KEY = b"\x11" * 48, b"\x12" * 48
CSP = "CN=cc-us-east-2.amazonaws.com"
CPUID = {"Milan": (0x19, 0x01, 1), "Genoa": (0x19, 0x11, 1), "Turin": (0x1A, 0x02, 1)}
NAMES = {"Milan": "Milan-B0", "Genoa": "Genoa", "Turin": "Turin"}
LEVELS = {"bl": 4, "tee": 1, "snp": 24, "ucode": 219}
OLD_ORDER = "bl tee - - - - snp ucode"
ORDER = {"Milan": OLD_ORDER, "Genoa": OLD_ORDER, "Turin": "fmc bl tee snp - - - ucode"}
EXTENSIONS = {"bl": "3.1", "tee": "3.2", "snp": "3.3", "ucode": "3.8", "fmc": "3.9"}
PSS = padding.PSS(padding.MGF1(hashes.SHA384()), 48)


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    del name
    return rsa.generate_private_key(65537, 2048)


@cache
def ec_key(name: str, curve: type[ec.EllipticCurve] = ec.SECP384R1) -> ec.EllipticCurvePrivateKey:
    del name
    return ec.generate_private_key(curve())


def der(value: int | str | bytes) -> bytes:
    """Spell a short ASN.1 value: INTEGER, IA5String or OCTET STRING."""
    if isinstance(value, int):
        return b"\x02" + (b"\x01" + bytes([value]) if value < 128 else b"\x02\x00" + bytes([value]))
    return (
        (b"\x16" if isinstance(value, str) else b"\x04")
        + bytes([len(value)])
        + (value.encode() if isinstance(value, str) else value)
    )


@dataclass
class SnpForge:
    """One false chip; every attribute may be changed before ``endorsements`` and ``report`` are made."""

    product: str = "Milan"
    kind: str = "VCEK"
    version: int = 5
    levels: dict[str, int] = field(default_factory=lambda: dict(LEVELS))
    hardware_id: bytes | None = CHIP
    csp_id: str | None = None
    product_name: str | None = None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec_key("chip"))
    root_name: str = "ark"
    issuer_name: str | None = None
    issuer_serial: int = 0x10001
    root_ends: datetime = NOW + YEAR
    issuer_ends: datetime = NOW + YEAR
    leaf_begins: datetime = NOW - YEAR
    leaf_ends: datetime = NOW + YEAR

    def __post_init__(self) -> None:
        if self.product == "Turin":
            self.levels = {"fmc": 2, **self.levels}
            self.hardware_id = CHIP[:8]
        if self.kind == "VLEK":
            self.hardware_id, self.csp_id = None, CSP

    @property
    def root(self) -> bytes:
        name = f"ARK-{self.product}"
        key = rsa_key(self.root_name)
        return self._certified(name, key.public_key(), name, key, authority=True, ends=self.root_ends, serial=0x10000)

    @property
    def issuer(self) -> bytes:
        public = rsa_key("ask").public_key()
        return self._certified(
            self._issuer_name, public, f"ARK-{self.product}", rsa_key(self.root_name),
            authority=True, ends=self.issuer_ends, serial=self.issuer_serial,
        )  # fmt: skip

    @property
    def leaf(self) -> bytes:
        extensions = {"1": der(1), "2": der(self.product_name or NAMES[self.product])}
        extensions |= {EXTENSIONS[part]: der(level) for part, level in self.levels.items()}
        if self.hardware_id is not None:
            extensions["4"] = self.hardware_id
        if self.csp_id is not None:
            extensions["5"] = der(self.csp_id)
        return self._certified(
            f"SEV-{self.kind}", self.key.public_key(), self._issuer_name, rsa_key("ask"),
            authority=False, begins=self.leaf_begins, ends=self.leaf_ends, serial=7, extensions=extensions,
        )  # fmt: skip

    @property
    def endorsements(self) -> list[bytes]:
        return [self.leaf, self.issuer, self.root]

    @property
    def _issuer_name(self) -> str:
        return self.issuer_name or ("SEV-VLEK-" if self.kind == "VLEK" else "SEV-") + self.product

    def crl(
        self, revoked: Sequence[int] = (), *, signer: str | None = None, begins: datetime = NOW - YEAR,
        ends: datetime = NOW + YEAR, delta: bool = False,
    ) -> bytes:  # fmt: skip
        """Make the root's list."""
        builder = x509.CertificateRevocationListBuilder(_named(f"ARK-{self.product}"), begins, ends)
        for serial in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - YEAR).build()
            )
        if delta:
            builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
        made = builder.sign(rsa_key(signer or self.root_name), hashes.SHA384(), rsa_padding=PSS)
        return made.public_bytes(Encoding.DER)

    def tcb(self, **levels: int) -> bytes:
        """Spell a TCB in the product's own order."""
        wanted = self.levels | levels
        return bytes(wanted.get(part, 0) for part in ORDER[self.product].split())

    def body(self, **fields: int | bytes) -> bytes:
        """Spell the 672 bytes under the signature; ``fields`` are laid over them by name."""
        chip = b"" if self.kind == "VLEK" else (self.hardware_id or b"")
        values: dict[str, int | bytes] = {
            "version": self.version, "guest_svn": 3, "policy": 0x30000, "vmpl": 0, "sig_algo": 1,
            "current_tcb": self.tcb(), "platform_info": 0x25, "flags": 0b00100 if self.kind == "VLEK" else 0,
            "report_data": bytes(64), "measurement": MEASUREMENT, "host_data": bytes(32), "id_key_digest": ID_KEY,
            "author_key_digest": AUTHOR_KEY, "report_id": b"\x13" * 32, "report_id_ma": b"\xff" * 32,
            "reported_tcb": self.tcb(), "cpuid": bytes(CPUID[self.product]) if self.version > 2 else b"",
            "chip_id": chip.ljust(64, b"\0"), "committed_tcb": self.tcb(), "current_firmware": bytes([30, 55, 1]),
            "committed_firmware": bytes([29, 55, 1]), "launch_tcb": self.tcb(),
        } | fields  # fmt: skip
        raw = bytearray(0x2A0)
        for name, value in values.items():
            at, size = FIELDS[name]
            spelled = value.to_bytes(size, "little") if isinstance(value, int) else value
            raw[at : at + len(spelled)] = spelled
        return bytes(raw)

    def report(self, *, big_endian: bool = False, **fields: int | bytes) -> bytes:
        """Make a report of the chip; ``fields`` are signed as they are given."""
        body = self.body(**fields)
        order = "big" if big_endian else "little"
        scalars = decode_dss_signature(self.key.sign(body, ec.ECDSA(hashes.SHA384())))
        return body + b"".join(one.to_bytes(48, order).ljust(72, b"\0") for one in scalars).ljust(512, b"\0")

    def _certified(
        self, subject: str, public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, issuer: str,
        by: rsa.RSAPrivateKey, *, authority: bool, ends: datetime, serial: int,
        begins: datetime = NOW - YEAR, extensions: dict[str, bytes] | None = None,
    ) -> bytes:  # fmt: skip
        usage = {
            name: authority and name in {"key_cert_sign", "crl_sign"}
            for name in (
                "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
        }  # fmt: skip
        builder = x509.CertificateBuilder(_named(issuer), _named(subject), public, serial, begins, ends)
        if authority:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        for part, value in (extensions or {}).items():
            oid = x509.ObjectIdentifier(f"1.3.6.1.4.1.3704.1.{part}")
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        return builder.sign(by, hashes.SHA384(), rsa_padding=PSS).public_bytes(Encoding.DER)


FIELDS = {
    "version": (0, 4), "guest_svn": (4, 4), "policy": (8, 8), "family_id": (0x10, 16), "image_id": (0x20, 16),
    "vmpl": (0x30, 4), "sig_algo": (0x34, 4), "current_tcb": (0x38, 8), "platform_info": (0x40, 8), "flags": (0x48, 4),
    "rsvd1": (0x4C, 4), "report_data": (0x50, 64), "measurement": (0x90, 48), "host_data": (0xC0, 32),
    "id_key_digest": (0xE0, 48), "author_key_digest": (0x110, 48), "report_id": (0x140, 32),
    "report_id_ma": (0x160, 32), "reported_tcb": (0x180, 8), "cpuid": (0x188, 3), "rsvd2": (0x18B, 21),
    "chip_id": (0x1A0, 64), "committed_tcb": (0x1E0, 8), "current_firmware": (0x1E8, 3), "rsvd3": (0x1EB, 1),
    "committed_firmware": (0x1EC, 3), "rsvd4": (0x1EF, 1), "launch_tcb": (0x1F0, 8), "launch_mit": (0x1F8, 8),
    "current_mit": (0x200, 8), "rsvd5": (0x208, 152),
}  # fmt: skip


def _named(name: str) -> x509.Name:
    return x509.Name([
        x509.NameAttribute(NameOID.COMMON_NAME, name),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Advanced Micro Devices"),
    ])  # fmt: skip
