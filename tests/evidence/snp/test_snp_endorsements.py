"""Endorsements of SEV-SNP lie about in many forms; each is read, and what is broken is malformed."""

import json
from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from asn1crypto import pem

from mpc.canonical import sha256
from mpc.errors import Malformed
from mpc.evidence.snp.endorsements import pieces_of, sorted_out
from mpc.evidence.snp.files import is_report, unwrapped
from mpc.evidence.verdict import examine
from tests.evidence.snp.snp_beliefs import believe
from tests.evidence.snp_forge import NOW, SnpForge, ec_key


def table(*entries: tuple[bytes, bytes]) -> bytes:
    """Spell the certificate table of an extended report."""
    start, head, tail = 24 * (len(entries) + 1), b"", b""
    for guid, blob in entries:
        head += guid + (start + len(tail)).to_bytes(4, "little") + len(blob).to_bytes(4, "little")
        tail += blob
    return head + bytes(24) + tail


VCEK_GUID = UUID("63da758d-e664-4564-adc5-f4b93be8accd")
ASK_GUID, ARK_GUID = UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782"), UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae")
CRL_GUID, OTHER_GUID = UUID("92f81bc3-5811-4d3d-97ff-d19f88dc67ea"), UUID("00000000-0000-0000-0000-000000000001")


@pytest.mark.parametrize("order", ["bytes", "bytes_le"])
def test_a_host_s_certificate_table_endorses(order: str) -> None:
    forge = SnpForge()
    made = table(
        (getattr(VCEK_GUID, order), forge.leaf), (getattr(OTHER_GUID, order), b"the host's own"),
        (getattr(ASK_GUID, order), forge.issuer), (getattr(ARK_GUID, order), forge.root),
        (getattr(CRL_GUID, order), forge.crl()),
    )  # fmt: skip
    claims = believe(forge, forge.report(), [made], [forge.root])
    assert claims.facts["revocation"] == "checked by AMD's list"


@pytest.mark.parametrize(
    "broken",
    [
        VCEK_GUID.bytes,
        VCEK_GUID.bytes + (48).to_bytes(4, "little") + (9).to_bytes(4, "little") + bytes(24),
        VCEK_GUID.bytes + (0).to_bytes(4, "little") + (24).to_bytes(4, "little") + bytes(24),
        (VCEK_GUID.bytes + (2**32 - 1).to_bytes(4, "little") * 2) + bytes(24),
        OTHER_GUID.bytes * 100,
        VCEK_GUID.bytes + bytes(8) + bytes(24),
    ],
)
def test_a_broken_table_is_malformed(broken: bytes) -> None:
    with pytest.raises(Malformed):
        sorted_out([broken])


def test_endorsements_are_taken_as_they_lie() -> None:
    forge = SnpForge()
    leaf, issuer, root = forge.endorsements
    as_pem = [pem.armor("CERTIFICATE", one) for one in (leaf, issuer, root)]
    path = b"".join((root, issuer))
    path = b"\x30\x82" + len(path).to_bytes(2) + path
    thim = json.dumps({"vcekCert": as_pem[0].decode(), "tcbm": "1", "certificateChain": b"".join(as_pem[1:]).decode()})
    listed = pem.armor("X509 CRL", forge.crl())
    for given in ([b"".join(as_pem) + listed], [leaf, path], [thim.encode()], [as_pem[0], path, listed]):
        believe(forge, forge.report(), given, [sha256(root)])


@pytest.mark.parametrize(
    "junk", [b"", b"{}", b"{" * 10_000, b"-----BEGIN", b"\x30\x03\x02\x01\x01", b"\x30\x00", b"\x30", b"\xff" * 64]
)
def test_junk_beside_a_report_is_malformed(junk: bytes) -> None:
    forge = SnpForge()
    with pytest.raises(Malformed):
        believe(forge, forge.report(), [*forge.endorsements, junk])


def test_a_private_key_among_the_endorsements_is_named() -> None:
    with pytest.raises(Malformed, match="holds a ec private key"):
        pieces_of(pem.armor("EC PRIVATE KEY", b"secret"))


