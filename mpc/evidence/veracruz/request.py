"""The certificate request (PKCS#10, RFC 2986) whose digest a Veracruz enclave binds into its evidence.

Parsed by asn1crypto: mbedTLS, which makes it, writes parameters that stricter parsers refuse.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from asn1crypto import csr

from mpc.canonical import sha256
from mpc.errors import Malformed
from mpc.evidence.armour import unarmoured
from mpc.evidence.certificate import SignatureAlgorithm
from mpc.evidence.chain import load_key, verify_signature

REQUEST_MAX_BYTES = 16 << 10
_PEM_BEGINS = b"-----BEGIN CERTIFICATE REQUEST-----"


@dataclass(frozen=True)
class CertificateRequest:
    """A request, and whether the key in it signed it."""

    der: bytes
    spki: bytes
    subject_text: str
    is_signed: bool

    @property
    def digest(self) -> bytes:
        """What evidence binds: SHA-256 of the DER, 32 bytes."""
        return sha256(self.der)


def parse_request(der: bytes) -> CertificateRequest:
    """Return the request that ``der`` is, with nothing before or after it, or raise ``Malformed``."""
    if len(der) > REQUEST_MAX_BYTES:
        raise _malformed("it is over the limit of size")
    try:
        request = csr.CertificationRequest.load(der, strict=True)
        body, algorithm = request["certification_request_info"], request["signature_algorithm"]
        spki = body["subject_pk_info"].dump()
        chosen = SignatureAlgorithm(algorithm.signature_algo, algorithm.hash_algo, None)
        signed = verify_signature(load_key(spki), request["signature"].native, body.dump(), chosen)
        return CertificateRequest(der, spki, body["subject"].human_friendly or "unnamed", signed)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as failure:
        raise _malformed(f"it does not parse as PKCS#10 ({type(failure).__name__})") from None


def take_request(files: Sequence[bytes]) -> tuple[bytes | None, tuple[bytes, ...]]:
    """Return the DER of the one request among ``files``, None without one, and the other files."""
    requests, others = [], []
    for file in files:
        der = _request_in(file)
        (others.append(file) if der is None else requests.append(der))
    if len(requests) > 1:
        raise _malformed("there are several")
    return (requests[0] if requests else None), tuple(others)


def _request_in(file: bytes) -> bytes | None:
    try:
        der = unarmoured(file)[0][1] if file.lstrip().startswith(_PEM_BEGINS) else file
        return parse_request(der).der
    except (ValueError, Malformed):
        return None


def _malformed(why: str) -> Malformed:
    return Malformed(
        "evidence.request", "the certificate request is malformed", why=why,
        remedy="give the request as the enclave made it, in DER or PEM", field="request",
    )  # fmt: skip
