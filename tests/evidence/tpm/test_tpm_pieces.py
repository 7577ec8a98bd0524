"""Pieces of a quote in the spellings of tpm2-tools and of Keylime's agents are the same quote."""

import hashlib
import json
from base64 import b64encode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mpc.errors import Malformed
from mpc.evidence.claims import Given
from mpc.evidence.tpm_structures import parse_public
from mpc.evidence.verdict import Verdict, examine
from tests.evidence.tpm_forge import NOW, PCRS, RIGHT_ATTRIBUTES, Forge, ecc_public, selection, sized

FORGE = Forge()
AREA = ecc_public(FORGE.key)
ATTEST = FORGE.attest(public=AREA)
SIGNATURE = FORGE.sign(ATTEST)
VALUES = b"".join(PCRS.values())


def judged(attest: bytes, *pieces: bytes, bank: str = "sha256") -> Verdict:
    return examine(attest, at=NOW, endorsements=pieces, given=Given(bank=bank))


def serialized(values: list[bytes], *, lists: int | None = None) -> bytes:
    """Write registers as tpm2-tools does from its memory."""
    chunks = [values[start : start + 8] for start in range(0, len(values), 8)]
    raw = (1).to_bytes(4, "little") + b"\x0b\0\3\xff\xff\xff".ljust(128, b"\0")
    raw += (len(chunks) if lists is None else lists).to_bytes(4, "little")
    for chunk in chunks:
        digests = b"".join(len(value).to_bytes(2, "little") + value.ljust(64, b"\0") for value in chunk)
        raw += len(chunk).to_bytes(4, "little") + digests.ljust(8 * 66, b"\0")
    return raw


def test_registers_as_tpm2_tools_keeps_them_are_the_same_registers() -> None:
    verdict = judged(ATTEST, SIGNATURE, serialized(list(PCRS.values())), sized(AREA))
    assert verdict.accepted, verdict.refusal
    assert verdict.claims is not None
    assert verdict.claims.measurements == {f"pcr{index}": value for index, value in PCRS.items()}


def test_serialized_registers_that_are_not_the_quoted_ones_are_refused() -> None:
    wrong = [bytes(32), *list(PCRS.values())[1:]]
    assert judged(ATTEST, SIGNATURE, serialized(wrong), sized(AREA)).reason.startswith("the registers beside")
    assert judged(ATTEST, SIGNATURE, serialized(wrong, lists=9), sized(AREA)).stage == "parse"


def test_a_plain_signature_counts_as_one_and_only_over_this_quote() -> None:
    plain = FORGE.key.sign(ATTEST, ec.ECDSA(hashes.SHA256()))
    assert judged(ATTEST, plain, VALUES, sized(AREA)).accepted
    other = FORGE.attest(public=AREA, extra=bytes([1]) * 32)
    assert judged(other, plain, VALUES, sized(AREA)).reason == "signature does not verify"


def test_a_plain_rsa_signature_is_told_from_eight_registers_of_the_same_length() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    registers = b"".join(bytes([index]) * 32 for index in range(8))
    attest = FORGE.attest(
        public=AREA, selections=(selection(tuple(range(8))),), digest=hashlib.sha256(registers).digest()
    )
    signature = key.sign(attest, padding.PKCS1v15(), hashes.SHA256())
    assert len(signature) == len(registers)
    for pieces in ((signature, registers, pem), (registers, signature, pem)):
        assert judged(attest, *pieces).accepted
    # Registers that were not quoted are then no registers at all.
    assert not judged(attest, signature, bytes(256), pem).accepted


def test_a_quote_with_its_size_before_it_is_that_quote() -> None:
    assert judged(sized(ATTEST), SIGNATURE, VALUES, sized(AREA)).accepted
    assert judged(sized(ATTEST) + b"\0", SIGNATURE, VALUES, sized(AREA)).format is None


@pytest.mark.parametrize("wrapped", [False, True])
def test_keylimes_text_holds_quote_signature_and_registers(*, wrapped: bool) -> None:
    parts = (ATTEST, SIGNATURE, serialized(list(PCRS.values())))
    text = b"r" + b":".join(map(b64encode, parts))
    raw = json.dumps({"code": 200, "results": {"quote": text.decode()}}).encode() if wrapped else text + b"\n"
    verdict = judged(raw, sized(AREA))
    assert (verdict.format, verdict.accepted) == ("tpm", True)
    assert judged(raw).reason == "there is no key"


