"""False keeps lie in one way at a time; the check that is for it refuses."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mpc.errors import Malformed
from mpc.evidence.checks import NotBelieved
from mpc.evidence.claims import Claims
from mpc.evidence.der import OBJECT_IDENTIFIER, OCTET_STRING, encode, sequence_of
from mpc.evidence.enarx import FORMAT, EnarxReference, parse_request
from mpc.evidence.verdict import examine
from tests.evidence.enarx_forge import EXTENSION_REQUEST, OIDS, list_of, request, snp_report, snp_request
from tests.evidence.snp_forge import AUTHOR_KEY, ID_KEY, MEASUREMENT, NOW, SnpForge, ec_key

OTHER = "01" * 48


def forged(**changed: Any) -> SnpForge:
    return SnpForge(version=2, **changed)


def believe(forge: SnpForge, raw: bytes) -> Claims:
    root = forge.root
    return FORMAT.verify(parse_request(raw), [forge.issuer, root], roots=[root], at=NOW)


def refused(name: str, forge: SnpForge, raw: bytes) -> str:
    with pytest.raises(NotBelieved) as refusal:
        believe(forge, raw)
    assert refusal.value.code == f"evidence.{name}"
    return refusal.value.why


def test_a_keep_is_believed_in_both_forms() -> None:
    forge = forged()
    claims = believe(forge, snp_request(forge))
    assert claims.facts["revocation"] == "checked by AMD's list"
    assert (claims.facts["tee"], claims.facts["key_bound"]) == ("snp", True)
    early = believe(forge, snp_request(forge, early=True))
    assert str(early.facts["revocation"]).startswith("not checked")


def test_a_keep_without_evidence_is_refused() -> None:
    forge = forged()
    assert refused("keep", forge, request("kvm", b"", ec_key("keep"))).startswith("no evidence")


def test_the_request_is_signed_by_the_key_that_it_asks_for() -> None:
    forge = forged()
    other = ec_key("somebody else")
    why = refused("request_signature", forge, snp_request(forge, signer=other))
    assert why.startswith("bad request signature")
    refused("request_signature", forge, snp_request(forge, algorithm="sha256"))


def test_the_key_is_on_the_curve_of_the_vendor_s() -> None:
    forge = forged()
    small = ec_key("a small keep", ec.SECP256R1)
    refused("key_algorithm", forge, snp_request(forge, key=small))


def test_the_evidence_is_of_the_key_that_asks() -> None:
    forge = forged()
    for data in (bytes(64), b"\1" * 64):
        why = refused("key_bound", forge, snp_request(forge, fields={"report_data": data}))
        assert why.startswith("key not bound to evidence")


def test_all_64_bytes_bind_the_key() -> None:
    forge = forged()
    good = believe(forge, snp_request(forge)).bound
    refused("key_bound", forge, snp_request(forge, fields={"report_data": good[:-1] + b"\1"}))


def test_the_extension_is_not_critical() -> None:
    forge = forged()
    refused("extension", forge, snp_request(forge, critical=True))


def test_what_amd_called_back_certifies_no_keep() -> None:
    forge = forged()
    refused("revocation", forge, snp_request(forge, lists=[forge.crl([forge.issuer_serial])]))


def test_the_report_is_signed_by_the_chip_that_the_request_names() -> None:
    forge, other = forged(), forged(key=ec_key("another chip"))
    value = sequence_of(sequence_of(forge.leaf, list_of()), encode(OCTET_STRING, snp_report(other, ec_key("keep"))))
    why = refused("report_signature", forge, request("snp", value, ec_key("keep")))
    assert why.startswith("bad report signature")


@pytest.mark.parametrize(
    "changed",
    [
        {"version": b"\x02\x01\x01"},
        {"extensions": 2},
        {"extensions": 0},
    ],
)
def test_requests_of_another_form_do_not_parse(changed: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        parse_request(snp_request(forged(), **changed))


def test_other_bytes_do_not_parse() -> None:
    good = snp_request(forged())
    signature_at = len(good) - 100
    for raw in (
        b"", b"\x30", b"\x30\x00", good[:-1], good + b"\0", good.replace(EXTENSION_REQUEST, EXTENSION_REQUEST[::-1]),
        good.replace(OIDS["snp"], OIDS["sgx"]), good.replace(OIDS["snp"], OIDS["kvm"]),
        good.replace(OIDS["snp"], OIDS["snp"][:-1] + b"\x09"), good[:signature_at], bytes(70_000),
        request("kvm", b"\0", ec_key("keep")), request("sgx", b"\x30\x00", ec_key("keep")),
    ):  # fmt: skip
        with pytest.raises(Malformed):
            parse_request(raw)


def verdict_on(reference: EnarxReference | None, **fields: Any) -> tuple[str, str]:
    forge = forged()
    root = forge.root
    found = examine(
        snp_request(forge, fields=fields), at=NOW, endorsements=[forge.issuer, root], roots=[root],
        references=[reference] if reference else [],
    )  # fmt: skip
    return (found.refusal.code if found.refusal else "accepted"), found.stage


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"policy": 0x30133 | 1 << 19}, "debug"),
        ({"policy": 0x30133 | 1 << 18}, "migrate_ma"),
        ({"family_id": b"\1" * 16}, "keep_report"),
        ({"image_id": b"\1" * 16}, "keep_report"),
        ({"host_data": b"\1" * 32}, "keep_report"),
        ({"vmpl": 1}, "keep_report"),
        ({"policy": 0x30200}, "keep_report"),
    ],
)
def test_the_careful_defaults(fields: dict[str, Any], name: str) -> None:
    assert verdict_on(None) == ("accepted", "appraise")
    assert verdict_on(None, **fields) == (f"evidence.{name}", "appraise")


SNP: dict[str, Any] = {
    "signer": (AUTHOR_KEY.hex(),), "hash": (MEASUREMENT.hex(),), "hash_blacklist": (OTHER,),
    "id_key_digest": (ID_KEY.hex(),), "id_key_digest_blacklist": (OTHER,), "abi": ">=1.51",
    "policy_flags": ("SMT",), "platform_info_flags": "SME",
}  # fmt: skip


def policy(**changed: Any) -> EnarxReference:
    return EnarxReference.model_validate({
        "format": "enarx", "sgx": None, "snp": SNP | changed, "accepted": (), "measured_by": "hardware",
        "memory_protected": True,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "fields", "name"),
    [
        ({"signer": (OTHER,)}, {}, "author_key_digest"),
        ({}, {"flags": 0}, "author_key_digest"),
        ({"hash": (OTHER,), "hash_blacklist": ()}, {}, "measurement"),
        ({"hash": (), "hash_blacklist": (MEASUREMENT.hex(),)}, {}, "measurement_blacklist"),
        ({"id_key_digest": (OTHER,)}, {}, "id_key_digest"),
        ({"id_key_digest": (), "id_key_digest_blacklist": (ID_KEY.hex(),)}, {}, "id_key_digest_blacklist"),
        ({"abi": ">=1.52"}, {}, "abi"),
        ({"policy_flags": ("SingleSocket",)}, {}, "policy_flags"),
        ({"platform_info_flags": "TSME"}, {}, "platform_info_flags"),
        ({}, {"platform_info": 3}, "platform_info_flags"),
    ],
)
def test_a_keep_that_the_policy_does_not_name_is_refused(
    changed: dict[str, Any], fields: dict[str, Any], name: str
) -> None:
    assert verdict_on(policy()) == ("accepted", "appraise")
    assert verdict_on(policy(**changed), **fields) == (f"evidence.{name}", "appraise")


def test_a_keep_of_a_kind_that_the_policy_does_not_have_is_refused() -> None:
    of_sgx = policy().model_copy(update={"snp": None})
    assert verdict_on(of_sgx) == ("evidence.tee", "appraise")


def test_a_policy_accepts_no_keep_without_amds_list() -> None:
    forge = forged()
    root = forge.root
    given = {"at": NOW, "endorsements": [forge.issuer, root], "roots": [root], "references": [policy()]}
    found = examine(snp_request(forge, lists=[]), **given)
    assert [check.name for check in found.checks if not check.passed] == ["crl"]


def test_the_extension_has_one_form() -> None:
    forge, key = forged(), ec_key("keep")
    report = encode(OCTET_STRING, snp_report(forge, key))

    def made(name: int = OBJECT_IDENTIFIER, flag: bytes = b"", tag: int = OCTET_STRING, lists: bytes = b"") -> bytes:
        value = sequence_of(sequence_of(forge.leaf, lists or list_of(forge.crl())), report)
        return request(
            "snp", b"", key, extension=sequence_of(encode(name, OIDS["snp"]), flag, encode(tag, value))
        )  # fmt: skip

    assert parse_request(made()).tee == "snp"
    assert parse_request(made(flag=b"\x01\x01\xff")).critical
    for wrong in (
        made(name=0x0D), made(flag=b"\x01\x01\x01"), made(flag=b"\x01\x01\0"), made(flag=b"\x02\x01\xff"),
        made(tag=0x0C),
        made(lists=list_of(*[forge.crl()] * 17)), made(lists=list_of(forge.crl(), tag=0x16)),
    ):  # fmt: skip
        with pytest.raises(Malformed):
            parse_request(wrong)
