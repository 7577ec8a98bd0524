"""TPM quotes as others write them: every real one gets its verdict, and each lie about one is refused by its name."""

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mpc.evidence.claims import Given
from mpc.evidence.tpm_google import PINNED
from mpc.evidence.verdict import Verdict, examine, show
from tests.evidence.tpm_forge import NOW, PCRS, Forge, Issuer, Key, ecc_public, selection, sized
from tests.vectors import assert_as_expected, entries, judge, named, needs_vectors, read

FORGE = Forge()
ROOT = FORGE.root()
SHA384 = {0: b"\1" * 48, 8: b"\2" * 48}


@needs_vectors
def test_every_real_quote_gets_its_verdict_and_its_facts() -> None:
    ran = entries("tpm")
    for entry in ran:
        verdict, expected = judge(entry), entry["expect"]
        assert_as_expected(entry, verdict)
        shown = {field.name: field.value for field in verdict.fields}
        assert shown["extra data"] == expected["nonce"]
        assert shown[f"selection {expected['bank']}"] == (",".join(map(str, expected["selection"])) or "none")
        if verdict.accepted:
            claims = verdict.claims
            assert claims is not None
            assert (claims.facts["bank"], claims.facts["ak_endorsed"] == "yes") == (
                expected["bank"],
                expected["ak_endorsed"],
            )
            measured = {name[3:]: value.hex() for name, value in claims.measurements.items() if any(value)}
            assert measured == expected["pcrs"]
            assert (claims.measured_by, claims.memory_protected) == ("self", False)
    assert len(ran) == 8


GCE = "tpm-gce-cos-85-no-nonce-sha256"


@needs_vectors
def test_googles_root_is_pinned_and_the_certificate_names_the_instance() -> None:
    claims = judge(named(GCE)).claims
    assert claims is not None
    assert claims.facts["authority"] == PINNED[0].hex()
    assert claims.facts["gce_zone"] == "us-central1-a"
    assert claims.facts["gce_instance_id"] == 6797026933021542085
    entry = named(GCE)
    leaf, intermediate, root = (read(name) for name in entry["endorsements"])
    assert judge(entry, endorsements=[intermediate, root]).accepted
    # The pin is of the root's digest: it has to come along, and nothing that comes along instead will do.
    assert judge(entry, endorsements=[leaf, intermediate]).reason.startswith("bad certificate signature")
    assert judge(entry, endorsements=[leaf, intermediate, ROOT]).stage == "verify"
    assert judge(entry, endorsements=[leaf, intermediate], roots=[root]).accepted


@needs_vectors
def test_the_log_explains_the_registers_that_it_leads_to() -> None:
    for bank in ("sha1", "sha256", "sha384"):
        claims = judge(named(f"tpm-gce-cos-85-no-nonce-{bank}")).claims
        assert claims is not None
        log = claims.facts["event_log"]
        assert isinstance(log, dict)
        assert set(log) == {*(f"pcr{index}" for index in range(10)), "unexplained"}
        assert log["unexplained"] == ("10",)
        assert "EV_S_CRTM_VERSION: GCE Virtual Firmware v1" in log["pcr0"]
        assert any("kernel_cmdline: /syslinux/vmlinuz.A" in event for event in log["pcr8"])
        assert "EV_EFI_VARIABLE_BOOT" in log["pcr1"]  # whose data is not what was measured, so that it is left out


@needs_vectors
@pytest.mark.parametrize("stride", [197, pytest.param(7, marks=pytest.mark.slow)])
def test_a_flip_is_refused_or_lies_where_nothing_is_covered_and_changes_no_claim(stride: int) -> None:
    entry = named(GCE)
    raw = read(entry["file"])
    right = judge(entry).claims
    assert right is not None
    log_begins = raw.index(b"Spec ID Event03") - 32
    certificate_begins = raw.index(b"\x30\x82\x05\x38")
    accepted = 0
    for index in range(0, len(raw), stride):
        changed = raw[:index] + bytes([raw[index] ^ (1 << index % 8)]) + raw[index + 1 :]
        claims = judge(entry, raw=changed).claims
        if claims is not None:
            # Not covered: the log of the boot, which only explains; a zero of protobuf, which need not be written.
            assert log_begins <= index < certificate_begins or raw[index : index + 2] == b"\x08\x00"
            assert claims.measurements == right.measurements
            assert {**claims.facts, "event_log": None} == {**right.facts, "event_log": None}
            accepted += 1
    assert accepted > 20


