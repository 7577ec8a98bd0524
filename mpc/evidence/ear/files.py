"""Attestation results as they lie in files: unsigned claims, or a token (JWT, CWT); keys in JWK or PEM beside them.

A result is no evidence: it says what another verifier found. So it is read as a document, and never appraised.
"""

from collections.abc import Sequence
from datetime import datetime
from hmac import compare_digest
from typing import NoReturn

from mpc.canonical import format_time
from mpc.errors import Malformed, Untrusted
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Check, Fact, Given, Shown
from mpc.evidence.ear.claims_set import AttestationResult, is_claims_set, parse_claims_set
from mpc.evidence.ear.cose import is_message, parse_message
from mpc.evidence.ear.jws import (
    TOKEN_MAX_BYTES,
    Token,
    encoded,
    is_token,
    is_wrapper_type,
    parse_public_key,
    parse_token,
    verify_token,
)
from mpc.evidence.format import Document
from mpc.evidence.loose_json import read_json

NAME = "ear"
_WHAT = "the attestation result is not believed"


def is_result(raw: bytes) -> bool:
    """Tell whether ``raw`` is a result, signed or not; of what comes as JWT everything but a message wrapper."""
    try:
        if is_token(raw):
            return not is_wrapper_type(parse_token(raw).content_type)
        return is_claims_set(parse_message(raw).payload if is_message(raw) else raw)
    except Malformed:
        return False


def parse(raw: bytes) -> AttestationResult:
    """Return the result that ``raw`` spells, or raise ``Malformed``; whoever signed it, nothing is believed."""
    token = _token(raw)
    return parse_claims_set(raw if token is None else token.payload)


def gather(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[AttestationResult, tuple[bytes, ...]]:
    """Return the result alone."""
    del files, given
    return parse(raw), ()


def read_result(raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime) -> Document:
    """Return what a result says, once one of the keys in ``files`` or ``roots`` has signed it, if it is signed."""
    checks = Checks(_WHAT)
    token = _token(raw)
    if token is not None:
        _refuse_others(token.payload)
        verify_token(token, [parse_public_key(key) for key in (*files, *roots)], checks)
    result = parse_claims_set(raw if token is None else token.payload)
    _verify_time(result, at, checks)
    _verify_nonce(result, given, checks)
    facts = _facts(result, signed=token is not None)
    return Document("attestation result", "appraise", facts, (*checks.made, *_statuses(result)))


def _token(raw: bytes) -> Token | None:
    if is_token(raw):
        return parse_token(raw)
    return parse_message(raw) if is_message(raw) else None


def _refuse_others(payload: bytes) -> None:
    """Refuse the token of a service with claims of its own, such as Google's or Microsoft's, by the name of its issuer.

    Its signature says whose word it is, and nothing here could say what that word means.
    """
    if payload[:1] != b"{":
        return
    claims = read_json(payload, what="the token", max_bytes=TOKEN_MAX_BYTES)
    issuer = claims.get("iss")
    if isinstance(issuer, str) and "submods" not in claims:
        raise Malformed(
            "evidence.result", "the token is no attestation result", why="unknown kind of token: its claims are its "
            "issuer's own", remedy="verify it as its issuer describes, or give the evidence itself", field="iss",
            expected="an EAT Attestation Result (EAR)", found=issuer[:128],
        )  # fmt: skip


def describe(result: AttestationResult) -> tuple[Shown, ...]:
    """Return every field for a person to read; nothing of it is believed."""
    return (
        Shown("profile", result.profile, "which fields there are, and what they mean"),
        Shown("issued_at", format_time(result.issued_at), "when the verifier says it judged"),
        Shown("verifier", f"{result.developer}, {result.build}", "who says that it judged"),
        *(Shown("nonce", nonce, "what the result was asked for with") for nonce in result.nonces),
        *(
            Shown(
                f"status {name}", entry.status, f"verdict on this attester, under {entry.policy or 'no named policy'}"
            )
            for name, entry in result.attesters.items()
        ),
        *(
            Shown(f"{claim} {name}", str(value), "trustworthiness claim (AR4SI): 2 to 31 affirms, from 96 on denies")
            for name, entry in result.attesters.items()
            for claim, value in entry.vector.items()
        ),
    )


def no_evidence(*_: object, **__: object) -> NoReturn:
    """Refuse: another verifier's word proves nothing about an enclave."""
    raise Untrusted(
        "evidence.result", "an attestation result is no evidence", why="it says what another verifier found",
        remedy="give the evidence itself",
    )  # fmt: skip


def key_file(raw: bytes) -> tuple[bytes, ...]:
    """Return a file that a person trusts, which has to hold a key."""
    parse_public_key(raw)
    return (raw,)


def _verify_time(result: AttestationResult, at: datetime, checks: Checks) -> None:
    begins = max(result.issued_at, result.not_before or result.issued_at)
    checks.require(
        "result_begins", expected=f"from {format_time(begins)}", found=format_time(at), passed=begins <= at,
        why="not yet valid: the result is of a later time", remedy="correct the clock",
    )  # fmt: skip
    if result.expires is not None:
        checks.require(
            "result_expires", expected=f"before {format_time(result.expires)}", found=format_time(at),
            passed=at < result.expires, why="expired: the result holds no longer", remedy="ask for a fresh result",
        )  # fmt: skip


def _verify_nonce(result: AttestationResult, given: Given, checks: Checks) -> None:
    if given.nonce is None:
        return
    # JSON carries a nonce as base64url (RFC 9711, 4.1); Veraison and others carry it as the text that it is.
    spellings = (encoded(given.nonce), given.nonce)
    found = [nonce.encode(errors="replace").rstrip(b"=") for nonce in result.nonces]
    passed = any(compare_digest(spelled, one) for spelled in spellings for one in found)
    checks.require(
        "nonce", expected=given.nonce.hex() or "empty", found=" ".join(result.nonces) or "none", passed=passed,
        why="wrong nonce", remedy="give what was asked for then, or ask for a fresh result",
    )  # fmt: skip


def _statuses(result: AttestationResult) -> tuple[Check, ...]:
    return tuple(
        Check(
            f"status {name}", "affirming", entry.status, entry.status == "affirming",
            why=f"result not affirming: the verifier says {entry.status} of {name}",
            remedy="ask the verifier what it found",
        )
        for name, entry in result.attesters.items()
    )  # fmt: skip


def _facts(result: AttestationResult, *, signed: bool) -> dict[str, Fact]:
    return {
        "profile": result.profile,
        "signed": signed,
        "issued_at": format_time(result.issued_at),
        "verifier": {"developer": result.developer, "build": result.build},
        "status": {name: entry.status for name, entry in result.attesters.items()},
        "trustworthiness_vector": {name: dict(entry.vector) for name, entry in result.attesters.items()},
        "appraisal_policy_id": {name: entry.policy for name, entry in result.attesters.items()},
    }
