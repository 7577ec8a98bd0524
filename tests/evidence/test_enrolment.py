"""Nobody gets a certificate without both keys, and each check of the authority has a machine that fails it."""

import hmac
import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mpc.errors import Malformed, Misconfigured, Refusal, Untrusted
from mpc.evidence.certificate import parse_certificate
from mpc.evidence.chain import Chain, verify_chain
from mpc.evidence.checks import Checks
from mpc.evidence.enrolment import (
    ENDORSEMENT_KEY_USAGE,
    Authority,
    Challenge,
    EnrolmentRequest,
    challenge,
    issue,
    parse_challenge,
    parse_pending,
    parse_request,
)
from mpc.evidence.tpm import ATTESTATION_KEY_USAGE
from mpc.evidence.tpm_structures import parse_public
from tests.evidence.certificate_forge import mint_certificate
from tests.evidence.tpm_forge import NOW, RIGHT_ATTRIBUTES, Issuer, ecc_public

MAKER = Issuer("maker of TPMs")
ENDORSEMENT_KEY = rsa.generate_private_key(65537, 2048)
ATTESTATION_KEY = ec.generate_private_key(ec.SECP256R1())
AUTHORITY = Authority.create("Hospital A", at=NOW)


def endorsement(key: Any = ENDORSEMENT_KEY, *, usage: str | None = ENDORSEMENT_KEY_USAGE) -> bytes:
    return MAKER.certify("endorsement key", key, usage=usage)


REQUEST = EnrolmentRequest((endorsement(),), ecc_public(ATTESTATION_KEY))


def ask(request: EnrolmentRequest = REQUEST, **changed: Any) -> Any:
    arguments = {"roots": (MAKER.root(),), "endorsements": (), "at": NOW, "random": os.urandom}
    return challenge(request, **(arguments | changed))


