"""Certificates are read as asn1crypto reads them, an independent parser; what only nearly is one is malformed."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from asn1crypto import algos
from asn1crypto import x509 as oracle
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mpc.errors import Malformed
from mpc.evidence.certificate import USUAL_ALGORITHMS, Certificate, SignatureAlgorithm, parse_certificate
from mpc.evidence.der import INTEGER, OBJECT_IDENTIFIER, SEQUENCE, dotted, encode, integer_of, read_element, sequence_of
from tests.evidence.nitro.nitro_forge import NitroForge
from tests.evidence.snp_forge import SnpForge

KEY = ec.generate_private_key(ec.SECP256R1())
ATTRIBUTES = (
    (x509.NameOID.COUNTRY_NAME, "US"), (x509.NameOID.COMMON_NAME, "a name, with a comma"),
    (x509.NameOID.ORGANIZATION_NAME, "Größe"), (x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "one"),
    (x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "two"), (x509.NameOID.STATE_OR_PROVINCE_NAME, "WA"),
    (x509.NameOID.LOCALITY_NAME, "Seattle"), (x509.NameOID.SERIAL_NUMBER, "7"),
    (x509.NameOID.EMAIL_ADDRESS, "a@example.org"), (x509.NameOID.DOMAIN_COMPONENT, "org"),
)  # fmt: skip
NAMES = (
    (),
    ATTRIBUTES[:1],
    ATTRIBUTES[1:4],
    ATTRIBUTES[2:7],
    ATTRIBUTES[:8],
    (*ATTRIBUTES[2:8], ATTRIBUTES[0]),
    ATTRIBUTES[7:],
)
USAGES = tuple(
    dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                   "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False) | chosen
    for chosen in ({"key_cert_sign": True, "crl_sign": True}, {"digital_signature": True}, {"content_commitment": True},
                   {"key_agreement": True, "decipher_only": True}, {})
)  # fmt: skip
EXTENSIONS: tuple[tuple[x509.ExtensionType, ...], ...] = (
    (), (x509.BasicConstraints(ca=False, path_length=None),), (x509.BasicConstraints(ca=True, path_length=0),),
    (x509.BasicConstraints(ca=True, path_length=300), x509.SubjectAlternativeName([x509.DNSName("sealroom")])),
    (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING, x509.ObjectIdentifier("2.999.1234567890")]),),
    *((x509.KeyUsage(**bits),) for bits in USAGES),
)  # fmt: skip


def minted(
    name: tuple[tuple[x509.ObjectIdentifier, str], ...] = ATTRIBUTES[1:2],
    extensions: tuple[x509.ExtensionType, ...] = (),
    begin: datetime = datetime(2020, 1, 1, tzinfo=UTC), end: datetime = datetime(2026, 1, 1, tzinfo=UTC),
) -> bytes:  # fmt: skip
    named = x509.Name([x509.NameAttribute(oid, text) for oid, text in name])
    builder = x509.CertificateBuilder(named, named, KEY.public_key(), (1 << 158) + 5, begin, end)
    for number, extension in enumerate(extensions):
        builder = builder.add_extension(extension, critical=number % 2 == 0)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def certificates() -> Iterator[bytes]:
    yield from (minted(name) for name in NAMES)
    yield from (minted(extensions=extensions) for extensions in EXTENSIONS)
    for year in (1950, 1999, 2049, 2050, 9999):
        yield minted(
            begin=datetime(1950, 1, 2, 3, 4, 5, tzinfo=UTC), end=datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
        )
    for forge in (SnpForge(), SnpForge(product="Turin"), SnpForge(kind="VLEK")):
        yield from forge.endorsements
    yield from (NitroForge().root(), NitroForge().zone(), NitroForge().leaf())


def as_the_oracle_reads(der: bytes) -> dict[str, object]:
    whole = oracle.Certificate.load(der, strict=True)
    body = whole["tbs_certificate"]
    constraints, usage = whole.basic_constraints_value, whole.key_usage_value
    return {
        "signed": body.dump(), "signature": whole["signature_value"].native, "serial": body["serial_number"].native,
        "issuer": body["issuer"].dump(), "subject": body["subject"].dump(),
        "issuer_text": body["issuer"].human_friendly or "unnamed",
        "subject_text": body["subject"].human_friendly or "unnamed",
        "common_name": names if isinstance(names := body["subject"].native.get("common_name", ""), str) else "",
        "not_before": body["validity"]["not_before"].native, "not_after": body["validity"]["not_after"].native,
        "spki": body["subject_public_key_info"].dump(),
        "extensions": tuple(
            (one["extn_id"].dotted, one["critical"].native, one["extn_value"].contents)
            for one in ([] if not body["extensions"] else body["extensions"])
        ),
        "is_authority": bool(constraints and constraints["ca"].native),
        "path_length": constraints["path_len_constraint"].native if constraints else None,
        "key_usage": frozenset(usage.native) if usage else None,
        "extended_key_usage": frozenset(one.dotted for one in whole.extended_key_usage_value or ()),
    }  # fmt: skip


def test_certificates_are_read_as_an_independent_parser_reads_them() -> None:
    ran = 0
    for der in certificates():
        read = parse_certificate(der)
        assert {name: value for name, value in vars(read).items() if name not in {"der", "algorithm"}} == (
            as_the_oracle_reads(der)
        )
        ran += 1
    assert ran == 34


def test_usual_algorithms_are_what_an_independent_parser_says_of_them() -> None:
    assert len(USUAL_ALGORITHMS) == 6
    for der, named in USUAL_ALGORITHMS.items():
        read = algos.SignedDigestAlgorithm.load(der, strict=True)
        salt = read["parameters"]["salt_length"].native if read.signature_algo == "rsassa_pss" else None
        assert named == SignatureAlgorithm(read.signature_algo, read.hash_algo, salt)
        if salt:
            mask = read["parameters"]["mask_gen_algorithm"]["parameters"]["algorithm"].native
            assert mask == read.hash_algo


def changed(**fields: bytes) -> bytes:
    """Spell a certificate whose fields are as given, in DER, and the others as they were."""
    body, *rest = read_element(minted()).children(SEQUENCE)
    names = ("version", "serial", "algorithm", "issuer", "validity", "subject", "spki")
    values = dict(zip(names, (one.whole for one in body.children()), strict=True)) | fields
    return sequence_of(sequence_of(*values.values()), *(one.whole for one in rest))


def times(begin: bytes, end: bytes = b"260101000000Z", tag: int = 0x17) -> bytes:
    return sequence_of(encode(tag, begin), encode(0x17, end))


def extension(*parts: bytes) -> bytes:
    return encode(0xA3, sequence_of(sequence_of(*parts)))


CONSTRAINTS, OID = encode(OBJECT_IDENTIFIER, b"\x55\x1d\x13"), encode(OBJECT_IDENTIFIER, b"\x55\x1d\x0f")
UNKNOWN = encode(OBJECT_IDENTIFIER, b"\x55\x1d\x63")
WRONG: dict[str, dict[str, bytes]] = {
    "no serial number": {"serial": encode(0x04, b"\1")},
    "a time without seconds": {"validity": times(b"2601010000Z")},
    "a time of another zone": {"validity": times(b"260101000000+0000")},
    "a time with a sign": {"validity": times(b"26010100000-Z")},
    "the 31st of February": {"validity": times(b"260231000000Z")},
    "a year zero": {"validity": times(b"00000101000000Z", tag=0x18)},
    "a text in place of a time": {"validity": times(b"260101000000Z", tag=0x0C)},
    "three times": {"validity": sequence_of(*(encode(0x17, b"260101000000Z") for _ in range(3)))},
    "a name of unknown letters": {"subject": sequence_of(encode(0x31, sequence_of(OID, encode(0x05, b""))))},
    "a name that is no text": {"subject": sequence_of(encode(0x31, sequence_of(OID, encode(0x0C, b"\xff"))))},
    "an extension that is no octets": {"extensions": extension(UNKNOWN, encode(INTEGER, b"\1"))},
    "an extension with two values": {"extensions": extension(OID, encode(0x04, b"\3\1\0"), encode(0x04, b"\3\1\0"))},
    "usage that is no bits": {"extensions": extension(OID, encode(0x04, b"\2\1\0"))},
    "constraints in the wrong order": {
        "extensions": extension(CONSTRAINTS, encode(0x04, sequence_of(encode(INTEGER, b"\1"), encode(1, b"\xff"))))},
    "constraints with two limits": {
        "extensions": extension(CONSTRAINTS, encode(0x04, sequence_of(*(encode(INTEGER, b"\1") for _ in range(2)))))},
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_in_one_field_is_malformed(what: str) -> None:
    assert isinstance(parse_certificate(changed()), Certificate)
    with pytest.raises(Malformed):
        parse_certificate(changed(**WRONG[what]))


def test_a_limit_that_is_marked_with_any_byte_is_critical() -> None:
    for flag, critical in ((b"\0", False), (b"\1", True), (b"\xff", True)):
        der = changed(extensions=extension(OID, encode(0x01, flag), encode(0x04, encode(0x03, b"\2\x04"))))
        assert parse_certificate(der).extensions == (("2.5.29.15", critical, encode(0x03, b"\2\x04")),)
        assert parse_certificate(der).key_usage == {"key_cert_sign"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x2a", "1.2"),
        (b"\x55\x1d\x13", "2.5.29.19"),
        (b"\x88\x37\x01", "2.999.1"),
        (b"\x27", "0.39"),
        (b"\x50", "2.0"),
    ],
)
def test_identifiers_are_written_with_dots(content: bytes, words: str) -> None:
    assert dotted(read_element(encode(OBJECT_IDENTIFIER, content))) == words


def test_what_is_no_identifier_and_no_number_is_refused() -> None:
    for content in (b"", b"\x80", b"\x2a\x81", b"\xff" * 20 + b"\1"):
        with pytest.raises(ValueError, match="identifier"):
            dotted(read_element(encode(OBJECT_IDENTIFIER, content)))
    with pytest.raises(ValueError, match="identifier"):
        dotted(read_element(encode(INTEGER, b"\x2a")))
    for element in (encode(INTEGER, b""), encode(0x04, b"\1")):
        with pytest.raises(ValueError, match="integer"):
            integer_of(read_element(element))
    assert integer_of(read_element(encode(INTEGER, b"\xff"))) == -1
