"""Veracruz evidence of all platforms, made by false ones: each check meets what only it sees."""

from datetime import UTC, datetime
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import ValidationError

from mpc.canonical import sha256
from mpc.errors import Malformed
from mpc.evidence.appraisal import Exceptions
from mpc.evidence.claims import Given
from mpc.evidence.formats import recognise
from mpc.evidence.veracruz import FORMAT, VeracruzReference
from mpc.evidence.veracruz.evidence import parse
from mpc.evidence.veracruz.request import REQUEST_MAX_BYTES, parse_request
from mpc.evidence.veracruz.verify import TEST_KEY
from mpc.evidence.verdict import Verdict, examine, show
from tests.evidence.nitro.nitro_forge import NitroForge
from tests.evidence.snp_forge import MEASUREMENT, SnpForge

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
# Published as TOTALLY_INSECURE_ROOT_PRIVATE_KEY in Veracruz's source.
MOCK = ec.derive_private_key(0xE6BF1E3DB44542BEF535E7ACBC2D54D0BA94BFB547672C31C1D4EE1C0576A144, ec.SECP256R1())
RUNTIME, CHALLENGE = sha256(b"runtime manager"), bytes(range(32))


def request(key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "VeracruzCompute")])
    builder = x509.CertificateSigningRequestBuilder(name)
    return builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.DER)


CSR = request()
DIGEST = sha256(CSR)


def token(*, key: ec.EllipticCurvePrivateKey = MOCK, alg: int = -7, **changed: Any) -> bytes:
    claims = {
        -75001: -0xDEADBEEF, -75002: 16384, -75004: bytes(range(32)), 10: CHALLENGE,
        25101: b"\x01" + sha256(TEST_KEY), 25102: True, -75003: b"acme-implementation-id-000000001", 25104: 1,
        -75008: CHALLENGE, -75009: b"\x01" + sha256(TEST_KEY), -75006: [{2: RUNTIME, 1: "ARoT", 5: DIGEST}],
    } | changed.pop("claims", {})  # fmt: skip
    protected = cbor2.dumps({1: alg})
    payload = cbor2.dumps({name: value for name, value in claims.items() if value is not ...})
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    whole = [protected, changed.get("unprotected", {4: b"key"}), payload, r.to_bytes(32) + s.to_bytes(32)]
    return cbor2.dumps(cbor2.CBORTag(18, whole))


def reference(platform: str = "linux", **changed: Any) -> VeracruzReference:
    hardware = platform != "linux"
    values = {
        "format": "veracruz", "platform": platform, "runtime_manager_hash": RUNTIME.hex(),
        "accepted": () if hardware else ("debug", "published_test_key"),
        "measured_by": "hardware" if hardware else "self", "memory_protected": hardware,
    }  # fmt: skip
    return VeracruzReference(**(values | changed))


def judged(raw: bytes, wanted: VeracruzReference | None = None, files: Any = (CSR,), **changed: Any) -> Verdict:
    named = frozenset({"veracruz"})
    return examine(
        raw, at=NOW, format="veracruz", endorsements=list(files), references=[wanted or reference()],
        exceptions=Exceptions(named, named), **changed,
    )  # fmt: skip


def refused_by(verdict: Verdict) -> str:
    assert verdict.refusal is not None
    return verdict.refusal.code.removeprefix("evidence.")


FORGE = SnpForge()
NITRO = NitroForge()
NITRO_ROOT = NITRO.root()


def nitro(**changed: Any) -> bytes:
    fields = {"user_data": DIGEST, "nonce": CHALLENGE, "root": NITRO_ROOT}
    return NITRO.document(NITRO.payload(**(fields | changed)), tagged=18)


def test_the_mock_is_refused_by_default_and_accepted_by_its_name_only() -> None:
    without = examine(token(), at=NOW, endorsements=[CSR])
    assert without.refusal is not None
    assert (without.stage, without.format) == ("appraise", "veracruz")
    assert {check.name for check in without.checks if not check.passed} == {"debug", "published_test_key", "forgeable"}
    assert judged(token(), given=Given(nonce=CHALLENGE)).accepted
    assert refused_by(judged(token(), reference(accepted=("debug",)))) == "published_test_key"
    assert refused_by(judged(token(), reference(accepted=("published_test_key",)))) == "debug"
    assert refused_by(judged(token(), given=Given(nonce=bytes(32)))) == "nonce"


def test_each_check_of_the_token_refuses_what_only_it_sees() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert refused_by(judged(token(key=other))) == "signature"
    assert refused_by(judged(token(claims={-75009: bytes(33)}))) == "instance"
    assert refused_by(judged(token(), files=())) == "request"
    assert judged(token(), files=()).reason.startswith("no certificate request")
    assert refused_by(judged(token(), files=(request(),))) == "csr_digest"
    assert refused_by(judged(token(claims={-75006: [{2: bytes(32), 1: "ARoT", 5: DIGEST}]}))) == "runtime_manager"
    elsewhere = judged(token(), reference("nitro", accepted=("debug", "published_test_key")))
    assert refused_by(elsewhere) == "platform"
    unsigned = bytearray(CSR)
    unsigned[-1] ^= 1
    forged = token(claims={-75006: [{2: RUNTIME, 1: "ARoT", 5: sha256(bytes(unsigned))}]})
    assert refused_by(judged(forged, files=(bytes(unsigned),))) == "request_signature"


