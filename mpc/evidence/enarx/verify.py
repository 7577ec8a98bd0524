"""Believing a keep: its request is signed by its key, its evidence is genuine, and the evidence is of that key.

SGX: a keep brings TCB information and revocation lists along, and no identity of the Quoting Enclave. So that enclave
is held against what Intel publishes of its signer and product, and its version against nothing, which the claims say.
SNP: a keep brings its VCEK and revocation lists; AMD's authorities lie beside the request.

As Enarx has it, the key of the request is on the curve of the key that signed the evidence, so that nothing weaker
than the vendor's own choice stands behind the certificate.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from mpc.evidence import intel, snp
from mpc.evidence.chain import load_key
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Claims, Fact
from mpc.evidence.enarx.request import EnarxRequest, SgxEvidence, SnpEvidence
from mpc.evidence.intel import collateral_of, read_collateral
from mpc.evidence.intel.facts import claims_of

FORMAT: Final = "enarx"
PINNED: Final = (*snp.PINNED, *intel.PINNED)
_DIGEST_BYTES: Final = 32
_REPORT_DATA_BYTES: Final = 64


@dataclass(frozen=True)
class _Kind:
    """The keys of one TEE: curve, hash, and the algorithm by which a request is signed (DER)."""

    curve: str
    hash: str
    chosen: hashes.HashAlgorithm
    algorithm: bytes


_KINDS: Final[Mapping[str, _Kind]] = MappingProxyType({
    "sgx": _Kind("secp256r1", "sha256", hashes.SHA256(), bytes.fromhex("300a06082a8648ce3d040302")),
    "snp": _Kind("secp384r1", "sha384", hashes.SHA384(), bytes.fromhex("300a06082a8648ce3d040303")),
})  # fmt: skip


def verify(evidence: EnarxRequest, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime) -> Claims:
    """Return the claims of a request whose evidence a vendor vouches for at the time ``at``, or refuse.

    ``roots`` are anchors as the two vendors' formats take them: AMD's by digest, Intel's by key, or certificates.
    """
    checks = Checks("the certificate request is not believed")
    checks.require(
        "keep", expected="evidence of SGX or SNP", found=evidence.tee, passed=evidence.evidence is not None,
        why="no evidence: a keep on KVM attests nothing", remedy="run the keep in SGX or SEV-SNP",
    )  # fmt: skip
    _check_request(evidence, checks)
    match evidence.evidence:
        case SnpEvidence() as found:
            return _snp_claims(evidence, found, endorsements, roots=roots, at=at, checks=checks)
        case SgxEvidence() as found:
            return _sgx_claims(evidence, found, endorsements, roots=roots, at=at, checks=checks)
    raise AssertionError("the first check refuses everything else")


def _check_request(request: EnarxRequest, checks: Checks) -> None:
    kind, key = _KINDS[request.tee], load_key(request.spki)
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else "another kind of key"
    checks.require(
        "key_algorithm", expected=kind.curve, found=curve, passed=curve == kind.curve,
        why="wrong kind of key: it has to be on the curve of the key that signs the evidence",
        remedy="let the keep make the key that its TEE calls for",
    )  # fmt: skip
    signed = request.algorithm == kind.algorithm and _is_signed(request, key, kind.chosen)
    checks.require(
        "request_signature", expected="signed by the key that it asks for", found="so" if signed else "not so",
        passed=signed, why="bad request signature: who asks does not hold the key, or the request was changed",
        remedy="ask the keep for a fresh request",
    )  # fmt: skip
    checks.require(
        "extension", expected="not critical", found="critical" if request.critical else "not critical",
        passed=not request.critical, why="wrong extension: Enarx marks its evidence as not critical",
        remedy="ask the keep for a fresh request",
    )  # fmt: skip


def _is_signed(request: EnarxRequest, key: object, chosen: hashes.HashAlgorithm) -> bool:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(request.signature, request.signed, ec.ECDSA(chosen))
    except InvalidSignature:
        return False
    return True


def _check_bound(request: EnarxRequest, report_data: bytes, checks: Checks) -> None:
    digest = hashlib.new(_KINDS[request.tee].hash, request.spki).digest().ljust(_REPORT_DATA_BYTES, b"\0")
    checks.require(
        "key_bound", expected=digest.hex(), found=report_data.hex(), passed=compare_digest(digest, report_data),
        why="key not bound to evidence: the evidence is of another key than the one that asks",
        remedy="ask the keep for a fresh request",
    )  # fmt: skip


def _snp_claims(
    request: EnarxRequest,
    found: SnpEvidence,
    endorsements: Sequence[bytes],
    *,
    roots: Sequence[bytes],
    at: datetime,
    checks: Checks,
) -> Claims:
    report = found.report
    brought = (found.vcek, *(given.der for given in found.lists))
    amd = [root for root in roots if root not in intel.PINNED]
    endorsed = snp.verify_report(report, (*brought, *endorsements), roots=amd, at=at, checks=checks)
    _check_bound(request, report.report_data, checks)
    digests = ("measurement", "host_data", "id_key_digest", "author_key_digest")
    return Claims(
        format=FORMAT, bound=report.report_data, measured_by="hardware", memory_protected=True, debug=report.debug,
        measurements={name: getattr(report, name) for name in digests},
        verified_at=at, checks=checks.made, valid_until=endorsed.valid_until,
        facts={**snp.facts_of(report, endorsed), "tee": "snp", "key_bound": True},
    )  # fmt: skip


def _sgx_claims(
    request: EnarxRequest,
    found: SgxEvidence,
    endorsements: Sequence[bytes],
    *,
    roots: Sequence[bytes],
    at: datetime,
    checks: Checks,
) -> Claims:
    quote = found.quote
    checks.require(
        "quote_body", expected="sgx", found=quote.body_name, passed=quote.body_name == "sgx",
        why="wrong kind of quote: it is not of an SGX enclave", remedy="ask the keep for a fresh request",
    )  # fmt: skip
    lists = [given.der for given in found.lists]
    brought = collateral_of(tcb_info=found.tcb_info, qe_identity=None, chains=found.signers, lists=lists)
    given = brought.joined(read_collateral(endorsements))
    intels = [root for root in roots if len(root) != _DIGEST_BYTES]
    endorsed = intel.verify_quote(quote, given, roots=intels, at=at, checks=checks, identity_required=False)
    _check_bound(request, quote.body.report_data, checks)
    facts: dict[str, Fact] = {
        "tee": "sgx", "key_bound": True, "qe_svn": quote.header.qe_svn, "pce_svn": quote.header.pce_svn,
    }  # fmt: skip
    return claims_of(FORMAT, quote, endorsed, at=at, checks=checks, facts=facts)
