"""No byte of a quote is free: flipped, cut or added to, it is refused; and whatever the bytes, only as a refusal."""

import time
from contextlib import suppress
from datetime import datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpc.errors import Malformed, Refusal
from mpc.evidence.certificate import parse_certificate
from mpc.evidence.format import Format
from mpc.evidence.intel import COLLATERAL_FORMAT, SGX_FORMAT, TDX_FORMAT, describe, parse_quote, quote_length
from mpc.evidence.intel.certificates import platform_of
from mpc.evidence.intel.files import unwrapped
from mpc.evidence.intel.layout import parse_enclave_report
from tests.evidence.intel_forge import FORGE, NOW, ROOT_DER, enclave_report, td_report
from tests.vectors import Entry, entries, needs_vectors, read

NOT_COVERED: dict[str, range] = {}
"""Regions of a quote that nobody signs and that are ignored: there are none. Zeros behind it stay zeros."""

STRIDE = 131
FORMATS = {"sgx": SGX_FORMAT, "tdx": TDX_FORMAT}


def believed() -> list[Entry]:
    """Return one entry of every quote whose signatures hold: the last one, with the newest collateral."""
    found = [entry for name in FORMATS for entry in entries(name) if entry["expect"]["stage"] == "appraise"]
    return list({entry["file"]: entry for entry in found}.values())


BELIEVED = believed()
INTEL = pytest.mark.parametrize("entry", BELIEVED, ids=lambda entry: entry["id"])


def verifies(raw: bytes, entry: Entry) -> bool:
    chosen: Format = FORMATS[entry["format"]]
    files = tuple(read(name) for name in entry["endorsements"])
    try:
        chosen.verify(chosen.parse(raw), files, roots=chosen.pinned, at=datetime.fromisoformat(entry["verify_at"]))
    except Refusal:
        return False
    return True


@needs_vectors
def test_all_quotes_that_hold_are_tried() -> None:
    assert len(BELIEVED) == 18
    assert not NOT_COVERED


@needs_vectors
@INTEL
def test_no_sampled_byte_may_be_flipped(entry: Entry) -> None:
    raw = read(entry["file"])
    assert verifies(raw, entry)
    for at in range(len(entry["id"]) % STRIDE, len(raw), STRIDE):
        for mask in (0x01, 0x80):
            assert not verifies(raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :], entry), at


@pytest.mark.slow
@needs_vectors
@INTEL
def test_no_byte_may_be_flipped(entry: Entry) -> None:
    raw = read(entry["file"])
    for at, mask in zip(range(len(raw)), (1 << (bit % 8) for bit in count()), strict=False):
        assert not verifies(raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :], entry), at


@needs_vectors
@INTEL
def test_no_quote_may_be_cut_or_added_to(entry: Entry) -> None:
    raw = read(entry["file"])
    whole = quote_length(raw)
    assert not any(raw[whole:])
    for length in {*range(0, whole, 97), 3, 47, 48, 432, 631, 632, 635, whole - 1}:
        assert not verifies(raw[:length], entry), length
    for more in (b"\1", b"\0\0\1", b"\n", raw[:48]):
        assert not verifies(raw + more, entry)
    assert verifies(raw[:whole] + bytes(64), entry)  # attesters pad with zeros, and only with them


WHOLE = (
    FORGE.quote(),
    FORGE.quote(version=5),
    FORGE.quote(td_report(later=bytes(64)), version=5),
    FORGE.quote(enclave_report(), version=3, tee=0),
)


@pytest.mark.parametrize("raw", WHOLE, ids=["td10 v4", "td10 v5", "td15 v5", "sgx v3"])
def test_no_cut_of_a_quote_parses(raw: bytes) -> None:
    assert quote_length(raw) == len(raw)
    for length in range(len(raw)):
        with pytest.raises(Malformed):
            parse_quote(raw[:length])


def test_a_certificate_with_a_changed_byte_parses_or_is_malformed() -> None:
    der = FORGE.pck_certificate()
    for at in range(len(der)):
        with suppress(Malformed):
            platform_of(parse_certificate(der[:at] + bytes([der[at] ^ 1 << at % 8]) + der[at + 1 :]))


