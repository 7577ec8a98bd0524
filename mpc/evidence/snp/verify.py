"""The proof that an AMD processor wrote a report: the chain of its key, what AMD says of that key, the signature.

Other formats carry an SEV-SNP report inside of something of theirs (a vTPM's runtime data, a certificate request).
They call ``parse_report`` (layout) and ``verify_report`` (here) with their own ``Checks``; then ``facts_of`` gives the
claims of the report by name, and ``careful`` (reference) makes the careful checks from those facts. Which bytes belong
in ``report.report_data`` is theirs to compare.

``roots`` are anchors: certificates in DER, or the SHA-256 (32 bytes) of ones that must lie among the endorsements,
as AMD hands out its root with every chain. ``PINNED`` holds those of AMD.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mpc.evidence.anchors import anchors_among
from mpc.evidence.certificate import Certificate
from mpc.evidence.chain import Chain, load_key, verify_chain
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Claims, Fact
from mpc.evidence.reference_values.snp import Product
from mpc.evidence.revocation import Coverage, check_revocation
from mpc.evidence.snp.endorsements import Endorsements, KeyCertificate, sorted_out
from mpc.evidence.snp.layout import (
    ECDSA_P384_SHA384,
    POLICY_ALWAYS_ONE,
    POLICY_KNOWN,
    POLICY_NAMES,
    POLICY_SMT,
    Report,
    set_bits,
    tcb_parts,
    tcb_reserved,
)

FORMAT: Final = "sev-snp"

# SHA-256 of the DER of ARK-Milan, ARK-Genoa and ARK-Turin, as AMD's key distribution service hands them out.
PINNED: Final = tuple(
    bytes.fromhex(digest)
    for digest in (
        "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
        "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
        "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
    )
)
# AMD called back the first ASK of Genoa; that holds where nobody brings a list. Name of the root, and serial number.
_CALLED_BACK: Final = frozenset({("ARK-Genoa", 0x20001)})
_ISSUERS: Final = MappingProxyType({"VCEK": "SEV-", "VLEK": "SEV-VLEK-"})
_TURIN_ID_BYTES: Final = 8


@dataclass(frozen=True)
class Endorsed:
    """What AMD's signatures say beside the report itself; made only by ``verify_report``.

    TCBs are parted by the product's own order. ``coverage`` tells which steps of ``chain`` (0: the report's key, which
    AMD never lists; 1: its issuer) a current revocation list spoke of.
    """

    key: KeyCertificate
    chain: Chain
    coverage: Coverage
    reported_tcb: dict[str, int]
    committed_tcb: dict[str, int]
    current_tcb: dict[str, int]
    launch_tcb: dict[str, int]

    @property
    def product(self) -> Product:
        """The product that AMD certified."""
        return self.key.product

    @property
    def valid_until(self) -> datetime:
        """When the first certificate of the chain, or the revocation list, stops to speak."""
        ends = [self.chain.valid_until] + ([self.coverage.valid_until] if self.coverage.valid_until else [])
        return min(ends)


def verify(evidence: Report, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime) -> Claims:
    """Return the claims of a report whose key AMD vouches for at the time ``at``, or refuse."""
    checks = Checks("the SEV-SNP report is not believed")
    endorsed = verify_report(evidence, endorsements, roots=roots, at=at, checks=checks)
    return Claims(
        format=FORMAT,
        bound=evidence.report_data,
        measurements={
            "measurement": evidence.measurement, "host_data": evidence.host_data,
            "id_key_digest": evidence.id_key_digest, "author_key_digest": evidence.author_key_digest,
        },
        measured_by="hardware",
        memory_protected=True,
        debug=evidence.debug,
        verified_at=at,
        facts=facts_of(evidence, endorsed),
        checks=checks.made,
        valid_until=endorsed.valid_until,
    )  # fmt: skip


def verify_report(
    report: Report, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime, checks: Checks
) -> Endorsed:
    """Return what AMD's signatures say of ``report`` at the time ``at``; the first check that fails raises.

    ``endorsements`` in any of the forms of ``endorsements.pieces_of``. Nothing is said of debug mode, migration or
    any value that a reference has to give: those are ``careful`` and ``compare``.
    """
    given = sorted_out(endorsements)
    key = _key_for(report, given, checks)
    chain, coverage = verify_key(key, given, roots=roots, at=at, checks=checks)
    _check_signature(report, key, checks)
    _check_processor(report, key, checks)
    endorsed = Endorsed(
        key, chain, coverage,
        *(tcb_parts(tcb, key.product) for tcb in (
            report.reported_tcb, report.committed_tcb, report.current_tcb, report.launch_tcb)),
    )  # fmt: skip
    _check_levels(report, endorsed, checks)
    _check_defined(report, key.product, checks)
    return endorsed


def verify_key(
    key: KeyCertificate, given: Endorsements, *, roots: Sequence[bytes], at: datetime, checks: Checks
) -> tuple[Chain, Coverage]:
    """Return the verified path from a report's key to an anchor, and which of its steps a list covers."""
    chain, coverage = verify_certificate(key.certificate, given, roots=roots, at=at, checks=checks, signs_others=False)
    expected = f"{_ISSUERS[key.kind]}{key.product}"
    found = chain.certificates[1].common_name
    checks.require(
        "issuer", expected=expected, found=found, passed=found == expected,
        why=f"wrong issuer: this authority does not vouch for a {key.kind} of {key.product}",
        remedy="use the certificates as AMD hands them out",
    )  # fmt: skip
    return chain, coverage


