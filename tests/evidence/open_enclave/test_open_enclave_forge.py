"""A false Intel in Open Enclave's wrappings: each lie is refused by the check that is there for it."""

import json
import struct
from itertools import accumulate
from typing import Any

import pytest

from mpc.canonical import sha256
from mpc.errors import Malformed
from mpc.evidence.checks import NotBelieved
from mpc.evidence.claims import Given
from mpc.evidence.formats import recognise
from mpc.evidence.open_enclave import parse, verify
from mpc.evidence.open_enclave.collateral_json import parse_collateral_document
from mpc.evidence.open_enclave.endorsements import collateral_file, parse_endorsements
from mpc.evidence.open_enclave.layout import read_custom_claims
from mpc.evidence.ratls.binding import pem_with_nul
from mpc.evidence.verdict import Verdict, examine
from tests.evidence.certificate_forge import mint_certificate, new_key, spki_of
from tests.evidence.intel_forge import FORGE, NOW, ROOT_DER, enclave_report, pem, td_report, timestamp
from tests.vectors import needs_vectors, read

SGX_ECDSA, LEGACY, RAW, TDX_QUOTE = (
    bytes.fromhex(text)
    for text in (
        "a3a21e871b4d4014b70aa125d2fbcd8c", "c8303454d9234c2ca691df7def460a76", "1923d91e12d24c72b22025cd8dace871",
        "8ba70286c1cf11edafa10242ac120002",
    )
)  # fmt: skip
LOCAL = bytes.fromhex("09268c336e0b45e58a2715644d0ef89a")
OLD_REPORT, NEW_REPORT = "1.2.840.113556.10.1.1", "1.3.6.1.4.1.311.105.1"
OLD_EVIDENCE, NEW_EVIDENCE = "1.2.840.113556.10.1.2", "1.3.6.1.4.1.311.105.2"
SGX, TDX = FORGE.collateral("SGX"), FORGE.collateral("TDX")
KEY, OTHER = new_key(), new_key()
CLAIMS = struct.pack("<QQ", 1, 2) + b"".join(
    struct.pack("<QQ", len(name), len(value)) + name + value for name, value in ((b"event\0", b"1"), (b"id\0", b""))
)


def quote(report_data: bytes = bytes(64), **changed: Any) -> bytes:
    return FORGE.quote(enclave_report(report_data=report_data, **changed), version=3, tee=0)


def hashed(claims: bytes) -> bytes:
    return sha256(claims) + bytes(32)


def evidence(body: bytes, identifier: bytes = SGX_ECDSA, version: int = 3, size: int | None = None) -> bytes:
    return struct.pack("<I16s4xQ", version, identifier, len(body) if size is None else size) + body


def report(body: bytes, kind: int = 2, version: int = 1, size: int | None = None) -> bytes:
    return struct.pack("<IIQ", version, kind, len(body) if size is None else size) + body


def claimed(claims: bytes = CLAIMS) -> bytes:
    return evidence(quote(hashed(claims)) + claims)


def with_key(key: Any = KEY) -> bytes:
    return pem_with_nul(spki_of(key))


CERTIFICATES = {
    OLD_REPORT: report(quote(hashed(with_key()))),
    NEW_REPORT: report(quote(hashed(with_key()))),
    OLD_EVIDENCE: claimed(with_key()),
    NEW_EVIDENCE: claimed(with_key()),
}


def judged(raw: bytes, *, collateral: tuple[bytes, ...] = (SGX,), **changed: Any) -> Verdict:
    arguments = {"at": NOW, "format": "open-enclave", "endorsements": collateral, "roots": [ROOT_DER]} | changed
    return examine(raw, **arguments)


def reason(verdict: Verdict) -> str:
    return verdict.reason.partition(":")[0]


@pytest.mark.parametrize(
    ("raw", "wrapping"),
    [
        (claimed(), "sgx-ecdsa"),
        (claimed(b""), "sgx-ecdsa"),
        (evidence(quote(), RAW), "raw-sgx-quote"),
        (evidence(quote(), LEGACY), "legacy-report"),
        (evidence(report(quote()), LEGACY), "legacy-report"),
        (report(quote()), "report"),
    ],
)
def test_every_wrapping_of_an_sgx_quote_is_accepted_and_recognised(raw: bytes, wrapping: str) -> None:
    assert recognise(raw) == "open-enclave"
    verdict = judged(raw)
    assert verdict.accepted, verdict.refusal
    assert verdict.claims is not None
    assert verdict.claims.facts["wrapping"] == wrapping
    assert verdict.claims.format == "sgx"


