"""The decision: is this the enclave that the contract names, speaking to me, now?

``assess`` makes every check and stops at none, so that a person sees them all; ``appraise`` returns the proof, an
``AttestedKey``, or raises the first failure. Both are the same for every format.

Two weaknesses are never accepted by accident. Evidence by which the measured thing measures itself (``self``), and
an enclave whose memory its host can read (``memory_protected = false``), are each refused unless the contract's
reference values list the attester with exactly that weakness *and* the party's own configuration names the attester.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from hmac import compare_digest

from mpc.canonical import format_time, sha256
from mpc.errors import Malformed, OutOfOrder, Refusal
from mpc.evidence.binding import Transcript, parse_transcript
from mpc.evidence.checks import NotBelieved, NotWanted, refusal_of
from mpc.evidence.claims import Attestation, Check, Claims
from mpc.evidence.formats import FORMATS, anchors_of, parse_and_verify
from mpc.evidence.reference_values import ReferenceValues

_WHAT = "the enclave is refused"
_ABOUT_THE_CHANNEL = frozenset({"verified_at", "binding", "sealing_key", *(field.name for field in fields(Transcript))})

_REMEDIES = {
    "version": "let both sides run the same version",
    "purpose": "ask for evidence of this purpose",
    "nonce": "ask for fresh evidence: this one was made for somebody else, or is replayed",
    "contract": "ask an enclave that holds this contract",
    "spki": "connect again: somebody else's certificate lies between you and the enclave",
    "hpke": "ask again: the sealing key was exchanged on the way, or the enclave made a new one",
    "receipt_key": "connect to the instance you chose, or replace it by a signed activation",
}


@dataclass(frozen=True)
class Exceptions:
    """A party's own exceptions, by name of the attester; a contract cannot set them."""

    accept_self_measured: frozenset[str] = frozenset()
    accept_visible_memory: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AttestedKey:
    """The proof that an enclave was appraised: made only by ``appraise``; encryption takes it.

    ``instance`` is the SHA-256 of the receipt key; ``hpke_public_key`` the contract's sealing key, or None under the
    purpose ``boot``. It may be relied on until ``not_after``.
    """

    transcript: Transcript
    instance: bytes
    hpke_public_key: bytes | None
    not_after: datetime
    claims: Claims
    checks: tuple[Check, ...]

    def require_fresh(self, at: datetime) -> None:
        """Raise ``OutOfOrder`` when ``at`` lies outside of the time for which the appraisal holds."""
        if not self.claims.verified_at <= at < self.not_after:
            raise OutOfOrder(
                "evidence.expired", "the appraisal of the enclave has expired", why="it is relied on only for a while",
                remedy="ask the enclave for fresh evidence and appraise it", field="not_after",
                expected=f"before {format_time(self.not_after)}", found=format_time(at),
            )  # fmt: skip


@dataclass(frozen=True)
class Assessment:
    """Every check of one attestation. ``refusal`` is the first failure, None when all passed."""

    checks: tuple[Check, ...]
    claims: Claims | None
    refusal: Refusal | None

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return self.refusal is None


def assess(
    claims: Claims,
    references: Sequence[ReferenceValues],
    transcript: Transcript,
    *,
    told: bytes | None,
    hpke_public_key: bytes | None,
    exceptions: Exceptions,
    at: datetime,
) -> Assessment:
    """Return every check of verified ``claims``, without stopping at a failure.

    ``transcript`` is what the caller expects to be bound, ``told`` what the enclave says it bound: with it, a
    difference has the name of its field. ``hpke_public_key`` is the key that travelled beside the evidence.
    """
    binding = _binding_checks(claims, transcript, told, hpke_public_key, at)
    claims, wanted = compare_with(claims, references, exceptions)
    return _assessment((*claims.checks, *binding, *wanted), claims)


