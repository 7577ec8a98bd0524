"""A steward certifies a keep that its operator's policy names, for the operator's names, and nobody else."""

import os
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from mpc.errors import Malformed, Misconfigured, Refusal
from mpc.evidence.checks import NotBelieved, NotWanted
from mpc.evidence.der import SEQUENCE, read_element, sequence_of
from mpc.evidence.enarx.policy import parse_policy
from mpc.evidence.snp import PINNED
from mpc.steward import BUNDLE, PKCS10, Authority, Steward
from mpc.steward.authority import check_endorsements
from tests.evidence.enarx_forge import request, snp_request, spki_of
from tests.evidence.snp_forge import NOW, SnpForge, ec_key, rsa_key
from tests.steward.operators import FORGE, OPERATOR, authority_certificate, pem_of, steward
from tests.vectors import named, needs_vectors, read


def keep(**changed: Any) -> bytes:
    return snp_request(FORGE, **changed)


def path_of(answered: bytes) -> list[x509.Certificate]:
    return [x509.load_der_x509_certificate(one.whole) for one in read_element(answered).children(SEQUENCE)]


def answer(served: Steward, body: bytes, kind: str = PKCS10) -> bytes:
    return served.answer(kind, body, at=NOW, random=os.urandom)[0]


def test_a_keep_gets_the_path_from_the_authority_to_its_key() -> None:
    authority, leaf = path_of(answer(steward(), keep()))
    assert leaf.public_key() == ec_key("keep").public_key()
    assert leaf.issuer == authority.subject
    assert leaf.serial_number >> 76 & 0xF == 4  # a UUID of version 4
    assert NOW - timedelta(minutes=5) == leaf.not_valid_before_utc
    assert NOW + timedelta(days=28) == leaf.not_valid_after_utc
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not any(extension.oid.dotted_string.startswith("1.3.6.1.4.1.58270") for extension in leaf.extensions)


def test_an_ordinary_tls_client_accepts_the_certificate() -> None:
    authority, leaf = path_of(answer(steward(), keep()))
    verifier = PolicyBuilder().store(Store([authority])).time(NOW.replace(tzinfo=None))
    verifier.build_server_verifier(x509.DNSName("keep.example")).verify(leaf, [])
    with pytest.raises(x509.verification.VerificationError):
        verifier.build_server_verifier(x509.DNSName("other.example")).verify(leaf, [])


def test_a_bundle_gets_the_chain_once_and_every_certificate() -> None:
    bundle = sequence_of(keep(), keep(key=ec_key("another keep")))
    chain, issued = read_element(answer(steward(), bundle, BUNDLE)).children(SEQUENCE)
    assert len(path_of(chain.whole)) == 1
    keys = [certificate.public_key() for certificate in path_of(issued.whole)]
    assert keys == [ec_key("keep").public_key(), ec_key("another keep").public_key()]


def test_one_keep_that_is_refused_refuses_its_bundle() -> None:
    bundle = sequence_of(keep(), keep(fields={"policy": 0x30133 | 1 << 19}))
    with pytest.raises(NotWanted):
        answer(steward(), bundle, BUNDLE)


@pytest.mark.parametrize(
    ("asked", "kind", "code"),
    [
        ({"signer": ec_key("somebody else")}, NotBelieved, "evidence.request_signature"),
        ({"fields": {"report_data": bytes(64)}}, NotBelieved, "evidence.key_bound"),
        ({"fields": {"measurement": b"\1" * 48}}, NotWanted, "evidence.measurement"),
        ({"fields": {"policy": 0x30133 | 1 << 19}}, NotWanted, "evidence.debug"),
        ({"fields": {"policy": 0x30133 | 1 << 18}}, NotWanted, "evidence.migrate_ma"),
        ({"fields": {"host_data": b"\1" * 32}}, NotWanted, "evidence.keep_report"),
        ({"early": True}, NotWanted, "evidence.crl"),
        ({"lists": []}, NotWanted, "evidence.crl"),
        ({"lists": [FORGE.crl([FORGE.issuer_serial])]}, NotBelieved, "evidence.revocation"),
        ({"lists": [FORGE.crl(ends=NOW - timedelta(days=1))]}, NotBelieved, "evidence.crl_validity"),
    ],
)
def test_a_keep_is_certified_only_after_everything_was_checked(
    asked: dict[str, Any], kind: type[Refusal], code: str
) -> None:
    with pytest.raises(kind) as refusal:
        answer(steward(), keep(**asked))
    assert refusal.value.code == code


def test_without_evidence_nobody_is_certified() -> None:
    with pytest.raises(NotBelieved) as refusal:
        answer(steward(), request("kvm", b"", ec_key("keep")))
    assert refusal.value.code == "evidence.keep"


