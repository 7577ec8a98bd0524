"""An enclave is believed only when everything about it is as contract, party and conversation say."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
import pytest

from mpc.canonical import sha256
from mpc.errors import Forbidden, Malformed, OutOfOrder, Refusal, Untrusted
from mpc.evidence import simulated
from mpc.evidence.appraisal import (
    AttestedKey,
    Exceptions,
    appraise,
    appraise_attestation,
    assess_attestation,
)
from mpc.evidence.binding import VERSION, Transcript, parse_transcript
from mpc.evidence.checks import NotBelieved, NotWanted
from mpc.evidence.claims import Attestation, Claims, SimulatedReference

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LIFETIME = timedelta(minutes=10)
CODE = sha256(b"the code that everybody measured")
KEY = b"a sealing key"
BOTH = Exceptions(frozenset({"simulated"}), frozenset({"simulated"}))
TRANSCRIPT = Transcript(
    version=VERSION,
    purpose="contract",
    nonce=sha256(b"nonce"),
    contract=sha256(b"contract"),
    spki=sha256(b"certificate"),
    hpke=sha256(KEY),
    receipt_key=sha256(b"receipt key"),
)
OTHER = sha256(b"another")
REFERENCE = SimulatedReference(format="simulated", code_digest=CODE.hex(), measured_by="self", memory_protected=False)


def attestation(transcript: Transcript = TRANSCRIPT, *, code: bytes = CODE, debug: bool = False) -> Attestation:
    evidence = simulated.forge(code, debug=debug, report_data=transcript.report_data())
    return Attestation("simulated", evidence, (), transcript.to_bytes())


def decide(given: Attestation, **changed: Any) -> AttestedKey:
    arguments: dict[str, Any] = {
        "references": (REFERENCE,),
        "transcript": TRANSCRIPT,
        "hpke_public_key": KEY,
        "exceptions": BOTH,
        "at": NOW,
        "lifetime": LIFETIME,
    }
    return appraise_attestation(given, **(arguments | changed))


def refusal(given: Attestation, **changed: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        decide(given, **changed)
    return caught.value


def test_an_enclave_that_is_as_agreed_yields_its_key() -> None:
    key = decide(attestation())
    assert key.transcript == TRANSCRIPT
    assert key.instance == sha256(TRANSCRIPT.receipt_key)
    assert key.hpke_public_key == KEY
    assert key.not_after == NOW + LIFETIME
    assert all(check.passed for check in key.checks)
    assert {"signature", "binding", "code", "debug", "self_measured", "visible_memory"} <= {
        check.name for check in key.checks
    }


def test_before_a_contract_there_is_no_sealing_key() -> None:
    boot = replace(TRANSCRIPT, purpose="boot", contract=None, hpke=None)
    assert decide(attestation(boot), transcript=boot, hpke_public_key=None).hpke_public_key is None
    assert refusal(attestation(boot), transcript=boot).code == "evidence.sealing_key"


DIFFERENCES: Mapping[str, dict[str, Any]] = {
    "nonce": {"nonce": OTHER},
    "contract": {"contract": OTHER},
    "spki": {"spki": OTHER},
    "hpke": {"hpke": OTHER},
    "receipt_key": {"receipt_key": OTHER},
    "purpose": {"purpose": "boot", "contract": None, "hpke": None},
}


@pytest.mark.parametrize("field", DIFFERENCES)
def test_evidence_about_something_else_is_refused_by_the_name_of_the_field(field: str) -> None:
    about = replace(TRANSCRIPT, **DIFFERENCES[field])
    refused = refusal(attestation(about))
    assert isinstance(refused, Untrusted)
    assert (refused.code, refused.field) == (f"evidence.{field}", field)
    wanted, found = getattr(TRANSCRIPT, field), getattr(about, field)
    assert refused.expected == (wanted.hex() if isinstance(wanted, bytes) else wanted)
    assert refused.found == ("none" if found is None else found.hex() if isinstance(found, bytes) else found)
    assert refused.remedy


@pytest.mark.parametrize("field", DIFFERENCES)
def test_what_the_enclave_says_of_its_transcript_is_not_believed(field: str) -> None:
    about = replace(TRANSCRIPT, **DIFFERENCES[field])
    lie = replace(attestation(about), transcript=TRANSCRIPT.to_bytes())
    assert refusal(lie).code == "evidence.binding"


def test_a_told_transcript_that_does_not_parse_is_refused() -> None:
    assert refusal(replace(attestation(), transcript=b"\x80")).code == "evidence.version"


def test_the_sealing_key_beside_the_evidence_must_be_the_bound_one() -> None:
    for key in (b"the key of somebody in the middle", b"", None):
        assert refusal(attestation(), hpke_public_key=key).code == "evidence.sealing_key"


def test_other_code_is_refused_with_both_digests() -> None:
    refused = refusal(attestation(code=OTHER))
    assert isinstance(refused, Forbidden)
    assert (refused.code, refused.field) == ("evidence.code", "code")
    assert (refused.expected, refused.found) == (CODE.hex(), OTHER.hex())


def test_any_of_several_measurements_is_enough_and_of_none_the_nearest_is_reported() -> None:
    newer = REFERENCE.model_copy(update={"code_digest": OTHER.hex()})
    for code in (CODE, OTHER):
        assert decide(attestation(code=code), references=(REFERENCE, newer)).claims.measurements["code"] == code
    assert refusal(attestation(code=sha256(b"third")), references=(REFERENCE, newer)).code == "evidence.code"


def test_a_debug_enclave_is_refused() -> None:
    assert refusal(attestation(debug=True)).code == "evidence.debug"


def test_an_attester_that_the_contract_does_not_list_is_refused() -> None:
    refused = refusal(attestation(), references=())
    assert (refused.code, refused.expected, refused.found) == ("evidence.format", "nothing", "simulated")


def test_an_unknown_format_is_refused() -> None:
    refused = refusal(replace(attestation(), format="sgx-from-the-future"))
    assert (refused.code, refused.field) == ("evidence.format", "format")


@pytest.mark.parametrize(
    ("exceptions", "code"),
    [
        (Exceptions(), "evidence.self_measured"),
        (Exceptions(accept_visible_memory=frozenset({"simulated"})), "evidence.self_measured"),
        (Exceptions(accept_self_measured=frozenset({"simulated"})), "evidence.visible_memory"),
        (Exceptions(frozenset({"tpm"}), frozenset({"tpm"})), "evidence.self_measured"),
    ],
)
def test_each_weakness_must_be_named_by_the_party_itself(exceptions: Exceptions, code: str) -> None:
    refused = refusal(attestation(), exceptions=exceptions)
    assert isinstance(refused, Forbidden)
    assert refused.code == code
    assert "party.toml" in refused.remedy


@pytest.mark.parametrize(
    ("claimed", "code"),
    [
        ({"measured_by": "hardware"}, "evidence.measured_by"),
        ({"memory_protected": True}, "evidence.memory_protected"),
        ({"verified_at": NOW - timedelta(seconds=1)}, "evidence.verified_at"),
    ],
)
def test_the_contract_must_list_exactly_what_the_claims_say(claimed: dict[str, Any], code: str) -> None:
    claims = Claims("simulated", TRANSCRIPT.report_data(), {"code": CODE}, "self", memory_protected=False, debug=False, verified_at=NOW)  # fmt: skip  # noqa: E501
    with pytest.raises(Refusal) as caught:
        appraise(replace(claims, **claimed), (REFERENCE,), TRANSCRIPT, exceptions=BOTH, at=NOW, lifetime=LIFETIME, hpke_public_key=KEY)  # fmt: skip  # noqa: E501
    assert caught.value.code == code


def test_a_refusal_carries_every_check_and_an_assessment_stops_at_none() -> None:
    bad = attestation(replace(TRANSCRIPT, nonce=OTHER), code=OTHER, debug=True)
    refused = refusal(bad, exceptions=Exceptions())
    assert isinstance(refused, NotBelieved)
    failed = {check.name for check in refused.checks if not check.passed}
    assert failed == {"nonce", "binding", "debug", "code", "self_measured", "visible_memory"}
    assessed = assess_attestation(bad, (REFERENCE,), TRANSCRIPT, hpke_public_key=KEY, exceptions=Exceptions(), at=NOW)
    assert not assessed.passed
    assert assessed.checks == refused.checks
    assert isinstance(refusal(attestation(debug=True)), NotWanted)


def test_an_assessment_of_evidence_that_does_not_verify_says_so() -> None:
    broken = replace(attestation(), evidence=attestation().evidence[:-1] + b"\0")
    assessed = assess_attestation(broken, (REFERENCE,), TRANSCRIPT, hpke_public_key=KEY, exceptions=BOTH, at=NOW)
    assert not assessed.passed
    assert [check.name for check in assessed.checks] == ["signature"]
    assert assessed.claims is None


def test_an_appraisal_expires() -> None:
    key = decide(attestation())
    key.require_fresh(NOW)
    key.require_fresh(NOW + LIFETIME - timedelta(seconds=1))
    for time in (NOW + LIFETIME, NOW - timedelta(seconds=1)):
        with pytest.raises(OutOfOrder) as caught:
            key.require_fresh(time)
        assert caught.value.code == "evidence.expired"


def test_an_appraisal_never_outlives_the_collateral() -> None:
    soon = NOW + timedelta(minutes=1)
    claims = Claims("simulated", TRANSCRIPT.report_data(), {"code": CODE}, "self", memory_protected=False, debug=False, verified_at=NOW, valid_until=soon)  # fmt: skip  # noqa: E501
    key = appraise(claims, (REFERENCE,), TRANSCRIPT, exceptions=BOTH, at=NOW, lifetime=LIFETIME, hpke_public_key=KEY)
    assert key.not_after == soon
    with pytest.raises(OutOfOrder):
        decide(attestation(), lifetime=timedelta(0))


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 2},
        {"purpose": "upload"},
        {"purpose": "boot"},
        {"nonce": b"short"},
        {"nonce": None},
        {"contract": None},
        {"hpke": None},
        {"receipt_key": b""},
        {"spki": b"x" * 33},
    ],
)
def test_a_transcript_that_would_mean_two_things_cannot_be_made(changed: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        replace(TRANSCRIPT, **changed)


def test_a_transcript_has_one_spelling_and_every_byte_of_it_counts() -> None:
    raw = TRANSCRIPT.to_bytes()
    assert parse_transcript(raw) == TRANSCRIPT
    values = cbor2.loads(raw)
    for wrong in (values[:-1], [*values, b""], [*values[:2], 7, *values[3:]], [*values[:2], b"boot", *values[3:]]):
        with pytest.raises(Malformed):
            parse_transcript(cbor2.dumps(wrong))
    for changed in (raw[:-1], raw + b"\0", b"", b"\xff", b"\x81\x00"):
        with pytest.raises(Malformed):
            parse_transcript(changed)
    for index in range(len(raw)):
        flipped = raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]
        try:
            assert parse_transcript(flipped) != TRANSCRIPT
        except Malformed:
            continue
