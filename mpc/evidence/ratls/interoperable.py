"""The interoperable form of RA-TLS evidence, read and written (Confidential Computing Consortium; TCG DICE).

The extension 2.23.133.5.4.9 holds CBOR, with no further octet string around it::

    60000([ quote, claims ])        claims = bstr( { "pubkey-hash": bstr( [ algorithm, hash ] ), ? "nonce": bstr } )

The quote's report data is the SHA-256 of ``claims``, then zeros; ``hash`` is over the certificate's
SubjectPublicKeyInfo. Claims of other names are nobody's concern. Endorsements may stand beside it, in 2.23.133.5.4.2::

    60000([ version, TCB_INFO, TCB_ISSUER_CHAIN, CRL_PCK_CERT, CRL_PCK_PROC_CA, CRL_ISSUER_CHAIN_PCK_CERT,
            QE_ID_INFO, QE_ID_ISSUER_CHAIN, ? CREATION_DATETIME ])

rats-tls writes an SEV-SNP report in the same form, under a tag of its own, 0x1A7504([ report, claims ]).

Evidence that has no tag of this family stands in a Conceptual Message Wrapper (RFC 9999 to be; id-pe-cmw).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import cbor2
from asn1crypto import core
from cryptography import x509

from mpc.canonical import sha256
from mpc.errors import Malformed
from mpc.evidence.cbor import CBORTag, read_cbor

EVIDENCE = "2.23.133.5.4.9"
ENDORSEMENTS = "2.23.133.5.4.2"
MESSAGE_WRAPPER = "1.3.6.1.5.5.7.1.35"

TEE_QUOTE = 60000
TEE_REPORT = 60001
LEGACY_REPORT = 60002
SNP_REPORT = 0x1A7504

PUBKEY_HASH = "pubkey-hash"
NONCE = "nonce"
HASHES = {1: "sha256", 7: "sha384", 8: "sha512"}
"""Named Information hash algorithms (IANA) that a verifier has to know."""

EXTENSION_MAX_BYTES = 48 << 10
CLAIMS_MAX_BYTES = 4 << 10
CLAIMS_MAX_COUNT = 32
_ITEMS = (8, 9)
_LABELS = {
    TEE_REPORT: "a TDREPORT or SGX report, for local attestation",
    LEGACY_REPORT: "an SGX report, for local attestation",
    0x1A7505: "a report of SEV before SNP", 0x1A7506: "a report of Hygon CSV",
}  # fmt: skip


def read_evidence(value: bytes) -> tuple[bytes, bytes]:
    """Return the quote or report and the claims' bytes that the evidence extension holds, or raise ``Malformed``."""
    items = _tagged(value, "the RA-TLS evidence", also=frozenset({SNP_REPORT}))
    if len(items) != 2 or not all(isinstance(item, bytes) for item in items):  # noqa: PLR2004 - quote and claims
        raise _malformed(
            "malformed RA-TLS evidence", "evidence", "[quote, claims], both byte strings", "something else"
        )
    quote, claims = items
    return quote, claims


def read_claims(claims: bytes) -> Mapping[str, bytes]:
    """Return the claims by name, or raise ``Malformed``; a name that stands twice refuses."""
    found = read_cbor(claims, max_bytes=CLAIMS_MAX_BYTES, what="the list of RA-TLS claims")
    if not isinstance(found, dict) or not 0 < len(found) <= CLAIMS_MAX_COUNT or not _are_claims(found):
        raise _malformed("malformed RA-TLS claims", "claims", "a map of texts to byte strings", "something else")
    return found


def read_endorsements(value: bytes) -> tuple[bytes, ...]:
    """Return the seven items of the endorsements extension, TCB_INFO to QE_ID_ISSUER_CHAIN, or raise ``Malformed``."""
    items = _tagged(value, "the list of RA-TLS endorsements")
    if len(items) not in _ITEMS or type(items[0]) is not int or not all(isinstance(item, bytes) for item in items[1:]):
        raise _malformed(
            "malformed RA-TLS endorsements", "endorsements", "a version and 7 or 8 byte strings", "something else"
        )
    return tuple(items[1:8])


