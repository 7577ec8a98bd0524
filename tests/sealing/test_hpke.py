"""X-Wing as published, purposes and contexts that do not mix, and keys that do not print."""

import hashlib
import hmac
import json
import pickle

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.canonical import canonical_cbor
from mpc.errors import Malformed, Untrusted
from mpc.sealing.hpke import (
    OVERHEAD_BYTES,
    PUBLIC_KEY_BYTES,
    PublicSealingKey,
    SealedFor,
    SealingKey,
    open_sealed,
    seal,
)

CONTEXT = hashlib.sha256(b"context").digest()
KEY = SealingKey.from_seed(bytes(range(96)))
OTHER = SealingKey.from_seed(bytes(range(1, 97)))

# draft-connolly-cfrg-xwing-kem, appendix C (spec/test-vectors.json): the first vector, its public key as SHA-256.
SEED = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
PUBLIC_KEY_SHA256 = "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb"
SHARED_SECRET = bytes.fromhex("d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384")
ENCAPSULATED = bytes.fromhex(
    "b83aa828d4d62b9a83ceffe1d3d3bb1ef31264643c070c5798927e41fb07914a273f8f96e7826cd5375a283d7da885304c5de0516a0f0654"
    "243dc5b97f8bfeb831f68251219aabdd723bc6512041acbaef8af44265524942b902e68ffd23221cda70b1b55d776a92d1143ea3a0c475f6"
    "3ee6890157c7116dae3f62bf72f60acd2bb8cc31ce2ba0de364f52b8ed38c79d719715963a5dd3842d8e8b43ab704e4759b5327bf027c63c"
    "8fa857c4908d5a8a7b88ac7f2be394d93c3706ddd4e698cc6ce370101f4d0213254238b4a2e8821b6e414a1cf20f6c1244b699046f5a01ca"
    "a0a1a55516300b40d2048c77cc73afba79afeea9d2c0118bdf2adb8870dc328c5516cc45b1a2058141039e2c90a110a9e16b318dfb53bd49"
    "a126d6b73f215787517b8917cc01cabd107d06859854ee8b4f9861c226d3764c87339ab16c3667d2f49384e55456dd40414b70a6af841585"
    "f4c90c68725d57704ee8ee7ce6e2f9be582dbee985e038ffc346ebfb4e22158b6c84374a9ab4a44e1f91de5aac5197f89bc5e5442f51f9a5"
    "937b102ba3beaebf6e1c58380a4a5fedce4a4e5026f88f528f59ffd2db41752b3a3d90efabe463899b7d40870c530c8841e8712b733668ed"
    "033adbfafb2d49d37a44d4064e5863eb0af0a08d47b3cc888373bc05f7a33b841bc2587c57eb69554e8a3767b7506917b6b70498727f16ea"
    "c1a36ec8d8cfaf751549f2277db277e8a55a9a5106b23a0206b4721fa9b3048552c5bd5b594d6e247f38c18c591aea7f56249c72ce7b117a"
    "fcc3a8621582f9cf71787e183dee09367976e98409ad9217a497df888042384d7707a6b78f5f7fb8409e3b535175373461b776002d799cba"
    "d62860be70573ecbe13b246e0da7e93a52168e0fb6a9756b895ef7f0147a0dc81bfa644b088a9228160c0f9acf1379a2941cd28c06ebc80e"
    "44e17aa2f8177010afd78a97ce0868d1629ebb294c5151812c583daeb88685220f4da9118112e07041fcc24d5564a99fdbde28869fe07223"
    "87d7a9a4d16e1cc8555917e09944aa5ebaaaec2cf62693afad42a3f518fce67d273cc6c9fb5472b380e8573ec7de06a3ba2fd5f931d725b4"
    "93026cb0acbd3fe62d00e4c790d965d7a03a3c0b4222ba8c2a9a16e2ac658f572ae0e746eafc4feba023576f08942278a041fb82a70a595d"
    "5bacbf297ce2029898a71e5c3b0d1c6228b485b1ade509b35fbca7eca97b2132e7cb6bc465375146b7dceac969308ac0c2ac89e7863eb894"
    "3015b24314cafb9c7c0e85fe543d56658c213632599efabfc1ec49dd8c88547bb2cc40c9d38cbd3099b4547840560531d0188cd1e9c23a0e"
    "bee0a03d5577d66b1d2bcb4baaf21cc7fef1e03806ca96299df0dfbc56e1b2b43e4fc20c37f834c4af62127e7dae86c3c25a2f696ac8b589"
    "dec71d595bfbe94b5ed4bc07d800b330796fda89edb77be0294136139354eb8cd37591578f9c600dd9be8ec6219fdd507adf3397ed4d6870"
    "7b8d13b24ce4cd8fb22851bfe9d632407f31ed6f7cb1600de56f17576740ce2a32fc5145030145cfb97e63e0e41d354274a079d3e6fb2e15"
)
# The same appendix: seed and SHA-256 of the public key of the other two.
MORE_KEYS = (
    (
        "badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea",
        "c42ba5f8430d7d2c83739338203819f090e8303ce9c8b02107c272bfa5376916",
    ),
    (
        "ef58538b8d23f87732ea63b02b4fa0f4873360e2841928cd60dd4cee8cc0d4c9",
        "6b080d6b84f095342092fa7a22423e58bd681397ad0ef00eac92bd254db4fa95",
    ),
)


def expanded(seed: bytes) -> SealingKey:
    """The draft's expandDecapsulationKey (5.2): SHAKE-256(seed, 96) is d || z || X25519 scalar."""
    return SealingKey.from_seed(hashlib.shake_256(seed).digest(96))


