"""What a steward decides: a request of a keep, held against the operator's policy, becomes a certificate or a refusal.

The interface is that of Enarx' Steward (github.com/enarx/steward): a request in DER gives the path from the authority
to the keep (PkiPath: the leaf last), a bundle of requests gives ``SEQUENCE { chain, issued }``. What differs, each time
to the careful side: a policy is always there; evidence is checked as everywhere in this project; whoever asks with a
debug enclave or without evidence gets nothing, whatever the authority; a certificate never outlives the evidence's
collateral or its authority; the names in it are the operator's; an empty subject makes them critical (RFC 5280,
4.2.1.6).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Final, cast
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from mpc.canonical import format_time
from mpc.errors import Malformed, Misconfigured
from mpc.evidence.appraisal import Exceptions, compare_with
from mpc.evidence.certificate import Certificate, certificates_of, parse_certificate
from mpc.evidence.chain import is_signed_by, load_key
from mpc.evidence.checks import refusal_of
from mpc.evidence.claims import Claims
from mpc.evidence.der import SEQUENCE, read_element, sequence_of
from mpc.evidence.enarx import FORMAT, EnarxReference, EnarxRequest, parse_request
from mpc.evidence.intel import read_collateral
from mpc.evidence.snp.endorsements import sorted_out

PKCS10: Final = "application/pkcs10"
BUNDLE: Final = "application/vnd.steward.pkcs10-bundle.v1"
LIFETIME_MAX: Final = timedelta(days=28)
BUNDLE_MAX_REQUESTS: Final = 16
_SERIAL_BYTES: Final = 16
_CLOCK_SKEW: Final = timedelta(minutes=5)
_WHAT: Final = "the keep gets no certificate"

Random = Callable[[int], bytes]
SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate (DER), and the claims for which it was made."""

    certificate: bytes
    claims: Claims
    not_after: datetime


class Authority:
    """The operator's certificate authority: its key, which does not print, and its certificates up to its root."""

    def __init__(self, key: SigningKey, chain: Sequence[Certificate]) -> None:
        self._key = key
        self.chain = tuple(chain)
        self._certificate = x509.load_der_x509_certificate(self.chain[0].der)

    @classmethod
    def load(cls, key_pem: bytes, certificates: bytes) -> "Authority":
        """Return the authority of a key (PEM, not encrypted) and its chain (PEM, its own certificate first).

        Raises ``Misconfigured`` where they do not belong together, or the certificate may not sign others.
        """
        try:
            key = load_pem_private_key(key_pem, None)
        except (ValueError, TypeError):
            raise _misconfigured("the key file is not an unencrypted PEM key") from None
        if not isinstance(key, SigningKey):
            raise _misconfigured("the key is neither of an elliptic curve, nor RSA, nor Ed25519")
        chain = [parse_certificate(der) for der in certificates_of(certificates)]
        own = chain[0]
        if load_key(own.spki) != key.public_key():
            raise _misconfigured("the first certificate is another key's")
        if not own.is_authority or (own.key_usage is not None and "key_cert_sign" not in own.key_usage):
            raise _misconfigured("the certificate may not sign others: it needs CA:TRUE and keyCertSign")
        if not all(is_signed_by(lower, upper) for lower, upper in pairwise(chain)):
            raise _misconfigured("the certificates are no chain: each has to be signed by the next")
        return cls(key, chain)

    def certify(
        self, request: EnarxRequest, names: Sequence[str], *, validity: tuple[datetime, datetime], serial: int
    ) -> bytes:
        """Return the DER certificate of the request's key; only ``Steward.issue`` decides that it may be made."""
        subject = _subject(request)
        public = cast("ec.EllipticCurvePublicKey", load_key(request.spki))  # no other key's request is believed
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=False, crl_sign=False, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
            decipher_only=False,
        )  # fmt: skip
        purposes = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
        issuer = self._certificate
        built = (
            x509.CertificateBuilder(issuer.subject, subject, public, serial, *validity)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=not subject)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(_authority_identifier(issuer), critical=False)
        )
        chosen = None if isinstance(self._key, ed25519.Ed25519PrivateKey) else hashes.SHA384()
        return built.sign(self._key, chosen).public_bytes(Encoding.DER)

    def __repr__(self) -> str:
        return f"Authority({self.chain[0].subject_text})"