def test_a_td_is_accepted() -> None:
    raw = evidence(FORGE.quote(td_report()), TDX_QUOTE)
    verdict = judged(raw, collateral=(TDX,))
    assert verdict.accepted, verdict.refusal
    assert verdict.claims is not None
    assert verdict.claims.format == "tdx"


def test_custom_claims_are_shown_by_name_and_answer_for_the_nonce() -> None:
    verdict = judged(claimed(), given=Given(nonce=CLAIMS))
    assert verdict.accepted, verdict.refusal
    assert verdict.claims is not None
    assert verdict.claims.facts["custom_claims"] == {"event": "31", "id": ""}
    free = judged(claimed(b"any bytes"))
    assert free.claims is not None
    assert free.claims.facts["custom_claims_buffer"] == b"any bytes".hex()
    assert reason(judged(claimed(), given=Given(nonce=b"other"))) == "wrong nonce"


@pytest.mark.parametrize(
    "raw",
    [
        evidence(quote(hashed(CLAIMS)) + b"other claims"),
        evidence(quote(hashed(CLAIMS))),
        evidence(quote(bytes(64)) + CLAIMS),
        evidence(quote(sha256(CLAIMS) + b"\1" + bytes(31)) + CLAIMS),
    ],
)
def test_custom_claims_that_the_quote_does_not_carry_are_refused(raw: bytes) -> None:
    verdict = judged(raw, collateral=())
    assert (verdict.stage, reason(verdict)) == ("verify", "custom claims not bound to evidence")


@pytest.mark.parametrize("oid", CERTIFICATES)
def test_a_genuine_certificate_of_every_kind_is_accepted_and_recognised(oid: str) -> None:
    raw = mint_certificate(KEY, [(oid, False, CERTIFICATES[oid])], null_parameters=True)
    assert recognise(raw) == "open-enclave"
    for given in (raw, armoured(raw)):
        verdict = judged(given)
        assert verdict.accepted, verdict.refusal
        assert verdict.claims is not None
        assert verdict.claims.facts["key_bound"] is True


def armoured(der: bytes) -> bytes:
    from base64 import encodebytes  # noqa: PLC0415

    return b"-----BEGIN CERTIFICATE-----\n" + encodebytes(der) + b"-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("oid", CERTIFICATES)
def test_evidence_of_another_key_is_refused_before_any_collateral(oid: str) -> None:
    stolen = mint_certificate(OTHER, [(oid, False, CERTIFICATES[oid])])
    verdict = judged(stolen, collateral=())
    assert (verdict.stage, reason(verdict)) == ("verify", "key not bound to evidence")


def test_a_key_without_its_nul_is_another_text() -> None:
    value = report(quote(hashed(with_key()[:-1])))
    assert reason(judged(mint_certificate(KEY, [(NEW_REPORT, False, value)]))) == "key not bound to evidence"


def test_a_certificate_that_another_key_signed_is_refused() -> None:
    raw = mint_certificate(KEY, [(NEW_EVIDENCE, False, CERTIFICATES[NEW_EVIDENCE])], signer=OTHER)
    assert reason(judged(raw)) == "bad certificate signature"


def test_the_extensions_count_in_their_order() -> None:
    bad = (NEW_EVIDENCE, False, claimed(with_key(OTHER)))
    good = (OLD_REPORT, False, CERTIFICATES[OLD_REPORT])
    assert judged(mint_certificate(KEY, [bad, good])).accepted
    assert reason(judged(mint_certificate(KEY, [bad]))) == "key not bound to evidence"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\3\0\0\0",
        evidence(quote(), LOCAL),
        evidence(quote(), bytes(16)),
        evidence(quote(), version=2),
        evidence(quote(), size=1),
        evidence(quote()) + b"\0",
        evidence(quote()[:500]),
        evidence(FORGE.quote(td_report())[:400], TDX_QUOTE),
        report(quote(), kind=1),
        report(quote(), size=0),
        report(quote()) + b"\0",
        evidence(quote())[:20] + b"\1" + evidence(quote())[21:],
        mint_certificate(KEY, []),
        bytes(65 << 10),
        b"-----BEGIN CERTIFICATE-----\n",
    ],
)
def test_what_is_no_evidence_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse(raw)