def test_xwing_keys_are_those_of_the_draft() -> None:
    vectors = [(SEED.hex(), PUBLIC_KEY_SHA256), *MORE_KEYS]
    for seed, digest in vectors:
        assert expanded(bytes.fromhex(seed)).public.digest.hex() == digest
    assert len(vectors) == 3


def sealed_by_rfc_9180(shared_secret: bytes, info: bytes, plaintext: bytes) -> bytes:
    """RFC 9180 key schedule (5.1), base mode, written out: KEM 0x647a, KDF 0x0001, AEAD 0x0002."""
    suite = b"HPKE" + bytes.fromhex("647a00010002")

    def extract(salt: bytes, label: bytes, material: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")

    def expand(secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
        labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return hmac.digest(secret, labelled + b"\x01", "sha256")[:length]

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared_secret, b"secret", b"")
    key, nonce = expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)
    return AESGCM(key).encrypt(nonce, plaintext, b"")


def test_the_published_encapsulation_gives_the_published_secret() -> None:
    key = expanded(SEED)
    info = canonical_cbor(["sealroom hpke v1", "result", CONTEXT, key.public.digest])
    assert len(ENCAPSULATED) == 1120
    sealed = ENCAPSULATED + sealed_by_rfc_9180(SHARED_SECRET, info, b"joint answer")
    assert open_sealed(SealedFor.RESULT, CONTEXT, key, sealed) == b"joint answer"


def test_another_secret_than_the_published_does_not_open() -> None:
    key = expanded(SEED)
    info = canonical_cbor(["sealroom hpke v1", "result", CONTEXT, key.public.digest])
    wrong = bytes([SHARED_SECRET[0] ^ 1]) + SHARED_SECRET[1:]
    with pytest.raises(Untrusted):
        open_sealed(SealedFor.RESULT, CONTEXT, key, ENCAPSULATED + sealed_by_rfc_9180(wrong, info, b"joint answer"))


@settings(max_examples=25, deadline=None)
@given(plaintext=st.binary(max_size=4096), purpose=st.sampled_from(SealedFor))
def test_what_opens_is_what_was_sealed(plaintext: bytes, purpose: SealedFor) -> None:
    sealed = seal(purpose, CONTEXT, KEY.public, plaintext)
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert open_sealed(purpose, CONTEXT, KEY, sealed) == plaintext


def test_purpose_context_and_key_do_not_mix() -> None:
    sealed = seal(SealedFor.UPLOAD_KEY, CONTEXT, KEY.public, bytes(32))
    attempts = [(purpose, CONTEXT, KEY) for purpose in SealedFor if purpose != SealedFor.UPLOAD_KEY]
    attempts += [(SealedFor.UPLOAD_KEY, bytes(32), KEY), (SealedFor.UPLOAD_KEY, CONTEXT, OTHER)]
    assert len(attempts) == 6
    for purpose, context, key in attempts:
        with pytest.raises(Untrusted) as refusal:
            open_sealed(purpose, context, key, sealed)
        assert refusal.value.code == "sealing.open"


def test_a_copied_key_with_another_digest_in_info_does_not_open() -> None:
    # The recipient's digest stands in info, so both halves of the key are bound, not only the one that is broken first.
    spliced = PublicSealingKey(KEY.public.raw[:1184] + OTHER.public.raw[1184:])
    with pytest.raises(Untrusted):
        open_sealed(SealedFor.RESULT, CONTEXT, KEY, seal(SealedFor.RESULT, CONTEXT, spliced, b"x"))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_changed_or_cut_byte_refuses(data: st.DataObject) -> None:
    sealed = bytearray(seal(SealedFor.RESULT, CONTEXT, KEY.public, b"joint answer"))
    if data.draw(st.booleans()):
        sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del sealed[data.draw(st.integers(0, len(sealed) - 1)) :]
    with pytest.raises(Untrusted):
        open_sealed(SealedFor.RESULT, CONTEXT, KEY, bytes(sealed))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        KEY.public.raw[:-1],
        KEY.public.raw + b"\0",
        b"\xff" * 1184 + KEY.public.raw[1184:],  # coefficients beyond q: FIPS 203, 7.2
        KEY.public.raw[:1184] + bytes(32),  # a point of small order: RFC 7748, 6.1
        KEY.public.raw[:1184] + (1).to_bytes(32, "little"),
    ],
)
def test_what_is_no_public_key_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed) as refusal:
        PublicSealingKey(raw)
    assert refusal.value.code == "sealing.public_key"


@pytest.mark.parametrize("length", [0, 32, 95, 97])
def test_a_seed_of_another_length_is_malformed(length: int) -> None:
    with pytest.raises(Malformed):
        SealingKey.from_seed(bytes(length))


def test_a_key_survives_its_seed_and_does_not_print() -> None:
    key = SealingKey.generate()
    again = SealingKey.from_seed(key.seed())
    assert again.public == key.public
    assert len(key.public.raw) == PUBLIC_KEY_BYTES
    assert open_sealed(SealedFor.RESULT, CONTEXT, again, seal(SealedFor.RESULT, CONTEXT, key.public, b"x")) == b"x"
    for text in (repr(key), str(key), f"{key}"):
        assert key.seed().hex()[:8] not in text
        assert repr(key.seed()[:4])[2:-1] not in text


def test_a_key_is_neither_pickled_nor_written_as_json() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(KEY)
    with pytest.raises(TypeError):
        json.dumps(KEY)


def test_a_context_is_a_digest() -> None:
    with pytest.raises(ValueError, match="32-byte digest"):
        seal(SealedFor.RESULT, b"short", KEY.public, b"x")
