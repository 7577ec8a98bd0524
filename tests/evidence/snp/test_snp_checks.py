"""A false AMD lies in one way at a time; the check that is for it refuses, and no other."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mpc.canonical import sha256
from mpc.errors import Malformed, Refusal
from mpc.evidence.checks import NotBelieved
from mpc.evidence.snp import FORMAT, parse_report
from tests.evidence.snp.snp_beliefs import believe, refused
from tests.evidence.snp_forge import CHIP, CSP, FIELDS, MEASUREMENT, NOW, YEAR, SnpForge, ec_key

PRODUCTS = ("Milan", "Genoa", "Turin")
KINDS = ("VCEK", "VLEK")


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", [2, 3, 5])
def test_a_report_of_every_kind_is_believed(product: str, kind: str, version: int) -> None:
    forge = SnpForge(product, kind, version)
    claims = believe(forge, forge.report(report_data=b"\x07" * 64))
    assert claims.bound == b"\x07" * 64
    assert claims.facts["product"] == product
    assert claims.facts["signing_key"] == kind
    assert claims.facts["csp_id"] == (CSP if kind == "VLEK" else "")
    assert claims.facts["reported_tcb"] == forge.levels
    assert claims.measurements["measurement"] == MEASUREMENT
    assert claims.valid_until == NOW + YEAR
    assert (claims.measured_by, claims.memory_protected, claims.debug) == ("hardware", True, False)


def test_nothing_is_believed_without_the_key_s_certificate() -> None:
    forge = SnpForge()
    refused("endorsement", forge, forge.report(), endorsements=[forge.issuer, forge.root])


@pytest.mark.parametrize(("kind", "flags"), [("VCEK", 0b100), ("VLEK", 0), ("VCEK", 0b11100), ("VCEK", 0b01000)])
def test_the_report_names_the_kind_of_key_that_signed(kind: str, flags: int) -> None:
    forge = SnpForge(kind=kind)
    refused("signing_key", forge, forge.report(flags=flags))


def test_a_root_that_lies_beside_the_evidence_is_no_anchor() -> None:
    forge = SnpForge()
    assert "wrong root" in refused("certificate_path", forge, forge.report(), roots=FORMAT.pinned).why
    assert "wrong root" in refused("certificate_path", forge, forge.report(), roots=[]).why


def test_a_root_may_be_named_by_its_digest_and_then_has_to_lie_beside_the_evidence() -> None:
    forge = SnpForge()
    digest = sha256(forge.root)
    endorsements = forge.endorsements
    signed = [forge.leaf, forge.issuer, endorsements[2]]
    believe(forge, forge.report(), signed, [sha256(endorsements[2])])
    refused("certificate_path", forge, forge.report(), endorsements=signed[:2], roots=[digest])


def test_an_issuer_that_the_root_did_not_sign_is_refused() -> None:
    forge = SnpForge()
    other = replace(forge, root_name="another")
    why = refused("certificate_path", forge, forge.report(), endorsements=[forge.leaf, other.issuer]).why
    assert why.startswith("bad certificate signature")


def test_certificates_are_checked_for_their_time() -> None:
    ended = SnpForge(leaf_ends=NOW - timedelta(days=1))
    assert refused("certificate_validity", ended, ended.report()).why.startswith("certificate expired")
    early = SnpForge(leaf_begins=NOW + timedelta(days=1))
    assert refused("certificate_validity", early, early.report()).why.startswith("certificate not yet valid")
    old = SnpForge(issuer_ends=NOW - timedelta(days=1))
    assert refused("certificate_validity", old, old.report()).why.startswith("certificate expired")


def test_the_issuer_that_amd_called_back_is_refused_without_any_list() -> None:
    forge = SnpForge("Genoa", issuer_serial=0x20001)
    assert refused("called_back", forge, forge.report()).why.startswith("certificate revoked")
    believe(SnpForge("Milan", issuer_serial=0x20001), SnpForge("Milan").report())


def test_a_revocation_list_is_obeyed() -> None:
    forge = SnpForge()
    covered = believe(forge, forge.report(), [*forge.endorsements, forge.crl(ends=NOW + timedelta(days=9))])
    assert covered.facts["revocation"] == "checked by AMD's list"
    assert covered.valid_until == NOW + timedelta(days=9)
    assert str(believe(forge, forge.report()).facts["revocation"]).startswith("not checked")
    revoked = [*forge.endorsements, forge.crl([forge.issuer_serial])]
    assert refused("revocation", forge, forge.report(), endorsements=revoked).why.startswith("certificate revoked")
    beside_a_newer = [*revoked, forge.crl(ends=NOW + 2 * YEAR)]
    refused("revocation", forge, forge.report(), endorsements=beside_a_newer)


def test_a_revocation_list_has_its_time_and_its_signature() -> None:
    forge = SnpForge()
    for made, name, why in (
        (forge.crl(ends=NOW - timedelta(days=1)), "crl_validity", "CRL expired"),
        (forge.crl(begins=NOW + timedelta(days=1)), "crl_validity", "CRL not yet valid"),
        (forge.crl(signer="another"), "crl_signature", "bad CRL signature"),
    ):
        given = [*forge.endorsements, made]
        assert refused(name, forge, forge.report(), endorsements=given).why.startswith(why)
    with pytest.raises(Malformed, match="limit that this version does not understand"):
        believe(forge, forge.report(), [*forge.endorsements, forge.crl(delta=True)])


def test_a_list_of_another_root_says_nothing() -> None:
    forge = SnpForge()
    claims = believe(forge, forge.report(), [*forge.endorsements, SnpForge("Genoa").crl([forge.issuer_serial])])
    assert str(claims.facts["revocation"]).startswith("not checked")


@pytest.mark.parametrize(
    ("kind", "issuer"), [("VCEK", "SEV-VLEK-Milan"), ("VLEK", "SEV-Milan"), ("VCEK", "SEV-Genoa"), ("VCEK", "SEV")]
)
def test_each_kind_of_key_has_an_issuer_of_its_own(kind: str, issuer: str) -> None:
    forge = SnpForge(kind=kind, issuer_name=issuer)
    refused("issuer", forge, forge.report())


def test_a_key_that_the_root_itself_certified_is_refused() -> None:
    forge = SnpForge(issuer_name="SEV-Milan")
    as_root = replace(forge, root_name="ask", issuer_name="ARK-Milan")
    with pytest.raises(NotBelieved) as refusal:
        believe(forge, forge.report(), [as_root.leaf], [as_root.root])
    assert refusal.value.code == "evidence.issuer"


def test_only_the_endorsed_key_s_signature_counts_in_little_endian() -> None:
    forge = SnpForge()
    other = replace(forge, key=ec_key("another chip"))
    refused("report_signature", forge, other.report())
    refused("report_signature", forge, forge.report(big_endian=True))
    zeros = forge.body() + bytes(512)
    assert refused("report_signature", forge, zeros).why.startswith("bad report signature")
    refused("signature_algorithm", forge, forge.report(sig_algo=2))


def test_a_key_on_another_curve_is_refused() -> None:
    forge = SnpForge(key=ec_key("a small chip", ec.SECP256R1))
    refused("report_signature", forge, forge.report())


@pytest.mark.parametrize("cpuid", [(0x19, 0x11, 1), (0x1A, 0x02, 1), (0x19, 0x21, 1), (0, 0, 0)])
def test_the_processor_is_the_certificate_s(cpuid: tuple[int, int, int]) -> None:
    forge = SnpForge("Milan")
    refused("product", forge, forge.report(cpuid=bytes(cpuid)))


def test_the_models_of_one_generation_are_one_product() -> None:
    forge = SnpForge("Genoa")
    believe(forge, forge.report(cpuid=bytes((0x19, 0xA0, 2))))


def test_the_chip_is_the_certificate_s() -> None:
    forge = SnpForge()
    refused("chip_id", forge, forge.report(chip_id=bytes(64)))
    refused("chip_id", forge, forge.report(chip_id=CHIP[:-1] + b"\0"))
    nameless = SnpForge(hardware_id=bytes(64))
    refused("chip_id", nameless, nameless.report())
    turin = SnpForge("Turin")
    refused("chip_id", turin, turin.report(chip_id=CHIP))
    wide = SnpForge("Turin")
    wide.hardware_id = CHIP
    refused("chip_id", wide, wide.report())
    wrapped = SnpForge(hardware_id=b"\x04\x40" + CHIP)
    believe(wrapped, wrapped.report(chip_id=CHIP))


def test_a_cloud_s_key_is_of_whichever_chip() -> None:
    cloud = SnpForge(kind="VLEK")
    assert believe(cloud, cloud.report(chip_id=CHIP)).facts["chip_id"] == CHIP.hex()
    assert believe(cloud, cloud.report()).facts["chip_id"] == "00" * 64


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_patch_level_is_the_certificate_s(product: str) -> None:
    forge = SnpForge(product)
    for part in forge.levels:
        lower = forge.tcb(**{part: forge.levels[part] - 1})
        refused("reported_tcb", forge, forge.report(reported_tcb=lower))
    unsaid = SnpForge(product)
    del unsaid.levels["snp"]
    refused("reported_tcb", unsaid, SnpForge(product).report())


def test_turin_s_order_is_not_milan_s() -> None:
    turin = SnpForge("Turin")
    as_milan = bytes([turin.levels["bl"], turin.levels["tee"], 0, 0, 0, 0, turin.levels["snp"], turin.levels["ucode"]])
    refused("reported_tcb", turin, turin.report(reported_tcb=as_milan))


@pytest.mark.parametrize("product", PRODUCTS)
def test_what_runs_is_at_least_what_was_committed(product: str) -> None:
    forge = SnpForge(product)
    for part in forge.levels:
        refused("committed_tcb", forge, forge.report(committed_tcb=forge.tcb(**{part: forge.levels[part] + 1})))
    refused("committed_tcb", forge, forge.report(committed_firmware=bytes([31, 55, 1])))
    believe(forge, forge.report(committed_firmware=bytes([31, 54, 1])))


def test_reserved_bits_are_as_the_specification_has_them() -> None:
    forge = SnpForge()
    refused("reserved_bits", forge, forge.report(policy=0x10000))
    refused("reserved_bits", forge, forge.report(policy=0x30000 | 1 << 26))
    refused("reserved_bits", forge, forge.report(policy=0x30000 | 1 << 63))
    refused("reserved_bits", forge, forge.report(launch_tcb=forge.tcb()[:3] + b"\x01" + forge.tcb()[4:]))


@pytest.mark.parametrize("name", [name for name in FIELDS if name.startswith("rsvd")])
def test_reserved_bytes_do_not_parse(name: str) -> None:
    with pytest.raises(Malformed, match="reserved bytes are set"):
        parse_report(SnpForge().report(**{name: b"\x01"}))


@pytest.mark.parametrize("version", [2, 3])
def test_what_a_version_does_not_have_is_reserved_in_it(version: int) -> None:
    forge = SnpForge(version=version)
    with pytest.raises(Malformed):
        parse_report(forge.report(launch_mit=1))
    if version == 2:
        with pytest.raises(Malformed):
            parse_report(forge.report(cpuid=bytes((0x19, 1, 1))))


@pytest.mark.parametrize("version", [0, 1, 6, 2**31])
def test_an_unknown_version_does_not_parse(version: int) -> None:
    with pytest.raises(Malformed, match="version is unknown"):
        parse_report(SnpForge().report(version=version))


def test_unknown_flags_do_not_parse() -> None:
    with pytest.raises(Malformed, match="reserved bits"):
        parse_report(SnpForge().report(flags=1 << 5))


def test_a_report_has_one_length() -> None:
    report = SnpForge().report()
    for other in (report[:-1], report + b"\0", report[:0x2A0], b"", report * 2):
        with pytest.raises(Malformed):
            parse_report(other)


def test_every_byte_of_a_report_is_covered() -> None:
    forge = SnpForge()
    report, endorsements, roots = forge.report(), forge.endorsements, [forge.root]
    for at in range(len(report)):
        changed = bytearray(report)
        changed[at] ^= 1 << at % 8
        with pytest.raises(Refusal):
            FORMAT.verify(parse_report(bytes(changed)), endorsements, roots=roots, at=NOW)


def test_version_4_names_its_processor_as_version_3_does_and_no_mitigations() -> None:
    forge = SnpForge(version=4)
    assert believe(forge, forge.report()).facts["report_version"] == 4
    assert parse_report(forge.report()).processor == (0x19, 0x01, 1)
    with pytest.raises(Malformed, match="reserved"):
        parse_report(forge.report(launch_mit=1))


def test_a_chip_whose_key_is_masked_is_told_and_its_signature_does_not_help() -> None:
    forge = SnpForge()
    why = refused("chip_key", forge, forge.report(flags=0b10)).why
    assert why.startswith("not signed")
