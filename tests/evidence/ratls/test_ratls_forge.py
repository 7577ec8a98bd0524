"""A false Intel and false makers of certificates: each lie is refused by the check that is there for it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from mpc.canonical import sha256
from mpc.errors import Malformed
from mpc.evidence.checks import NotBelieved
from mpc.evidence.claims import Given
from mpc.evidence.der import read_element
from mpc.evidence.formats import recognise
from mpc.evidence.ratls.certificate import parse_ra_tls
from mpc.evidence.ratls.interoperable import (
    ENDORSEMENTS,
    EVIDENCE,
    claims_for,
    endorsements_extension,
    evidence_extension,
    report_data_for,
)
from mpc.evidence.ratls.verify import verify
from mpc.evidence.reference_values.intel import SgxReference
from mpc.evidence.verdict import Verdict, examine
from tests.evidence.certificate_forge import mint_certificate, new_key, spki_of
from tests.evidence.intel_forge import FORGE, NOW, ROOT_DER, enclave_report, pem, td_report

GRAMINE, RATS_SGX, RATS_TDX = "0.6.9.42.840.113741.1337.6", "1.2.840.113741.1337.6", "1.2.840.113741.1337.8"
INTEL, OCCLUM = "1.2.840.113741.1.13.1", "1.2.840.113741.1"
SGX, TDX = FORGE.collateral("SGX"), FORGE.collateral("TDX")
KEY, OTHER = new_key(), new_key()
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SPKI = spki_of(KEY)


def sgx_quote(report_data: bytes, **changed: Any) -> bytes:
    return FORGE.quote(enclave_report(report_data=report_data, **changed), version=3, tee=0)


def tdx_quote(report_data: bytes) -> bytes:
    return FORGE.quote(td_report(report_data=report_data))


def hashed(text: bytes, name: str = "sha256") -> bytes:
    return hashlib.new(name, text).digest().ljust(64, b"\0")


def pem_of(spki: bytes) -> bytes:
    return load_der_public_key(spki).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) + b"\0"


def rsa_public_key(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)


def ccc(claims: bytes, quote: bytes | None = None) -> tuple[str, bool, bytes]:
    return EVIDENCE, False, evidence_extension(quote or sgx_quote(report_data_for(claims)), claims).value


def judged(
    raw: bytes,
    *,
    collateral: tuple[bytes, ...] = (SGX,),
    form: str | None = None,
    nonce: bytes | None = None,
    **changed: Any,
) -> Verdict:
    arguments = {"at": NOW, "format": "ra-tls", "endorsements": collateral, "roots": [ROOT_DER]} | changed
    return examine(raw, given=Given(form=form, nonce=nonce), **arguments)


def reason(verdict: Verdict) -> str:
    return verdict.reason.partition(":")[0]


GENUINE: dict[str, tuple[Callable[[], bytes], str, tuple[bytes, ...]]] = {
    "ccc": (lambda: mint_certificate(KEY, [ccc(claims_for(SPKI))], null_parameters=True), "ra-tls", (SGX,)),
    "ccc-td": (
        lambda: mint_certificate(KEY, [ccc(c := claims_for(SPKI), tdx_quote(report_data_for(c)))]), "ra-tls", (TDX,),
    ),
    "ccc-td-as-intel-writes-it": (
        lambda: mint_certificate(KEY, [ccc(c := claims_for(SPKI), tdx_quote(hashed(c, "sha384")))]), "ra-tls", (TDX,),
    ),
    "gramine": (
        lambda: mint_certificate(KEY, [(GRAMINE, False, sgx_quote(hashed(SPKI)))], null_parameters=True), "gramine",
        (SGX,),
    ),
    "rats-tls": (lambda: mint_certificate(KEY, [(RATS_SGX, False, sgx_quote(hashed(SPKI)))]), "ra-tls", (SGX,)),
    "rats-tls-before-2021": (
        lambda: mint_certificate(RSA_KEY, [(RATS_SGX, False, sgx_quote(hashed(rsa_public_key(RSA_KEY))))]), "ra-tls",
        (SGX,),
    ),
    "rats-tls-td": (lambda: mint_certificate(KEY, [(RATS_TDX, False, tdx_quote(hashed(SPKI)))]), "ra-tls", (TDX,)),
    "intel": (lambda: mint_certificate(KEY, [(INTEL, False, sgx_quote(hashed(pem_of(SPKI))))]), "ra-tls", (SGX,)),
    "intel-td": (
        lambda: mint_certificate(KEY, [(INTEL, False, tdx_quote(hashed(pem_of(SPKI), "sha384")))]), "ra-tls", (TDX,),
    ),
    "occlum": (
        lambda: mint_certificate(
            RSA_KEY, [(OCCLUM, False, sgx_quote(hashed(spki_of(RSA_KEY))))], version="v1", digest="sha1"
        ), "occlum", (SGX,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GENUINE)
def test_a_genuine_certificate_of_every_form_is_accepted_and_recognised(name: str) -> None:
    mint, form, collateral = GENUINE[name]
    raw = mint()
    assert recognise(raw) == form
    verdict = judged(raw, collateral=collateral, format=None)
    assert verdict.accepted, verdict.refusal
    assert verdict.claims is not None
    assert verdict.claims.facts["key_bound"] is True
    assert verdict.claims.format == ("tdx" if "td" in name.split("-")[1:] else "sgx")


@pytest.mark.parametrize("name", GENUINE)
def test_a_quote_of_another_key_is_refused_before_any_collateral(name: str) -> None:
    stolen = mint_certificate(OTHER, parse_ra_tls(GENUINE[name][0]()).certificate.extensions)
    verdict = judged(stolen, collateral=(), format=GENUINE[name][1])
    assert (verdict.stage, reason(verdict)) == ("verify", "key not bound to evidence")


@pytest.mark.parametrize(
    "claims",
    [
        cbor2.dumps({"nonce": b"n"}),
        cbor2.dumps({"pubkey-hash": b""}),
        cbor2.dumps({"pubkey-hash": sha256(SPKI)}),
        cbor2.dumps({"pubkey-hash": cbor2.dumps([1, sha256(spki_of(OTHER))])}),
        cbor2.dumps({"pubkey-hash": cbor2.dumps([1, sha256(SPKI)[:16]])}),
        cbor2.dumps({"pubkey-hash": cbor2.dumps([2, sha256(SPKI)])}),
        cbor2.dumps({"pubkey-hash": cbor2.dumps([True, sha256(SPKI)])}),
        cbor2.dumps({"pubkey-hash": cbor2.dumps([7, sha256(SPKI)])}),
        cbor2.dumps({"pubkey-hash": cbor2.dumps([1, sha256(SPKI)]) + b"\0"}),
    ],
    ids=[
        "no hash", "empty", "a bare hash", "another's hash", "half a hash", "an unknown hash", "a truth for a number",
        "another hash's number", "a byte more",
    ],
)  # fmt: skip
def test_claims_without_the_hash_of_the_key_bind_nothing(claims: bytes) -> None:
    verdict = judged(mint_certificate(KEY, [ccc(claims)]))
    assert (verdict.stage, reason(verdict)) == ("verify", "key not bound to evidence")
    assert verdict.checks[-1].name == "pubkey_hash"


@pytest.mark.parametrize(("number", "name"), [(1, "sha256"), (7, "sha384"), (8, "sha512")])
def test_every_hash_that_a_verifier_has_to_know_is_known(number: int, name: str) -> None:
    entry = cbor2.dumps([number, hashlib.new(name, SPKI).digest()])
    verdict = judged(mint_certificate(KEY, [ccc(cbor2.dumps({"pubkey-hash": entry, "key_0": b"ignored"}))]))
    assert verdict.accepted, verdict.refusal


@pytest.mark.parametrize(
    "claims",
    [
        b"",
        b"\xa0",
        cbor2.dumps([1]),
        cbor2.dumps({1: b"a"}),
        cbor2.dumps({"pubkey-hash": "text"}),
        claims_for(SPKI) + b"\0",
        b"\xa2" + claims_for(SPKI)[1:] * 2,
    ],
    ids=["nothing", "no claim", "a list", "a number's claim", "a text", "a byte more", "the same claim twice"],
)
def test_claims_that_are_no_claims_are_malformed(claims: bytes) -> None:
    assert judged(mint_certificate(KEY, [ccc(claims)])).stage == "parse"


@pytest.mark.parametrize("tail", [b"\1" + bytes(31), bytes(31) + b"\1"])
@pytest.mark.parametrize("form", ["ccc", "gramine"])
def test_all_bytes_of_the_report_data_count(form: str, tail: bytes) -> None:
    claims = claims_for(SPKI)
    if form == "ccc":
        extension = ccc(claims, sgx_quote(sha256(claims) + tail))
    else:
        extension = (GRAMINE, False, sgx_quote(sha256(SPKI) + tail))
    assert reason(judged(mint_certificate(KEY, [extension]))) == "key not bound to evidence"


def test_the_hash_of_a_td_is_none_of_an_enclave() -> None:
    claims = claims_for(SPKI)
    raw = mint_certificate(KEY, [ccc(claims, sgx_quote(hashed(claims, "sha384")))])
    assert reason(judged(raw)) == "key not bound to evidence"


def test_the_nonce_of_the_claims_is_what_was_asked_for() -> None:
    raw = mint_certificate(KEY, [ccc(claims_for(SPKI, nonce=b"asked"))])
    assert judged(raw, nonce=b"asked").accepted
    verdict = judged(raw, nonce=b"other")
    assert (verdict.stage, reason(verdict)) == ("verify", "wrong nonce")


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        ({"signer": OTHER}, "bad certificate signature"),
        ({"not_after": NOW - timedelta(seconds=1)}, "certificate expired"),
        ({"not_before": NOW + timedelta(seconds=1)}, "certificate not yet valid"),
        ({"digest": "sha1"}, "bad certificate signature"),
        ({"issuer": "somebody else", "signer": OTHER}, "wrong root"),
    ],
)
def test_a_certificate_that_is_not_whole_or_not_in_date_is_refused(lie: dict[str, Any], why: str) -> None:
    verdict = judged(mint_certificate(KEY, [ccc(claims_for(SPKI))], **lie))
    assert (verdict.stage, reason(verdict)) == ("verify", why)


def test_a_critical_extension_that_nobody_knows_is_refused_and_critical_evidence_is_not() -> None:
    oid, _, value = ccc(claims_for(SPKI))
    assert judged(mint_certificate(KEY, [(oid, True, value)])).accepted
    verdict = judged(mint_certificate(KEY, [(oid, False, value), ("1.2.3.4", True, b"\5\0")]))
    assert reason(verdict) == "unknown critical extension"


def test_a_certificate_of_an_authority_needs_that_authority_as_a_root() -> None:
    root = mint_certificate(OTHER, [("2.5.29.19", True, b"\x30\x03\x01\x01\xff")], subject="authority")
    raw = mint_certificate(KEY, [ccc(claims_for(SPKI))], issuer="authority", signer=OTHER)
    assert reason(judged(raw)) == "wrong root"
    chained = pem(raw, root).encode()
    assert reason(judged(chained)) == "wrong root"  # what comes along is no anchor
    verdict = judged(raw, roots=[ROOT_DER, root])
    assert verdict.accepted, verdict.refusal
    assert verdict.claims is not None
    assert verdict.claims.facts["certificate_signed_by"] == "a given authority"


def test_occlums_own_signature_is_advisory_and_only_where_it_is_sha1() -> None:
    extension = (OCCLUM, False, sgx_quote(hashed(SPKI)))
    verdict = judged(mint_certificate(KEY, [extension], digest="sha1", signer=OTHER), format="occlum")
    assert verdict.accepted
    assert verdict.claims is not None
    assert verdict.claims.facts["certificate_signed_by"] == "not checked: SHA-1"
    assert (
        reason(judged(mint_certificate(KEY, [extension], signer=OTHER), format="occlum")) == "bad certificate signature"
    )


def test_a_form_that_was_asked_for_is_the_only_one_that_counts() -> None:
    both = mint_certificate(KEY, [ccc(claims_for(SPKI)), (GRAMINE, False, sgx_quote(bytes(64)))])
    assert judged(both).accepted  # the interoperable one counts where it is present
    assert reason(judged(both, form="gramine")) == "key not bound to evidence"
    assert judged(both, form="occlum").stage == "parse"
    assert judged(both, form="no such form").stage == "parse"
    assert judged(both, format="gramine").accepted
    assert judged(both, form="rats-tls").accepted


def endorsements(collateral: bytes) -> list[bytes]:
    parts = json.loads(collateral)
    answers = {
        name: json.dumps({}).encode()[:-1]
        + f'"{name}":{parts[part]},"signature":"{parts[f"{part}_signature"]}"}}'.encode()
        for name, part in (("tcbInfo", "tcb_info"), ("enclaveIdentity", "qe_identity"))
    }
    signers = parts["tcb_info_issuer_chain"].encode() + b"\0"
    return [
        answers["tcbInfo"], signers, bytes.fromhex(parts["pck_crl"]), bytes.fromhex(parts["root_ca_crl"]),
        parts["pck_crl_issuer_chain"].encode() + b"\0", answers["enclaveIdentity"], signers,
    ]  # fmt: skip


def test_endorsements_in_the_certificate_serve_where_nobody_gives_others() -> None:
    carried = (ENDORSEMENTS, False, endorsements_extension(endorsements(SGX)).value)
    raw = mint_certificate(KEY, [ccc(claims_for(SPKI)), carried])
    assert judged(raw, collateral=()).accepted
    assert judged(raw, collateral=(SGX,)).accepted
    # those that the one who asks gives count, and nothing is taken from the certificate beside them
    assert reason(judged(raw, collateral=(FORGE.collateral("SGX", qe_identity=None),))) == "no collateral"
    late = judged(raw, collateral=(), at=NOW + timedelta(days=100))
    assert reason(late) == "collateral expired"


@pytest.mark.parametrize("places", [(0,), (2,), (3,), (5,), (1, 6), (4, 6, 1)])
@pytest.mark.parametrize(
    "damage", [lambda item: item[:0], lambda item: item[:60], lambda item: item[:60] + b"\0" + item[61:]]
)
def test_endorsements_that_are_missing_or_damaged_do_not_serve(places: tuple[int, ...], damage: Any) -> None:
    items = endorsements(SGX)
    for place in places:  # the chain of the signer stands there twice
        items[place] = damage(items[place])
    carried = (ENDORSEMENTS, False, endorsements_extension(items).value)
    assert not judged(mint_certificate(KEY, [ccc(claims_for(SPKI)), carried]), collateral=()).accepted


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (cbor2.dumps(cbor2.CBORTag(60001, [b"report", b"claims"])), "not a quote"),
        (cbor2.dumps(cbor2.CBORTag(60002, [b"report", b"claims"])), "not a quote"),
        (cbor2.dumps(cbor2.CBORTag(1, [b"report", b"claims"])), "not a quote"),
        (cbor2.dumps([b"quote", b"claims"]), "malformed RA-TLS evidence"),
        (cbor2.dumps(cbor2.CBORTag(60000, [b"quote"])), "malformed RA-TLS evidence"),
        (cbor2.dumps(cbor2.CBORTag(60000, [b"quote", "claims"])), "malformed RA-TLS evidence"),
        (cbor2.dumps(cbor2.CBORTag(60000, {"a": 1})), "malformed RA-TLS evidence"),
    ],
)
def test_other_values_of_the_extension_refuse_by_their_reason(value: bytes, why: str) -> None:
    verdict = judged(mint_certificate(KEY, [(EVIDENCE, False, value)]))
    assert (verdict.stage, reason(verdict)) == ("parse", why)


def test_a_false_intel_is_believed_by_nobody_who_does_not_name_it() -> None:
    assert reason(judged(mint_certificate(KEY, [ccc(claims_for(SPKI))]), roots=())) in {
        "wrong root",
        "bad certificate signature",
    }


def test_debug_and_measurements_are_judged_as_for_the_bare_quote() -> None:
    claims = claims_for(SPKI)
    debug = mint_certificate(KEY, [ccc(claims, sgx_quote(report_data_for(claims), attributes="0700000000000000"))])
    assert (judged(debug).stage, reason(judged(debug))) == ("appraise", "debug enclave")
    wanted = SgxReference(
        format="sgx", mrenclave="e1" * 32, mrsigner=None, isvprodid=None, minimum_isvsvn=2, attributes="00" * 16,
        attributes_mask="02" + "00" * 15, configid=None, accepted=(), minimum_tcb_evaluation_data_number=19,
        refused_advisories=(), platforms=None, measured_by="hardware", memory_protected=True,
    )  # fmt: skip
    raw = mint_certificate(KEY, [ccc(claims)])
    assert judged(raw, references=[wanted]).accepted
    other = wanted.model_copy(update={"mrenclave": "e3" * 32})
    assert reason(judged(raw, references=[other])) == "wrong measurement"


def covered(raw: bytes, form: str, collateral: bytes, stride: int) -> None:
    for place in range(0, len(raw), stride):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        try:
            verify(parse_ra_tls(changed, form), (collateral,), roots=[ROOT_DER], at=NOW)
        except (NotBelieved, Malformed):
            continue
        pytest.fail(f"byte {place} may be changed")


@pytest.mark.parametrize("name", ["ccc", "gramine", "intel"])
def test_no_byte_of_a_certificate_may_be_changed(name: str) -> None:
    covered(GENUINE[name][0](), name, SGX, stride=29)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ccc", "gramine", "intel"])
def test_no_byte_at_all_of_a_certificate_may_be_changed(name: str) -> None:
    covered(GENUINE[name][0](), name, SGX, stride=1)


FREE_IN_OCCLUMS = {"serial", "subject_text", "common_name", "issuer", "subject", "not_before", "not_after", "signature"}


def test_of_occlums_certificate_only_what_no_signature_covers_may_be_changed() -> None:
    raw = GENUINE["occlum"][0]()
    genuine = parse_ra_tls(raw, "occlum")
    free = set()
    for place in range(0, len(raw), 5):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        try:
            found = parse_ra_tls(changed, "occlum")
            verify(found, (SGX,), roots=[ROOT_DER], at=NOW)
        except (NotBelieved, Malformed):
            continue
        assert found.quote.raw == genuine.quote.raw
        free |= {
            name.name
            for name in fields(genuine.certificate)
            if getattr(found.certificate, name.name) != getattr(genuine.certificate, name.name)
        } - {"der", "signed"}
    assert "signature" in free
    assert free <= FREE_IN_OCCLUMS


def test_every_truncation_and_every_extension_is_malformed() -> None:
    raw = GENUINE["ccc"][0]()
    for size in range(0, len(raw), 97):
        with pytest.raises(Malformed):
            parse_ra_tls(raw[:size])
    with pytest.raises(Malformed):
        parse_ra_tls(raw + b"\0")
    with pytest.raises(Malformed):
        parse_ra_tls(bytes(65 << 10))


def test_a_certificate_without_evidence_is_no_evidence() -> None:
    with pytest.raises(Malformed):
        parse_ra_tls(mint_certificate(KEY, []))
    # Intel's identifier names the extension of every PCK certificate too
    with pytest.raises(Malformed):
        parse_ra_tls(FORGE.pck_certificate())


def test_the_bits_of_a_key_alone_bind_it_only_where_they_are_all_of_it() -> None:
    """The bits of a P-256 key do not say of which curve they are; no other form ever hashed them."""
    bits = read_element(SPKI).children()[1].content[1:]
    for oid, key, bound in (
        (RATS_SGX, KEY, bits), (GRAMINE, RSA_KEY, rsa_public_key(RSA_KEY)), (OCCLUM, RSA_KEY, rsa_public_key(RSA_KEY)),
    ):  # fmt: skip
        assert reason(judged(mint_certificate(key, [(oid, False, sgx_quote(hashed(bound)))]))) == (
            "key not bound to evidence"
        )


def test_a_quotes_certificates_may_follow_each_other_without_an_end_of_line() -> None:
    def carrying(between: str) -> bytes:
        armour = pem(*FORGE.chain()).replace("-----\n-----", f"-----{between}-----").encode()
        report = enclave_report(report_data=hashed(SPKI))
        quote = FORGE.quote(report, version=3, tee=0, certification=(5, armour))
        return mint_certificate(KEY, [(RATS_SGX, False, quote)])

    assert judged(carrying("")).accepted
    for other in (" ", "\n\n", "\t", "-", "\r"):
        assert judged(carrying(other)).stage == "parse"
