"""Any bytes either parse or are refused: nothing else is ever raised, however the bytes came about."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpc.errors import Malformed
from mpc.evidence.binding import parse_transcript
from mpc.evidence.certificate import certificates_of, parse_certificate
from mpc.evidence.enrolment import parse_challenge, parse_pending, parse_request
from mpc.evidence.formats import FORMATS, recognise
from mpc.evidence.tpm_pieces import parse_pieces
from mpc.evidence.tpm_structures import parse_attest, parse_public, parse_signature
from mpc.evidence.verdict import examine, parse_reference
from tests.evidence.tpm_forge import NOW, PCRS, Forge, ecc_public, sized

FORGE = Forge()
AREA = ecc_public(FORGE.key)
ATTEST = FORGE.attest(public=AREA)
SIGNATURE = FORGE.sign(ATTEST)
CERTIFICATE = FORGE.certificate()
EVIDENCE = FORGE.evidence()
SEEDS = (
    AREA,
    ATTEST,
    SIGNATURE,
    CERTIFICATE,
    EVIDENCE,
    sized(AREA),
    b"".join(PCRS.values()),
    b"-----BEGIN CERTIFICATE-----",
)
PARSERS = (
    parse_transcript, parse_certificate, certificates_of, parse_challenge, parse_pending, parse_request, recognise,
    parse_attest, parse_public, parse_signature, parse_reference, *(chosen.parse for chosen in FORMATS.values()),
)  # fmt: skip


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Return right bytes, spoiled in up to four places: changed, cut, doubled or inserted."""
    raw = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(raw) - 1, 0)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(raw)


@given(raw=st.one_of(st.binary(max_size=300), spoiled()))
@example(raw=b"")
@settings(max_examples=300, deadline=None)
def test_any_bytes_parse_or_are_malformed(raw: bytes) -> None:
    for parse in PARSERS:
        with suppress(Malformed):
            parse(raw)


@given(pieces=st.lists(spoiled(), max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_files_beside_any_evidence_get_a_verdict(pieces: list[bytes]) -> None:
    with suppress(Malformed):
        parse_pieces(ATTEST, pieces)
    for raw in (ATTEST, EVIDENCE, *pieces[:1]):
        verdict = examine(raw, at=NOW, endorsements=pieces, roots=[FORGE.root()])
        assert verdict.accepted == (verdict.refusal is None)
        assert verdict.as_data()


def test_a_certificate_with_impossible_times_is_malformed_and_not_a_crash() -> None:
    time = CERTIFICATE.index(b"260531")
    for old, new in ((b"260531", b"269931"), (b"260531", b"26053\xff"), (b"Z", b"z")):
        with pytest.raises(Malformed):
            parse_certificate(CERTIFICATE[:time] + CERTIFICATE[time:].replace(old, new, 1))
    assert parse_certificate(CERTIFICATE).not_before < datetime(2026, 6, 2, tzinfo=UTC)
