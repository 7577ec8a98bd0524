"""What lies in an envelope is judged as if it had come alone; an envelope adds nothing to what is believed."""

import json
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.evidence.cmw import Collection, Record, to_cbor, to_json, to_tag
from mpc.evidence.envelopes import DSTACK, WRAPPER, held_in
from mpc.evidence.verdict import examine, show
from tests.evidence.snp_forge import NOW, SnpForge

FORGE = SnpForge()
REPORT = FORGE.report()


def compact(number: int) -> bytes:
    """Spell a count in SCALE."""
    for mode, size in ((0, 1), (1, 2), (2, 4)):
        if number < 1 << (8 * size - 2):
            return (number << 2 | mode).to_bytes(size, "little")
    raise AssertionError


def scale(*parts: bytes) -> bytes:
    return b"".join(compact(len(part)) + part for part in parts)


def dstack(kind: int, evidence: bytes, *certificates: bytes) -> bytes:
    chain = compact(len(certificates)) + scale(*certificates)
    return bytes([0, kind]) + scale(evidence) + (chain if kind == 3 else b"") + scale(b'{"app_id": "x"}')


def test_dstacks_attestation_is_opened_with_its_certificates() -> None:
    raw = dstack(3, REPORT, *FORGE.endorsements)
    for spelled in (raw, json.dumps({"attestation": raw.hex()}).encode()):
        verdict = examine(spelled, at=NOW, roots=[FORGE.root])
        assert (verdict.format, verdict.accepted) == ("sev-snp", True)
        assert verdict.fields[0].value == DSTACK
    assert examine(raw, at=NOW, format="sev-snp", roots=[FORGE.root]).accepted
    name, fields = show(raw)
    assert (name, fields[0].name) == ("sev-snp", "envelope")


def test_what_an_envelope_brings_is_no_anchor() -> None:
    verdict = examine(dstack(3, REPORT, *FORGE.endorsements), at=NOW)
    assert verdict.reason.startswith("wrong root")


def test_a_wrapper_with_one_piece_of_evidence_is_opened() -> None:
    tsm = json.dumps({"outblob": urlsafe_b64encode(REPORT).decode(), "provider": "sev_guest"}).encode()
    collection = Collection({"tsm-report": Record("application/vnd.veraison.tsm-report+json", tsm),
                             "note": Record("text/plain", b"something else")})  # fmt: skip
    answered = json.dumps({"cmw": urlsafe_b64encode(to_json(collection)).decode(), "nonce": "00"}).encode()
    for raw in (to_cbor(collection), to_json(collection), answered, to_tag(Record(60, REPORT))):
        verdict = examine(raw, at=NOW, endorsements=FORGE.endorsements, roots=[FORGE.root])
        assert (verdict.format, verdict.accepted) == ("sev-snp", True)
        assert verdict.fields[0].value == WRAPPER


def test_a_wrapper_with_several_or_none_stays_a_wrapper() -> None:
    record, other = Record("application/octet-stream", REPORT), Record("text/plain", SnpForge(version=3).report())
    assert examine(to_cbor(Collection({"a": record, "b": other})), at=NOW).format == "cmw"
    assert examine(to_cbor(Collection({"a": Record("text/plain", b"nothing")})), at=NOW).format == "cmw"
    verdict = examine(to_cbor(Collection({"a": record})), at=NOW, format="cmw")
    assert (verdict.format, verdict.stage, verdict.accepted) == ("cmw", "parse", True)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\0", b"\0\3", b"\0\5\0", b"\1\3" + scale(REPORT), b"\0\3" + scale(REPORT)[:-1], b"\0\3\3\0\0\0\0",
        bytes([0, 3]) + scale(REPORT) + compact(17) + scale(*[b"x"] * 17), b"{", b'{"attestation": 1}',
    ],
)  # fmt: skip
def test_what_is_no_envelope_holds_nothing(raw: bytes) -> None:
    assert held_in(raw) == ()


def test_envelopes_in_envelopes_end() -> None:
    raw = dstack(3, REPORT)
    for _ in range(3):
        raw = json.dumps({"attestation": raw.hex()}).encode()
    assert held_in(raw) == ()
    assert examine(raw, at=NOW).format is None


@given(st.binary(max_size=300))
def test_any_bytes_are_opened_or_are_no_envelope(raw: bytes) -> None:
    for data in (raw, b"\0\3" + raw, b"\0\0" + raw, b'{"cmw": "' + raw.hex().encode() + b'"}'):
        held_in(data)