@pytest.mark.parametrize(
    "buffer",
    [
        b"",
        CLAIMS[:-1],
        CLAIMS + b"\0",
        struct.pack("<QQ", 2, 0),
        struct.pack("<QQ", 1, 1 << 40),
        struct.pack("<QQQQ", 1, 1, 1 << 60, 0),
        struct.pack("<QQQQ", 1, 1, 2, 0) + b"ab",
        struct.pack("<QQ", 1, 2) + (struct.pack("<QQ", 2, 0) + b"a\0") * 2,
    ],
)
def test_custom_claims_that_are_no_list_are_taken_as_bytes(buffer: bytes) -> None:
    assert read_custom_claims(buffer) is None


def test_no_byte_of_evidence_may_be_changed() -> None:
    for raw, free in ((claimed(), range(0)), (report(quote()), range(0))):
        for place in range(0, len(raw), 23):
            changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
            try:
                verify(parse(changed), (SGX,), roots=[ROOT_DER], at=NOW)
            except (NotBelieved, Malformed):
                continue
            assert place in free, place


def test_every_truncation_is_malformed() -> None:
    for raw in (claimed(b""), report(quote())):
        for size in range(0, len(raw), 61):
            with pytest.raises(Malformed):
                parse(raw[:size])


def items_of(collateral: bytes) -> dict[str, bytes]:
    parts = json.loads(collateral)
    documents = {
        name: f'{{"{kind}":{parts[name]},"signature":"{parts[f"{name}_signature"]}"}}'.encode()
        for name, kind in (("tcb_info", "tcbInfo"), ("qe_identity", "enclaveIdentity"))
    }
    signers = parts["tcb_info_issuer_chain"].encode()
    return {
        **documents, "tcb_chain": signers, "qe_chain": signers, "pck_chain": parts["pck_crl_issuer_chain"].encode(),
        "pck_crl": bytes.fromhex(parts["pck_crl"]), "root_crl": bytes.fromhex(parts["root_ca_crl"]),
    }  # fmt: skip


def sgx_buffer(**changed: Any) -> bytes:
    one = items_of(SGX)
    order = ("tcb_info", "tcb_chain", "pck_crl", "root_crl", "pck_chain", "qe_identity", "qe_chain")
    items = [struct.pack("<I", 1), *(one[name] + b"\0" for name in order), timestamp(NOW).encode() + b"\0"]
    offsets = [0, *accumulate(len(item) for item in items)][:-1]
    fields = {"version": 1, "kind": 2, "size": 36 + sum(map(len, items)), "count": 9, "offsets": offsets} | changed
    head = struct.pack("<4I", fields["version"], fields["kind"], fields["size"], fields["count"])
    return head + struct.pack("<9I", *fields["offsets"]) + b"".join(items)


def tdx_buffer(move: int = 0) -> bytes:
    one = items_of(TDX)
    order = ("pck_chain", "root_crl", "pck_crl", "tcb_chain", "tcb_info", "qe_chain", "qe_identity")
    items = [one[name].hex().upper().encode() + b"\0" if name.endswith("crl") else one[name] + b"\0" for name in order]
    starts = [0, *accumulate(len(item) for item in items)]
    pairs = b"".join(
        struct.pack("<QI4x", 0x7F00 + start, len(item)) for start, item in zip(starts, items, strict=False)
    )
    pairs = pairs[:16] + struct.pack("<Q", 0x7F00 + starts[1] + move) + pairs[24:]
    return struct.pack("<HHI", 4, 0, 0x81) + pairs + b"".join(items)


def test_buffers_of_endorsements_serve_as_collateral() -> None:
    assert judged(claimed(), collateral=(sgx_buffer(),)).accepted
    assert judged(claimed(), collateral=(evidence(sgx_buffer()),)).accepted
    td = evidence(FORGE.quote(td_report()), TDX_QUOTE)
    assert judged(td, collateral=(tdx_buffer(),)).accepted
    assert reason(judged(claimed(), collateral=(tdx_buffer(),))) == "collateral for another platform"
    assert reason(judged(claimed(), collateral=())) == "no collateral"


