"""EAT Attestation Results (draft-ietf-rats-ear): the claims set in JSON or CBOR, parsed whole and believed in nothing.

Numbers stand for names in CBOR; they are turned into the names of JSON, and one reader reads both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mpc.errors import Malformed
from mpc.evidence.cbor import CBORTag, read_cbor
from mpc.evidence.ear.jws import TOKEN_MAX_BYTES, decoded, encoded, malformed
from mpc.evidence.ear.vector import CLAIMS, TIERS, Status, status_named, tier_of, worst_of
from mpc.evidence.json_fields import field_of, refuse_field, texts_of
from mpc.evidence.loose_json import read_json

PROFILE: Final = "tag:github.com,2023:veraison/ear"
PROFILES: Final = (
    PROFILE, "tag:ietf.org,2026:rats/ear", "tag:ietf.org,2026:rats/ear#03",
    "tag:github.com,2024:confidential-containers/Trustee",
)  # fmt: skip
"""The profiles in which the fields below mean what is said of them here."""

VECTOR, STATUS, POLICY = "ear.trustworthiness-vector", "ear.status", "ear.appraisal-policy-id"
_WHAT = "the attestation result"
# The working group's draft writes names as identifiers, and policies as a list; all others write the names above.
_RENAMED: Final = {
    "ear_verifier_id": "ear.verifier-id", "ear_raw_evidence": "ear.raw-evidence", "ear_status": STATUS,
    "ear_trustworthiness_vector": VECTOR, "ear_appraisal_policy_ids": POLICY,
}  # fmt: skip
# CBOR's keys: RFC 9711, 10.1; RFC 8392, 4; draft-ietf-rats-ear, 3.
_CLAIM_KEYS: Final = {
    265: "eat_profile", 4: "exp", 5: "nbf", 6: "iat", 10: "eat_nonce", 266: "submods", 1002: "ear.raw-evidence",
    1004: "ear.verifier-id",
}  # fmt: skip
_ENTRY_KEYS: Final = {1000: STATUS, 1001: VECTOR, 1003: POLICY}
_VERIFIER_KEYS: Final = {0: "developer", 1: "build"}
_PROFILE_KEY, _SUBMODS_KEY = 265, 266
_UNSIGNED = 601  # tag of an unprotected claims set (RFC 9781)
_MOST_ATTESTERS = 64
_LAST_SECOND = 253402300799  # of the year 9999
_CBOR_STARTS: Final = tuple(bytes([first]) for first in (*range(0xA0, 0xC0), 0xD9))  # a map; tag 601 over one


@dataclass(frozen=True)
class Appraisal:
    """What is said of one attester; claims that are left out are zero, and say nothing."""

    status: Status
    vector: Mapping[str, int]
    policy: str | None


@dataclass(frozen=True)
class AttestationResult:
    """A claims set. ``attesters`` are its submodules by name; ``nonces`` as they are spelled."""

    profile: str
    issued_at: datetime
    not_before: datetime | None
    expires: datetime | None
    developer: str
    build: str
    nonces: tuple[str, ...]
    raw_evidence: bytes | None
    attesters: Mapping[str, Appraisal]


def is_claims_set(raw: bytes) -> bool:
    """Tell whether ``raw`` looks like JSON of such a claims set, or is one in CBOR."""
    if raw.lstrip()[:1] == b"{":
        return b'"eat_profile"' in raw and b'"submods"' in raw
    try:
        return raw[:1] in _CBOR_STARTS and {"eat_profile", "submods"} <= _from_cbor(raw).keys()
    except Malformed:
        return False


def parse_claims_set(raw: bytes) -> AttestationResult:
    """Return the claims set that ``raw`` spells, or raise ``Malformed``; what it knows nothing of it leaves aside."""
    in_cbor = raw[:1] in _CBOR_STARTS
    fields = _from_cbor(raw) if in_cbor else _renamed(read_json(raw, what=_WHAT, max_bytes=TOKEN_MAX_BYTES))
    profile = field_of(fields, "eat_profile", str, _WHAT)
    if profile not in PROFILES:
        refuse_field(_WHAT, "unknown profile", "eat_profile", " or ".join(PROFILES), profile[:128])
    verifier = field_of(fields, "ear.verifier-id", dict, _WHAT)
    attesters = field_of(fields, "submods", dict, _WHAT)
    if not 0 < len(attesters) <= _MOST_ATTESTERS:
        refuse_field(_WHAT, "value out of range", "submods", f"1 to {_MOST_ATTESTERS} attesters", str(len(attesters)))
    return AttestationResult(
        profile=profile,
        issued_at=_time(fields, "iat"),
        not_before=_time(fields, "nbf") if "nbf" in fields else None,
        expires=_time(fields, "exp") if "exp" in fields else None,
        developer=field_of(verifier, "developer", str, _WHAT),
        build=field_of(verifier, "build", str, _WHAT),
        nonces=_nonces(fields),
        raw_evidence=decoded(_text(fields, "ear.raw-evidence")) if "ear.raw-evidence" in fields else None,
        attesters={name: _appraisal(entry) for name, entry in attesters.items()},
    )


def _from_cbor(raw: bytes) -> dict[str, Any]:
    """Return a claims set in CBOR under the names of JSON, bytes as base64url."""
    value = read_cbor(raw, max_bytes=TOKEN_MAX_BYTES, what=_WHAT)
    if isinstance(value, CBORTag) and value.tag == _UNSIGNED:
        value = value.value
    fields = _by_names(value, _CLAIM_KEYS)
    if "ear.verifier-id" in fields:
        fields["ear.verifier-id"] = _by_names(fields["ear.verifier-id"], _VERIFIER_KEYS)
    if isinstance(fields.get("submods"), dict):
        fields["submods"] = {name: _entry(entry) for name, entry in fields["submods"].items() if isinstance(name, str)}
    return fields


def _entry(entry: object) -> dict[str, Any]:
    fields = _by_names(entry, _ENTRY_KEYS)
    if VECTOR in fields:
        fields[VECTOR] = _by_names(fields[VECTOR], dict(enumerate(CLAIMS)))
    return fields


def _by_names(holder: object, names: Mapping[int, str]) -> dict[str, Any]:
    if not isinstance(holder, Mapping):
        raise malformed("a map of it is none")
    found = {
        names.get(key, str(key)) if isinstance(key, int) else str(key): _text_of(value) for key, value in holder.items()
    }
    if len(found) != len(holder):
        raise malformed("a field stands in it under both of its names")
    return found


def _text_of(value: object) -> object:
    match value:
        case bytes():
            return encoded(value).decode()
        case list() if value and all(isinstance(one, bytes) for one in value):
            return [encoded(one).decode() for one in value if isinstance(one, bytes)]
        case _:
            return value


def _appraisal(entry: object) -> Appraisal:
    if not isinstance(entry, dict):
        refuse_field(_WHAT, "wrong type", "submods", "an object for each attester", type(entry).__name__)
    entry = _renamed(entry)
    if STATUS not in entry:
        refuse_field(_WHAT, "missing field", STATUS, " or ".join(TIERS), "nothing")
    status = status_named(entry[STATUS])
    if status is None:
        refuse_field(_WHAT, "value out of range", STATUS, " or ".join(TIERS), str(entry[STATUS])[:32])
    vector = _vector(field_of(entry, VECTOR, dict, _WHAT)) if VECTOR in entry else {}
    worst = worst_of(tier_of(value) for value in vector.values())
    if TIERS.index(status) < TIERS.index(worst):
        refuse_field(_WHAT, "status better than its claims", STATUS, f"{worst} or worse", status)
    return Appraisal(status, vector, _policy(entry))


def _renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {_RENAMED.get(name, name): value for name, value in fields.items()}
    if len(renamed) != len(fields):
        raise malformed("a field stands in it under both of its names")
    return renamed


def _policy(entry: Mapping[str, Any]) -> str | None:
    if POLICY not in entry:
        return None
    if isinstance(entry[POLICY], list):
        return " ".join(texts_of(entry, POLICY, _WHAT))
    return field_of(entry, POLICY, str, _WHAT)


def _vector(entry: Mapping[str, Any]) -> dict[str, int]:
    unknown = sorted(set(entry) - set(CLAIMS))
    if unknown:
        refuse_field(_WHAT, "unknown claim", VECTOR, " ".join(CLAIMS), unknown[0][:32])
    vector = {name: field_of(entry, name, int, _WHAT) for name in entry}
    for name, value in vector.items():
        try:
            tier_of(value)
        except ValueError:
            refuse_field(_WHAT, "value out of range", name, "-128 to 127", "another number")
    return vector


def _time(fields: Mapping[str, Any], name: str) -> datetime:
    # NumericDate (RFC 7519, 2) may have a fraction, and some write it as a power of ten.
    seconds = fields.get(name)
    if name not in fields:
        refuse_field(_WHAT, "missing field", name, "seconds since 1970", "nothing")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        refuse_field(_WHAT, "wrong type", name, "seconds since 1970", type(seconds).__name__)
    if not 0 <= seconds <= _LAST_SECOND:
        refuse_field(_WHAT, "value out of range", name, "seconds since 1970", "another number")
    return datetime.fromtimestamp(seconds, UTC)


def _nonces(fields: Mapping[str, Any]) -> tuple[str, ...]:
    given = fields.get("eat_nonce", [])
    nonces = [given] if isinstance(given, str) else given
    if not isinstance(nonces, list) or not all(isinstance(nonce, str) for nonce in nonces):
        raise malformed("its nonce is no text, nor a list of texts", "eat_nonce")
    return tuple(nonces)


def _text(fields: Mapping[str, Any], name: str) -> bytes:
    return field_of(fields, name, str, _WHAT).encode(errors="replace")
