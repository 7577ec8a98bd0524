"""An envelope opens for one purpose, one signer and exactly the bytes that were signed."""

import base64
import json
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import Malformed, Refusal, Untrusted
from mpc.signing import (
    ENVELOPE_MAX_BYTES,
    Purpose,
    Signature,
    SigningKey,
    VerifyingKey,
    envelope_of,
    open_envelope,
    pre_authentication_encoding,
    read_unverified,
)

KEY, OTHER = SigningKey(bytes(range(32))), SigningKey(bytes(32))
BODY = b'{"run":1}'
ENVELOPE = KEY.envelope(Purpose.PERMIT, BODY)


def refused(
    raw: bytes, code: str, *, purpose: Purpose = Purpose.PERMIT, keys: tuple[VerifyingKey, ...] = (KEY.public,)
) -> None:
    with pytest.raises(Refusal) as refusal:
        open_envelope(raw, purpose, keys)
    assert refusal.value.code == code


def rewritten(**fields: Any) -> bytes:
    return rfc8785.dumps({**json.loads(ENVELOPE), **fields})


def test_pae_is_that_of_dsse() -> None:
    # The example of secure-systems-lab/dsse, protocol.md: "DSSEv1 29 http://example.com/HelloWorld 11 hello world".
    class Example:
        value = "http://example.com/HelloWorld"

    encoded = pre_authentication_encoding(Example, b"hello world")  # type: ignore[arg-type]
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_a_signature_is_plain_ed25519_over_the_pae() -> None:
    signature = base64.b64decode(json.loads(ENVELOPE)["signatures"][0]["sig"])
    signed = b"DSSEv1 39 application/vnd.sealroom.permit+json 9 " + BODY
    signed = signed.replace(b"39", b"%d" % len(Purpose.PERMIT.value))
    Ed25519PublicKey.from_public_bytes(KEY.public.raw).verify(signature, signed)


def test_an_envelope_opens_to_its_body_and_signer() -> None:
    opened = open_envelope(ENVELOPE, Purpose.PERMIT, (OTHER.public, KEY.public))
    assert (opened.body, opened.key) == (BODY, KEY.public)


@settings(max_examples=50, deadline=None)
@given(body=st.binary(min_size=1, max_size=500), purpose=st.sampled_from(Purpose))
def test_what_opens_is_what_was_signed(body: bytes, purpose: Purpose) -> None:
    assert open_envelope(KEY.envelope(purpose, body), purpose, (KEY.public,)).body == body


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose != Purpose.PERMIT])
def test_a_signature_of_one_purpose_is_none_of_another(purpose: Purpose) -> None:
    refused(ENVELOPE, "signature.purpose", purpose=purpose)
    refused(rewritten(payloadType=purpose.value), "signature.invalid", purpose=purpose)
    assert not KEY.public.verify(KEY.sign(Purpose.PERMIT, BODY), purpose, BODY)


def test_purposes_are_distinct() -> None:
    assert len({purpose.value for purpose in Purpose}) == len(Purpose) == 9


def test_a_foreign_signer_is_refused() -> None:
    refused(ENVELOPE, "signature.foreign", keys=(OTHER.public,))
    refused(ENVELOPE, "signature.foreign", keys=())
    as_other = [{**json.loads(ENVELOPE)["signatures"][0], "keyid": OTHER.public.keyid}]
    refused(rewritten(signatures=as_other), "signature.invalid", keys=(KEY.public, OTHER.public))


def test_exactly_one_signature_is_expected() -> None:
    signatures = json.loads(ENVELOPE)["signatures"]
    refused(rewritten(signatures=signatures * 2), "signature.count")
    refused(rewritten(signatures=[]), "json.field")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"payload": base64.b64encode(b'{"run":2}').decode()}, "signature.invalid"),
        ({"payload": base64.b64encode(BODY).decode() + "===="}, "json.field"),
        ({"payload": "eyJydW4iOjF9Cg"}, "envelope.base64"),  # padding left out
        ({"payload": "AB=="}, "envelope.base64"),  # loose bits
        ({"payload": ""}, "envelope.base64"),
        ({"payload": "_-_-"}, "json.field"),  # the URL alphabet
        ({"payloadType": "application/vnd.in-toto"}, "json.field"),
        ({"payloadType": "text/plain"}, "json.field"),
        ({"comment": "x"}, "json.unknown_field"),
    ],
)
def test_another_envelope_is_refused(fields: dict[str, Any], code: str) -> None:
    refused(rewritten(**fields), code)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(ENVELOPE) - 1), flip=st.integers(1, 255))
def test_any_changed_byte_is_refused(at: int, flip: int) -> None:
    changed = bytearray(ENVELOPE)
    changed[at] ^= flip
    with pytest.raises(Refusal):
        open_envelope(bytes(changed), Purpose.PERMIT, (KEY.public,))


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=100))
def test_any_bytes_are_refused_and_nothing_else_is_raised(raw: bytes) -> None:
    with pytest.raises(Refusal):
        open_envelope(raw, Purpose.PERMIT, (KEY.public,))


def test_an_envelope_over_its_limit_is_refused_unread() -> None:
    refused(bytes(ENVELOPE_MAX_BYTES + 1), "json.size")
    with pytest.raises(Malformed):
        open_envelope(ENVELOPE, Purpose.PERMIT, (KEY.public,), max_bytes=len(ENVELOPE) - 1)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_bytes_that_are_no_key_verify_nothing(length: int) -> None:
    assert not VerifyingKey(bytes(length)).verify(bytes(64), Purpose.PERMIT, BODY)


# The y coordinates of the eight points of small order (four values, the sign of x aside), and 1 and 0 unreduced.
SMALL_ORDER = [
    (1).to_bytes(32, "little"),
    bytes(32),
    (2**255 - 20).to_bytes(32, "little"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    (2**255 - 18).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
]


@pytest.mark.parametrize("weak", SMALL_ORDER)
@pytest.mark.parametrize("sign", [0, 0x80])
def test_a_key_of_small_order_verifies_nothing(weak: bytes, sign: int) -> None:
    # With such a key, R = the identity and s = 0 verify for one message in eight at least, and for all with order one.
    raw = weak[:31] + bytes([weak[31] | sign])
    forged = (1).to_bytes(32, "little") + bytes(32)
    bodies = [b"%d" % index for index in range(30)]
    assert not any(VerifyingKey(raw).verify(forged, Purpose.PERMIT, body) for body in bodies)


def test_a_made_signature_goes_back_into_its_envelope() -> None:
    body, signatures = read_unverified(ENVELOPE)
    assert body == BODY
    assert envelope_of(Purpose.PERMIT, body, signatures[0]) == ENVELOPE
    elsewhere = envelope_of(Purpose.ACTIVATION, body, signatures[0])
    refused(elsewhere, "signature.invalid", purpose=Purpose.ACTIVATION)
    with pytest.raises(ValueError, match="validation error"):
        Signature(keyid="x", sig="")


def test_a_key_does_not_print() -> None:
    key = SigningKey.generate()
    for text in (repr(key), str(key), f"{key}"):
        assert key.seed().hex()[:8] not in text
    assert SigningKey(key.seed()).public == key.public
    assert Ed25519PrivateKey.from_private_bytes(key.seed()).public_key().public_bytes_raw() == key.public.raw


def test_an_untrusted_envelope_names_both_sides() -> None:
    with pytest.raises(Untrusted) as refusal:
        open_envelope(ENVELOPE, Purpose.PERMIT, (OTHER.public,))
    assert refusal.value.expected == OTHER.public.keyid
    assert refusal.value.found == KEY.public.keyid
