"""How a party vouches for a machine's attestation key: the authority's half of an enrolment, with no TPM at hand.

Four steps, three messages::

    machine    endorsement certificate (and its chain), attestation key            -> EnrolmentRequest
    authority  checks chain and key, encrypts a secret to exactly that pair        -> Challenge   (keeps Pending)
    machine    only the TPM that holds both keys can decrypt (TPM2_ActivateCredential) -> the secret
    authority  compares the secret, issues the attestation key's certificate       -> certificate

The authority belongs to a party, never to who runs the machine: whoever holds its key can vouch for a key of any
software. The encryption is TPM2_MakeCredential, done in software ("Trusted Platform Module Library", Part 1, 24 and
annexes B.4, B.10.3).
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from mpc.canonical import labelled_cbor, parse_labelled_cbor, sha256
from mpc.errors import Malformed, Misconfigured, Untrusted
from mpc.evidence.certificate import EXTENDED_KEY_USAGE, SUBJECT_ALTERNATIVE_NAME, fingerprint, parse_certificate
from mpc.evidence.chain import CHAIN_MAX_CERTIFICATES, load_key, verify_chain
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Check
from mpc.evidence.tpm import ATTESTATION_KEY_USAGE, require_attestation_key
from mpc.evidence.tpm_structures import Public, parse_public

ENDORSEMENT_KEY_USAGE = "2.23.133.8.1"  # tcg-kp-EKCertificate
VERSION = 1
SECRET_BYTES = 32
MAX_BYTES = 64 << 10
AUTHORITY_LIFETIME = timedelta(days=3650)
CERTIFICATE_LIFETIME = timedelta(days=365)
_REQUEST, _CHALLENGE, _PENDING = (f"sealroom enrolment {step}" for step in ("request", "challenge", "pending"))
_CLOCK_SKEW = timedelta(minutes=5)

Random = Callable[[int], bytes]


@dataclass(frozen=True)
class EnrolmentRequest:
    """A machine's wish: its endorsement key's DER certificates, leaf first, and its attestation key (TPMT_PUBLIC)."""

    endorsement: tuple[bytes, ...]
    public: bytes

    def to_bytes(self) -> bytes:
        """Return the request as deterministic CBOR."""
        return labelled_cbor(_REQUEST, VERSION, list(self.endorsement), self.public)


@dataclass(frozen=True)
class Challenge:
    """A secret for the TPM that holds both keys: the contents of TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET."""

    credential: bytes
    encrypted_seed: bytes

    def to_bytes(self) -> bytes:
        """Return the challenge as deterministic CBOR."""
        return labelled_cbor(_CHALLENGE, VERSION, self.credential, self.encrypted_seed)


@dataclass(frozen=True)
class Pending:
    """What the authority keeps between its two steps: the digest of the secret, and the key it asked about."""

    secret_digest: bytes
    public: bytes
    endorsement: str
    checks: tuple[Check, ...]

    def to_bytes(self) -> bytes:
        """Return what has to be kept as deterministic CBOR; the secret itself is not in it."""
        return labelled_cbor(_PENDING, VERSION, self.secret_digest, self.public, self.endorsement)


class Authority:
    """A party's certificate authority for attestation keys: an EC P-384 key, which does not print."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: bytes) -> None:
        self._key = key
        self.certificate = certificate

    @classmethod
    def create(cls, name: str, *, at: datetime, lifetime: timedelta = AUTHORITY_LIFETIME) -> "Authority":
        """Return a fresh authority called ``name``, valid from ``at``, which may issue leaves only."""
        key = ec.generate_private_key(ec.SECP384R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, subject, key.public_key(), (at, at + lifetime), authority=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA384())
        )
        return cls(key, certificate.public_bytes(Encoding.DER))

    @classmethod
    def load(cls, key_pem: bytes, certificate: bytes) -> "Authority":
        """Return the authority of a key file and a DER certificate that belong together, or ``Misconfigured``."""
        try:
            key = load_pem_private_key(key_pem, None)
        except (ValueError, TypeError):
            raise _wrong_authority("the key file is not an unencrypted PEM key") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise _wrong_authority("the key is not of an elliptic curve")
        if load_key(parse_certificate(certificate).spki) != key.public_key():
            raise _wrong_authority("the certificate is another key's")
        return cls(key, certificate)

    def key_pem(self) -> bytes:
        """Return the secret key in PEM (PKCS #8), for the party's own file."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def certify(self, public: Public, *, at: datetime, lifetime: timedelta) -> bytes:
        """Return the DER certificate of an attestation key; only ``issue`` decides that it may be made."""
        issuer = x509.load_der_x509_certificate(self.certificate)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"attestation key {public.name.hex()[:32]}")])
        validity = (at, min(at + lifetime, issuer.not_valid_after_utc))
        certificate = (
            _builder(issuer.subject, subject, load_key(public.spki), validity, authority=False)
            .add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier(ATTESTATION_KEY_USAGE)]), critical=False)
            .sign(self._key, hashes.SHA384())
        )
        return certificate.public_bytes(Encoding.DER)

    def __repr__(self) -> str:
        return f"Authority({fingerprint(parse_certificate(self.certificate))[:8]}…)"


def challenge(
    request: EnrolmentRequest, *, roots: Sequence[bytes], endorsements: Sequence[bytes], at: datetime, random: Random
) -> tuple[Challenge, Pending]:
    """Return a challenge that only the requested TPM can answer, and what the authority keeps until then.

    ``roots`` are the DER roots of TPM makers that the party trusts; ``endorsements`` further certificates, which
    bridge and never anchor. Raises ``NotBelieved`` when the endorsement key's chain or the attestation key's
    attributes are not as they must be.
    """
    checks = Checks("the machine is not enrolled")
    public = parse_public(request.public)
    require_attestation_key(public, checks)
    leaf, *others = [parse_certificate(certificate) for certificate in request.endorsement]
    verify_chain(
        leaf,
        [*others, *map(parse_certificate, endorsements)],
        roots=[parse_certificate(root) for root in roots],
        at=at,
        handled=frozenset({SUBJECT_ALTERNATIVE_NAME, EXTENDED_KEY_USAGE}),
        checks=checks,
    )
    checks.require(
        "ek_certificate_usage", expected=ENDORSEMENT_KEY_USAGE,
        found=" ".join(sorted(leaf.extended_key_usage)) or "none",
        passed=ENDORSEMENT_KEY_USAGE in leaf.extended_key_usage, why="the certificate is not one of an endorsement key",
        remedy="send the endorsement key's certificate",
    )  # fmt: skip
    secret = random(SECRET_BYTES)
    made = make_credential(leaf.spki, public.name, secret, random=random)
    return made, Pending(sha256(secret), request.public, fingerprint(leaf), checks.made)


def issue(
    pending: Pending, answer: bytes, authority: Authority, *, at: datetime, lifetime: timedelta = CERTIFICATE_LIFETIME
) -> bytes:
    """Return the attestation key's DER certificate when ``answer`` is the secret of the challenge, or refuse."""
    if not hmac.compare_digest(sha256(answer), pending.secret_digest):
        raise Untrusted(
            "enrolment.answer", "the machine is not enrolled", why="its answer is not the secret of the challenge",
            remedy="answer the newest challenge, on the machine whose keys were sent", field="answer",
            expected="the challenge's secret", found="another value",
        )  # fmt: skip
    return authority.certify(parse_public(pending.public), at=at, lifetime=lifetime)


