"""TPM 2.0 quotes by a key that a party's certificate authority vouches for.

A TPM hides no memory from its host, and one that the host emulates proves nothing against that host. What a quote
does show: which values the registers of *that* TPM held when it answered *this* nonce. Under ``measured_by = "boot"``
the boot chain's registers (PCR 0 to 7, 9) must hold the agreed values, so that the code that extended ``code_pcr``
is known; under ``"self"`` only ``code_pcr`` is looked at, and a lying coordinator passes.

Format: deterministic CBOR of ``["sealroom tpm evidence", 1, attest, signature, public, pcrs, certificates]``:

======================  ==============================================================================================
``attest``              TPMS_ATTEST of a quote, as the TPM returned it; ``extraData`` is the transcript's SHA-256
``signature``           TPMT_SIGNATURE over those bytes: RSASSA, RSAPSS or ECDSA, SHA-256 or longer
``public``              TPMT_PUBLIC of the attestation key, a primary object of the endorsement or owner hierarchy
``pcrs``                map of register number to its value (32 bytes), exactly the registers that the quote covers
``certificates``        list of DER certificates of the key, leaf first; none of them is an anchor
======================  ==============================================================================================

Every byte is covered: the attest by the signature, the public area by the Qualified Name inside the attest, the
registers by the digest inside it, the certificates by their chain. Quotes whose parts lie in separate files, as
tpm2-tools writes them, are read by ``parse_pieces``.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hmac import compare_digest
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mpc.canonical import format_time, labelled_cbor, parse_labelled_cbor, sha256
from mpc.errors import Malformed
from mpc.evidence import tpm_google as google
from mpc.evidence.anchors import anchors_among
from mpc.evidence.certificate import (
    EXTENDED_KEY_USAGE,
    SUBJECT_ALTERNATIVE_NAME,
    Certificate,
    SignatureAlgorithm,
    fingerprint,
    parse_certificate,
)
from mpc.evidence.chain import (
    CHAIN_MAX_CERTIFICATES,
    Chain,
    load_key,
    verify_chain,
    verify_signature,
)
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Check, Claims, Fact, Shown, TpmReference
from mpc.evidence.event_log import EventLog
from mpc.evidence.tpm_structures import (
    DECRYPT,
    FIXED_PARENT,
    FIXED_TPM,
    PCR_COUNT,
    RESTRICTED,
    SENSITIVE_DATA_ORIGIN,
    SIGN,
    Attest,
    Public,
    Signature,
    attribute_words,
    malformed,
    parse_attest,
    parse_public,
    parse_signature,
)

FORMAT = "tpm"
LABEL = "sealroom tpm evidence"
VERSION = 1
MAX_BYTES = 32 << 10
BANK = "sha256"
PCR_BYTES = 32

ATTESTATION_KEY_USAGE = "2.23.133.8.3"  # tcg-kp-AIKCertificate
HIERARCHIES: Final = {"endorsement": 0x4000000B, "owner": 0x40000001}
_REQUIRED_ATTRIBUTES = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | RESTRICTED | SIGN
_WHAT = "the TPM evidence is not believed"


@dataclass(frozen=True)
class TpmEvidence:
    """A quote and what is needed to check it. ``public`` and ``certificates`` may be absent only in separate pieces.

    ``bank`` is the one that the quote has to cover. ``also`` are quotes of other banks that came with it: they have to
    hold as well. ``event_log`` explains registers; nothing depends on it. ``parent`` is the primary key under which the
    attestation key was made, where it is none itself (``tpm2_createak`` makes it a child of the endorsement key).
    """

    attest: Attest
    signature: Signature
    spki: bytes
    public: Public | None
    pcrs: Mapping[int, bytes] | None
    certificates: tuple[Certificate, ...]
    bank: str = BANK
    also: tuple["TpmEvidence", ...] = ()
    event_log: EventLog | None = None
    parent: Public | None = None


def parse(raw: bytes) -> TpmEvidence:
    """Return the evidence that ``raw`` spells, or raise ``Malformed``."""
    match parse_labelled_cbor(raw, LABEL, VERSION, what="the TPM evidence", max_bytes=MAX_BYTES):
        case [bytes(attest), bytes(signature), bytes(public), dict(pcrs), list(certificates)] if _are_pcrs(
            pcrs
        ) and _are_certificates(certificates):
            key = parse_public(public)
            chain = tuple(parse_certificate(certificate) for certificate in certificates)
            return TpmEvidence(parse_attest(attest), parse_signature(signature), key.spki, key, pcrs, chain)
    raise malformed("the TPM evidence", "it does not consist of quote, signature, key, registers and certificates")


def pack(
    attest: bytes, signature: bytes, public: bytes, pcrs: Mapping[int, bytes], certificates: Sequence[bytes]
) -> bytes:
    """Return the evidence made of what a TPM returned; see the module for the parts."""
    return labelled_cbor(LABEL, VERSION, attest, signature, public, dict(pcrs), list(certificates))


def verify(evidence: TpmEvidence, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime) -> Claims:
    """Return the claims of a quote whose key leads to one of ``roots`` at the time ``at``.

    ``endorsements`` are further DER certificates, which may bridge the chain and never anchor it. The claims say
    ``measured_by = "self"``: only the values of a reference make more of it. In separate pieces without any
    certificate the quote is checked against the given key alone, and the claims say ``ak_endorsed = no``.
    """
    checks = Checks(_WHAT)
    chain = verify_key_chain(evidence, endorsements, roots, at, checks)
    if evidence.public is not None:
        require_attestation_key(evidence.public, checks)
    for other in evidence.also:
        verify_quote(other, checks)
    pcrs = verify_quote(evidence, checks)
    return Claims(
        format=FORMAT,
        bound=evidence.attest.extra_data,
        measurements={f"pcr{index}": value for index, value in sorted(pcrs.items())},
        measured_by="self",
        memory_protected=False,
        debug=False,
        verified_at=at,
        facts=_facts(evidence, chain),
        checks=checks.made,
        valid_until=chain.valid_until if chain else None,
    )


def compare(claims: Claims, reference: TpmReference) -> tuple[Claims, tuple[Check, ...]]:
    """Return the claims, completed by what the reference makes of them, and how they compare with it."""
    authority = sha256(_authority(reference)).hex()
    found = claims.facts.get("authority", "none")
    checks = (
        Check(
            "authority", authority, str(found), found == authority,
            why=f"another authority than {reference.issuer}'s vouches for the attestation key",
            remedy=f"enrol the machine's attestation key with {reference.issuer}",
        ),
        _code_check(claims, reference),
    )  # fmt: skip
    boot = tuple(_boot_check(claims, int(index), value) for index, value in reference.boot_pcrs.items())
    if reference.measured_by == "boot" and boot and all(check.passed for check in boot):
        claims = replace(claims, measured_by="boot")
    return claims, (*checks, *boot)


def describe(evidence: TpmEvidence) -> tuple[Shown, ...]:
    """Return every field for a person to read; nothing of it is believed."""
    attest, public = evidence.attest, evidence.public
    registers = sorted((evidence.pcrs or {}).items())
    return (
        Shown("qualified signer", attest.qualified_signer.hex(), "Qualified Name of the key that signed"),
        Shown("extra data", attest.extra_data.hex(), "what the verifier asked for: SHA-256 of the transcript"),
        Shown("clock", f"{attest.clock_ms} ms", "time that the TPM has had power"),
        Shown("reset count", str(attest.reset_count), "boots of the machine"),
        Shown("restart count", str(attest.restart_count), "resumptions since the last boot"),
        Shown("safe", "yes" if attest.safe else "no", "whether the clock was never set back"),
        Shown("firmware version", f"{attest.firmware_version:#018x}", "as the TPM's maker counts"),
        *(
            Shown(f"selection {covered.bank}", _indices(covered.indices), "registers covered")
            for covered in attest.selections
        ),
        Shown("register digest", attest.pcr_digest.hex(), f"{evidence.signature.hash} over the covered registers"),
        Shown("signature", evidence.signature.scheme, f"over {len(attest.raw)} bytes, with {evidence.signature.hash}"),
        Shown("key", sha256(evidence.spki).hex(), "SHA-256 of the attestation key (SubjectPublicKeyInfo)"),
        Shown("key attributes", attribute_words(public.attributes) if public else "not shown", "what the key may do"),
        *(Shown(f"pcr{index}", value.hex(), "platform configuration register") for index, value in registers),
        *(
            Shown("certificate", item.subject_text, f"until {format_time(item.not_after)}")
            for item in evidence.certificates
        ),
    )  # fmt: skip


def roots(reference: TpmReference) -> tuple[bytes, ...]:
    """Return the one trust anchor that the reference names, in DER."""
    return (_authority(reference),)


def extended(register: bytes, digest: bytes) -> bytes:
    """Return what a SHA-256 register holds after ``digest`` was extended into it (Part 1, 17)."""
    return sha256(register + digest)


def require_attestation_key(public: Public, checks: Checks) -> None:
    """Write down whether a key is one that signs only what its TPM made, and raise ``NotBelieved`` unless it is."""
    # An unrestricted key would sign a quote that somebody wrote by hand.
    right = public.attributes & _REQUIRED_ATTRIBUTES == _REQUIRED_ATTRIBUTES and not public.attributes & DECRYPT
    checks.require(
        "ak_attributes", expected=attribute_words(_REQUIRED_ATTRIBUTES), found=attribute_words(public.attributes),
        passed=right, why="the key could sign quotes that no TPM made",
        remedy="attest with a restricted signing key that never left its TPM",
    )  # fmt: skip


def _are_pcrs(pcrs: Mapping[Any, Any]) -> bool:
    return all(
        type(index) is int and 0 <= index < PCR_COUNT and isinstance(value, bytes) and len(value) == PCR_BYTES
        for index, value in pcrs.items()
    )


def _are_certificates(certificates: Sequence[Any]) -> bool:
    return 0 < len(certificates) <= CHAIN_MAX_CERTIFICATES and all(isinstance(item, bytes) for item in certificates)


def verify_key_chain(
    evidence: TpmEvidence, endorsements: Sequence[bytes], roots: Sequence[bytes], at: datetime, checks: Checks
) -> Chain | None:
    """Return the verified path from the key's certificate to an anchor, None where there is no certificate."""
    if not evidence.certificates:
        return None
    leaf, *others = [*evidence.certificates, *map(parse_certificate, endorsements)]
    chain = verify_chain(
        leaf,
        others,
        roots=anchors_among(roots, others),
        at=at,
        # The name of a machine's hardware binds nobody here; the usage is checked below.
        handled=frozenset({SUBJECT_ALTERNATIVE_NAME, EXTENDED_KEY_USAGE}),
        checks=checks,
    )
    usages = {ATTESTATION_KEY_USAGE} | (google.USAGES if sha256(chain.root.der) in google.PINNED else frozenset())
    checks.require(
        "ak_certificate_usage", expected=" or ".join(sorted(usages)),
        found=" ".join(sorted(leaf.extended_key_usage)) or "none", passed=bool(usages & leaf.extended_key_usage),
        why="the certificate is not one of an attestation key", remedy="enrol the attestation key with a party",
    )  # fmt: skip
    checks.require(
        "ak_certificate_key", expected=sha256(leaf.spki).hex(), found=sha256(evidence.spki).hex(),
        passed=compare_digest(leaf.spki, evidence.spki), why="the certificate is another key's",
        remedy="send the certificate of the key that signed the quote",
    )  # fmt: skip
    return chain


