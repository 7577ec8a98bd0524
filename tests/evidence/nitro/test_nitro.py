"""Nitro documents: every real one gets its verdict; every check meets a forged document that is wrong in that point."""

import base64
import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mpc.canonical import canonical_json, sha256
from mpc.errors import Malformed
from mpc.evidence.appraisal import Exceptions, assess_attestation
from mpc.evidence.binding import Transcript
from mpc.evidence.claims import Attestation, Given, TpmReference
from mpc.evidence.nitro import NitroReference, parse
from mpc.evidence.nitro.verification import PINNED
from mpc.evidence.verdict import Verdict, examine, parse_reference, show
from tests.evidence.nitro.nitro_forge import ES384, NOW, PCRS, NitroForge, certify, new_key
from tests.evidence.snp_forge import rsa_key
from tests.vectors import assert_as_expected, entries, judge, named, needs_vectors, read

FORGE = NitroForge()
ROOT = FORGE.root()
PAYLOAD = FORGE.payload(root=ROOT)


def judged(raw: bytes, **changed: Any) -> Verdict:
    return examine(raw, **({"at": NOW, "format": "nitro", "roots": [ROOT]} | changed))


def refused(raw: bytes, **changed: Any) -> tuple[str, str]:
    verdict = judged(raw, **changed)
    assert verdict.refusal is not None
    assert verdict.refusal.remedy
    return verdict.stage, verdict.refusal.code


@needs_vectors
def test_every_real_document_gets_its_verdict_and_its_facts() -> None:
    ran = entries("nitro")
    for entry in ran:
        verdict, expected = judge(entry), entry["expect"]
        assert_as_expected(entry, verdict)
        shown = {field.name: field.value for field in verdict.fields}
        assert shown["module_id"] == expected["module_id"]
        assert shown["timestamp_ms"] == str(expected["timestamp_ms"])
        assert (shown["debug"] == "yes") == expected["debug"]
        for name in ("user_data", "nonce", "public_key"):
            assert shown[name] == (expected[name] or "none")
        measured = {name[3:]: value for name, value in shown.items() if name.startswith("pcr") and value.strip("0")}
        assert measured == expected["pcrs"]
        if verdict.accepted:
            assert verdict.claims is not None
            assert verdict.claims.measurements["pcr0"].hex() == expected["pcrs"]["0"]
            assert verdict.claims.facts["authority"] == PINNED[0].hex()
    assert len(ran) == 8


@needs_vectors
@pytest.mark.parametrize("stride", [101, pytest.param(1, marks=pytest.mark.slow)])
def test_no_flip_of_a_real_document_is_accepted(stride: int) -> None:
    entry = named("nitro-anjuna-prod-2021")
    raw, ran = read(entry["file"]), 0
    for index in range(0, len(raw), stride):
        changed = raw[:index] + bytes([raw[index] ^ (1 << index % 8)]) + raw[index + 1 :]
        assert not judge(entry, raw=changed).accepted
        ran += 1
    assert ran > 40


@needs_vectors
def test_no_truncation_or_extension_of_a_real_document_is_accepted() -> None:
    entry = named("nitro-anjuna-prod-2021")
    raw = read(entry["file"])
    for changed in (*(raw[:end] for end in range(0, len(raw), 61)), raw + b"\0", b"\0" + raw, raw + raw):
        assert judge(entry, raw=changed).stage == "parse"
        with pytest.raises(Malformed):
            parse(changed)


@needs_vectors
def test_base64_and_the_tag_are_wrappings_of_the_same_document() -> None:
    entry = named("nitro-evervault-beta-2022")
    raw = read(entry["file"])
    for wrapped in (base64.b64encode(raw), base64.encodebytes(raw), b"\xd2" + raw):
        assert judge(entry, raw=wrapped, format=None).accepted
    assert not judge(entry, raw=b"\xd1" + raw).accepted


@needs_vectors
def test_the_root_that_a_real_document_brings_is_an_anchor_only_because_it_is_pinned() -> None:
    entry = named("nitro-anjuna-prod-2023")
    document = parse(read(entry["file"]))
    assert sha256(document.bundle[0].der) == PINNED[0]
    assert judge(entry, endorsements=[]).accepted
    verdict = judged(FORGE.document(PAYLOAD), roots=[], endorsements=[ROOT])
    assert (verdict.stage, verdict.reason.partition(":")[0]) == ("verify", "wrong root")