@dataclass(frozen=True)
class Steward:
    """One operator's steward: who signs, who is accepted, what AMD and Intel say, and which names a keep gets.

    ``endorsements`` are files as they lie: AMD's chains for keeps in SNP; keeps in SGX bring theirs along.
    """

    authority: Authority
    policy: EnarxReference
    endorsements: tuple[bytes, ...]
    names: tuple[str, ...]
    lifetime: timedelta = LIFETIME_MAX
    roots: tuple[bytes, ...] = FORMAT.pinned

    def answer(self, kind: str, body: bytes, *, at: datetime, random: Random) -> tuple[bytes, tuple[Issued, ...]]:
        """Return what is answered to a ``body`` of the content type ``kind``, and what was issued for it.

        Any refusal refuses the whole bundle.
        """
        chain = [certificate.der for certificate in reversed(self.authority.chain)]
        match kind:
            case "application/pkcs10":
                issued = self.issue(body, at=at, random=random)
                return sequence_of(*chain, issued.certificate), (issued,)
            case "application/vnd.steward.pkcs10-bundle.v1":
                every = tuple(self.issue(one, at=at, random=random) for one in _bundled(body))
                leaves = sequence_of(*(issued.certificate for issued in every))
                return sequence_of(sequence_of(*chain), leaves), every
        raise Malformed(
            "steward.content_type", _WHAT, why="the request is of an unknown content type",
            remedy="send a request in DER", field="content-type", expected=f"{PKCS10} or {BUNDLE}", found=kind[:64],
        )  # fmt: skip

    def issue(self, raw: bytes, *, at: datetime, random: Random) -> Issued:
        """Return the certificate of the keep that asks with ``raw``, once its evidence is what the policy wants."""
        request = parse_request(raw)
        claims = self._appraised(request, at)
        own = self.authority.chain[0]
        ends = [at + self.lifetime, own.not_after, *([claims.valid_until] if claims.valid_until else [])]
        if not own.not_before <= at < own.not_after:
            raise _misconfigured(f"the authority's certificate is not valid at {format_time(at)}")
        serial = UUID(bytes=random(_SERIAL_BYTES), version=4).int
        begins = max(at - _CLOCK_SKEW, own.not_before)
        certificate = self.authority.certify(request, self.names, validity=(begins, min(ends)), serial=serial)
        return Issued(certificate, claims, min(ends))

    def _appraised(self, request: EnarxRequest, at: datetime) -> Claims:
        endorsements = [file for file in self.endorsements if _is_for(file, request.tee)]
        claims = FORMAT.verify(request, endorsements, roots=self.roots, at=at)
        claims, checks = compare_with(claims, [self.policy], Exceptions())
        made = (*claims.checks, *checks)
        failed = next((check for check in made if not check.passed), None)
        if failed is not None:
            raise refusal_of(failed, made, what=_WHAT, genuine=True)
        return claims


_READERS: Final[Mapping[str, Callable[[Sequence[bytes]], object]]] = MappingProxyType(
    {"sgx": read_collateral, "snp": sorted_out}
)


def _is_for(file: bytes, tee: str) -> bool:
    try:
        _READERS[tee]([file])
    except (Malformed, KeyError):
        return False
    return True


def check_endorsements(files: Sequence[bytes]) -> None:
    """Refuse a file that no kind of keep has a use for: it would be passed over at every request."""
    for file in files:
        if not any(_is_for(file, tee) for tee in _READERS):
            raise _misconfigured("an endorsement is neither of AMD nor of Intel")


def _bundled(body: bytes) -> tuple[bytes, ...]:
    try:
        requests = tuple(request.whole for request in read_element(body).children(SEQUENCE))
    except ValueError:
        requests = ()
    if not 0 < len(requests) <= BUNDLE_MAX_REQUESTS:
        raise Malformed(
            "steward.bundle", _WHAT, why="the bundle is no SEQUENCE OF requests, or holds none, or too many",
            remedy="send them in DER", field="body", expected=f"1 to {BUNDLE_MAX_REQUESTS} requests",
            found=str(len(requests)),
        )  # fmt: skip
    return requests


def _subject(request: EnarxRequest) -> x509.Name:
    try:
        return x509.load_der_x509_csr(request.raw).subject
    except (ValueError, TypeError):
        raise Malformed(
            "steward.subject", _WHAT, why="the name that the request asks for does not parse",
            remedy="ask with an empty name, as keeps do", field="subject",
        ) from None  # fmt: skip


def _authority_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(
            cast("ec.EllipticCurvePublicKey", issuer.public_key())
        )
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _misconfigured(why: str) -> Misconfigured:
    return Misconfigured(
        "steward.authority", "the steward cannot be used", why=why,
        remedy="give the key of a certificate authority, its chain, and the vendors' certificates",
    )  # fmt: skip
