"""What this project writes into certificates, read by others: OpenSSL for the X.509, fixed bytes for the CBOR."""

import dataclasses
import hashlib
import re
import shutil
import subprocess
from datetime import UTC, datetime
from itertools import pairwise

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mpc.attesters import choose
from mpc.coordinator.keys import InstanceKeys, TlsKey
from mpc.errors import Malformed
from mpc.evidence import parse_and_verify
from mpc.evidence.binding import Transcript, parse_transcript
from mpc.evidence.certificate import certificates_of, parse_certificate
from mpc.evidence.claims import Attestation
from mpc.evidence.ratls.coordinators import (
    MEDIA_TYPE,
    NOT_FRESH,
    InteroperableTranscript,
    attestation_extension,
    certificate_transcript,
    read_attestation_extension,
)
from mpc.evidence.ratls.interoperable import (
    ENDORSEMENTS,
    EVIDENCE,
    MESSAGE_WRAPPER,
    claims_for,
    endorsements_extension,
    evidence_extension,
    key_hash_matches,
    read_claims,
    read_endorsements,
    read_evidence,
    read_wrapped,
    report_data_for,
    wrapped_extension,
)
from mpc.evidence.verdict import examine
from tests.evidence.intel_forge import FORGE, NOW, ROOT_DER, enclave_report, td_report