def appraise(
    claims: Claims,
    references: Sequence[ReferenceValues],
    transcript: Transcript,
    *,
    exceptions: Exceptions,
    at: datetime,
    lifetime: timedelta,
    told: bytes | None = None,
    hpke_public_key: bytes | None = None,
) -> AttestedKey:
    """Return the ``AttestedKey`` of an enclave that passes every check of ``assess``, or raise the first failure.

    It holds for ``lifetime`` from ``at``, and never longer than the collateral. Raises ``NotBelieved`` where the
    evidence is not about this conversation, ``NotWanted`` where it is genuine and of something else.
    """
    if lifetime <= timedelta(0):
        raise OutOfOrder(
            "evidence.lifetime", "the appraisal would never hold", why="its lifetime is not positive",
            remedy="agree on a positive attested_key_seconds",
        )  # fmt: skip
    assessed = assess(
        claims, references, transcript, told=told, hpke_public_key=hpke_public_key, exceptions=exceptions, at=at
    )
    if assessed.refusal is not None or assessed.claims is None:
        raise assessed.refusal or AssertionError("an assessment without claims has a refusal")
    ends = [at + lifetime] + ([claims.valid_until] if claims.valid_until else [])
    return AttestedKey(transcript, transcript.instance, hpke_public_key, min(ends), assessed.claims, assessed.checks)


def assess_attestation(
    attestation: Attestation,
    references: Sequence[ReferenceValues],
    transcript: Transcript,
    *,
    hpke_public_key: bytes | None,
    exceptions: Exceptions,
    at: datetime,
) -> Assessment:
    """Return every check of an attestation as it arrived: parsed, verified to the references' roots, assessed.

    The authorities that the references name are the only roots; what the attestation brings along never is one.
    """
    try:
        claims = _verified(attestation, references, at)
    except Refusal as refusal:
        made = refusal.checks if isinstance(refusal, NotBelieved | NotWanted) else ()
        return Assessment(made, None, refusal)
    return assess(
        claims, references, transcript, told=attestation.transcript,
        hpke_public_key=hpke_public_key, exceptions=exceptions, at=at,
    )  # fmt: skip


def appraise_attestation(
    attestation: Attestation,
    references: Sequence[ReferenceValues],
    transcript: Transcript,
    *,
    hpke_public_key: bytes | None,
    exceptions: Exceptions,
    at: datetime,
    lifetime: timedelta,
) -> AttestedKey:
    """Parse, verify and appraise an attestation as it arrived; see ``assess_attestation`` and ``appraise``."""
    return appraise(
        _verified(attestation, references, at), references, transcript, told=attestation.transcript,
        hpke_public_key=hpke_public_key, exceptions=exceptions, at=at, lifetime=lifetime,
    )  # fmt: skip


def compare_with(
    claims: Claims, references: Sequence[ReferenceValues], exceptions: Exceptions
) -> tuple[Claims, tuple[Check, ...]]:
    """Return the claims and the checks against the reference that fits best: all passed, or the fewest failures."""
    accepted = sorted({reference.format for reference in references})
    fits = [reference for reference in references if reference.format == claims.format]
    format_check = Check(
        "format", " or ".join(accepted) or "nothing", claims.format, bool(fits),
        why="the contract does not list this kind of attester",
        remedy="use an enclave of a kind that the contract lists, or agree on one that lists it",
    )  # fmt: skip
    if not fits:
        return claims, (format_check, *careful_checks(claims))
    compared = [_compare_one(claims, reference, exceptions) for reference in fits]
    best, checks = min(compared, key=lambda pair: sum(not check.passed for check in pair[1]))
    return best, (format_check, *checks)


def careful_checks(claims: Claims, accepted: frozenset[str] = frozenset()) -> tuple[Check, ...]:
    """Return the checks that hold without reference values: no debug mode, and what the format is careful about.

    A check whose name is in ``accepted`` passes, and still shows what was found.
    """
    passed = not claims.debug or "debug" in accepted
    debug = Check(
        "debug", "off or accepted" if "debug" in accepted else "off", "on" if claims.debug else "off", passed,
        why="debug enclave: its host can read and change it", remedy="start the enclave without debug",
    )  # fmt: skip
    return debug, *FORMATS[claims.format].careful(claims, accepted)


def _verified(attestation: Attestation, references: Sequence[ReferenceValues], at: datetime) -> Claims:
    return parse_and_verify(
        attestation.format,
        attestation.evidence,
        attestation.endorsements,
        roots=anchors_of(attestation.format, references),
        at=at,
    )


def _assessment(checks: tuple[Check, ...], claims: Claims) -> Assessment:
    failed = next((check for check in checks if not check.passed), None)
    if failed is None:
        return Assessment(checks, claims, None)
    genuine = failed.name not in _ABOUT_THE_CHANNEL
    return Assessment(checks, claims, refusal_of(failed, checks, what=_WHAT, genuine=genuine))


