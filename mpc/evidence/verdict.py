"""What ``sealroom evidence verify FILE`` answers: one piece of evidence, judged offline, with every check and reason.

Without reference values the careful default applies: genuine, collateral current at that time, no debug, nothing
that anybody could have forged. Endorsements are files that bridge; anchors are ``roots`` and the authorities that
the given reference values name, and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from mpc.canonical import JSON_MAX_BYTES
from mpc.errors import Malformed, Refusal
from mpc.evidence.appraisal import Exceptions, compare_with, debug_check
from mpc.evidence.chain import certificates_of
from mpc.evidence.checks import NotBelieved, NotWanted, refusal_of
from mpc.evidence.claims import Check, Claims, ReferenceValues, Shown
from mpc.evidence.formats import format_named, recognise, roots_of

Stage = Literal["parse", "verify", "appraise"]
_WHAT = "the evidence is refused"


@dataclass(frozen=True)
class Verdict:
    """``stage`` is the last one that was reached; ``refusal`` is None when the evidence is accepted."""

    stage: Stage
    format: str | None
    checks: tuple[Check, ...]
    claims: Claims | None
    refusal: Refusal | None

    @property
    def accepted(self) -> bool:
        """Whether the evidence is accepted."""
        return self.refusal is None

    @property
    def reason(self) -> str:
        """Why the evidence is refused, in a few words; empty when it is accepted."""
        return "" if self.refusal is None else self.refusal.why

    def as_data(self) -> dict[str, object]:
        """Return the verdict as plain data, for ``--json``."""
        return {
            "verdict": "accept" if self.accepted else "refuse",
            "stage": self.stage,
            "reason": self.reason,
            "format": self.format,
            "checks": [check.as_data() for check in self.checks],
            "claims": self.claims.as_data() if self.claims else None,
            "refusal": self.refusal.as_data() if self.refusal else None,
        }


def examine(
    raw: bytes,
    *,
    at: datetime,
    format: str | None = None,  # noqa: A002 - the field's and the option's word
    endorsements: Sequence[bytes] = (),
    roots: Sequence[bytes] = (),
    nonce: bytes | None = None,
    references: Sequence[ReferenceValues] = (),
    exceptions: Exceptions | None = None,
) -> Verdict:
    """Return the verdict on evidence ``raw`` at the time ``at``; refusals are in it, not raised.

    ``endorsements`` and ``roots`` are files as they lie (DER or PEM, or what else the format has); ``nonce`` is what
    the evidence's own field has to hold; ``exceptions`` names the weaknesses that the caller accepts.
    """
    stage: Stage = "parse"
    claims: Claims | None = None
    try:
        format = format or recognise(raw)  # noqa: A001
        chosen = format_named(format)
        evidence, bridges = chosen.gather(raw, endorsements)
        anchors = (*(der for root in roots for der in certificates_of(root)), *roots_of(references))
        stage = "verify"
        claims = chosen.verify(evidence, bridges, roots=anchors, at=at)
    except Refusal as refusal:
        made = refusal.checks if isinstance(refusal, NotBelieved | NotWanted) else ()
        return Verdict(stage, format, made, claims, refusal)
    bound = () if nonce is None else (_nonce_check(claims, nonce),)
    if any(not check.passed for check in bound):
        return _judged(stage, claims, bound)
    claims, wanted = _appraised(claims, references, exceptions or Exceptions())
    return _judged("appraise", claims, (*bound, *wanted))


def show(raw: bytes, *, format: str | None = None, endorsements: Sequence[bytes] = ()) -> tuple[str, tuple[Shown, ...]]:  # noqa: A002
    """Return the format of ``raw`` and its fields, explained; nothing is verified. Raises ``Malformed``."""
    name = format or recognise(raw)
    chosen = format_named(name)
    return name, chosen.describe(chosen.gather(raw, endorsements)[0])


def parse_reference(raw: bytes) -> ReferenceValues:
    """Return the reference values that a JSON file holds, in a contract's own form, or raise ``Malformed``."""
    try:
        reference: ReferenceValues = TypeAdapter(ReferenceValues).validate_json(raw[:JSON_MAX_BYTES], strict=True)
    except ValidationError as refusal:
        first = refusal.errors(include_url=False, include_input=False)[0]
        why = f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}"
    else:
        return reference
    raise Malformed(
        "evidence.reference", "the reference values are malformed", why=why,
        remedy="write them as they stand in a contract's list of enclaves",
    )  # fmt: skip


def _nonce_check(claims: Claims, nonce: bytes) -> Check:
    return Check(
        "nonce", nonce.hex() or "empty", claims.bound.hex() or "empty", compare_digest(nonce, claims.bound),
        why="wrong nonce", remedy="give what the verifier asked for then, or ask for fresh evidence",
    )  # fmt: skip


def _appraised(
    claims: Claims, references: Sequence[ReferenceValues], exceptions: Exceptions
) -> tuple[Claims, tuple[Check, ...]]:
    if references:
        return compare_with(claims, references, exceptions)
    anybody = claims.facts.get("forgeable_by") == "anybody" and claims.format not in exceptions.accept_self_measured
    forgeable = Check(
        "forgeable", "evidence that not everybody can make", "anybody can make it" if anybody else "such evidence",
        not anybody, why="anybody can forge it", remedy="accept it by name, for trying things out only",
    )  # fmt: skip
    return claims, (debug_check(claims), forgeable)


def _judged(stage: Stage, claims: Claims, checks: tuple[Check, ...]) -> Verdict:
    every = (*claims.checks, *checks)
    failed = next((check for check in every if not check.passed), None)
    refusal = None if failed is None else refusal_of(failed, every, what=_WHAT, genuine=stage == "appraise")
    return Verdict(stage, claims.format, every, claims, refusal)