def test_the_false_vendor_is_believed_by_nobody_else() -> None:
    served = steward()
    real = Steward(served.authority, served.policy, served.endorsements, served.names)
    assert set(PINNED) < set(real.roots)
    with pytest.raises(NotBelieved) as refusal:
        answer(real, keep())
    assert refusal.value.code == "evidence.certificate_path"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("", keep()),
        ("text/plain", keep()),
        (BUNDLE, keep()),
        (BUNDLE, sequence_of()),
        (BUNDLE, b""),
        (BUNDLE, sequence_of(*[keep()] * 17)),
        (PKCS10, sequence_of(keep())),
        (PKCS10, b""),
        (PKCS10, spki_of(ec_key("keep"))),
    ],
)
def test_other_bodies_are_malformed(kind: str, body: bytes) -> None:
    with pytest.raises(Malformed):
        answer(steward(), body, kind)


def test_a_certificate_outlives_neither_its_authority_nor_the_evidence() -> None:
    authority_ends, list_ends = NOW + timedelta(days=3), NOW + timedelta(days=2)
    assert path_of(answer(steward(ends=authority_ends), keep()))[1].not_valid_after_utc == authority_ends
    short = keep(lists=[FORGE.crl(ends=list_ends)])
    assert path_of(answer(steward(), short))[1].not_valid_after_utc == list_ends
    week = steward(lifetime=timedelta(days=7))
    assert path_of(answer(week, keep()))[1].not_valid_after_utc == NOW + timedelta(days=7)
    with pytest.raises(Misconfigured, match="cannot be used"):
        answer(steward(ends=NOW), keep())


def test_a_name_that_the_keep_asks_for_is_kept_and_the_operator_s_names_stand_beside() -> None:
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a keep")])
    _, leaf = path_of(answer(steward(), keep(subject=named.public_bytes())))
    assert leaf.subject == named
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert (names.value.get_values_for_type(x509.DNSName), names.critical) == (["keep.example"], False)
    with pytest.raises(Malformed):
        answer(steward(), keep(subject=b"\x30\x02\x05\x00"))


def test_an_authority_may_stand_below_others() -> None:
    root = ec_key("the root above")
    own = authority_certificate(OPERATOR, issuer=("Root", root), name="Issuing")
    chain = own + authority_certificate(root, name="Root")
    authority = Authority.load(pem_of(OPERATOR), chain)
    served = steward()
    answered = answer(Steward(authority, served.policy, served.endorsements, served.names, roots=served.roots), keep())
    subjects = [certificate.subject.rfc4514_string() for certificate in path_of(answered)]
    assert subjects == ["CN=Root", "CN=Issuing", ""]


@pytest.mark.parametrize("key", [rsa_key("operator"), ed25519.Ed25519PrivateKey.generate()])
def test_an_authority_may_have_any_kind_of_key(key: Any) -> None:
    authority = Authority.load(pem_of(key), authority_certificate(key))
    served = steward()
    answered = answer(Steward(authority, served.policy, served.endorsements, served.names, roots=served.roots), keep())
    issuer, leaf = path_of(answered)
    leaf.verify_directly_issued_by(issuer)
    assert "PRIVATE" not in repr(authority)


def test_an_authority_that_is_none_does_not_start() -> None:
    other = ec_key("somebody else")
    for key, certificate in (
        (b"no key", authority_certificate(OPERATOR)),
        (pem_of(other), authority_certificate(OPERATOR)),
        (pem_of(OPERATOR), authority_certificate(OPERATOR, signs=False)),
        (pem_of(OPERATOR), authority_certificate(OPERATOR) + authority_certificate(other, name="Unrelated")),
    ):
        with pytest.raises(Misconfigured):
            Authority.load(key, certificate)


def test_an_endorsement_that_nobody_uses_does_not_start() -> None:
    check_endorsements(steward().endorsements)
    check_endorsements([FORGE.crl(), SnpForge("Genoa").issuer])
    with pytest.raises(Misconfigured):
        check_endorsements([b"junk"])


@needs_vectors
def test_a_real_keep_gets_its_certificate_at_its_time_under_the_policy_that_stewards_are_given() -> None:
    entry = named("enarx-milan-crl")
    at = datetime.fromisoformat(entry["verify_at"])
    wanted = parse_policy(read("enarx/steward.toml"))
    key = ec_key("operator", ec.SECP256R1)
    certificate = authority_certificate(key, begins=at - timedelta(days=1), ends=at + timedelta(days=365))
    chain = read(entry["endorsements"][0])
    real = Steward(Authority.load(pem_of(key), certificate), wanted, (chain,), ("keep.example",))
    request = read(entry["file"])
    answered, (issued,) = real.answer(PKCS10, request, at=at, random=os.urandom)
    _, leaf = path_of(answered)
    assert leaf.public_key() == x509.load_der_x509_csr(request).public_key()
    assert issued.claims.measurements["measurement"].hex() == entry["expect"]["measurement"]
    assert issued.not_after <= at + timedelta(days=28)
    with pytest.raises(Refusal, match="expired"):
        real.answer(PKCS10, request, at=at + timedelta(days=4000), random=os.urandom)
    for changed in ({"hash": ("11" * 48,)}, {"id_key_digest": ("11" * 48,)}, {"abi": ">=9.0"}):
        other = wanted.model_copy(update={"snp": wanted.snp.model_copy(update=changed)})
        with pytest.raises(Refusal):
            replace(real, policy=other).answer(PKCS10, request, at=at, random=os.urandom)