def test_a_buffer_of_endorsements_is_judged_by_itself() -> None:
    for raw in (sgx_buffer(), tdx_buffer()):
        assert recognise(raw) == "open-enclave"
        verdict = judged(raw, collateral=())
        assert (verdict.accepted, verdict.stage) == (True, "verify"), verdict.refusal
        assert not judged(raw, collateral=(), roots=()).accepted


@needs_vectors
def test_the_real_buffer_holds_what_its_structure_says() -> None:
    items = parse_endorsements(read("open-enclave/tdx-v5.endorsements"))
    assert items.tcb_info.startswith(b'{"tcbInfo":{"id":"TDX"')
    assert items.qe_identity.startswith(b'{"enclaveIdentity":{"id":"TD_QE"')
    assert json.loads(collateral_file(read("open-enclave/tdx-v5.endorsements")))["pck_crl"].startswith("3082")


@pytest.mark.parametrize(
    "raw",
    [
        sgx_buffer(size=1),
        sgx_buffer() + b"\0",
        sgx_buffer()[:-1],
        sgx_buffer(offsets=[0, 4, 4, 4, 4, 4, 4, 4, 4]),
        sgx_buffer(offsets=[0, 4, 1 << 31, 5, 6, 7, 8, 9, 10]),
        sgx_buffer(offsets=list(range(9))),
        sgx_buffer()[:16] + b"\1\0\0\0" + sgx_buffer()[20:],
        tdx_buffer()[:16]
        + (int.from_bytes(tdx_buffer()[16:20], "little") - 1).to_bytes(4, "little")
        + tdx_buffer()[20:],
        tdx_buffer(move=1),
        tdx_buffer(move=-1),
        tdx_buffer() + b"\0",
        tdx_buffer()[:-1],
        tdx_buffer()[:60],
        tdx_buffer() + bytes(1 << 19),
    ],
    ids=range(14),
)
def test_a_buffer_with_another_structure_does_not_serve(raw: bytes) -> None:
    assert not judged(claimed(), collateral=(raw,)).accepted
    assert not judged(raw, collateral=()).accepted


def test_a_signed_document_of_collateral_holds_with_the_chain_of_its_signer() -> None:
    items = items_of(SGX)
    for name, kind in (("tcb_info", "tcbInfo"), ("qe_identity", "enclaveIdentity")):
        verdict = judged(items[name], collateral=(items["tcb_chain"],))
        assert (verdict.accepted, verdict.stage) == (True, "verify"), verdict.refusal
        assert verdict.document is not None
        assert verdict.document.kind == kind
        assert reason(judged(items[name], collateral=())) == "bad collateral signature"
        assert reason(judged(items[name], collateral=(items["tcb_chain"],), roots=())) == "wrong root"
        changed = items[name].replace(b'"tcbEvaluationDataNumber": 19', b'"tcbEvaluationDataNumber": 20')
        assert changed != items[name]
        assert reason(judged(changed, collateral=(items["tcb_chain"],))) == "bad collateral signature"


def test_a_signer_of_another_name_signs_no_collateral() -> None:
    other = pem(FORGE.signer_certificate(subject="Somebody"), FORGE.root_certificate()).encode()
    assert reason(judged(items_of(SGX)["tcb_info"], collateral=(other,))) == "bad collateral signature"


def test_other_json_is_no_document_of_collateral() -> None:
    assert parse_collateral_document(b'{"signature": "", "somethingElse": {}}') is None
    assert judged(b"{}", collateral=()).stage == "parse"


def test_claims_behind_a_quote_are_evidence_without_its_header() -> None:
    raw = quote(hashed(b"a public key")) + b"a public key"
    assert recognise(raw) == "open-enclave"
    verdict = examine(raw, at=NOW, endorsements=[SGX], roots=[ROOT_DER])
    assert (verdict.format, verdict.accepted) == ("open-enclave", True), verdict.refusal
    assert verdict.claims is not None
    for other in (quote(hashed(b"another key")) + b"a public key", quote(sha256(b"x") + b"\1" * 32) + b"x"):
        refused = examine(other, at=NOW, endorsements=[SGX], roots=[ROOT_DER])
        assert (refused.format, refused.accepted) == ("sgx", False)
        assert refused.reason.startswith("trailing bytes")
    assert recognise(quote(hashed(b"")) + bytes(100)) == "sgx"