def verify_certificate(
    asked: Certificate,
    given: Endorsements,
    *,
    roots: Sequence[bytes],
    at: datetime,
    checks: Checks,
    signs_others: bool,
) -> tuple[Chain, Coverage]:
    """Return the verified path from any of AMD's certificates to an anchor, through nothing that was called back."""
    anchors = anchors_among(roots, given.authorities)
    chain = verify_chain(
        asked, given.authorities, roots=anchors, at=at, handled=frozenset(), checks=checks, signs_others=signs_others
    )
    root = chain.root.common_name
    called_back = any((root, step.serial) in _CALLED_BACK for step in chain.certificates[:-1])
    checks.require(
        "called_back", expected="an authority that AMD has not called back",
        found="called back" if called_back else "another", passed=not called_back,
        why="certificate revoked: AMD called back the first ASK of Genoa",
        remedy="fetch AMD's present chain, and the certificate of the key that it issues now",
    )  # fmt: skip
    return chain, check_revocation(chain, given.lists, at=at, checks=checks)


def facts_of(report: Report, endorsed: Endorsed) -> dict[str, Fact]:
    """Return what the report says, by the names of its fields; digests in hex."""
    return {
        **plain_fields(report),
        "product": endorsed.product,
        "reported_tcb": endorsed.reported_tcb,
        "committed_tcb": endorsed.committed_tcb,
        "current_tcb": endorsed.current_tcb,
        "launch_tcb": endorsed.launch_tcb,
        "csp_id": endorsed.key.csp_id or "",
        "revocation": "checked by AMD's list" if 1 in endorsed.coverage.steps else "not checked: no list was given",
    }


def plain_fields(report: Report) -> dict[str, Fact]:
    """Return those fields that mean the same on every product."""
    return {
        "report_version": report.version, "guest_svn": report.guest_svn, "policy": f"{report.policy:#x}",
        "policy_bits": set_bits(report.policy, POLICY_NAMES), "debug": report.debug, "migrate_ma": report.migrate_ma,
        "smt": bool(report.policy & POLICY_SMT), "vmpl": report.vmpl, "signing_key": report.signing_key,
        "sig_algo": report.signature_algorithm, "platform_info": f"{report.platform_info:#x}",
        "author_key_enabled": report.author_key_enabled,
        **{name: getattr(report, name).hex() for name in (
            "report_data", "measurement", "host_data", "id_key_digest", "author_key_digest", "chip_id",
            "family_id", "image_id", "report_id", "report_id_ma")},
        "firmware": ".".join(map(str, report.current_firmware)),
        "committed_firmware": ".".join(map(str, report.committed_firmware)),
    }  # fmt: skip


def _key_for(report: Report, given: Endorsements, checks: Checks) -> KeyCertificate:
    checks.require(
        "endorsement", expected="the certificate of the report's key", passed=bool(given.keys),
        found=f"{len(given.keys)} certificates of report keys",
        why="no endorsement certificate: nothing says whose key signed",
        remedy="give the VCEK or VLEK certificate and AMD's chain (sealroom collateral fetch)",
    )  # fmt: skip
    fitting = [key for key in given.keys if key.kind == report.signing_key]
    checks.require(
        "signing_key", expected=" or ".join(sorted({key.kind for key in given.keys})), found=report.signing_key,
        passed=bool(fitting), why="wrong kind of key: the report names another kind than the certificate is of",
        remedy="give the certificate of the kind of key that signed",
    )  # fmt: skip
    # Certificates of several chips, or of one before and after an update, may lie about: the one that fits best is
    # taken, and checked like any other.
    return max(fitting, key=lambda key: (_is_of_chip(report, key), _is_of_levels(report, key)))