def key_hash_matches(entry: bytes, spki: bytes) -> bool:
    """Tell whether ``entry``, the value of ``pubkey-hash``, is a hash of ``spki`` that a verifier has to know."""
    try:
        found = read_cbor(entry, max_bytes=CLAIMS_MAX_BYTES, what="the hash of the key")
    except Malformed:
        return False
    match found:
        case [int() as algorithm, bytes() as digest] if algorithm in HASHES and not isinstance(algorithm, bool):
            return digest == hashlib.new(HASHES[algorithm], spki).digest()
        case _:
            return False


def claims_for(spki: bytes, nonce: bytes | None = None) -> bytes:
    """Return the claims of a key, given as its DER SubjectPublicKeyInfo: what a quote's report data is to carry."""
    return claims_for_digest(sha256(spki), nonce)


def claims_for_digest(spki_sha256: bytes, nonce: bytes | None = None) -> bytes:
    """Return the claims of a key, given as the SHA-256 of its DER SubjectPublicKeyInfo."""
    claims: dict[str, bytes] = {PUBKEY_HASH: cbor2.dumps([1, spki_sha256], canonical=True)}
    if nonce is not None:
        claims[NONCE] = nonce
    return cbor2.dumps(claims, canonical=True)


def report_data_for(claims: bytes) -> bytes:
    """Return the 64 bytes of report data that carry ``claims``."""
    return sha256(claims) + bytes(32)


def evidence_extension(quote: bytes, claims: bytes) -> x509.UnrecognizedExtension:
    """Return the extension that carries an SGX or TDX quote with the claims that its report data holds.

    It is to be non-critical: widespread TLS libraries refuse a critical extension that they do not know.
    """
    return _extension(EVIDENCE, cbor2.dumps(CBORTag(TEE_QUOTE, [quote, claims]), canonical=True))


def endorsements_extension(items: Sequence[bytes], version: int = 1) -> x509.UnrecognizedExtension:
    """Return the extension that carries collateral, the seven items in the order of the table above."""
    return _extension(ENDORSEMENTS, cbor2.dumps(CBORTag(TEE_QUOTE, [version, *items]), canonical=True))


def wrapped_extension(media_type: str, evidence: bytes) -> x509.UnrecognizedExtension:
    """Return the extension that carries any other evidence, as a Conceptual Message Wrapper in CBOR."""
    record = cbor2.dumps([media_type, evidence], canonical=True)
    return _extension(MESSAGE_WRAPPER, core.OctetString(record).dump())


def read_wrapped(value: bytes) -> tuple[str, bytes]:
    """Return the media type and the evidence of such an extension, or raise ``Malformed``."""
    try:
        record = core.OctetString.load(value, strict=True).native
    except (ValueError, TypeError):
        record = b""
    match read_cbor(record, max_bytes=EXTENSION_MAX_BYTES, what="the message wrapper"):
        case [str() as media_type, bytes() as evidence, *_]:
            return media_type, evidence
        case _:
            raise _malformed("malformed message wrapper", "wrapper", "[media type, evidence]", "something else")


def holds_snp(value: bytes) -> bool:
    """Tell whether the evidence extension holds an SEV-SNP report; raises ``Malformed``."""
    tagged = read_cbor(value, max_bytes=EXTENSION_MAX_BYTES, what="the RA-TLS evidence")
    return isinstance(tagged, CBORTag) and tagged.tag == SNP_REPORT


def _tagged(value: bytes, what: str, also: frozenset[int] = frozenset()) -> list[Any]:
    tagged = read_cbor(value, max_bytes=EXTENSION_MAX_BYTES, what=what)
    if not isinstance(tagged, CBORTag) or not isinstance(tagged.value, list):
        raise _malformed("malformed RA-TLS evidence", "tag", f"{TEE_QUOTE} over a list", "something else")
    if tagged.tag not in {TEE_QUOTE, *also}:
        found = _LABELS.get(tagged.tag, "under an unknown tag")
        raise _malformed(
            f"not a quote: it is {found}, which nobody elsewhere can verify", "tag", str(TEE_QUOTE), str(tagged.tag)
        )
    return tagged.value


def _are_claims(found: Mapping[object, object]) -> bool:
    return all(isinstance(name, str) and isinstance(value, bytes) for name, value in found.items())


def _extension(oid: str, value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)


def _malformed(why: str, name: str, expected: str, found: str) -> Malformed:
    return Malformed(
        "evidence.ra_tls", "the RA-TLS certificate is malformed", why=why,
        remedy="give the certificate as the enclave presented it", field=name, expected=expected, found=found,
    )  # fmt: skip
