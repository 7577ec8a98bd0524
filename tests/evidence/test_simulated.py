"""Simulated evidence proves nothing, and still no byte of it may be changed."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc.canonical import canonical_cbor, sha256
from mpc.errors import Malformed, Refusal, Untrusted
from mpc.evidence import simulated
from mpc.evidence.formats import parse_and_verify, recognise

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CODE = sha256(b"code")
DATA = bytes(range(64))
EVIDENCE = simulated.forge(CODE, debug=False, report_data=DATA)


def verify(raw: bytes) -> None:
    parse_and_verify("simulated", raw, (), roots=(), at=NOW)


def test_what_is_forged_reads_back() -> None:
    claims = parse_and_verify("simulated", EVIDENCE, (), roots=(), at=NOW)
    assert claims.measurements == {"code": CODE}
    assert claims.bound == DATA
    assert (claims.measured_by, claims.memory_protected, claims.debug) == ("self", False, False)
    assert claims.facts == {"forgeable_by": "anybody"}
    assert recognise(EVIDENCE) == "simulated"
    debug = simulated.forge(CODE, debug=True, report_data=DATA)
    assert parse_and_verify("simulated", debug, (), roots=(), at=NOW).debug


def test_every_byte_is_covered() -> None:
    for index in range(len(EVIDENCE)):
        for bit in (0x01, 0x80):
            with pytest.raises(Refusal):
                verify(EVIDENCE[:index] + bytes([EVIDENCE[index] ^ bit]) + EVIDENCE[index + 1 :])


def test_every_truncation_and_extension_is_malformed() -> None:
    for length in range(len(EVIDENCE)):
        with pytest.raises(Malformed):
            verify(EVIDENCE[:length])
    for tail in (b"\0", b"\xf6", EVIDENCE):
        with pytest.raises(Malformed):
            verify(EVIDENCE + tail)
    with pytest.raises(Malformed):
        recognise(EVIDENCE[:-1])


def test_another_key_is_not_the_published_one() -> None:
    body = canonical_cbor([CODE, False, DATA])
    signature = Ed25519PrivateKey.generate().sign(simulated.LABEL.encode() + b"\0" + body)
    with pytest.raises(Untrusted) as caught:
        verify(canonical_cbor([simulated.LABEL, simulated.VERSION, body, signature]))
    assert (caught.value.code, caught.value.field) == ("evidence.signature", "signature")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"sealroom": 1},
        [simulated.LABEL, 2, b"", bytes(64)],
        ["another", 1, b"", bytes(64)],
        [simulated.LABEL, True, canonical_cbor([CODE, False, DATA]), bytes(63)],
        [simulated.LABEL, 1, canonical_cbor([CODE, 0, DATA]), bytes(64)],
        [simulated.LABEL, 1, canonical_cbor([CODE[1:], False, DATA]), bytes(64)],
        [simulated.LABEL, 1, canonical_cbor([CODE, False, DATA[1:]]), bytes(64)],
        [simulated.LABEL, 1, canonical_cbor([CODE, False, DATA, 1]), bytes(64)],
    ],
)
def test_other_values_are_malformed(value: object) -> None:
    with pytest.raises(Malformed):
        simulated.parse(canonical_cbor(value))