def _is_of_levels(report: Report, key: KeyCertificate) -> bool:
    return dict(key.levels) == tcb_parts(report.reported_tcb, key.product)


def _check_signature(report: Report, key: KeyCertificate, checks: Checks) -> None:
    algorithm = report.signature_algorithm
    checks.require(
        "signature_algorithm", expected=str(ECDSA_P384_SHA384), found=str(algorithm),
        passed=algorithm == ECDSA_P384_SHA384, why="unknown signature algorithm: only ECDSA P-384 is defined",
        remedy="ask the guest for a fresh report",
    )  # fmt: skip
    checks.require(
        "chip_key", expected="not masked", found="masked" if report.key_masked else "not masked",
        passed=not report.key_masked, why="not signed: the host has the chip's keys masked, and the firmware then "
        "leaves the signature out", remedy="let the host unmask its keys (SNP_CONFIG), and ask for a fresh report",
    )  # fmt: skip
    signed = _is_signed(report, key.certificate.spki)
    checks.require(
        "report_signature", expected=f"signed by this {key.kind}", found="so" if signed else "not so", passed=signed,
        why="bad report signature: the endorsed key did not sign this report",
        remedy="ask the guest for a fresh report, and give the certificate of the chip that it runs on",
    )  # fmt: skip


def _is_signed(report: Report, spki: bytes) -> bool:
    key = load_key(spki)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        return False
    try:
        key.verify(encode_dss_signature(*report.signature), report.signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        return False
    return True


def _check_processor(report: Report, key: KeyCertificate, checks: Checks) -> None:
    named = report.product if report.processor else key.product  # version 2 names none
    checks.require(
        "product", expected=key.product, found=named or "an unknown processor", passed=named == key.product,
        why="wrong product: the report comes from another processor than the certificate is for",
        remedy="give the certificate of the chip that the guest runs on",
    )  # fmt: skip
    expected = "any of the cloud's" if key.hardware_id is None else key.hardware_id.hex()
    checks.require(
        "chip_id", expected=expected, found=report.chip_id.hex(), passed=_is_of_chip(report, key),
        why="wrong chip: the report names another chip than the certificate",
        remedy="give the certificate of the chip that the guest runs on; a host must not mask its chip's ID",
    )  # fmt: skip


def _is_of_chip(report: Report, key: KeyCertificate) -> bool:
    """Compare the chip's ID: all 64 bytes, of which Turin uses 8. A VLEK is a cloud's, on whichever of its chips."""
    if key.hardware_id is None:
        return True
    named = key.hardware_id
    length = _TURIN_ID_BYTES if key.product == "Turin" else len(report.chip_id)
    return len(named) == length and any(named) and report.chip_id == named.ljust(len(report.chip_id), b"\0")


def _check_levels(report: Report, endorsed: Endorsed, checks: Checks) -> None:
    certified, reported = dict(endorsed.key.levels), endorsed.reported_tcb
    checks.require(
        "reported_tcb", expected=words_of(certified), found=words_of(reported), passed=certified == reported,
        why="wrong TCB: the certificate is for other security patch levels than the report's",
        remedy="give the certificate for the levels that the report names",
    )  # fmt: skip
    current, committed = endorsed.current_tcb, endorsed.committed_tcb
    passed = all(current[part] >= committed[part] for part in committed)
    passed = passed and report.current_firmware >= report.committed_firmware
    checks.require(
        "committed_tcb", expected=f"at least {words_of(committed)}", found=words_of(current), passed=passed,
        why="rolled back: less runs than was committed", remedy="update the machine's firmware",
    )  # fmt: skip


def _check_defined(report: Report, product: Product, checks: Checks) -> None:
    tcbs = (report.reported_tcb, report.committed_tcb, report.current_tcb, report.launch_tcb)
    always, unknown = report.policy & POLICY_ALWAYS_ONE, report.policy & ~POLICY_KNOWN
    defined = bool(always) and not unknown and not any(any(tcb_reserved(tcb, product)) for tcb in tcbs)
    checks.require(
        "reserved_bits", expected="reserved bits as the specification has them", found="so" if defined else "not so",
        passed=defined, why="reserved bits are set: the policy or a TCB says what this version does not understand",
        remedy="use a newer version of this project",
    )  # fmt: skip


def words_of(levels: dict[str, int]) -> str:
    """Return security patch levels as a person reads them."""
    return ", ".join(f"{part} {level}" for part, level in levels.items())