def test_what_is_right_in_every_point_is_believed() -> None:
    for raw in (FORGE.document(PAYLOAD), FORGE.document(PAYLOAD, tagged=18)):
        verdict = judged(raw, format=None)
        assert verdict.accepted
        claims = verdict.claims
        assert claims is not None
        assert (claims.measured_by, claims.memory_protected, claims.debug) == ("hardware", True, False)
        assert claims.bound == bytes(64)
        assert claims.measurements == {f"pcr{index}": value for index, value in PCRS.items()}
        assert (claims.facts["nonce"], claims.facts["public_key"]) == (b"nonce".hex(), b"key".hex())
        assert claims.valid_until == NOW + timedelta(hours=2)
    name, fields = show(FORGE.document(PAYLOAD))
    assert name == "nitro"
    assert {"module_id", "pcr8", "user_data", "certificate"} <= {field.name for field in fields}


def test_what_the_enclave_chose_may_be_absent() -> None:
    for nothing in (None, ...):
        raw = FORGE.document(FORGE.payload(root=ROOT, public_key=nothing, user_data=nothing, nonce=nothing))
        claims = judged(raw).claims
        assert claims is not None
        assert claims.bound == b""
        assert not {"user_data", "nonce", "public_key"} & set(claims.facts)


SHAPES: dict[str, dict[str, Any]] = {
    "no module": {"module_id": ...},
    "an empty module": {"module_id": ""},
    "another digest": {"digest": "SHA256"},
    "no digest": {"digest": ...},
    "a time that is text": {"timestamp": "now"},
    "a time before 1970": {"timestamp": -1},
    "no registers": {"pcrs": {}},
    "a register 32": {"pcrs": PCRS | {32: bytes(48)}},
    "a register below zero": {"pcrs": PCRS | {-1: bytes(48)}},
    "a register by name": {"pcrs": PCRS | {"9": bytes(48)}},
    "a register of 20 bytes": {"pcrs": PCRS | {9: bytes(20)}},
    "a register of 65 bytes": {"pcrs": PCRS | {9: bytes(65)}},
    "a register that is text": {"pcrs": PCRS | {9: "0" * 48}},
    "no certificate": {"certificate": b""},
    "something else for a certificate": {"certificate": b"certificate"},
    "a certificate that is text": {"certificate": "certificate"},
    "a certificate of more than 1024 bytes": {"certificate": bytes(1025)},
    "no bundle": {"cabundle": ...},
    "an empty bundle": {"cabundle": []},
    "a bundle of nine": {"cabundle": [ROOT] * 9},
    "a bundle of text": {"cabundle": ["root"]},
    "too long a key": {"public_key": bytes(1025)},
    "too much user data": {"user_data": bytes(513)},
    "too long a nonce": {"nonce": bytes(513)},
    "user data that is text": {"user_data": "text"},
}


@pytest.mark.parametrize("point", SHAPES)
def test_a_field_that_is_not_as_the_format_has_it_is_malformed(point: str) -> None:
    assert refused(FORGE.document(FORGE.payload(root=ROOT, **SHAPES[point])))[0] == "parse"


@pytest.mark.parametrize("length", [0, 1025])
def test_a_certificate_of_another_size_is_not_looked_into(length: int) -> None:
    with pytest.raises(Malformed) as caught:
        parse(FORGE.document(FORGE.payload(root=ROOT, certificate=bytes(length))))
    assert caught.value.why == "a certificate is not of 1 to 1024 bytes"


def test_limits_are_met_exactly() -> None:
    at_limit = {"public_key": bytes(1024), "user_data": bytes(512), "nonce": bytes(512)}
    assert judged(FORGE.document(FORGE.payload(root=ROOT, **at_limit))).accepted


@pytest.mark.parametrize(
    "protected",
    [
        cbor2.dumps({1: -7}), cbor2.dumps({1: -36}), cbor2.dumps({1: -35, 4: b"kid"}), cbor2.dumps({}), b"",
        cbor2.dumps({1: 5}), bytes.fromhex("a201382201382200"), ES384 + b"\0", cbor2.dumps({"alg": -35}),
    ],
)  # fmt: skip
def test_the_algorithm_is_es384_and_nothing_else_is_promised(protected: bytes) -> None:
    assert refused(FORGE.document(PAYLOAD, protected=protected))[0] == "parse"


