"""Any bytes as a certificate, wrapped evidence, endorsements or settings: read, or refused, and nothing else; soon."""

import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpc.evidence.claims import Given
from mpc.evidence.ratls.interoperable import ENDORSEMENTS, EVIDENCE, claims_for, evidence_extension, report_data_for
from mpc.evidence.verdict import Verdict, examine
from tests.evidence.certificate_forge import mint_certificate, new_key, spki_of
from tests.evidence.intel_forge import FORGE, NOW, ROOT_DER, enclave_report, pem

SGX_ECDSA = bytes.fromhex("a3a21e871b4d4014b70aa125d2fbcd8c")
KEY = new_key()
CLAIMS = claims_for(spki_of(KEY))
QUOTE = FORGE.quote(enclave_report(report_data=report_data_for(CLAIMS)), version=3, tee=0)
VALUE = evidence_extension(QUOTE, CLAIMS).value
CERTIFICATE = mint_certificate(KEY, [(EVIDENCE, False, VALUE)])
SEEDS = (
    CERTIFICATE,
    pem(CERTIFICATE).encode(),
    b"\3\0\0\0"
    + bytes.fromhex("a3a21e871b4d4014b70aa125d2fbcd8c")
    + bytes(4)
    + len(QUOTE).to_bytes(8, "little")
    + QUOTE,
    b"\1\0\0\0\2\0\0\0" + len(QUOTE).to_bytes(8, "little") + QUOTE,
    b"\1\0\0\0\2\0\0\0" + bytes(4) + b"\x09\0\0\0" + bytes(36),
    b"\4\0\0\0\x81\0\0\0" + bytes(112),
    b"RA_TLS_MRENCLAVE=any\nRA_TLS_MRSIGNER=any\nRA_TLS_ISV_PROD_ID=1\nRA_TLS_ISV_SVN=1\n",
    json.dumps({"verify_mr_enclave": "on", "sgx_mrs": [{"mr_enclave": ""}]}).encode(),
    json.dumps({"tcbInfo": FORGE.tcb_info("SGX"), "signature": "00" * 64}).encode(),
    json.dumps({"enclaveIdentity": FORGE.identity("SGX"), "signature": "00" * 64}).encode(),
)
FORMATS = ("ra-tls", "gramine", "open-enclave", "occlum")
FORMS = (None, "ccc", "gramine", "intel", "occlum", "rats-tls")
AT = datetime(2026, 6, 1, tzinfo=UTC)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Return right bytes, spoiled in up to four places: changed, cut, doubled or inserted."""
    raw = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(raw) - 1, 0)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(raw)


def judged(raw: bytes, name: str, form: str | None = None, beside: bytes = b"") -> Verdict:
    files = [beside] if beside else []
    return examine(raw, at=NOW, format=name, endorsements=files, roots=[ROOT_DER], given=Given(form=form))


@given(raw=st.one_of(st.binary(max_size=300), spoiled()), form=st.sampled_from(FORMS), beside=spoiled())
@example(raw=b"", form=None, beside=b"{")
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_read_or_refused(raw: bytes, form: str | None, beside: bytes) -> None:
    for name in FORMATS:
        json.dumps(judged(raw, name, form, beside).as_data())


@given(value=st.one_of(st.binary(max_size=100), spoiled()), oid=st.sampled_from((EVIDENCE, ENDORSEMENTS)))
@settings(max_examples=60, deadline=None)
def test_any_value_of_an_extension_is_read_or_refused(value: bytes, oid: str) -> None:
    extensions = [(EVIDENCE, False, VALUE)] if oid == ENDORSEMENTS else []
    verdict = judged(mint_certificate(KEY, [*extensions, (oid, False, value)]), "ra-tls")
    assert not verdict.accepted


@pytest.mark.parametrize(
    "raw",
    [
        b"0\x84\x00\x00\xff\xff" + bytes(60 << 10),
        b"\x30\x80" * 30_000,
        b"-----BEGIN CERTIFICATE-----\n" * 2_000,
        b"RA_TLS_MRENCLAVE" + b" " * 60_000,
        b"RA_TLS_MRENCLAVE=" + b"\"'" * 30_000,
        (b"RA_TLS_MRENCLAVE" + b"=" * 60) * 800,
        b'{"a":' * 20_000,
        b"\3\0\0\0" + bytes(60 << 10),
    ],
)
def test_no_bytes_take_long_to_be_refused(raw: bytes) -> None:
    for name in FORMATS:
        begin = time.process_time()
        judged(raw, name)
        assert time.process_time() - begin < 0.5  # the goal is 0.05, on a machine that does nothing else