@needs_vectors
def test_no_truncation_or_extension_is_accepted() -> None:
    for name in (GCE, "tpm-coco"):
        entry = named(name)
        raw = read(entry["file"])
        for changed in (*(raw[:end] for end in range(0, len(raw), len(raw) // 40)), raw + b"\1", raw + raw):
            assert not judge(entry, raw=changed).accepted


@needs_vectors
@pytest.mark.parametrize("name", [GCE, "tpm-coco"])
def test_a_bank_that_was_not_quoted_is_refused(name: str) -> None:
    verdict = judge(named(name), given=Given(bank="sha512"))
    assert not verdict.accepted
    assert not judge(named(name), given=Given(bank="md5")).accepted


def judged(raw: bytes, *files: bytes, **changed: Any) -> Verdict:
    return examine(raw, **({"at": NOW, "format": "tpm", "roots": [ROOT], "endorsements": files} | changed))


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    more = value >> 7
    return bytes([value & 0x7F | (0x80 if more else 0)]) + (varint(more) if more else b"")


def quoted(
    bank: int = 0xB, *, key: Key | None = None, registers: dict[int, bytes] | None = None, **changed: Any
) -> bytes:
    """Return one quote as go-tpm writes it."""
    registers = (PCRS if bank == 0xB else SHA384) if registers is None else registers
    digest = hashlib.sha256(b"".join(registers.values())).digest()
    right = {"selections": (selection(tuple(registers), bank=bank),), "digest": digest}
    attest = FORGE.attest(public=ecc_public(FORGE.key), **(right | changed))
    entries_ = b"".join(field(2, field(1, index) + field(2, value)) for index, value in registers.items())
    return field(1, attest) + field(2, FORGE.sign(attest, key=key)) + field(3, field(1, bank) + entries_)


def attestation(*quotes: bytes, leaf: bytes | None = None, extra: bytes = b"", attributes: int | None = None) -> bytes:
    public = ecc_public(FORGE.key) if attributes is None else ecc_public(FORGE.key, attributes=attributes)
    body = field(1, public) + b"".join(field(2, quote) for quote in quotes)
    return body + (field(6, FORGE.certificate() if leaf is None else leaf) if leaf != b"" else b"") + extra


def test_what_go_tpm_tools_would_write_is_believed_if_all_of_it_is_right() -> None:
    both = attestation(quoted(), quoted(0xC))
    for bank, registers in (("sha256", PCRS), ("sha384", SHA384)):
        claims = judged(both, given=Given(bank=bank), format=None).claims
        assert claims is not None
        assert claims.measurements == {f"pcr{index}": value for index, value in registers.items()}
    assert judged(both, given=None).accepted
    assert judged(attestation(quoted(), extra=field(4, b"unknown") + field(99, 7))).accepted
    middle_key = attestation(quoted(), leaf=b"")
    assert judged(middle_key).claims is not None
    assert judged(middle_key, FORGE.certificate()).accepted
    name, fields = show(both)
    assert (name, "pcr8" in {one.name for one in fields}) == ("tpm", True)


OTHER = ec.generate_private_key(ec.SECP256R1())
WRONG: dict[str, tuple[tuple[bytes, ...], str]] = {
    "another key's signature": ((quoted(key=OTHER),), "evidence.signature"),
    "another key's signature in the other bank": ((quoted(), quoted(0xC, key=OTHER)), "evidence.signature"),
    "another digest": ((quoted(digest=bytes(32)),), "evidence.pcr_digest"),
    "another digest in the other bank": ((quoted(), quoted(0xC, digest=bytes(32))), "evidence.pcr_digest"),
    "a digest with the bank's hash": (
        (quoted(), quoted(0xC, digest=hashlib.sha384(b"".join(SHA384.values())).digest())),
        "evidence.pcr_digest",
    ),
    "another signer": ((quoted(signer=b"\0\x0b" + bytes(32)),), "evidence.ak_name"),
    "the registers of another bank": ((quoted(selections=(selection(tuple(PCRS), bank=4),)),), "evidence.pcr_bank"),
    "an empty selection": ((quoted(selections=(selection(()),)),), "evidence.pcr_bank"),
    "a register too many": ((quoted(selections=(selection((0, 7)),)),), "evidence.pcr_selection"),
    "no quote": ((), "evidence.malformed"),
    "no quote of the bank": ((quoted(0xC),), "evidence.malformed"),
    "an unknown bank": ((quoted() + field(3, b""),), "evidence.malformed"),
    "too many quotes": ((quoted(),) * 9, "evidence.malformed"),
}


@pytest.mark.parametrize("point", WRONG)
def test_an_attestation_that_is_wrong_in_one_point_is_refused_by_its_name(point: str) -> None:
    quotes, code = WRONG[point]
    refusal = judged(attestation(*quotes)).refusal
    assert refusal is not None
    assert refusal.code == code


def test_the_key_of_an_attestation_is_a_restricted_one_and_its_certificate_its_own() -> None:
    for attributes, code in ((0x00040472, "evidence.ak_attributes"), (0x00070472, "evidence.ak_attributes")):
        refusal = judged(attestation(quoted(), attributes=attributes)).refusal
        assert refusal is not None
        assert refusal.code == code
    another = FORGE.authority.certify("attestation key", OTHER)
    refusal = judged(attestation(quoted(), leaf=another)).refusal
    assert refusal is not None
    assert refusal.code == "evidence.ak_certificate_key"


def test_only_googles_root_may_call_an_attestation_key_an_endorsement_key() -> None:
    leaf = FORGE.certificate(usage="2.23.133.8.1")
    refusal = judged(attestation(quoted(), leaf=leaf)).refusal
    assert refusal is not None
    assert refusal.code == "evidence.ak_certificate_usage"


def test_an_instance_that_does_not_parse_says_nothing() -> None:
    for value in (b"", b"\x30\x03\x0c\x01", b"\x02\x01\x05"):
        strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.21"), value)
        claims = judged(attestation(quoted(), leaf=FORGE.certificate(extensions=((strange, False),)))).claims
        assert claims is not None
        assert "gce_zone" not in claims.facts


def _with_a_register_twice() -> bytes:
    entries_ = [field(2, field(1, index) + field(2, value)) for index, value in PCRS.items()]
    right = field(3, field(1, 0xB) + b"".join(entries_))
    assert quoted().endswith(right)
    return quoted().removesuffix(right) + field(3, field(1, 0xB) + b"".join([*entries_, entries_[0]]))


def test_protobuf_that_is_none_is_malformed() -> None:
    right = attestation(quoted())
    public = field(1, ecc_public(FORGE.key))
    for raw in (
        right + public, b"\n", b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", right + b"\x0b", right + b"\x7f",
        right[:-1], right + b"\x28\0" * 4096, right + field(6, FORGE.certificate()), public,
        right + b"\x00" * (1 << 20),
        attestation(quoted() + field(3, field(1, 0xB))),
        attestation(_with_a_register_twice()),
        attestation(field(1, b"") + field(2, b"") + field(3, b"")),
        attestation(quoted(), extra=b"".join(field(7, ROOT) for _ in range(8))),
        attestation(quoted(), extra=field(3, b"Spec") + field(3, b"Spec")) + field(1, b""),
    ):  # fmt: skip
        verdict = judged(raw)
        assert (verdict.stage, verdict.accepted) == ("parse", False)


def coco(**changed: Any) -> bytes:
    attest = FORGE.attest(public=ecc_public(FORGE.key))
    spki = FORGE.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    quote = {
        "message": base64.b64encode(attest).decode(),
        "signature": base64.b64encode(FORGE.sign(attest)).decode(),
        "pcrs": [PCRS.get(index, bytes(32)).hex() for index in range(24)],
    }
    top = {"ak_public": base64.b64encode(spki).decode(), "tpm_quote": quote}
    for name, value in changed.items():
        holder = top if name in top else quote
        holder[name] = value
    return json.dumps(top).encode()


def test_json_is_believed_against_the_key_that_it_names_and_says_so() -> None:
    claims = judged(coco()).claims
    assert claims is not None
    assert claims.facts["ak_endorsed"] == "no"
    endorsed = judged(coco(), FORGE.certificate()).claims
    assert endorsed is not None
    assert endorsed.facts["ak_endorsed"] == "yes"
    assert judged(coco(), FORGE.certificate(), roots=[]).stage == "verify"
    other = OTHER.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert judged(coco(ak_public=base64.b64encode(other).decode())).stage == "verify"
    registers = [bytes(32).hex()] * 24
    for pcrs, code in ((registers, "evidence.pcr_digest"), (registers[:8], "evidence.pcr_selection")):
        refusal = judged(coco(pcrs=pcrs)).refusal
        assert refusal is not None
        assert refusal.code == code
    for wrong in (
        {"message": "!"}, {"message": ""}, {"signature": "AA=="}, {"signature": 7}, {"pcrs": "00"}, {"pcrs": ["zz"]},
        {"pcrs": [bytes(32).hex()] * 25},
        {"pcrs": [1]}, {"ak_public": "AAAA"}, {"tpm_quote": []}, {"tpm_quote": {}},
    ):  # fmt: skip
        assert judged(coco(**wrong)).stage == "parse"


def test_bare_pieces_may_bring_their_certificates_in_any_order() -> None:
    middle = Issuer("middle")
    forge = Forge(authority=middle)
    bridge = FORGE.authority.certify("middle", middle.key, authority=True)
    area = ecc_public(forge.key)
    attest = forge.attest(public=area)
    pieces = (forge.sign(attest), b"".join(PCRS.values()))
    certificates = (bridge, forge.certificate())
    for extra in ((), (sized(area),)):
        claims = judged(attest, *certificates, *pieces, *extra).claims
        assert claims is not None
        assert claims.facts["ak_endorsed"] == "yes"
    assert not judged(attest, bridge, *pieces).accepted


def test_bare_pieces_may_be_of_another_bank() -> None:
    area = ecc_public(FORGE.key)
    digest = hashlib.sha256(b"".join(SHA384.values())).digest()
    attest = FORGE.attest(public=area, selections=(selection(tuple(SHA384), bank=0xC),), digest=digest)
    pieces = (FORGE.sign(attest), b"".join(SHA384.values()), sized(area))
    claims = judged(attest, *pieces, given=Given(bank="sha384")).claims
    assert claims is not None
    assert claims.measurements == {f"pcr{index}": value for index, value in SHA384.items()}
    assert judged(attest, *pieces).reason == "unexpected PCR bank"