def verify_quote(evidence: TpmEvidence, checks: Checks) -> Mapping[int, bytes]:
    """Return the registers of a quote that ``evidence.spki`` has signed, or refuse; of the key itself nothing."""
    if evidence.public is not None:
        _verify_signer(evidence.attest, evidence.public, evidence.parent, checks)
    _verify_signature(evidence, checks)
    _verify_selection(evidence, checks)
    return _verify_pcrs(evidence, checks)


def _verify_signer(attest: Attest, public: Public, parent: Public | None, checks: Checks) -> None:
    names = [public.qualified_name(handle.to_bytes(4)) for handle in HIERARCHIES.values()]
    if parent is not None:
        above = [parent.qualified_name(handle.to_bytes(4)) for handle in HIERARCHIES.values()]
        names += [public.qualified_name(name) for name in above]
    checks.require(
        "ak_name", expected=" or ".join(name.hex() for name in names), found=attest.qualified_signer.hex(),
        passed=attest.qualified_signer in names, why="the quote names another key as its signer",
        remedy="send the public area of the key that signed the quote, and its parent's where it has one",
    )  # fmt: skip


def _verify_signature(evidence: TpmEvidence, checks: Checks) -> None:
    signature = evidence.signature
    value = signature.value if isinstance(signature.value, bytes) else encode_dss_signature(*signature.value)
    # The salt of RSAPSS is as long as the hash in some TPMs and as long as possible in others (Part 1, B.7).
    algorithm = SignatureAlgorithm(signature.scheme, signature.hash, salt_bytes=None)
    passed = verify_signature(load_key(evidence.spki), value, evidence.attest.raw, algorithm)
    checks.require(
        "signature", expected="the attestation key's over the quote", found="such" if passed else "another",
        passed=passed, why="signature does not verify", remedy="ask the enclave for fresh evidence",
    )  # fmt: skip