def test_the_envelope_is_a_sign1_and_holds_nothing_beside() -> None:
    packed = cbor2.dumps(PAYLOAD)
    for raw in (
        FORGE.document(PAYLOAD, unprotected={4: b"kid"}),
        FORGE.document(PAYLOAD, tagged=17),
        FORGE.document(PAYLOAD, tagged=98),
        cbor2.dumps(cbor2.CBORTag(18, cbor2.CBORTag(18, [ES384, {}, packed, bytes(96)]))),
        cbor2.dumps([ES384, {}, packed, bytes(95)]),
        cbor2.dumps([ES384, {}, packed, bytes(97)]),
        cbor2.dumps([ES384, {}, packed]),
        cbor2.dumps([ES384, {}, None, bytes(96)]),
        FORGE.document(b"\x80"),
        FORGE.document(packed + b"\0"),
        FORGE.document(packed.replace(b"\xa9", b"\xaa", 1) + cbor2.dumps("nonce") + cbor2.dumps(b"other")),
        FORGE.document(PAYLOAD) + b"\0",
        FORGE.document(FORGE.payload(root=ROOT, padding=bytes(16 << 10))),
    ):
        assert refused(raw)[0] == "parse"
    assert judged(FORGE.document(FORGE.payload(root=ROOT, later="a field of a later version"))).accepted


def test_the_signature_is_the_leafs_over_the_whole_structure() -> None:
    for raw in (
        FORGE.document(PAYLOAD, key=new_key()),
        FORGE.document(PAYLOAD, key=FORGE.instance_key),
        FORGE.document(PAYLOAD, hash_=hashes.SHA256()),
        FORGE.document(PAYLOAD, context="Signature"),
        cbor2.dumps([ES384, {}, cbor2.dumps(PAYLOAD), bytes(96)]),
    ):
        assert refused(raw) == ("verify", "evidence.signature")
        assert judged(raw).reason == "bad document signature"


def test_the_leafs_key_is_of_p384() -> None:
    for curve in (ec.SECP256R1(), ec.SECP521R1()):
        key = ec.generate_private_key(curve)
        payload = FORGE.payload(root=ROOT, certificate=FORGE.leaf(key=key))
        small = FORGE.document(payload, key=key) if curve.name == "secp256r1" else FORGE.document(payload)
        assert refused(small) == ("verify", "evidence.signature")


def chained(**changed: Any) -> tuple[str, str]:
    return refused(FORGE.document(FORGE.payload(root=ROOT, **changed)))


def test_each_step_of_the_chain_is_checked() -> None:
    zone, instance = FORGE.zone(), FORGE.instance()
    other = NitroForge()
    hour = timedelta(hours=1)
    assert chained(cabundle=[other.root(), other.zone(), other.instance()]) == ("verify", "evidence.certificate_path")
    assert chained(cabundle=[ROOT, zone]) == ("verify", "evidence.certificate_path")
    assert chained(cabundle=[ROOT, zone, other.instance()]) == ("verify", "evidence.certificate_path")
    assert chained(certificate=other.leaf()) == ("verify", "evidence.certificate_path")
    for part in ("zone", "instance", "leaf"):
        for begin, end in ((NOW - 2 * hour, NOW - hour), (NOW + hour, NOW + 2 * hour)):
            old = getattr(FORGE, part)(begin=begin, end=end)
            parts = {"certificate": old} if part == "leaf" else {
                "cabundle": [ROOT, old if part == "zone" else zone, old if part == "instance" else instance]
            }  # fmt: skip
            assert chained(**parts) == ("verify", "evidence.certificate_validity")
    no_authority, no_signer = {"authority": False}, {"usage": "crl_sign"}
    for step, bad in (("zone", no_authority), ("instance", no_authority), ("instance", no_signer)):
        wrong = getattr(FORGE, step)(**bad)
        bundle = [ROOT, wrong if step == "zone" else zone, wrong if step == "instance" else instance]
        assert chained(cabundle=bundle) == ("verify", "evidence.certificate_authority")
    short = [ROOT, FORGE.zone(path_length=0), instance]
    assert chained(cabundle=short) == ("verify", "evidence.certificate_path_length")
    for usage in ("key_agreement", ""):
        assert chained(certificate=FORGE.leaf(usage=usage)) == ("verify", "evidence.certificate_usage")
    assert chained(certificate=FORGE.leaf(key=rsa_key("of a leaf"))) == ("verify", "evidence.signature")
    assert chained(certificate=FORGE.leaf(authority=True)) == ("verify", "evidence.certificate_leaf")


