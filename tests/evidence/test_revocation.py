"""A revocation list is read whole or is malformed, whatever the library that reads it raises."""

import pytest
from asn1crypto import crl, x509
from cryptography import x509 as certificates
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from mpc.errors import Malformed
from mpc.evidence.certificate import parse_certificate
from mpc.evidence.checks import Checks, NotBelieved
from mpc.evidence.revocation import LIST_MAX_BYTES, check_lists, parse_revocation_list
from tests.evidence.intel_forge import ISSUED, NEXT, IntelForge
from tests.evidence.nitro.nitro_forge import NitroForge

FORGE = IntelForge()
LIST = FORGE.revocation_list(revoked=[7])


def spoiled(what: str) -> bytes:
    odd = crl.CertificateList.load(LIST)
    body = odd["tbs_cert_list"]
    match what:
        case "version":
            body["version"] = 1
            raw = odd.dump(force=True)
            at = raw.index(b"\x02\x01\x01")
            return raw[:at] + b"\x02\x01\x09" + raw[at + 3 :]
        case "algorithm":
            for algorithm in (body["signature"], odd["signature_algorithm"]):
                algorithm["algorithm"] = "1.2.3.4"
        case "extension twice":
            body["crl_extensions"].append(body["crl_extensions"][0].copy())
        case "critical":
            body["crl_extensions"][0]["critical"] = True
        case "critical of no truth":
            body["crl_extensions"][0]["critical"] = True
            raw = odd.dump(force=True)
            return raw.replace(b"\x01\x01\xff", b"\x02\x01\x01")
        case "country":
            body["issuer"] = x509.Name.build({"country_name": "nowhere"})
        case "no end":
            del body["next_update"]
    return bytes(odd.dump(force=True))


def test_a_list_is_read_with_its_times_and_numbers() -> None:
    read = parse_revocation_list(LIST)
    assert (read.this_update, read.next_update) == (ISSUED, NEXT)
    assert (read.names(7), read.names(8)) == (True, False)
    assert read.is_current(ISSUED)
    assert read.is_current(NEXT)


@pytest.mark.parametrize(
    "what", ["version", "algorithm", "extension twice", "critical", "critical of no truth", "no end"]
)
def test_a_list_that_is_odd_in_one_place_is_malformed(what: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_revocation_list(spoiled(what))
    assert caught.value.code == "evidence.revocation_list"


def test_a_signature_is_a_whole_number_of_bytes() -> None:
    even = next(made for made in iter(FORGE.revocation_list, None) if not made[-1] & 1)
    at = len(even) - len(crl.CertificateList.load(even)["signature"].contents)
    assert even[at] == 0
    parse_revocation_list(even)
    with pytest.raises(Malformed):
        parse_revocation_list(even[:at] + b"\1" + even[at + 1 :])


def test_a_name_is_compared_and_not_judged() -> None:
    odd = spoiled("country")
    assert parse_revocation_list(odd).issuer in odd


@pytest.mark.parametrize("raw", [b"", b"\0", LIST[:-1], LIST + b"\0", bytes(LIST_MAX_BYTES + 1)])
def test_what_is_no_list_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_revocation_list(raw)


@pytest.mark.parametrize(("usage", "holds"), [("crl_sign", True), ("", True), ("key_cert_sign", False)])
def test_a_list_counts_only_of_an_authority_that_may_sign_lists(usage: str, *, holds: bool) -> None:
    forge, checks = NitroForge(), Checks("the list")
    named = certificates.Name([certificates.NameAttribute(certificates.NameOID.COMMON_NAME, "root")])
    builder = certificates.CertificateRevocationListBuilder(named, ISSUED, NEXT)
    made = parse_revocation_list(builder.sign(forge.root_key, SHA384()).public_bytes(Encoding.DER))
    issuer = parse_certificate(forge.root(usage=usage))
    if holds:
        assert check_lists(issuer, [made], at=ISSUED, checks=checks) == NEXT
        return
    with pytest.raises(NotBelieved) as refused:
        check_lists(issuer, [made], at=ISSUED, checks=checks)
    assert refused.value.code == "evidence.crl_signature"