def make_credential(endorsement_spki: bytes, name: bytes, secret: bytes, *, random: Random) -> Challenge:
    """Return ``secret`` encrypted to a 2048-bit RSA endorsement key, for the object called ``name`` and no other.

    As TPM2_MakeCredential does for a key of the default template (SHA-256, AES-128-CFB; EK Credential Profile, B.3.3).
    """
    key = load_key(endorsement_spki)
    if not isinstance(key, rsa.RSAPublicKey):
        raise Malformed(
            "enrolment.endorsement_key", "the machine is not enrolled", why="its endorsement key is not an RSA key",
            remedy="send the certificate of the RSA endorsement key", field="endorsement key",
            expected="RSA", found="another",
        )  # fmt: skip
    seed = random(32)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"IDENTITY\0")
    # The initialization vector is zero by definition; the key is used once.
    encryptor = Cipher(algorithms.AES(_kdf_a(seed, b"STORAGE", name, 16)), CFB(bytes(16))).encryptor()
    identity = encryptor.update(_sized(secret)) + encryptor.finalize()
    integrity = hmac.digest(_kdf_a(seed, b"INTEGRITY", b"", 32), identity + name, "sha256")
    return Challenge(_sized(integrity) + identity, key.encrypt(seed, oaep))


def parse_request(raw: bytes) -> EnrolmentRequest:
    """Return the request that ``raw`` spells, or raise ``Malformed``."""
    match parse_labelled_cbor(raw, _REQUEST, VERSION, what="the enrolment request", max_bytes=MAX_BYTES):
        case [list(chain), bytes(public)] if _is_chain(chain):
            return EnrolmentRequest(tuple(chain), public)
    raise _malformed("request")


def parse_challenge(raw: bytes) -> Challenge:
    """Return the challenge that ``raw`` spells, or raise ``Malformed``."""
    match parse_labelled_cbor(raw, _CHALLENGE, VERSION, what="the enrolment challenge", max_bytes=MAX_BYTES):
        case [bytes(credential), bytes(seed)]:
            return Challenge(credential, seed)
    raise _malformed("challenge")


def parse_pending(raw: bytes) -> Pending:
    """Return what the authority kept, or raise ``Malformed``; the checks it made then are not kept."""
    match parse_labelled_cbor(raw, _PENDING, VERSION, what="the pending enrolment", max_bytes=MAX_BYTES):
        case [bytes(digest), bytes(public), str(endorsement)]:
            return Pending(digest, public, endorsement, ())
    raise _malformed("pending enrolment")


def _builder(
    issuer: x509.Name, subject: x509.Name, key: object, validity: tuple[datetime, datetime], *, authority: bool
) -> x509.CertificateBuilder:
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise _malformed("key")
    usage = x509.KeyUsage(
        digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
        .not_valid_before(validity[0] - _CLOCK_SKEW)
        .not_valid_after(validity[1])
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(usage, critical=True)
    )


def _kdf_a(key: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """KDFa (Part 1, 11.4.10.2): SP 800-108 in counter mode, numbers of four bytes."""
    return KBKDFHMAC(
        hashes.SHA256(), Mode.CounterMode, length, 4, 4, CounterLocation.BeforeFixed, label, context, None
    ).derive(key)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def _is_chain(chain: Sequence[object]) -> bool:
    return 0 < len(chain) <= CHAIN_MAX_CERTIFICATES and all(isinstance(item, bytes) for item in chain)


def _wrong_authority(why: str) -> Misconfigured:
    return Misconfigured(
        "enrolment.authority", "the authority cannot be used", why=why,
        remedy="give the key and the certificate that `sealroom tpm ca new` wrote together",
    )  # fmt: skip


def _malformed(what: str) -> Malformed:
    return Malformed(
        "enrolment.malformed", f"the {what} is malformed", why="it has another form",
        remedy="send the file as the other side wrote it",
    )  # fmt: skip
