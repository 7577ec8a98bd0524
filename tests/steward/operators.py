"""An operator of a steward: an authority of one's own, and a policy that accepts the false keeps."""

from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from mpc.evidence.enarx import EnarxReference
from mpc.steward import Authority, Steward
from tests.evidence.snp_forge import MEASUREMENT, NOW, YEAR, SnpForge, ec_key

AnyKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
OPERATOR = ec_key("operator", ec.SECP256R1)
FORGE = SnpForge(version=2)
VENDOR = FORGE.root


def pem_of(key: AnyKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def authority_certificate(
    key: AnyKey, *, begins: datetime = NOW - YEAR, ends: datetime = NOW + YEAR, signs: bool = True,
    issuer: tuple[str, AnyKey] | None = None, name: str = "Operator",
) -> bytes:  # fmt: skip
    """Make the certificate (PEM) of an authority, its own root or below ``issuer``."""
    above, by = issuer or (name, key)
    usage = x509.KeyUsage(
        digital_signature=False, key_cert_sign=signs, crl_sign=signs, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    built = (
        x509.CertificateBuilder(_name(above), _name(name), key.public_key(), 9, begins, ends)
        .add_extension(x509.BasicConstraints(ca=signs, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    chosen = None if isinstance(by, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return built.sign(by, chosen).public_bytes(Encoding.PEM)


def policy(**changed: Any) -> EnarxReference:
    snp = {"hash": (MEASUREMENT.hex(),)} | changed
    return EnarxReference.model_validate({
        "format": "enarx", "sgx": None, "snp": snp, "accepted": (), "measured_by": "hardware", "memory_protected": True,
    })  # fmt: skip


def steward(*, ends: datetime = NOW + YEAR, lifetime: timedelta = timedelta(days=28), **changed: Any) -> Steward:
    """Return a steward that believes the false AMD, and only that one."""
    authority = Authority.load(pem_of(OPERATOR), authority_certificate(OPERATOR, ends=ends))
    endorsements = (FORGE.issuer, VENDOR)
    return Steward(authority, policy(**changed), endorsements, ("keep.example",), lifetime, roots=(VENDOR,))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
