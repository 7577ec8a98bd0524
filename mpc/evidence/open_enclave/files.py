"""Open Enclave's evidence, certificates, endorsements and collateral documents as they lie in files."""

from collections.abc import Sequence
from datetime import datetime

from mpc.canonical import sha256
from mpc.errors import Malformed
from mpc.evidence.armour import unarmoured
from mpc.evidence.checks import Checks, NotBelieved
from mpc.evidence.claims import Check, Given, Shown
from mpc.evidence.format import Document
from mpc.evidence.intel import describe, read_collateral
from mpc.evidence.intel.certificates import anchors_among, verify_signer_chain
from mpc.evidence.intel.collateral import Collateral, signed_answer
from mpc.evidence.intel.files import verify_collateral
from mpc.evidence.intel.layout import carries_claims
from mpc.evidence.intel.provisioning import is_signed_under
from mpc.evidence.open_enclave.collateral_json import CollateralDocument, parse_collateral_document
from mpc.evidence.open_enclave.endorsements import collateral_file, is_endorsements
from mpc.evidence.open_enclave.layout import (
    EXTENSIONS,
    OpenEnclaveEvidence,
    malformed,
    parse_certificate_with_evidence,
    parse_wrapped,
)
from mpc.evidence.open_enclave.verify import custom_claims_facts, require_custom_claims, require_key

_HEADERS = (b"\3\0\0\0", b"\1\0\0\0")


def parse(raw: bytes) -> OpenEnclaveEvidence:
    """Return the evidence in ``raw``: wrapped, bare, or in a certificate (DER or PEM); or raise ``Malformed``."""
    if raw.lstrip().startswith(b"-----BEGIN CERTIFICATE-----"):
        raw = _unarmoured(raw)
    return parse_certificate_with_evidence(raw) if raw[:1] == b"0" else parse_wrapped(raw)


def is_open_enclave(raw: bytes) -> bool:
    """Tell whether ``raw`` is evidence or a report with Open Enclave's header, its certificate, its endorsements."""
    if is_endorsements(raw) or carries_claims(raw):
        return True
    if not (raw[:4] in _HEADERS or raw[:1] == b"0" or raw.lstrip()[:27] == b"-----BEGIN CERTIFICATE-----"):
        return False
    try:
        return parse(raw).wrapping != "quote" or raw[:1] in {b"0", b"-"}
    except Malformed:
        return False


def gather(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[OpenEnclaveEvidence, tuple[bytes, ...]]:
    """Return the evidence, and its collateral with Open Enclave's buffers taken apart."""
    del given
    endorsements = tuple(collateral_file(file) for file in files)
    read_collateral(endorsements)
    return parse(raw), endorsements


def read_document(
    raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime
) -> Document | None:
    """Return what a buffer of endorsements or one document of collateral says, None when ``raw`` is neither."""
    others = tuple(collateral_file(file) for file in files)
    if is_endorsements(raw):
        return verify_collateral(collateral_file(raw), others, given, roots=roots, at=at)
    found = parse_collateral_document(raw) if raw.lstrip()[:1] == b"{" else None
    if found is None:
        return None
    checks = Checks("the collateral is not believed")
    signed = _signed_check(raw, found, read_collateral(others), roots=roots, at=at, checks=checks)
    return Document(found.kind, "verify", {"kind": found.kind, "version": found.version}, (*checks.made, signed))


def show(found: OpenEnclaveEvidence) -> tuple[Shown, ...]:
    """Return the fields of the wrapping, then those of the quote in it."""
    leaf = found.certificate
    certified = () if leaf is None else (
        Shown("extension", found.certificate_kind or "", f"what the certificate carries ({' or '.join(EXTENSIONS)})"),
        Shown("subject", leaf.subject_text, "whom the certificate names; nobody has checked it"),
        Shown("spki_sha256", sha256(leaf.spki).hex(), "SHA-256 of the certificate's key (SubjectPublicKeyInfo)"),
        Shown("key_bound", "true" if _is_bound(found) else "false", "whether the evidence carries that key"),
    )  # fmt: skip
    return (
        Shown("wrapping", found.wrapping, "how Open Enclave wrapped the quote"),
        *certified,
        *(Shown(name, str(value), "what the enclave said, hex") for name, value in custom_claims_facts(found).items()),
        *describe(found.quote),
    )


def _signed_check(
    raw: bytes,
    found: CollateralDocument,
    others: Collateral,
    *,
    roots: Sequence[bytes],
    at: datetime,
    checks: Checks,
) -> Check:
    answer = signed_answer(raw)
    signer = None
    if others.signers:
        anchors = anchors_among(roots, others.certificates)
        chain = verify_signer_chain(others.signers[0], others.certificates, roots=anchors, at=at, checks=checks)
        signer = chain.leaf
    passed = answer is not None and signer is not None and is_signed_under(signer.spki, found.signature, answer[1].body)
    return Check(
        "collateral_signature", "by Intel's key for collateral", "such" if passed else "not such", passed,
        why="bad collateral signature"
        + ("" if signer else ": no certificate of the key that signs collateral came with it"),
        remedy="give the document as the provisioning service wrote it, with the chain of its signer",
    )  # fmt: skip


def _is_bound(found: OpenEnclaveEvidence) -> bool:
    checks = Checks("the certificate")
    try:
        require_custom_claims(found, checks)
        require_key(found, checks)
    except NotBelieved:
        return False
    return True


def _unarmoured(raw: bytes) -> bytes:
    try:
        ((kind, der),) = unarmoured(raw)
    except ValueError:
        kind, der = "", b""
    if kind != "CERTIFICATE":
        raise malformed("its PEM does not parse", "certificate", "one certificate", "something else")
    return der