def test_the_bundle_is_the_path_from_the_root_and_nothing_else() -> None:
    zone, instance = FORGE.zone(), FORGE.instance()
    stranger = certify("stranger", new_key(), "stranger", new_key())
    for bundle in ([instance, zone, ROOT], [zone, ROOT, instance], [ROOT, zone, instance, stranger], [zone, instance]):
        assert chained(cabundle=bundle) == ("verify", "evidence.cabundle_order")


@pytest.mark.parametrize("zero", [(0, 1, 2), (0,), (1,), (2,)])
def test_a_program_that_was_not_measured_is_a_debug_enclave(zero: tuple[int, ...]) -> None:
    for pcrs in (
        PCRS | dict.fromkeys(zero, bytes(48)),
        {index: value for index, value in PCRS.items() if index not in zero},
    ):
        verdict = judged(FORGE.document(FORGE.payload(root=ROOT, pcrs=pcrs)))
        assert (verdict.stage, verdict.reason.partition(":")[0]) == ("appraise", "debug enclave")


def test_the_nonce_is_that_of_the_document_and_else_what_the_enclave_bound() -> None:
    raw = FORGE.document(PAYLOAD)
    assert judged(raw, given=Given(nonce=b"nonce")).accepted
    for wrong in (b"", b"nonc", bytes(64)):
        verdict = judged(raw, given=Given(nonce=wrong))
        assert (verdict.stage, verdict.reason) == ("verify", "wrong nonce")
    without = FORGE.document(FORGE.payload(root=ROOT, nonce=None))
    assert judged(without, given=Given(nonce=bytes(64))).accepted
    assert not judged(without, given=Given(nonce=b"nonce")).accepted


def reference(**changed: Any) -> NitroReference:
    right: dict[str, Any] = {f"pcr{index}": PCRS[index].hex() for index in (0, 1, 2, 3, 4, 8)}
    return NitroReference(
        **({"format": "nitro", "measured_by": "hardware", "memory_protected": True} | right | changed)
    )


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4, 8])
def test_each_register_that_a_reference_names_has_to_be_equal(index: int) -> None:
    pcrs = PCRS | {index: b"\xff" * 48}
    for other in (pcrs, {**PCRS, 8: bytes(48)} if index == 8 else pcrs):
        raw = FORGE.document(FORGE.payload(root=ROOT, pcrs=other))
        verdict = judged(raw, references=[reference()])
        assert [check.name for check in verdict.checks if not check.passed] == [f"pcr{index}"]
        assert verdict.stage == "appraise"
    if index > 2:
        assert judged(raw, references=[reference(**{f"pcr{index}": None})]).accepted
    assert judged(FORGE.document(PAYLOAD), references=[reference()]).accepted
    assert parse_reference(canonical_json(reference())) == reference()
    assert not judged(FORGE.document(PAYLOAD), references=[reference()], roots=[]).accepted


def test_an_authority_that_a_contract_names_for_another_format_vouches_for_no_enclave() -> None:
    for_tpm = TpmReference(
        format="tpm", code_digest="00" * 32, code_pcr=8, boot_pcrs={}, authority=base64.b64encode(ROOT).decode(),
        issuer="hospital_a", measured_by="self", memory_protected=False,
    )  # fmt: skip
    raw, both = FORGE.document(PAYLOAD), [for_tpm, reference()]
    assert refused(raw, references=both, roots=[]) == ("verify", "evidence.certificate_path")
    assert judged(raw, references=both).accepted
    attestation = Attestation("nitro", raw, (), b"")
    transcript = Transcript(1, "boot", bytes(32), None, bytes(32), None, bytes(32))
    found = assess_attestation(
        attestation, both, transcript, hpke_public_key=None, exceptions=Exceptions(), at=NOW
    )  # fmt: skip
    assert found.refusal is not None
    assert found.refusal.code == "evidence.certificate_path"
    # Evidence of a format that is not listed is refused for that, and not for its root.
    assert refused(raw, references=[for_tpm]) == ("appraise", "evidence.format")


