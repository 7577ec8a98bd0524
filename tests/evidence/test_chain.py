"""A chain of certificates is believed step by step, and each step has a chain that is wrong in it."""

import warnings
from collections.abc import Callable
from datetime import timedelta

import pytest
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from mpc.errors import Malformed, Refusal
from mpc.evidence.certificate import certificates_of, parse_certificate
from mpc.evidence.chain import Chain, verify_chain
from mpc.evidence.checks import Checks
from tests.evidence.tpm_forge import BEGIN, END, NOW, Issuer, Key

ROOT, MIDDLE, LOWER = Issuer("root"), Issuer("middle"), Issuer("lower")
LEAF_KEY: Key = ec.generate_private_key(ec.SECP256R1())
LEAF = MIDDLE.certify("leaf", LEAF_KEY)


def follow(leaf: bytes, others: list[bytes], roots: list[bytes], *, handled: frozenset[str] = frozenset()) -> Chain:
    return verify_chain(
        parse_certificate(leaf),
        [parse_certificate(other) for other in others],
        roots=[parse_certificate(root) for root in roots],
        at=NOW,
        handled=handled,
        checks=Checks("the chain is not believed"),
    )


def middle(**changed: object) -> bytes:
    return ROOT.certify("middle", MIDDLE.key, **({"authority": True} | changed))  # type: ignore[arg-type]


def code(leaf: bytes, others: list[bytes], roots: list[bytes]) -> str:
    with pytest.raises(Refusal) as caught:
        follow(leaf, others, roots)
    return caught.value.code


def test_three_steps_lead_to_the_root() -> None:
    chain = follow(LEAF, [LOWER.root(), middle()], [Issuer("root").root(), ROOT.root()])
    assert [step.subject_text for step in chain.certificates] == [
        "Common Name: leaf",
        "Common Name: middle",
        "Common Name: root",
    ]
    assert chain.valid_until == END
    assert chain.root.der != LEAF


def test_an_authority_signed_by_its_own_name_only_is_not_the_root() -> None:
    impostor = Issuer("root")
    forged = impostor.certify("middle", MIDDLE.key, authority=True)
    assert code(LEAF, [forged], [ROOT.root()]) == "evidence.certificate_path"
    assert code(LEAF, [middle(), ROOT.root()], []) == "evidence.certificate_path"
    assert code(impostor.certify("leaf", LEAF_KEY), [], [ROOT.root()]) == "evidence.certificate_path"


def test_the_right_key_under_another_name_is_not_the_issuer() -> None:
    renamed = Issuer("root that changed its name", ROOT.key)
    assert (
        code(LEAF, [renamed.certify("middle", MIDDLE.key, authority=True)], [ROOT.root()])
        == "evidence.certificate_path"
    )


