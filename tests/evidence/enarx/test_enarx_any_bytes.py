"""Any bytes parse or are refused, quickly: reports, what endorses them, requests of keeps, policies and settings."""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpc.errors import Malformed, Refusal
from mpc.evidence.claims import Given
from mpc.evidence.enarx import FORMAT as ENARX
from mpc.evidence.enarx import is_request, parse_policy, parse_request
from mpc.evidence.enarx.settings import parse_settings
from mpc.evidence.revocation import parse_revocation_list
from mpc.evidence.snp import FORMAT as SNP
from mpc.evidence.snp import parse_report
from mpc.evidence.snp.endorsements import sorted_out
from tests.evidence.enarx_forge import sgx_request, snp_request
from tests.evidence.intel_forge import FORGE as INTEL
from tests.evidence.snp_forge import NOW, SnpForge

FORGE = SnpForge(version=2)
SEEDS = (
    FORGE.report(), FORGE.leaf, FORGE.issuer, FORGE.crl(), snp_request(FORGE), sgx_request(INTEL),
    b"[sgx]\nhash = ['" + b"ab" * 32 + b"']\n", b"[[files]]\nkind = 'listen'\nprot = 'tls'\nname = 'x'\n",
    b'{"vcekCert": "-----BEGIN", "certificateChain": ""}',
    b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----",
)  # fmt: skip


def _list(raw: bytes) -> object:
    return sorted_out([raw])


def _gathered(raw: bytes) -> object:
    return SNP.gather(raw, [], Given()), ENARX.gather(raw, [], Given())


PARSERS: tuple[Callable[[bytes], object], ...] = (
    parse_report, parse_request, is_request, parse_policy, parse_settings, parse_revocation_list, _list, _gathered,
    SNP.recognises, ENARX.recognises,
)  # fmt: skip


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    raw = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(raw) - 1, 0)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(raw)


@given(raw=st.one_of(st.binary(max_size=300), st.binary(min_size=1184, max_size=1184), spoiled()))
@example(raw=b"")
@settings(max_examples=200, deadline=None)
def test_any_bytes_parse_or_are_malformed(raw: bytes) -> None:
    for parse in PARSERS:
        with suppress(Malformed):
            parse(raw)
    for chosen in (SNP, ENARX):
        assert chosen.document is not None
        with suppress(Refusal):  # a chain that was spoiled parses, and leads nowhere
            chosen.document(raw, [], Given(), roots=(), at=NOW)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x30\x84\x00\xff\xff\xfa" + b"\x30\x80" * 32000,
        b"\x30\x83\x00\xff\xfa" + b"\x30\x00" * 32000,
        b"a = " + b"[" * 32_000,
        b"a." * 16_000 + b"a = 1",
        b"[" + b"a." * 16_000 + b"a]",
        (b"[" + b"a." * 64 + b"a]\n") * 240,
        (b'"a".' * 64 + b"a = 1\n") * 120,
        b"[[a]]\n" * 5_000,
        b"0" * 65_000,
        b"A" * 65_000,
        b"-----BEGIN CERTIFICATE-----\n" * 4000,
        b'{"vcekCert":' + b"9" * 32_000 + b"}",
    ],
    ids=range(12),
)
def test_what_is_made_to_be_slow_is_not(raw: bytes) -> None:
    for parse in PARSERS:
        begun = time.process_time()
        with suppress(Malformed):
            parse(raw)
        assert time.process_time() - begun < 1.0, parse  # processor time: it takes milliseconds