@pytest.mark.parametrize(
    "changed",
    [
        {"ppid": bytes(15)}, {"fmspc": bytes(7)}, {"pce_id": b""}, {"pce_svn": b""}, {"pce_svn": bytes(4) + b"\7"},
        {"pce_svn": -1 & 0xFFFFFFFF}, {"truth": b""}, {"truth": b"\xff\xff"},
    ],
)  # fmt: skip
def test_a_field_of_a_certificate_that_is_of_another_length_is_malformed(changed: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        platform_of(parse_certificate(FORGE.pck_certificate(**changed)))


@pytest.mark.parametrize("length", [383, 385])
def test_a_report_is_of_384_bytes(length: int) -> None:
    with pytest.raises(Malformed):
        parse_enclave_report(enclave_report().ljust(length, b"\0")[:length])


SEEDS = (
    FORGE.quote(),
    FORGE.quote(version=5),
    FORGE.quote(enclave_report(), version=3, tee=0),
    FORGE.collateral(),
    FORGE.collateral("SGX"),
    FORGE.revocation_list(),
    FORGE.pck_certificate(),
)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    raw = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 6))] = draw(st.binary(max_size=6))
    return bytes(raw)


@given(raw=st.one_of(st.binary(max_size=700), spoiled()))
@example(raw=b'{"tcb_info":' + b"[" * 90_000)
@example(raw=b'{"tcbInfo":' + b"1" * 90_000 + b',"signature":""}')
@example(raw=b'{"tcb_info":"\\ud800"}')
@example(raw=b"{" * 16_000)
@settings(max_examples=300, deadline=None)
def test_any_bytes_parse_or_are_malformed_and_soon(raw: bytes) -> None:
    unwrapped(raw)
    for chosen in (SGX_FORMAT, TDX_FORMAT, COLLATERAL_FORMAT):
        begin = time.process_time()
        chosen.recognises(raw)
        with suppress(Malformed):
            shown = chosen.describe(chosen.parse(raw))
            assert all(isinstance(field.value, str) for field in shown)
        assert time.process_time() - begin < 0.5


@given(quote=spoiled(), files=st.lists(spoiled(), max_size=3))
@settings(max_examples=150, deadline=None)
def test_any_quote_under_any_collateral_is_believed_or_refused(quote: bytes, files: list[bytes]) -> None:
    for chosen in (SGX_FORMAT, TDX_FORMAT):
        with suppress(Refusal):
            claims = chosen.verify(chosen.parse(quote), tuple(files), roots=(ROOT_DER,), at=NOW)
            assert quote.rstrip(b"\0") in {seed.rstrip(b"\0") for seed in SEEDS}
            assert claims.facts["tcb_status"] == "UpToDate"


def test_every_field_of_a_quote_is_explained() -> None:
    shown = describe(parse_quote(FORGE.quote(td_report(later=bytes(64)), version=5)))
    names = [field.name for field in shown]
    assert {"mrtd", "rtmr", "report_data", "tee_tcb_svn2", "mrservicetd", "fmspc", "ppid", "padding"} <= set(names)
    assert all(field.meaning for field in shown)


FULL = 250 << 10
SLOW = {
    "lists": b'{"tcb_info":[' + b"[]," * (FULL // 3),
    "names": b'{"":1,' * (FULL // 6),
    "nesting": b'{"tcbInfo":' + b"[" * FULL,
    "digits": b'{"tcbInfo":' + b"1" * FULL,
    "escapes": b'{"tcb_info":"' + b'\\"' * (FULL // 2) + b'"}',
    "lines": b"-----BEGIN CERTIFICATE-----\n" + b"A\n" * (FULL // 2) + b"-----END CERTIFICATE-----\n",
    "lines inside": b'{"pck_crl_issuer_chain":"-----BEGIN CERTIFICATE-----' + b"\\nA" * (FULL // 3) + b'"}',
    "many certificates": b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n" * 4000,
    "blanks": b" " * FULL + b"{tcb_info",
}


@pytest.mark.parametrize("raw", [*SEEDS, *SLOW.values()], ids=[*map(str, range(len(SEEDS))), *SLOW])
def test_a_parser_takes_less_than_fifty_milliseconds(raw: bytes) -> None:
    times = []
    for byte in range(6):  # a changed byte, so that no cache answers
        begin = time.process_time()
        for chosen in (SGX_FORMAT, TDX_FORMAT, COLLATERAL_FORMAT):
            with suppress(Malformed):
                chosen.parse(raw[:-40] + bytes([byte]) + raw[-39:])
        times.append(time.process_time() - begin)
    assert min(times) < 0.05
