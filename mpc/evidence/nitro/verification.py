"""What a Nitro attestation document proves: AWS's root, through the bundle in its order, to the signature.

There is no revocation: AWS has its list switched off, and gives certificates of hours and days instead.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mpc.canonical import canonical_cbor
from mpc.evidence.anchors import anchors_among
from mpc.evidence.certificate import Certificate, SignatureAlgorithm, fingerprint
from mpc.evidence.chain import Chain, load_key, verify_chain, verify_signature
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Claims, Fact
from mpc.evidence.nitro.document import NitroDocument

NAME = "nitro"
PINNED: Final = (bytes.fromhex("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"),)
"""SHA-256 of AWS_NitroEnclaves_Root-G1 in DER, which comes in every document."""

_ES384 = SignatureAlgorithm("ecdsa", "sha384", None)
_WHAT = "the Nitro attestation document is not believed"


def verify(document: NitroDocument, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime) -> Claims:
    """Return the claims of a document whose bundle leads to one of ``roots`` (DER or SHA-256) at the time ``at``.

    ``bound`` is ``user_data``. ``endorsements`` are not needed and not looked at. Of an instance with a NitroTPM the
    hardware shows what it booted, and nothing hides its memory: no reference of an enclave accepts it.
    """
    del endorsements
    checks = Checks(_WHAT)
    chain = _verify_chain(document, roots, at, checks)
    _verify_signature(document, checks)
    of_enclave = document.of == "enclave"
    return Claims(
        format=NAME,
        bound=document.user_data or b"",
        measurements={f"pcr{index}": value for index, value in sorted(document.pcrs.items())},
        measured_by="hardware" if of_enclave else "boot",
        memory_protected=of_enclave,
        debug=document.debug,
        verified_at=at,
        facts=_facts(document, chain),
        checks=checks.made,
        valid_until=chain.valid_until,
    )


def signed_bytes(protected: bytes, payload: bytes) -> bytes:
    """Return what COSE signs for a COSE_Sign1 without further data (Sig_structure; RFC 9052, 4.4)."""
    return canonical_cbor(["Signature1", protected, b"", payload])


def _verify_chain(document: NitroDocument, roots: Sequence[bytes], at: datetime, checks: Checks) -> Chain:
    anchors = anchors_among(roots, document.bundle)
    chain = verify_chain(
        document.certificate, document.bundle, roots=anchors, at=at, handled=frozenset(), checks=checks
    )
    expected = (*reversed(document.bundle),)
    checks.require(
        "cabundle_order", expected=_names(expected), found=_names(chain.certificates[1:]),
        passed=chain.certificates[1:] == expected,
        why="wrong order of certificates: the bundle is not the path from the root",
        remedy="give the document as the Nitro Security Module returned it",
    )  # fmt: skip
    usage = document.certificate.key_usage
    checks.require(
        "certificate_usage", expected="digital_signature", found=" ".join(sorted(usage or ())) or "none",
        passed=usage is not None and "digital_signature" in usage, why="the certificate's key is not one that signs",
        remedy="give the document as the Nitro Security Module returned it",
    )  # fmt: skip
    return chain


def _verify_signature(document: NitroDocument, checks: Checks) -> None:
    key = load_key(document.certificate.spki)
    half = len(document.signature) // 2
    r, s = (int.from_bytes(part) for part in (document.signature[:half], document.signature[half:]))
    right_key = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1)
    passed = right_key and verify_signature(
        key, encode_dss_signature(r, s), signed_bytes(document.protected, document.payload), _ES384
    )
    checks.require(
        "signature", expected="the certificate's P-384 key over the document", found="such" if passed else "another",
        passed=passed, why="bad document signature", remedy="ask the enclave for fresh evidence",
    )  # fmt: skip


def _facts(document: NitroDocument, chain: Chain) -> dict[str, Fact]:
    chosen = {"user_data": document.user_data, "nonce": document.nonce, "public_key": document.public_key}
    return {
        "of": document.of,
        "module_id": document.module_id,
        "timestamp_ms": document.timestamp_ms,
        **{name: value.hex() for name, value in chosen.items() if value is not None},
        "authority": fingerprint(chain.root),
        "authority_name": chain.root.subject_text,
    }


def _names(certificates: Sequence[Certificate]) -> str:
    return " <- ".join(certificate.subject_text for certificate in certificates)
