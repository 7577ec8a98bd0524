"""What ``sealroom evidence verify FILE`` answers: one piece of evidence, judged offline, with every check and reason.

Without reference values the careful default applies: genuine, collateral current at that time, no debug, nothing
that anybody could have forged. Endorsements are files that bridge; anchors are ``roots`` and the authorities that
the given reference values name, and nothing else.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest

from pydantic import TypeAdapter, ValidationError

from mpc.canonical import JSON_MAX_BYTES
from mpc.errors import Forbidden, Malformed, Refusal
from mpc.evidence.appraisal import Exceptions, careful_checks, compare_with
from mpc.evidence.checks import NotBelieved, NotWanted, refusal_of
from mpc.evidence.claims import Check, Claims, Given, Shown, plain_facts
from mpc.evidence.collateral_bundle import unpacked
from mpc.evidence.envelopes import Held
from mpc.evidence.format import Document, Format, Stage
from mpc.evidence.formats import FORMATS, anchors_of, format_named, taken_out
from mpc.evidence.reference_values import ReferenceValues

UNASKED = datetime(2026, 1, 1, tzinfo=UTC)
"""The time for which nobody asked: where only fields are shown."""

_WHAT = "the evidence is refused"


@dataclass(frozen=True)
class Verdict:
    """``stage`` is the last one that was reached; ``refusal`` is None when the evidence is accepted.

    ``fields`` are those of the evidence, believed or not; ``claims`` is what was believed. For what is no evidence
    ``document`` holds what was read.
    """

    stage: Stage
    format: str | None
    checks: tuple[Check, ...]
    claims: Claims | None
    refusal: Refusal | None
    fields: tuple[Shown, ...] = ()
    document: Document | None = None

    @property
    def accepted(self) -> bool:
        """Whether the evidence is accepted."""
        return self.refusal is None

    @property
    def reason(self) -> str:
        """Why the evidence is refused, in a few words; empty when it is accepted."""
        return "" if self.refusal is None else self.refusal.why

    def as_data(self) -> dict[str, object]:
        """Return the verdict as plain data, for ``--json``; ``fields`` was not verified, ``claims`` was."""
        return {
            "verdict": "accept" if self.accepted else "refuse",
            "stage": self.stage,
            "reason": self.reason,
            "format": self.format,
            "checks": [check.as_data() for check in self.checks],
            "claims": self._believed(),
            "fields": {shown.name: shown.value for shown in self.fields},
            "refusal": self.refusal.as_data() if self.refusal else None,
        }

    def _believed(self) -> dict[str, object] | None:
        if self.document is not None:
            return {"kind": self.document.kind, "facts": plain_facts(self.document.facts)}
        return self.claims.as_data() if self.claims else None


def examine(
    raw: bytes,
    *,
    at: datetime,
    format: str | None = None,  # noqa: A002 - the field's and the option's word
    endorsements: Sequence[bytes] = (),
    roots: Sequence[bytes] = (),
    given: Given | None = None,
    references: Sequence[ReferenceValues] = (),
    exceptions: Exceptions | None = None,
) -> Verdict:
    """Return the verdict on evidence ``raw`` at the time ``at``; refusals are in it, not raised.

    ``endorsements`` and ``roots`` are files as they lie (DER or PEM, what else the format has, or a bundle of
    endorsements); ``given`` is what the caller knows beside them; ``exceptions`` names the weaknesses that the caller
    accepts.
    """
    given, name = given or Given(), format
    try:
        name, held = taken_out(raw, name)
        raw, endorsements = held.evidence, [part for file in (*held.along, *endorsements) for part in unpacked(file)]
        chosen = format_named(name)
        extra = tuple(der for root in roots for der in chosen.anchors(root))
        anchors = (*extra, *anchors_of(name, references))
        if chosen.document is not None:
            document = chosen.document(raw, endorsements, given, roots=anchors, at=at)
            if document is not None:
                return _judged(document.reaches, name, document.checks, document=document)
        evidence, bridges = chosen.gather(raw, endorsements, given)
    except Refusal as refusal:
        return _refused(name, refusal)
    fields = (*_envelope(held), *chosen.describe(evidence))
    try:
        claims = chosen.verify(evidence, bridges, roots=anchors, at=at)
    except Refusal as refusal:
        return _refused(name, refusal, fields, at_least="verify")
    return _appraised(chosen, claims, fields, given=given, references=references, exceptions=exceptions or Exceptions())


def show(
    raw: bytes,
    *,
    format: str | None = None,  # noqa: A002
    endorsements: Sequence[bytes] = (),
    at: datetime = UNASKED,
) -> tuple[str, tuple[Shown, ...]]:
    """Return the format of ``raw`` and its fields, explained; nothing is verified. Raises ``Malformed``.

    Of what is no evidence, such as a policy, the fields are what it says; one that has to be verified to be read is
    read as of the time ``at``, and may refuse.
    """
    name, held = taken_out(raw, format)
    chosen, raw = format_named(name), held.evidence
    parts = [part for file in (*held.along, *endorsements) for part in unpacked(file)]
    try:
        return name, (*_envelope(held), *chosen.describe(chosen.gather(raw, parts, Given())[0]))
    except Malformed:
        read = chosen.document
        document = None if read is None else read(raw, parts, Given(), roots=anchors_of(name, ()), at=at)
        if document is None:
            raise
    said = (Shown(name, _text(value), "as it says") for name, value in plain_facts(document.facts).items())
    return name, (Shown("kind", document.kind, "what it is: no evidence by itself"), *said)


def _envelope(held: Held) -> tuple[Shown, ...]:
    return (
        (Shown("envelope", held.kind, "what the evidence lay in: nothing else of it is looked at"),)
        if held.kind
        else ()
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def parse_reference(raw: bytes) -> ReferenceValues:
    """Return the reference values that a file holds, or raise ``Malformed``.

    They stand there in a contract's own form, or as another system writes what it accepts, such as ``steward.toml``.
    """
    for chosen in FORMATS.values():
        found: ReferenceValues | None = chosen.policy(raw) if chosen.policy else None
        if found is not None:
            return found
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
    # Some formats have a field of its own for the nonce; in the others it is what the evidence binds.
    told = claims.facts.get("nonce")
    found = bytes.fromhex(told) if isinstance(told, str) else claims.bound
    return Check(
        "nonce", nonce.hex() or "empty", found.hex() or "empty", compare_digest(nonce, found),
        why="wrong nonce", remedy="give what the verifier asked for then, or ask for fresh evidence",
    )  # fmt: skip


def _appraised(
    chosen: Format,
    claims: Claims,
    fields: tuple[Shown, ...],
    *,
    given: Given,
    references: Sequence[ReferenceValues],
    exceptions: Exceptions,
) -> Verdict:
    bound = () if given.nonce is None else (_nonce_check(claims, given.nonce),)
    if any(not check.passed for check in bound):
        return _judged("verify", chosen.name, (*claims.checks, *bound), claims=claims, fields=fields)
    if references:
        claims, wanted = compare_with(claims, references, exceptions)
    else:
        wanted = (*careful_checks(claims), _forgeable_check(claims, exceptions))
    return _judged("appraise", chosen.name, (*claims.checks, *bound, *wanted), claims=claims, fields=fields)


def _forgeable_check(claims: Claims, exceptions: Exceptions) -> Check:
    anybody = claims.facts.get("forgeable_by") == "anybody" and claims.format not in exceptions.accept_self_measured
    return Check(
        "forgeable", "evidence that not everybody can make", "anybody can make it" if anybody else "such evidence",
        not anybody, why="anybody can forge it", remedy="accept it by name, for trying things out only",
    )  # fmt: skip


def _judged(
    stage: Stage, name: str, checks: tuple[Check, ...], *, claims: Claims | None = None,
    fields: tuple[Shown, ...] = (), document: Document | None = None,
) -> Verdict:  # fmt: skip
    failed = next((check for check in checks if not check.passed), None)
    refusal = None if failed is None else refusal_of(failed, checks, what=_WHAT, genuine=stage == "appraise")
    return Verdict(stage, name, checks, claims, refusal, fields, document)


def _refused(
    name: str | None, refusal: Refusal, fields: tuple[Shown, ...] = (), *, at_least: Stage = "parse"
) -> Verdict:
    """Return the verdict that a refusal is: its kind tells at which stage it came."""
    made = refusal.checks if isinstance(refusal, NotBelieved | NotWanted) else ()
    stage: Stage = "appraise" if isinstance(refusal, Forbidden) else at_least
    if stage == "parse" and isinstance(refusal, NotBelieved):
        stage = "verify"
    return Verdict(stage, name, made, None, refusal, fields)