QUOTE = bytes(range(256)) * 4
AT = datetime(2026, 6, 1, tzinfo=UTC)
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def certificate_with(*extensions: x509.ExtensionType) -> tuple[bytes, bytes]:
    """Return a certificate in DER, and its SubjectPublicKeyInfo."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "attested")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER), spki


def openssl_sees(der: bytes) -> dict[str, bytes]:
    """Return the extensions that OpenSSL finds: dotted identifier to value."""
    command = [shutil.which("openssl") or "openssl", "asn1parse", "-inform", "DER"]
    lines = subprocess.run(command, input=der, capture_output=True, check=True).stdout.decode().splitlines()
    found = {}
    for line, following in pairwise(lines):
        named = re.search(r"d=5 .* OBJECT +:(\S+)", line)
        dumped = re.search(r"d=5 .*OCTET STRING +\[HEX DUMP\]:([0-9A-F]+)", following)
        if named and dumped:
            found[named[1]] = bytes.fromhex(dumped[1])
    return found


def test_the_claims_of_a_key_are_the_bytes_that_the_specification_gives() -> None:
    spki = b"some key"
    digest = hashlib.sha256(spki).digest()
    # {"pubkey-hash": << [1, h'…'] >>}, definite lengths
    entry = bytes.fromhex("82 01 58 20") + digest
    assert claims_for(spki) == b"\xa1\x6bpubkey-hash\x58\x24" + entry
    assert report_data_for(claims_for(spki)) == hashlib.sha256(claims_for(spki)).digest() + bytes(32)
    with_nonce = read_claims(claims_for(spki, nonce=b"asked"))
    assert with_nonce["nonce"] == b"asked"
    assert key_hash_matches(with_nonce["pubkey-hash"], spki)
    assert not key_hash_matches(with_nonce["pubkey-hash"], b"another key")


@needs_openssl
def test_openssl_reads_the_evidence_and_the_endorsements_that_are_written() -> None:
    claims = claims_for(b"key")
    items = [bytes([number]) * 300 for number in range(7)]
    der, _ = certificate_with(evidence_extension(QUOTE, claims), endorsements_extension(items))
    seen = openssl_sees(der)
    # tag 60000, an array of two, byte strings with lengths of two bytes and one
    expected = bytes.fromhex("d9ea60 82 59 0400") + QUOTE + bytes([0x58, len(claims)]) + claims
    assert seen[EVIDENCE] == expected
    assert read_evidence(seen[EVIDENCE]) == (QUOTE, claims)
    assert seen[ENDORSEMENTS][:5] == bytes.fromhex("d9ea60 88 01")
    assert list(read_endorsements(seen[ENDORSEMENTS])) == items


@needs_openssl
def test_openssl_reads_the_message_wrapper_that_is_written() -> None:
    der, _ = certificate_with(wrapped_extension("application/x", b"evidence"))
    value = openssl_sees(der)[MESSAGE_WRAPPER]
    # OCTET STRING of 24 bytes, then ["application/x", h'…']
    assert value == b"\x04\x18\x82\x6dapplication/x\x48evidence"
    assert read_wrapped(value) == ("application/x", b"evidence")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x04\x00",
        b"\x0c\x02{}",
        b"\x04\x02\x81\x00",
        b"\x04\x03\x82\x00\x40",
        wrapped_extension("a", b"b").value + b"\0",
        wrapped_extension("a", b"b").value[:-1],
    ],
)
def test_what_is_no_message_wrapper_is_malformed(value: bytes) -> None:
    with pytest.raises(Malformed):
        read_wrapped(value)


@needs_openssl
def test_a_coordinators_certificate_carries_evidence_for_its_keys_that_others_can_read() -> None:
    attester = choose("simulated")
    attester.measure(bytes(32))
    keys = InstanceKeys.generate(attester)
    (der,) = certificates_of(keys.tls.certificate)
    carried = read_attestation_extension(openssl_sees(der)[MESSAGE_WRAPPER])

    claims = parse_and_verify(carried.format, carried.evidence, carried.endorsements, roots=(), at=AT)
    spki = parse_certificate(der).spki
    transcript = certificate_transcript(spki, keys.receipt.public.raw)
    assert claims.bound == transcript.report_data()
    assert parse_transcript(carried.transcript) == transcript
    assert transcript.nonce == NOT_FRESH
    assert transcript.spki == keys.tls.spki


def test_a_coordinators_certificate_is_read_as_a_message_wrapper() -> None:
    attester = choose("simulated")
    attester.measure(bytes(32))
    verdict = examine(InstanceKeys.generate(attester).tls.certificate, at=NOW, format="cmw")
    assert verdict.document is not None
    assert verdict.document.facts["types"] == {"record": MEDIA_TYPE}


def test_without_an_attester_the_certificate_carries_no_evidence() -> None:
    (der,) = certificates_of(TlsKey.generate().certificate)
    assert parse_certificate(der).extension(MESSAGE_WRAPPER) is None
    assert parse_certificate(der).extension(EVIDENCE) is None


def test_evidence_over_the_limit_of_a_handshake_is_left_out() -> None:
    class Talkative:
        format = "simulated"

        def __init__(self) -> None:
            self._quiet = choose("simulated")
            self._quiet.measure(bytes(32))

        def measure(self, code_digest: bytes) -> None:
            raise NotImplementedError

        def attest(self, transcript: Transcript) -> Attestation:
            attestation = self._quiet.attest(transcript)
            return dataclasses.replace(attestation, endorsements=(bytes(50 << 10),))

    (der,) = certificates_of(InstanceKeys.generate(Talkative()).tls.certificate)
    assert parse_certificate(der).extension(MESSAGE_WRAPPER) is None


class FalseMachine:
    """An attester whose quotes a false Intel vouches for."""

    def __init__(self, form: str) -> None:
        self.format = form

    def measure(self, code_digest: bytes) -> None:
        raise NotImplementedError

    def attest(self, transcript: Transcript) -> Attestation:
        report_data = transcript.report_data()
        if self.format == "sgx":
            quote = FORGE.quote(enclave_report(report_data=report_data), version=3, tee=0)
        else:
            quote = FORGE.quote(td_report(report_data=report_data), behind=bytes(100))
        return Attestation(self.format, quote, (), transcript.to_bytes())


@needs_openssl
@pytest.mark.parametrize("form", ["sgx", "tdx"])
def test_a_coordinator_on_intels_hardware_has_a_certificate_that_other_verifiers_accept(form: str) -> None:
    keys = InstanceKeys.generate(FalseMachine(form))
    (der,) = certificates_of(keys.tls.certificate)
    seen = openssl_sees(der)
    assert MESSAGE_WRAPPER not in seen
    # the form as such, by hand: tag, two byte strings, the hash of the key, the report data
    assert seen[EVIDENCE].startswith(bytes.fromhex("d9ea60 82 59"))
    length = int.from_bytes(seen[EVIDENCE][5:7])
    quote, rest = seen[EVIDENCE][7 : 7 + length], seen[EVIDENCE][7 + length :]
    claims = rest[2:]
    assert rest[:2] == bytes([0x58, len(claims)])
    assert claims.endswith(b"\x58\x24\x82\x01\x58\x20" + keys.tls.spki)
    at = 48 + (320 if form == "sgx" else 520)
    assert quote[at : at + 64] == hashlib.sha256(claims).digest() + bytes(32)
    # and whole, by the verifier
    verdict = examine(
        keys.tls.certificate, at=NOW, format="ra-tls", endorsements=[FORGE.collateral(form.upper())], roots=[ROOT_DER]
    )
    assert verdict.accepted, verdict.refusal


def test_the_evidence_of_a_certificate_passes_for_the_answer_to_no_party() -> None:
    transcript = certificate_transcript(b"key", bytes(32))
    claimed = InteroperableTranscript.of(transcript)
    assert claimed.to_bytes() == transcript.to_bytes()
    assert claimed.report_data() != transcript.report_data()
    asked = dataclasses.replace(transcript, nonce=bytes(range(32)))
    assert asked.report_data() not in {claimed.report_data(), transcript.report_data()}


def test_endorsements_are_a_version_and_seven_or_eight_byte_strings() -> None:
    right = [1, *(bytes([number]) for number in range(7))]
    assert read_endorsements(tagged(right)) == read_endorsements(tagged([*right, b""])) == tuple(right[1:])
    for wrong in (right[:-1], [*right, b"", b""], [True, *right[1:]], [b"", *right[1:]], [*right[:-1], "text"]):
        with pytest.raises(Malformed) as refused:
            read_endorsements(tagged(wrong))
        assert refused.value.why == "malformed RA-TLS endorsements"


def tagged(items: list[object]) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(60000, items))


def test_a_wrapper_around_another_thing_is_no_attestation() -> None:
    attestation = Attestation("simulated", b"evidence", (b"beside it",), b"transcript")
    media_type, record = read_wrapped(attestation_extension(attestation).value)
    assert read_attestation_extension(wrapped_extension(media_type, record).value) == attestation
    with pytest.raises(Malformed) as refused:
        read_attestation_extension(wrapped_extension(media_type + "x", record).value)
    assert refused.value.why == "no evidence in the certificate: the wrapper holds another thing"
