"""What lies beside Veracruz's evidence: policies, which a principal reads and may refuse, and data of its examples."""

from collections.abc import Sequence
from datetime import datetime

from mpc.canonical import format_time
from mpc.evidence.claims import Check, Fact, Given
from mpc.evidence.format import Document
from mpc.evidence.veracruz.datasets import DATA_MAX_BYTES, describe_pairs, describe_table, is_pairs, text_of
from mpc.evidence.veracruz.policy import Policy, parse_policy


def read_document(
    raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime
) -> Document | None:
    """Return the policy or the data that ``raw`` is, None for anything else; refuse a policy that is malformed."""
    del files, given, roots
    if raw.lstrip()[:1] == b"{":
        return _judged(parse_policy(raw), at)
    if len(raw) > DATA_MAX_BYTES:
        return None
    text = text_of(raw)
    if text:
        return Document("data", "parse", describe_table(text))
    return Document("data", "parse", describe_pairs(raw)) if is_pairs(raw) else None


def _judged(policy: Policy, at: datetime) -> Document:
    facts: dict[str, Fact] = {
        "dialect": policy.dialect,
        "policy_hash": policy.digest.hex(),
        "programs": len(policy.programs),
        "pipelines": len(policy.pipelines),
        "identities": tuple(identity.certificate.subject_text for identity in policy.identities),
        "files": {name: digest.hex() for name, digest in policy.file_hashes.items()},
        "runtime_manager_hashes": {platform: digest.hex() for platform, digest in policy.runtime_hashes.items()},
    }
    told: dict[str, Fact] = {
        "function": policy.function, "debug": policy.debug, "enable_clock": policy.enable_clock,
        "execution_strategy": policy.execution_strategy, "ciphersuite": policy.ciphersuite,
        "expires": format_time(policy.expires) if policy.expires else None,
    }  # fmt: skip
    facts |= {name: fact for name, fact in told.items() if fact is not None}
    if policy.expires is None:  # a function's policy names neither times nor people
        return Document("policy", "parse", facts)
    return Document("policy", "appraise", facts, (_expiry(policy.expires, at), *_validity(policy, at)))


def _expiry(expires: datetime, at: datetime) -> Check:
    return Check(
        "policy_expiry", f"before {format_time(expires)}", format_time(at), at < expires,
        why="expired: the enclave's certificate ends by then", remedy="agree on a policy that still runs",
    )  # fmt: skip


def _validity(policy: Policy, at: datetime) -> tuple[Check, ...]:
    return tuple(
        Check(
            f"identity_{identity.identifier}",
            f"{format_time(identity.certificate.not_before)} to {format_time(identity.certificate.not_after)}",
            format_time(at), identity.certificate.not_before <= at <= identity.certificate.not_after,
            why="expired: a principal's certificate does not cover the time",
            remedy="agree on a policy with that principal's new certificate",
        )
        for identity in policy.identities
    )  # fmt: skip