def _verify_selection(evidence: TpmEvidence, checks: Checks) -> None:
    covered = [selection for selection in evidence.attest.selections if selection.indices]
    banks = " ".join(selection.bank for selection in covered)
    checks.require(
        "pcr_bank", expected=evidence.bank, found=banks or "none", passed=banks == evidence.bank,
        why="unexpected PCR bank" if covered else "empty PCR selection",
        remedy=f"quote registers of the {evidence.bank} bank, and of no other",
    )  # fmt: skip


def _verify_pcrs(evidence: TpmEvidence, checks: Checks) -> Mapping[int, bytes]:
    attest, given = evidence.attest, evidence.pcrs or {}
    wanted = tuple(index for selection in attest.selections for index in selection.indices)
    checks.require(
        "pcr_selection", expected=_indices(wanted), found=_indices(sorted(given)),
        passed=tuple(sorted(given)) == wanted,
        why="the registers beside the quote are not those that it covers",
        remedy="send the values of exactly the quoted registers",
    )  # fmt: skip
    # The digest's hash is the signature scheme's, not the bank's (Part 3, TPM2_Quote).
    digest = hashlib.new(evidence.signature.hash, b"".join(given[index] for index in wanted)).digest()
    checks.require(
        "pcr_digest", expected=attest.pcr_digest.hex(), found=digest.hex(),
        passed=compare_digest(digest, attest.pcr_digest), why="the registers beside the quote are not the quoted ones",
        remedy="send the values as they were when the quote was made",
    )  # fmt: skip
    return given