@given(st.binary(max_size=8), st.integers(0, 2000))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_a_document_or_malformed(noise: bytes, at: int) -> None:
    whole = FORGE.document(PAYLOAD)
    for raw in (noise, whole[:at] + noise + whole[at:], whole[:at] + noise + whole[at + len(noise) :]):
        with suppress(Malformed):
            parse(raw)


@pytest.mark.parametrize(
    "changed",
    [
        *({f"pcr{index}": "00" * 48} for index in (0, 1, 2, 3, 4, 8)),
        *({f"pcr{index}": None} for index in (0, 1, 2)),
        {"pcr0": "11" * 32}, {"pcr0": ""}, {"measured_by": "self"}, {"memory_protected": False}, {"pcr5": "11" * 48},
    ],
)  # fmt: skip
def test_a_reference_cannot_leave_the_program_open(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        reference(**changed)


def test_services_wrap_a_document_in_text_of_several_kinds() -> None:
    raw = FORGE.document(PAYLOAD)
    url = base64.urlsafe_b64encode(raw).rstrip(b"=")
    for wrapped in (
        base64.encodebytes(raw), url, raw.hex().encode(), b"0x" + raw.hex().upper().encode() + b"\n",
        json.dumps({"attestation_document": url.decode(), "pcrs": {}}, indent=1).encode(),
        json.dumps({"attestationDoc": raw.hex()}).encode(),
    ):  # fmt: skip
        assert judged(wrapped, format=None).accepted
    for other in (
        url + b"?", raw.hex().encode()[:-1], json.dumps({"attestation": 1}).encode(), b"{", b"{}", b"", b"0x",
        json.dumps({"document": url.decode(), "attestation": url.decode()}).encode(),
    ):  # fmt: skip
        assert not judged(other).accepted


def test_a_damaged_document_is_told_what_is_wrong_with_it() -> None:
    raw = FORGE.document(PAYLOAD)
    at = raw.index(PAYLOAD["certificate"])
    damaged = raw[:at] + b"\xff" + raw[at + 1 :]
    for spoiled in (damaged, raw[:-1], base64.b64encode(damaged)):
        verdict = judged(spoiled, format=None)
        assert (verdict.format, verdict.stage, verdict.accepted) == ("nitro", "parse", False)


INSTANCE = {
    "pcrs": ...,
    "nitrotpm_pcrs": {index: bytes([index + 1]) * 48 for index in range(24)},
    "module_id": "i-01-tpm1",
}


def test_a_document_of_a_nitro_tpm_is_believed_of_an_instance_and_of_no_enclave() -> None:
    raw = FORGE.document(FORGE.payload(root=ROOT, **INSTANCE, user_data=bytes(1024)))
    verdict = judged(raw)
    assert verdict.accepted, verdict.refusal
    claims = verdict.claims
    assert claims is not None
    assert (claims.facts["of"], claims.measured_by, claims.memory_protected) == ("instance", "boot", False)
    assert claims.measurements["pcr23"] == bytes([24]) * 48
    # The same values of registers, in a reference for an enclave, accept no instance.
    values = {f"pcr{index}": (bytes([index + 1]) * 48).hex() for index in (0, 1, 2)}
    reference = NitroReference(
        format="nitro", **values, pcr3=None, pcr4=None, pcr8=None, measured_by="hardware", memory_protected=True
    )
    refused = judged(raw, references=[reference])
    failed = {check.name for check in refused.checks if not check.passed}
    assert failed >= {"measured_by", "memory_protected"}
    assert not refused.accepted


def test_a_document_of_both_or_of_neither_is_of_nothing() -> None:
    for lie in ({**INSTANCE, "pcrs": PCRS}, {"pcrs": ...}, {**INSTANCE, "nitrotpm_pcrs": [1]}):
        verdict = judged(FORGE.document(FORGE.payload(**lie)))
        assert (verdict.stage, verdict.refusal.field if verdict.refusal else None) == ("parse", "pcrs")