@pytest.mark.parametrize(
    "changed",
    [
        {"alg": -35}, {"unprotected": {1: -7}}, {"claims": {10: ...}}, {"claims": {-75008: bytes(32)}},
        {"claims": {25102: 1}}, {"claims": {-75002: True}}, {"claims": {-75009: b""}}, {"claims": {-75006: []}},
        {"claims": {-75006: [{2: RUNTIME[:-1], 5: DIGEST}]}}, {"claims": {10: bytes(65), -75008: bytes(65)}},
        {"claims": {-75006: [{2: RUNTIME, 5: DIGEST}, {2: RUNTIME, 5: DIGEST}]}},
    ],
)  # fmt: skip
def test_a_token_of_another_form_is_malformed(changed: dict[str, Any]) -> None:
    assert judged(token(**changed)).stage == "parse"


def test_a_request_is_taken_in_pem_and_two_are_not() -> None:
    pem = x509.load_der_x509_csr(CSR).public_bytes(Encoding.PEM)
    assert judged(token(), files=(pem,)).accepted
    assert refused_by(judged(token(), files=(CSR, request()))) == "request"
    with pytest.raises(Malformed) as refused:
        parse_request(CSR + bytes(REQUEST_MAX_BYTES))
    assert refused.value.why == "it is over the limit of size"


def test_no_flip_truncation_or_extension_of_a_token_is_accepted() -> None:
    raw = token(unprotected={})
    for position in range(0, len(raw), 3):
        changed = bytearray(raw)
        changed[position] ^= 0x10
        verdict = judged(bytes(changed))
        # Text with control characters is no table, so that a spoiled token never passes for data.
        assert not verdict.accepted, position
    for cut in (*(raw[:length] for length in range(0, len(raw), 31)), raw[:-1], raw + b"\0", raw + raw):
        assert not judged(cut).accepted
    for position in range(0, len(CSR), 5):
        spoiled = CSR[:position] + bytes([CSR[position] ^ 1]) + CSR[position + 1 :]
        assert not judged(raw, files=(spoiled,)).accepted


def test_the_name_of_the_key_is_signed_by_nobody_and_nothing_comes_of_it() -> None:
    assert judged(token(unprotected={4: b"another"})).accepted


def test_nitro_binds_the_request_in_user_data() -> None:
    pcr0 = NITRO.payload()["pcrs"][0]
    wanted = reference("nitro", runtime_manager_hash=pcr0[:32].hex())
    verdict = judged(nitro(), wanted, roots=[NITRO_ROOT], given=Given(nonce=CHALLENGE))
    assert verdict.accepted, verdict.refusal
    assert verdict.claims is not None
    assert (verdict.claims.measured_by, verdict.claims.memory_protected) == ("hardware", True)
    assert judged(nitro(), reference("nitro", runtime_manager_hash=pcr0.hex()), roots=[NITRO_ROOT]).accepted
    assert refused_by(judged(nitro(user_data=bytes(32)), wanted, roots=[NITRO_ROOT])) == "csr_digest"
    assert refused_by(judged(nitro(user_data=DIGEST + bytes(32)), wanted, roots=[NITRO_ROOT])) == "csr_digest"
    assert refused_by(judged(nitro(), wanted)) == "certificate_path"
    assert refused_by(judged(nitro(), reference("nitro"), roots=[NITRO_ROOT])) == "runtime_manager"
    debug = nitro(pcrs={index: bytes(48) for index in range(3)})
    assert refused_by(judged(debug, wanted, roots=[NITRO_ROOT])) == "debug"
    assert recognise(nitro()) == "nitro"


def test_snp_binds_the_request_in_the_first_half_of_report_data_and_no_challenge() -> None:
    files = (CSR, *FORGE.endorsements)
    wanted = reference("sevsnp", runtime_manager_hash=MEASUREMENT.hex())
    right = FORGE.report(report_data=DIGEST + bytes(32))
    verdict = judged(right, wanted, files, roots=[FORGE.root])
    assert verdict.accepted, verdict.refusal
    assert refused_by(judged(right, wanted, files, roots=[FORGE.root], given=Given(nonce=CHALLENGE))) == "nonce"
    tail = FORGE.report(report_data=DIGEST + b"\1" * 32)
    assert refused_by(judged(tail, wanted, files, roots=[FORGE.root])) == "csr_digest"
    assert refused_by(judged(right, wanted, files)) == "certificate_path"
    migrates = FORGE.report(report_data=DIGEST + bytes(32), policy=0x30000 | 1 << 18)
    assert refused_by(judged(migrates, wanted, files, roots=[FORGE.root])) == "migrate_ma"
    assert FORMAT.describe(parse(right))[0].value == "sevsnp"


def test_evidence_is_shown_whatever_its_platform() -> None:
    for raw in (token(), nitro(), FORGE.report()):
        name, fields = show(raw, format="veracruz")
        assert name == "veracruz"
        assert len(fields) > 5


def test_a_reference_says_what_its_platform_is() -> None:
    for changed in (
        {"measured_by": "hardware"}, {"memory_protected": True}, {"runtime_manager_hash": "0" * 64},
        {"accepted": ("published_test_key", "debug")}, {"runtime_manager_hash": "ab"},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            reference(**changed)


def test_a_document_of_an_instance_is_of_no_runtime_manager() -> None:
    registers = {index: bytes([index + 1]) * 48 for index in range(24)}
    verdict = judged(nitro(pcrs=..., nitrotpm_pcrs=registers), roots=[NITRO_ROOT])
    assert (verdict.stage, verdict.accepted) == ("parse", False)
    assert "instance" in verdict.reason