def _facts(evidence: TpmEvidence, chain: Chain | None) -> dict[str, Fact]:
    attest = evidence.attest
    facts: dict[str, Fact] = {
        "ak_endorsed": "yes" if chain else "no",
        "ak_attributes": attribute_words(evidence.public.attributes) if evidence.public else "not shown",
        "clock_ms": str(attest.clock_ms),
        "reset_count": str(attest.reset_count),
        "restart_count": str(attest.restart_count),
        "clock_safe": "yes" if attest.safe else "no",
        "firmware_version": f"{attest.firmware_version:#018x}",
        "bank": evidence.bank,
        "selection": _indices(attest.selections[0].indices),
    }
    if chain:
        facts["authority"] = fingerprint(chain.root)
        facts["authority_name"] = chain.root.subject_text
        facts |= google.instance_facts(chain.leaf)
    if evidence.event_log:
        facts["event_log"] = evidence.event_log.explanation(evidence.bank, evidence.pcrs or {})
    return facts


def _code_check(claims: Claims, reference: TpmReference) -> Check:
    expected = extended(bytes(PCR_BYTES), bytes.fromhex(reference.code_digest))
    found = claims.measurements.get(f"pcr{reference.code_pcr}")
    return Check(
        f"pcr{reference.code_pcr}", f"{expected.hex()} (code {reference.code_digest})", _shown(found),
        found == expected,
        why="it runs other code than the contract accepts, or the register was extended more than once",
        remedy="start the version that the contract names, once in a fresh boot, or agree on one that names this",
    )  # fmt: skip


def _boot_check(claims: Claims, index: int, value: str) -> Check:
    found = claims.measurements.get(f"pcr{index}")
    return Check(
        f"pcr{index}", value, _shown(found), found is not None and found.hex() == value,
        why="the machine booted something else than the contract names",
        remedy="boot the agreed image on the agreed firmware",
    )  # fmt: skip


def _authority(reference: TpmReference) -> bytes:
    try:
        return base64.b64decode(reference.authority, validate=True)
    except ValueError:
        raise Malformed(
            "evidence.authority", "the contract's authority is malformed", why="it is not base64",
            remedy="write the DER certificate of the attestation-key authority in base64", field="authority",
        ) from None  # fmt: skip


def _indices(indices: Sequence[int]) -> str:
    return ",".join(map(str, indices)) or "none"


def _shown(value: bytes | None) -> str:
    return "not quoted" if value is None else value.hex()