@pytest.mark.parametrize(
    "raw", [b"r:::", b"rAAAA:AAAA:AAAA", b"r" + b64encode(ATTEST), b"x" + b64encode(ATTEST) + b":AA==:AA=="]
)
def test_what_only_looks_like_keylimes_text_is_none(raw: bytes) -> None:
    assert judged(raw).format is None


def test_a_key_that_is_a_child_of_the_endorsement_key_needs_its_parent_beside_it() -> None:
    endorsement = ecc_public(Forge().key, attributes=0x000300B2)  # what TCG's template has: a storage key
    child, parent = parse_public(AREA), parse_public(endorsement)
    name = child.qualified_name(parent.qualified_name((0x4000000B).to_bytes(4)))
    attest = FORGE.attest(public=AREA, signer=name)
    pieces = (FORGE.sign(attest), VALUES, sized(AREA))
    assert judged(attest, *pieces, sized(endorsement)).accepted
    assert judged(attest, sized(endorsement), *pieces).accepted
    alone = judged(attest, *pieces)
    assert alone.refusal is not None
    assert alone.refusal.code == "evidence.ak_name"
    other = ecc_public(Forge().key, attributes=0x000300B2)
    assert not judged(attest, *pieces, sized(other)).accepted
    assert judged(attest, *pieces, sized(endorsement), sized(other)).stage == "parse"


@pytest.mark.parametrize("missing", [1 << 1, 1 << 4, 1 << 5, 1 << 16, 1 << 18])
def test_a_key_that_lacks_one_attribute_of_an_attestation_key_is_refused(missing: int) -> None:
    area = ecc_public(FORGE.key, attributes=RIGHT_ATTRIBUTES & ~missing)
    attest = FORGE.attest(public=area)
    verdict = judged(attest, FORGE.sign(attest), VALUES, sized(area))
    assert verdict.refusal is not None
    assert verdict.refusal.code == "evidence.ak_attributes"


def test_pieces_that_do_not_fit_together_are_malformed_by_their_reason() -> None:
    other = Forge().key
    pem = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    storage = sized(ecc_public(other, attributes=0x000300B2))
    odd = FORGE.attest(public=AREA, digest=bytes(20))
    plain = FORGE.key.sign(odd, ec.ECDSA(hashes.SHA256()))
    for attest, pieces, why in (
        (ATTEST, (VALUES, sized(AREA)), "no signature"),
        (ATTEST, (SIGNATURE, VALUES, sized(AREA), sized(ecc_public(other))), "there is more than one public area"),
        (ATTEST, (SIGNATURE, VALUES, storage, storage), "there is more than one public area"),
        (ATTEST, (SIGNATURE, VALUES, sized(AREA), pem), "key and public area are of two keys"),
        (odd, (plain, VALUES, sized(AREA)), "the quote's digest is of a hash that is not accepted"),
        (ATTEST + b"\0", (SIGNATURE, VALUES, sized(AREA)), "bytes follow it"),
    ):
        verdict = judged(attest, *pieces)
        assert (verdict.stage, verdict.reason.startswith(why)) == ("parse", True), (why, verdict.reason)


@pytest.mark.parametrize(
    ("at", "changed", "why"),
    [
        (2, b"\0\x04", "its name has an unknown hash"), (16, b"\0\x01", "its curve is neither P-256 nor P-384"),
        (len(AREA), b"\0", "bytes follow it"),
    ],
)  # fmt: skip
def test_a_public_area_that_says_something_else_is_malformed(at: int, changed: bytes, why: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_public(AREA[:at] + changed + AREA[at + len(changed) :])
    assert why in refused.value.why


def test_an_rsa_key_is_as_long_as_its_area_says() -> None:
    modulus = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n.to_bytes(256)
    head = bytes.fromhex("0001000b") + RIGHT_ATTRIBUTES.to_bytes(4) + sized(b"") + bytes.fromhex("0010 0014 000b")
    assert parse_public(head + (2048).to_bytes(2) + bytes(4) + sized(modulus)).attributes == RIGHT_ATTRIBUTES
    with pytest.raises(Malformed) as refused:
        parse_public(head + (3072).to_bytes(2) + bytes(4) + sized(modulus))
    assert refused.value.why == "its modulus has another length than it says"
