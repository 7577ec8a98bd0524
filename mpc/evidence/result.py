"""Our verdict as an EAT Attestation Result (draft-ietf-rats-ear), for those who rely on results and not on evidence.

The trustworthiness vector says only what was shown: a claim of which nothing is known is zero. The status is never
better than any claim, and a refused verdict never affirms, whatever its vector says.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from mpc.canonical import canonical_json, sha256
from mpc.errors import Malformed, Misconfigured
from mpc.evidence.claims import Check, Claims
from mpc.evidence.ear import vector as ear
from mpc.evidence.ear.claims_set import POLICY, PROFILE, STATUS, VECTOR
from mpc.evidence.ear.jws import encoded
from mpc.evidence.reference_values import ReferenceValues
from mpc.evidence.verdict import Verdict

DEVELOPER = "Sealroom"
RAW_EVIDENCE_MAX_BYTES = 16 << 10
NONCE_BYTES = (8, 64)  # RFC 9711, 4.1

# Refusals of genuine machines whose level, or whose authority, the vendor has called back or lists no more.
_CALLED_BACK: Final = frozenset({
    "evidence.tcb_revoked", "evidence.tcb_level", "evidence.qe_tcb_level", "evidence.tdx_module_level",
    "evidence.called_back", "evidence.certificate_revoked", "evidence.revoked",
})  # fmt: skip
_HARDENING: Final = ("Hardening", "Configuration")
_OLD: Final = ("OutOfDate", "TDRelaunchAdvised")
_MACHINES: Final = frozenset({"wanted_chip", "platform"})
_ANY = "any"


def attestation_result(
    verdict: Verdict,
    raw: bytes,
    *,
    at: datetime,
    build: str,
    nonce: bytes | None = None,
    references: Sequence[ReferenceValues] = (),
) -> bytes:
    """Return the claims set, in JSON, that ``verdict`` on the evidence ``raw`` is; sign it with ``ear.sign_token``.

    ``build`` names this verifier's version; ``references`` are those that were compared with. What is no evidence
    has no result: ``Misconfigured``.
    """
    if verdict.document is not None:
        raise Misconfigured(
            "ear.no_evidence", "there is no attestation result to write", why="the file is no evidence",
            remedy="leave --ear out, or give evidence", field="--ear",
        )  # fmt: skip
    vector = trustworthiness_vector(verdict, compared=bool(references))
    claims = verdict.claims
    fields: dict[str, object] = {
        "eat_profile": PROFILE,
        "iat": int(at.timestamp()),
        "ear.verifier-id": {"developer": DEVELOPER, "build": build},
        "submods": {verdict.format or "unknown": _submodule(verdict, vector, references)},
    }
    if verdict.accepted and claims is not None and claims.valid_until is not None:
        fields["exp"] = int(claims.valid_until.timestamp())
    if nonce is not None and NONCE_BYTES[0] <= len(nonce) <= NONCE_BYTES[1]:
        fields["eat_nonce"] = encoded(nonce).decode()
    if len(raw) <= RAW_EVIDENCE_MAX_BYTES:
        fields["ear.raw-evidence"] = encoded(raw).decode()
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def trustworthiness_vector(verdict: Verdict, *, compared: bool) -> dict[str, int]:
    """Return the eight claims; ``compared`` says that reference values were looked at.

    Evidence that is not believed says nothing of anything (99 throughout), one that does not parse is unexpected (1).
    """
    refusal, claims = verdict.refusal, verdict.claims
    if verdict.stage != "appraise" or claims is None:
        if refusal is not None and refusal.code in _CALLED_BACK:
            return dict.fromkeys(ear.CLAIMS, ear.NO_CLAIM) | {"hardware": ear.CONTRAINDICATED_HARDWARE}
        value = ear.UNEXPECTED if isinstance(refusal, Malformed) else ear.NOT_VALIDATED
        return dict.fromkeys(ear.CLAIMS, value)
    return dict.fromkeys(ear.CLAIMS, ear.NO_CLAIM) | {
        "instance-identity": _instance(claims, verdict.checks),
        "configuration": _configuration(claims, verdict.checks, compared=compared),
        "executables": _executables(claims, verdict.checks, compared=compared),
        "hardware": _hardware(claims),
        "runtime-opaque": _runtime(claims),
    }


def status_of(verdict: Verdict, vector: dict[str, int]) -> ear.Status:
    """Return the worst tier of the vector, and where the verdict refuses at least a warning; unbelieved, the worst."""
    least: ear.Status = "none"
    if not verdict.accepted:
        least = "warning" if verdict.stage == "appraise" else "contraindicated"
    return ear.worst_of([least, *map(ear.tier_of, vector.values())])


def _submodule(verdict: Verdict, vector: dict[str, int], references: Sequence[ReferenceValues]) -> dict[str, object]:
    policy = "sealroom:careful-default"
    if references:
        policy = f"sealroom:{sha256(b''.join(sorted(map(canonical_json, references)))).hex()}"
    checks = {check.name: "passed" if check.passed else "failed" for check in verdict.checks}
    evidence = {} if verdict.claims is None else {"ear.veraison.annotated-evidence": verdict.claims.as_data()}
    return {
        STATUS: status_of(verdict, vector),
        VECTOR: vector,
        POLICY: policy,
        **evidence,
        "ear.veraison.policy-claims": {"reason": verdict.reason, "checks": checks},
    }


def _instance(claims: Claims, checks: Sequence[Check]) -> int:
    if claims.facts.get("forgeable_by") == "anybody":
        return ear.UNKNOWN_INSTANCE
    pinned = [check for check in checks if check.name in _MACHINES and check.expected != _ANY]
    if any(not check.passed for check in pinned):
        return ear.UNKNOWN_INSTANCE
    return ear.TRUSTWORTHY_INSTANCE if pinned else ear.NO_CLAIM


def _configuration(claims: Claims, checks: Sequence[Check], *, compared: bool) -> int:
    if claims.debug:
        return ear.UNSUPPORTABLE_CONFIGURATION
    status = str(claims.facts.get("tcb_status", ""))
    passed = {check.name: check.passed for check in checks}
    if any(word in status for word in _HARDENING):
        return ear.NO_KNOWN_VULNERABILITIES if passed.get("tcb_status") else ear.UNSAFE_CONFIGURATION
    others = [name for name, right in passed.items() if not right and name not in claims.measurements]
    if set(others) - {"tcb_status", *_MACHINES}:
        return ear.UNSAFE_CONFIGURATION
    return ear.APPROVED_CONFIGURATION if compared and not others else ear.NO_CLAIM


def _executables(claims: Claims, checks: Sequence[Check], *, compared: bool) -> int:
    measured = [check for check in checks if check.name in claims.measurements]
    if any(not check.passed for check in measured):
        return ear.UNKNOWN_RUNTIME
    if not (compared and measured) or claims.measured_by == "self":
        return ear.NO_CLAIM
    return ear.APPROVED_BOOT if claims.measured_by == "boot" else ear.APPROVED_RUNTIME


def _hardware(claims: Claims) -> int:
    if claims.facts.get("forgeable_by") == "anybody":
        return ear.UNKNOWN_HARDWARE
    if not claims.memory_protected:
        return ear.NO_CLAIM  # a TPM is no trusted execution environment
    status = str(claims.facts.get("tcb_status", ""))
    return ear.UNSAFE_HARDWARE if any(word in status for word in _OLD) else ear.GENUINE_HARDWARE


def _runtime(claims: Claims) -> int:
    if claims.debug:
        return ear.VISIBLE_MEMORY
    genuine = claims.memory_protected and claims.facts.get("forgeable_by") != "anybody"
    return ear.ENCRYPTED_MEMORY if genuine else ear.NO_CLAIM