def activated(asked: Challenge, name: bytes, *, key: rsa.RSAPrivateKey = ENDORSEMENT_KEY) -> bytes:
    """Do what TPM2_ActivateCredential does (Part 3, 12.5), written from its description alone."""
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"IDENTITY\0")
    seed = key.decrypt(asked.encrypted_seed, oaep)

    def derived(label: bytes, context: bytes, bits: int) -> bytes:
        return hmac.digest(seed, b"\0\0\0\1" + label + b"\0" + context + bits.to_bytes(4), "sha256")[: bits // 8]

    integrity, identity = asked.credential[2:34], asked.credential[34:]
    if integrity != hmac.digest(derived(b"INTEGRITY", b"", 256), identity + name, "sha256"):
        raise ValueError("TPM_RC_INTEGRITY")
    decryptor = Cipher(algorithms.AES(derived(b"STORAGE", name, 128)), CFB(bytes(16))).decryptor()
    secret = decryptor.update(identity) + decryptor.finalize()
    return secret[2:]


def test_the_machine_with_both_keys_gets_a_certificate_that_is_believed() -> None:
    asked, pending = ask()
    secret = activated(asked, parse_public(REQUEST.public).name)
    certificate = parse_certificate(issue(pending, secret, AUTHORITY, at=NOW))
    assert certificate.spki == parse_public(REQUEST.public).spki
    assert certificate.extended_key_usage == {ATTESTATION_KEY_USAGE}
    assert not certificate.is_authority
    root = parse_certificate(AUTHORITY.certificate)
    chain = verify_chain(certificate, [], roots=[root], at=NOW, handled=frozenset(), checks=Checks("refused"))
    assert isinstance(chain, Chain)
    assert (root.is_authority, root.path_length) == (True, 0)
    assert certificate.not_after == NOW + timedelta(days=365)
    for_ever = issue(pending, secret, AUTHORITY, at=NOW, lifetime=timedelta(days=36500))
    assert parse_certificate(for_ever).not_after == root.not_after


def test_another_answer_another_key_or_another_name_gets_nothing() -> None:
    asked, pending = ask()
    name = parse_public(REQUEST.public).name
    for wrong in (b"", bytes(32), activated(asked, name)[:-1], activated(ask()[0], name)):
        with pytest.raises(Untrusted) as caught:
            issue(pending, wrong, AUTHORITY, at=NOW)
        assert caught.value.code == "enrolment.answer"
    with pytest.raises(ValueError, match="INTEGRITY"):
        activated(asked, parse_public(ecc_public(ec.generate_private_key(ec.SECP256R1()))).name)
    with pytest.raises(ValueError, match=r"[Dd]ecrypt"):
        activated(asked, name, key=rsa.generate_private_key(65537, 2048))


@pytest.mark.parametrize("lacking", [1 << 1, 1 << 4, 1 << 5, 1 << 16, 1 << 18])
def test_a_key_that_could_sign_anything_is_not_enrolled(lacking: int) -> None:
    loose = replace(REQUEST, public=ecc_public(ATTESTATION_KEY, attributes=RIGHT_ATTRIBUTES & ~lacking))
    with pytest.raises(Refusal) as caught:
        ask(loose)
    assert caught.value.code == "evidence.ak_attributes"


def test_the_endorsement_certificate_must_be_one_and_lead_to_a_trusted_maker() -> None:
    for request, changed, code in (
        (REQUEST, {"roots": ()}, "evidence.certificate_path"),
        (REQUEST, {"roots": (), "endorsements": (MAKER.root(),)}, "evidence.certificate_path"),
        (REQUEST, {"at": NOW + timedelta(days=3650)}, "evidence.certificate_validity"),
        (replace(REQUEST, endorsement=(endorsement(usage=None),)), {}, "evidence.ek_certificate_usage"),
        (
            replace(REQUEST, endorsement=(endorsement(usage=ATTESTATION_KEY_USAGE),)),
            {},
            "evidence.ek_certificate_usage",
        ),
        (replace(REQUEST, endorsement=(endorsement(ATTESTATION_KEY),)), {}, "enrolment.endorsement_key"),
    ):
        with pytest.raises(Refusal) as caught:
            ask(request, **changed)
        assert caught.value.code == code


def test_messages_have_one_spelling_and_the_pending_one_keeps_no_secret() -> None:
    asked, pending = ask()
    assert parse_request(REQUEST.to_bytes()) == REQUEST
    assert parse_challenge(asked.to_bytes()) == asked
    assert replace(parse_pending(pending.to_bytes()), checks=pending.checks) == pending
    assert activated(asked, parse_public(REQUEST.public).name) not in pending.to_bytes()
    for parser, raw in (
        (parse_request, REQUEST.to_bytes()),
        (parse_challenge, asked.to_bytes()),
        (parse_pending, pending.to_bytes()),
    ):
        for wrong in (
            b"",
            raw[:-1],
            raw + b"\0",
            b"\x80",
            asked.to_bytes() if parser is not parse_challenge else b"\1",
        ):
            with pytest.raises(Malformed):
                parser(wrong)
    for wrong_request in (replace(REQUEST, endorsement=()), replace(REQUEST, endorsement=(b"",) * 9)):
        with pytest.raises(Malformed):
            parse_request(wrong_request.to_bytes())


def test_an_authority_is_loaded_only_whole() -> None:
    loaded = Authority.load(AUTHORITY.key_pem(), AUTHORITY.certificate)
    assert loaded.certificate == AUTHORITY.certificate
    assert "PRIVATE" not in repr(AUTHORITY)
    rsa_pem = ENDORSEMENT_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    other = Authority.create("Hospital B", at=NOW)
    own = mint_certificate(ENDORSEMENT_KEY, [])
    for key, certificate, why in (
        (b"", AUTHORITY.certificate, "not an unencrypted PEM key"), (rsa_pem, own, "not of an elliptic curve"),
        (other.key_pem(), AUTHORITY.certificate, "another key's"),
    ):  # fmt: skip
        with pytest.raises(Misconfigured) as caught:
            Authority.load(key, certificate)
        assert (caught.value.code, why in caught.value.why) == ("enrolment.authority", True)
    x509.load_der_x509_certificate(AUTHORITY.certificate)