def test_the_certificate_of_the_chip_is_found_among_others() -> None:
    forge = SnpForge()
    other = replace(forge, key=ec_key("another chip"), hardware_id=bytes(64 * [9]))
    believe(forge, forge.report(), [other.leaf, *forge.endorsements])
    older = replace(forge, levels=forge.levels | {"ucode": 1})
    believe(forge, forge.report(), [older.leaf, *forge.endorsements])
    believe(older, older.report(), [forge.leaf, *older.endorsements])


def test_a_report_is_taken_as_it_lies() -> None:
    forge = SnpForge()
    report, root = forge.report(), forge.root
    extended = report + table((VCEK_GUID.bytes, forge.leaf), (ASK_GUID.bytes, forge.issuer), (ARK_GUID.bytes, root))
    answer = (bytes(4) + (1184).to_bytes(4, "little") + bytes(24) + report).ljust(4000, b"\0")
    for raw in (
        report, report.hex().encode(), report.hex().upper().encode() + b"\n", b64encode(report), answer,
        urlsafe_b64encode(report).rstrip(b"="), b64encode(extended), encodebytes(report),
    ):  # fmt: skip
        verdict = examine(raw, at=NOW, endorsements=[forge.leaf, forge.issuer], roots=[root])
        assert verdict.accepted, verdict.refusal
    assert examine(extended, at=NOW, roots=[root]).accepted


def test_a_report_is_found_in_an_answer_with_what_is_beside_it() -> None:
    forge = SnpForge()
    report = forge.report()
    answers = (
        {"provider": "sev_guest", "outblob": urlsafe_b64encode(report).decode().rstrip("=")},
        {"evidence": {"attestation_report": b64encode(report).decode(), "cert_chain": {"ark": "not spelled"}}},
        {"report": list(report)},
    )
    for answer in answers:
        assert unwrapped(json.dumps(answer).encode()) == (report, ())
    beside = json.dumps({"report": report.hex(), "vcek": "3000"}).encode()
    assert unwrapped(beside) == (report, (b"\x30\x00",))
    two = json.dumps({"report": report.hex(), "other": {"report": report[::-1].hex()}}).encode()
    assert not is_report(two)


@pytest.mark.parametrize("spell", [bytes.hex, lambda der: b64encode(der).decode(), lambda der: "0x" + der.hex()])
def test_endorsements_are_taken_in_hex_and_base64(spell: Callable[[bytes], str]) -> None:
    forge = SnpForge()
    along = [spell(forge.leaf).encode(), spell(forge.issuer).encode()]
    assert examine(forge.report(), at=NOW, endorsements=along, roots=[forge.root]).accepted


def test_other_wrappings_are_malformed() -> None:
    report = SnpForge().report()
    for raw in (
        report + bytes(24), report + report, bytes(32) + report, b"\x16\0\0\0" + bytes(28) + report,
        report.hex().encode()[:-1], b64encode(report)[:-5], report.hex().encode() * 40, b64encode(report) + b"!",
        (bytes(4) + (1184).to_bytes(4, "little") + bytes(24) + report).ljust(4000, b"\1"),
    ):  # fmt: skip
        assert examine(raw, at=NOW, format="sev-snp").stage == "parse"


def test_more_than_any_chain_needs_is_malformed() -> None:
    forge = SnpForge()
    each = [pem.armor("CERTIFICATE", forge.root + bytes([number])) for number in range(33)]
    many = b"".join(each)
    assert len(pieces_of(b"".join(each[:32]))) == 32
    note = UUID("ecae0c0f-9502-43b1-afa2-0ae2e0d565b6").bytes  # Google's, on the machine: no certificate
    for file in (many, bytes((128 << 10) + 1), table((note, b"machine"))):
        with pytest.raises(Malformed):
            pieces_of(file)
    with pytest.raises(Malformed, match="malformed"):
        sorted_out([forge.root] * 33)


def test_a_certificate_of_an_unknown_product_is_malformed() -> None:
    forge = SnpForge(product_name="Zagreb-B0")
    with pytest.raises(Malformed):
        sorted_out(forge.endorsements)


def test_an_anchor_alone_or_a_list_verifies_nothing() -> None:
    forge = SnpForge()
    root = forge.root
    for file in (root, forge.crl()):
        verdict = examine(file, at=NOW, format="sev-snp", roots=[root])
        assert verdict.reason == "nothing to verify: the file holds an anchor alone, or a list"