def _compare_one(
    claims: Claims, reference: ReferenceValues, exceptions: Exceptions
) -> tuple[Claims, tuple[Check, ...]]:
    accepted: frozenset[str] = frozenset(getattr(reference, "accepted", ()))
    claims, checks = FORMATS[reference.format].compare(claims, reference)
    return claims, (
        *careful_checks(claims, accepted),
        *checks,
        *_measured_by_checks(claims, reference, exceptions),
        *_memory_checks(claims, reference, exceptions),
    )


def _measured_by_checks(claims: Claims, reference: ReferenceValues, exceptions: Exceptions) -> tuple[Check, ...]:
    listed = Check(
        "measured_by", reference.measured_by, claims.measured_by, claims.measured_by == reference.measured_by,
        why="the code was not measured by what the contract relies on",
        remedy="use a machine whose boot chain measures the coordinator, or a contract that accepts less",
    )  # fmt: skip
    if claims.measured_by != "self":
        return (listed,)
    excepted = claims.format in exceptions.accept_self_measured
    return listed, Check(
        "self_measured", f"{claims.format} in accept_self_measured", "listed" if excepted else "not listed", excepted,
        why="what measures itself finds accidents, not adversaries: a liar passes",
        remedy=f'to accept that, write accept_self_measured = ["{claims.format}"] under [trust] in party.toml',
    )  # fmt: skip


def _memory_checks(claims: Claims, reference: ReferenceValues, exceptions: Exceptions) -> tuple[Check, ...]:
    wanted, found = (_memory_words(value.memory_protected) for value in (reference, claims))
    listed = Check(
        "memory_protected", wanted, found, wanted == found,
        why="the enclave's memory is not as the contract says",
        remedy="use an enclave of the kind that the contract lists",
    )  # fmt: skip
    if claims.memory_protected:
        return (listed,)
    excepted = claims.format in exceptions.accept_visible_memory
    return listed, Check(
        "visible_memory", f"{claims.format} in accept_visible_memory", "listed" if excepted else "not listed", excepted,
        why="whoever runs the machine can read every row in its memory",
        remedy=f'to accept that, write accept_visible_memory = ["{claims.format}"] under [trust] in party.toml',
    )  # fmt: skip


def _memory_words(protected: bool) -> str:
    return "protected from its host" if protected else "visible to its host"


def _binding_checks(
    claims: Claims, transcript: Transcript, told: bytes | None, hpke_public_key: bytes | None, at: datetime
) -> tuple[Check, ...]:
    expected = transcript.report_data() if len(claims.bound) == 64 else transcript.qualifying_data()  # noqa: PLR2004 - bytes of report data
    bound = compare_digest(expected, claims.bound)
    key_digest = None if hpke_public_key is None else sha256(hpke_public_key)
    return (
        Check(
            "verified_at", format_time(at), format_time(claims.verified_at), claims.verified_at == at,
            why="the evidence was verified at another time", remedy="verify and appraise at one time",
        ),
        *_told_checks(transcript, told),
        Check(
            "binding", expected.hex(), claims.bound.hex(), bound,
            why="the evidence is not about this conversation", remedy="ask the enclave for fresh evidence",
        ),
        Check(
            "sealing_key", _hex(transcript.hpke), _hex(key_digest), transcript.hpke == key_digest,
            why="the key beside the evidence is not the one that it vouches for", remedy=_REMEDIES["hpke"],
        ),
    )  # fmt: skip


def _told_checks(transcript: Transcript, told: bytes | None) -> tuple[Check, ...]:
    if told is None:
        return ()
    try:
        said = parse_transcript(told)
    except Malformed as refusal:
        return (
            Check(
                "version", str(transcript.version), "a transcript that does not parse", passed=False,
                why=refusal.why, remedy=refusal.remedy,
            ),
        )  # fmt: skip
    return tuple(
        Check(
            field.name, _hex(wanted), _hex(found), wanted == found,
            why="the evidence is about another one", remedy=_REMEDIES[field.name],
        )
        for field in fields(Transcript)
        for wanted, found in [(getattr(transcript, field.name), getattr(said, field.name))]
    )  # fmt: skip


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else "none" if value is None else str(value)
