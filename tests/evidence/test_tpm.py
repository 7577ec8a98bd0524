"""Each check of a TPM quote meets forged evidence that is wrong in exactly that point."""

import base64
import hashlib
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from mpc.canonical import canonical_cbor
from mpc.errors import Malformed, Refusal, Untrusted
from mpc.evidence import tpm
from mpc.evidence.appraisal import Exceptions, compare_with
from mpc.evidence.claims import BOOT_PCRS, Claims, TpmReference
from mpc.evidence.formats import parse_and_verify, roots_of
from tests.evidence.tpm_forge import END, NOW, PCRS, RIGHT_ATTRIBUTES, Forge, Issuer, ecc_public, selection, sized

FORGE = Forge()
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
RESTRICTED, SIGN, DECRYPT = 1 << 16, 1 << 18, 1 << 17
BOTH = Exceptions(frozenset({"tpm"}), frozenset({"tpm"}))


def verify(raw: bytes, *, forge: Forge = FORGE, endorsements: tuple[bytes, ...] = (), **changed: Any) -> Claims:
    return parse_and_verify("tpm", raw, endorsements, **({"roots": (forge.root(),), "at": NOW} | changed))


def refused(raw: bytes, **changed: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        verify(raw, **changed)
    assert caught.value.remedy
    return caught.value


def test_what_is_right_in_every_point_is_believed() -> None:
    claims = verify(FORGE.evidence())
    assert claims.bound == bytes(32)
    assert claims.measurements == {f"pcr{index}": value for index, value in PCRS.items()}
    assert (claims.measured_by, claims.memory_protected, claims.debug) == ("self", False, False)
    assert claims.valid_until == END
    assert claims.facts["reset_count"] == "3"
    assert claims.facts["ak_endorsed"] == "yes"
    assert all(check.passed for check in claims.checks)


@pytest.mark.parametrize(
    ("lacking", "extra"),
    [(1 << 1, 0), (1 << 4, 0), (1 << 5, 0), (RESTRICTED, 0), (SIGN, 0), (0, DECRYPT)],
    ids=["fixedTPM", "fixedParent", "sensitiveDataOrigin", "restricted", "sign", "decrypt"],
)
def test_a_key_that_could_sign_what_no_tpm_made_is_refused(lacking: int, extra: int) -> None:
    attributes = RIGHT_ATTRIBUTES & ~lacking | extra
    assert refused(FORGE.evidence(attributes=attributes)).code == "evidence.ak_attributes"


POINTS: dict[str, tuple[dict[str, Any], str]] = {
    "an empty selection": ({"selections": (selection(()),)}, "evidence.pcr_bank"),
    "no selection at all": ({"selections": ()}, "evidence.pcr_bank"),
    "the sha1 bank": ({"selections": (selection((0, 7, 8), bank=4),)}, "evidence.pcr_bank"),
    "two banks": ({"selections": (selection((0, 7, 8)), selection((0,), bank=4))}, "evidence.pcr_bank"),
    "the same bank twice": ({"selections": (selection((0, 7, 8)), selection((0,)))}, "evidence.pcr_bank"),
    "another signer's name": ({"signer": b"\x00\x0b" + bytes(32)}, "evidence.ak_name"),
    "another key's signature": ({"signing_key": OTHER_KEY}, "evidence.signature"),
    "another digest of registers": ({"digest": bytes(32)}, "evidence.pcr_digest"),
    "other registers beside it": ({"pcrs": PCRS | {8: bytes(32)}}, "evidence.pcr_digest"),
    "a register too many beside it": ({"pcrs": PCRS | {9: bytes(32)}}, "evidence.pcr_selection"),
    "a register too few beside it": ({"pcrs": {0: PCRS[0]}}, "evidence.pcr_selection"),
    "what no TPM generated": ({"magic": b"\xff\x54\x43\x48"}, "evidence.malformed"),
    "a certification, not a quote": ({"kind": b"\x80\x17"}, "evidence.malformed"),
    "a flag that is neither yes nor no": ({"safe": b"\2"}, "evidence.malformed"),
    "bytes after the quote": ({"tail": b"\0"}, "evidence.malformed"),
    "a bank of an unknown hash": ({"selections": (selection((0, 7, 8), bank=0x99),)}, "evidence.malformed"),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_quote_that_is_wrong_in_one_point_is_refused_by_its_name(point: str) -> None:
    changed, code = POINTS[point]
    assert refused(FORGE.evidence(**changed)).code == code


def test_magic_and_type_are_named() -> None:
    magic, kind = (refused(FORGE.evidence(**POINTS[point][0])) for point in ("what no TPM generated", "a certification, not a quote"))  # fmt: skip  # noqa: E501
    assert (magic.field, magic.expected, magic.found) == ("magic", "0xff544347", "0xff544348")
    assert (kind.field, kind.expected, kind.found) == ("type", "0x8018", "0x8017")


def test_the_digest_of_registers_is_made_with_the_signatures_hash_not_the_banks() -> None:
    other_hash = hashlib.sha384(b"".join(PCRS.values())).digest()
    assert refused(FORGE.evidence(digest=other_hash)).code == "evidence.pcr_digest"


def test_a_certificate_of_another_key_or_for_another_use_is_refused() -> None:
    anothers = FORGE.authority.certify("attestation key", OTHER_KEY)
    assert refused(FORGE.evidence(certificates=[anothers])).code == "evidence.ak_certificate_key"
    for usage in (None, "1.3.6.1.5.5.7.3.1"):
        without = FORGE.certificate(usage=usage)
        assert refused(FORGE.evidence(certificates=[without])).code == "evidence.ak_certificate_usage"


def test_the_chain_must_lead_to_a_given_root_at_that_time() -> None:
    raw = FORGE.evidence()
    for roots in ((), (Forge().root(),)):
        found = refused(raw, roots=roots)
        assert isinstance(found, Untrusted)
        assert found.code == "evidence.certificate_path"
    # The same root as an endorsement, or inside the evidence, is no anchor.
    assert refused(raw, roots=(), endorsements=(FORGE.root(),)).code == "evidence.certificate_path"
    self_made = FORGE.evidence(certificates=[FORGE.certificate(), FORGE.root()])
    assert refused(self_made, roots=()).code == "evidence.certificate_path"
    for at in (END + timedelta(days=1), NOW - timedelta(days=30)):
        assert refused(raw, at=at).code == "evidence.certificate_validity"


def test_endorsements_may_bridge_the_chain() -> None:
    middle = Issuer("middle")
    forge = Forge(authority=middle)
    root = Issuer("root")
    bridge = root.certify("middle", middle.key, authority=True)
    raw = forge.evidence()
    assert refused(raw, roots=(root.root(),)).code == "evidence.certificate_path"
    assert verify(raw, roots=(root.root(),), endorsements=(bridge,)).facts["ak_endorsed"] == "yes"
    assert verify(forge.evidence(certificates=[forge.certificate(), bridge]), roots=(root.root(),))


def test_hardware_names_in_critical_extensions_are_understood_and_others_are_not() -> None:
    hardware = x509.SubjectAlternativeName([x509.DirectoryName(x509.Name([x509.NameAttribute(x509.ObjectIdentifier("2.23.133.2.2"), "vTPM")]))])  # fmt: skip  # noqa: E501
    assert verify(FORGE.evidence(certificates=[FORGE.certificate(extensions=((hardware, True),))]))
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert verify(FORGE.evidence(certificates=[FORGE.certificate(extensions=((strange, False),))]))
    wrong = FORGE.evidence(certificates=[FORGE.certificate(extensions=((strange, True),))])
    assert (refused(wrong).code, refused(wrong).found) == ("evidence.certificate_extensions", "1.2.3.4")


def test_every_byte_every_truncation_and_every_extension() -> None:
    raw = FORGE.evidence()
    root = (FORGE.root(),)
    for index in range(len(raw)):
        with pytest.raises(Refusal):
            verify(raw[:index] + bytes([raw[index] ^ (1 << index % 8)]) + raw[index + 1 :], roots=root)
        with pytest.raises(Malformed):
            verify(raw[:index], roots=root)
    with pytest.raises(Malformed):
        verify(raw + b"\0", roots=root)


def test_other_values_and_other_keys_are_malformed() -> None:
    public = ecc_public(FORGE.key)
    attest = FORGE.attest(public=public)
    right: list[Any] = [tpm.LABEL, tpm.VERSION, attest, FORGE.sign(attest), public, PCRS, [FORGE.certificate()]]
    tpm.parse(canonical_cbor(right))
    rsa_1024 = (
        bytes.fromhex("0001000b00050472")
        + sized(b"")
        + bytes.fromhex("00100014000b0800 00000000")
        + sized(b"\xff" * 128)
    )
    signature, certificate = FORGE.sign(attest), FORGE.certificate()
    wrong_in: dict[int, tuple[Any, ...]] = {
        0: ("another",),
        1: (2, True),
        2: (b"", "text"),
        3: (b"", signature + b"\0", b"\0\x18\0\4" + signature[4:], b"\0\5\0\x0b" + signature[4:]),
        4: (
            public[:-1], public + b"\0", public[:-1] + bytes([public[-1] ^ 1]), b"\0\x08" + public[2:],
            b"\0\x23\0\4" + public[4:], rsa_1024,
        ),
        5: ({24: bytes(32)}, {0: bytes(31)}, {"0": bytes(32)}, []),
        6: ([], [b"no certificate"], [certificate + b"\0"], [certificate] * 9),
    }  # fmt: skip
    for position, wrong in ((position, wrong) for position, values in wrong_in.items() for wrong in values):
        with pytest.raises(Malformed):
            tpm.parse(canonical_cbor([*right[:position], wrong, *right[position + 1 :]]))


def reference(**changed: Any) -> TpmReference:
    fields: dict[str, Any] = {
        "format": "tpm",
        "code_digest": bytes(32).hex(),
        "code_pcr": 8,
        "boot_pcrs": {},
        "authority": base64.b64encode(FORGE.root()).decode(),
        "issuer": "hospital_a",
        "measured_by": "self",
        "memory_protected": False,
    }
    return TpmReference(**(fields | changed))


BOOTED = {index: bytes([index + 1]) * 32 for index in BOOT_PCRS}


def against(wanted: TpmReference, registers: dict[int, bytes], **facts: str) -> dict[str, bool]:
    claims = verify(FORGE.evidence(certificates=[FORGE.certificate()]), roots=roots_of([wanted]))
    measured = Claims(**{**claims.__dict__, "measurements": {f"pcr{index}": value for index, value in registers.items()}, "facts": {**claims.facts, **facts}})  # fmt: skip  # noqa: E501
    return {check.name: check.passed for check in compare_with(measured, [wanted], BOTH)[1]}


def test_the_code_register_must_hold_the_code_extended_once() -> None:
    root = FORGE.root()
    wanted = reference(authority=base64.b64encode(root).decode())
    code = tpm.extended(bytes(32), bytes(32))
    assert all(against(wanted, {8: code}).values())
    for wrong in ({}, {8: bytes(32)}, {8: tpm.extended(code, bytes(32))}, {9: code}):
        assert [name for name, passed in against(wanted, wrong).items() if not passed] == ["pcr8"]
    assert not against(wanted, {8: code}, authority="ff")["authority"]


def test_boot_needs_every_register_present_and_equal() -> None:
    root = base64.b64encode(FORGE.root()).decode()
    wanted = reference(authority=root, measured_by="boot", boot_pcrs={str(index): value.hex() for index, value in BOOTED.items()})  # fmt: skip  # noqa: E501
    registers = {**BOOTED, 8: tpm.extended(bytes(32), bytes(32))}
    passed = against(wanted, registers)
    assert all(passed.values())
    assert {f"pcr{index}" for index in registers} | {"measured_by", "authority"} <= set(passed)
    for index in BOOTED:
        for wrong in (
            {**registers, index: bytes(32)},
            {**registers, index: b"\x77" * 32},
            {key: value for key, value in registers.items() if key != index},
        ):
            failed = [name for name, passed in against(wanted, wrong).items() if not passed]
            assert failed == [f"pcr{index}", "measured_by"]


@pytest.mark.parametrize(
    "changed",
    [
        {"measured_by": "boot"},
        {"measured_by": "boot", "boot_pcrs": {"7": "11" * 32}},
        {"measured_by": "boot", "boot_pcrs": {str(index): "00" * 32 for index in BOOT_PCRS}},
        {"measured_by": "boot", "boot_pcrs": {str(index): "11" * 32 for index in BOOT_PCRS | {8}}},
        {"boot_pcrs": {"7": "11" * 32}},
        {"code_pcr": 16},
        {"code_pcr": 7},
        {"code_pcr": 9},
        {"memory_protected": True},
        {"measured_by": "hardware"},
    ],
)
def test_a_contract_cannot_name_values_that_would_not_be_relied_on(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        reference(**changed)


def test_an_authority_that_is_no_certificate_is_malformed() -> None:
    for authority in (base64.b64encode(b"no certificate").decode(), "A"):
        with pytest.raises(Malformed):
            verify(FORGE.evidence(), roots=roots_of([reference(authority=authority)]))