WRONG: dict[str, tuple[Callable[[], tuple[bytes, list[bytes], list[bytes]]], str]] = {
    "a step that is no authority": (lambda: (LEAF, [middle(authority=False, signs=True)], [ROOT.root()]), "authority"),
    "an authority that may not sign": (lambda: (LEAF, [middle(signs=False)], [ROOT.root()]), "authority"),
    "an expired step": (lambda: (LEAF, [middle(end=NOW - timedelta(hours=1))], [ROOT.root()]), "validity"),
    "a step of tomorrow": (lambda: (LEAF, [middle(begin=NOW + timedelta(hours=1))], [ROOT.root()]), "validity"),
    "an expired root": (lambda: (LEAF, [middle()], [ROOT.root(end=NOW - timedelta(hours=1))]), "validity"),
    "a root that is no authority": (lambda: (LEAF, [middle()], [ROOT.root(authority=False)]), "authority"),
    "a longer chain than allowed": (lambda: (LEAF, [middle()], [ROOT.root(path_length=0)]), "path_length"),
    "an authority as leaf": (lambda: (middle(), [], [ROOT.root()]), "leaf"),
    "a critical limit in the middle": (
        lambda: (
            LEAF,
            [middle(extensions=((x509.NameConstraints([x509.DNSName("example.org")], None), True),))],
            [ROOT.root()],
        ),
        "extensions",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_chain_that_is_wrong_in_one_step_is_refused_by_its_name(what: str) -> None:
    chain, name = WRONG[what]
    assert code(*chain()) == f"evidence.certificate_{name}"


def test_a_path_as_long_as_allowed_is_believed_and_endless_ones_end() -> None:
    assert follow(LEAF, [middle(path_length=0)], [ROOT.root(path_length=1)])
    loop = [MIDDLE.certify("lower", LOWER.key, authority=True), LOWER.certify("middle", MIDDLE.key, authority=True)]
    assert code(LEAF, loop * 10, [ROOT.root()]) == "evidence.certificate_path"
    crowd = [MIDDLE.root() for _ in range(32)]  # each signs all others: followed one by one, not path by path
    assert code(LEAF, crowd, [ROOT.root()]) == "evidence.certificate_path"
    assert code(LEAF, [*crowd, middle()], [ROOT.root()]) == "evidence.certificate"


def test_an_authority_that_was_issued_anew_for_its_key_is_found_whatever_the_order() -> None:
    old, old_root = middle(end=NOW - timedelta(hours=1)), ROOT.root(end=NOW - timedelta(hours=1))
    for others in ([old, middle()], [middle(), old]):
        for roots in ([old_root, ROOT.root()], [ROOT.root(), old_root]):
            assert follow(LEAF, others, roots).valid_until == END


def signed(key: object, **how: object) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, BEGIN, END)  # type: ignore[attr-defined]
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )  # fmt: skip
    algorithm = how.pop("algorithm", hashes.SHA384())
    return builder.sign(key, algorithm, **how).public_bytes(Encoding.DER)  # type: ignore[arg-type]


RSA = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("certificate", "believed"),
    [
        (signed(RSA), True),
        (signed(RSA, rsa_padding=padding.PSS(padding.MGF1(hashes.SHA384()), 48)), True),
        (signed(RSA, rsa_padding=padding.PSS(padding.MGF1(hashes.SHA256()), 48)), False),
        (signed(ED, algorithm=None), True),
        (signed(ec.generate_private_key(ec.SECP521R1())), True),
        (signed(ec.generate_private_key(ec.SECP256K1())), False),
        (signed(rsa.generate_private_key(65537, 1024)), False),  # noqa: S505 - weak on purpose
    ],
)
def test_strong_algorithms_are_believed_and_weak_ones_are_not(certificate: bytes, believed: bool) -> None:
    # A root that signed itself, asked about as if it were a leaf: only the last check refuses it.
    assert code(certificate, [], [certificate]) == f"evidence.certificate_{'leaf' if believed else 'path'}"


def test_certificates_that_strict_parsers_refuse_can_be_read() -> None:
    odd = asn1.Certificate.load(LEAF)
    odd["tbs_certificate"]["serial_number"] = 0
    der = odd.dump(force=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_certificate(der).subject_text == "Common Name: leaf"


def test_what_is_no_certificate_is_malformed() -> None:
    two_algorithms = asn1.Certificate.load(LEAF)
    two_algorithms["signature_algorithm"] = {"algorithm": "sha384_ecdsa"}
    twice = asn1.Certificate.load(LEAF)
    extensions = twice["tbs_certificate"]["extensions"]
    extensions.append(extensions[0].copy())
    for raw in (
        b"",
        b"\0",
        LEAF[:-1],
        LEAF + b"\0",
        bytes(1 << 15),
        two_algorithms.dump(force=True),
        twice.dump(force=True),
    ):
        with pytest.raises(Malformed) as caught:
            parse_certificate(raw)
        assert caught.value.code == "evidence.certificate"
        with pytest.raises(Malformed):
            certificates_of(raw)
    with pytest.raises(Malformed) as refused:
        certificates_of(b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n")
    assert refused.value.why == "the file holds no certificate"


def test_every_byte_of_a_certificate_counts() -> None:
    others, roots = [middle()], [ROOT.root()]
    for index in range(len(LEAF)):
        for bit in (0x01, 0x20):
            with pytest.raises(Refusal):
                follow(LEAF[:index] + bytes([LEAF[index] ^ bit]) + LEAF[index + 1 :], others, roots)
