"""The stand-in keeps the manners of hardware: measured once, and nothing to say before."""

from datetime import UTC, datetime

import pytest

from mpc.attesters import ATTESTERS, choose
from mpc.canonical import sha256
from mpc.errors import Misconfigured, OutOfOrder
from mpc.evidence.binding import VERSION, Transcript, parse_transcript
from mpc.evidence.formats import parse_and_verify

TRANSCRIPT = Transcript(VERSION, "boot", bytes(32), None, sha256(b"spki"), None, sha256(b"receipt"))
CODE = sha256(b"code")


def test_it_binds_the_transcript_to_the_measured_code() -> None:
    attester = choose("simulated")
    with pytest.raises(OutOfOrder):
        attester.attest(TRANSCRIPT)
    attester.measure(CODE)
    given = attester.attest(TRANSCRIPT)
    claims = parse_and_verify(given.format, given.evidence, given.endorsements, roots=(), at=datetime.now(UTC))
    assert claims.bound == TRANSCRIPT.report_data()
    assert claims.measurements["code"] == CODE
    assert parse_transcript(given.transcript) == TRANSCRIPT


def test_a_measurement_cannot_be_taken_back() -> None:
    attester = choose("simulated")
    attester.measure(CODE)
    attester.measure(CODE)
    with pytest.raises(OutOfOrder):
        attester.measure(sha256(b"other code"))


def test_an_unknown_attester_is_a_misconfiguration() -> None:
    with pytest.raises(Misconfigured) as caught:
        choose("hope")
    assert set(ATTESTERS) == set(str(caught.value.expected).split(" or "))
