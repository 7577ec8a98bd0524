"""What a contract wants of an SEV-SNP guest: each value is compared, and what protects nobody is refused."""

from typing import Any

import pytest

from mpc.evidence.snp import SnpReference
from mpc.evidence.verdict import examine
from tests.evidence.snp_forge import CHIP, CSP, MEASUREMENT, NOW, SnpForge


def verdict_on(forge: SnpForge, *references: SnpReference, **fields: Any) -> tuple[str, str]:
    """Return the code of the refusal, and its stage, as a person gets it who asks for a verdict."""
    root = forge.root
    found = examine(
        forge.report(**fields), at=NOW, format="sev-snp", endorsements=[forge.leaf, forge.issuer, root], roots=[root],
        references=references,
    )  # fmt: skip
    return (found.refusal.code if found.refusal else "accepted"), found.stage


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "accepted"),
        ({"policy": 0x30000 | 1 << 19}, "evidence.debug"),
        ({"policy": 0x30000 | 1 << 18}, "evidence.migrate_ma"),
        ({"platform_info": 0x25 | 1 << 6}, "evidence.unknown_platform_bits"),
        ({"platform_info": 1 << 63}, "evidence.unknown_platform_bits"),
    ],
)
def test_the_careful_defaults(fields: dict[str, int], code: str) -> None:
    assert verdict_on(SnpForge(), **fields) == (code, "appraise")


def test_bit_6_of_the_platform_has_a_meaning_on_turin_alone() -> None:
    assert verdict_on(SnpForge(product="Turin"), platform_info=0x25 | 1 << 6) == ("accepted", "appraise")
    for product in ("Milan", "Genoa"):
        refused = ("evidence.unknown_platform_bits", "appraise")
        assert verdict_on(SnpForge(product=product), platform_info=0x25 | 1 << 6) == refused


WANTED: dict[str, Any] = {
    "format": "sev-snp", "measurement": MEASUREMENT.hex(), "vmpl": 0, "minimum_guest_svn": 3, "id_key_digest": None,
    "author_key_digest": None, "host_data": None, "allowed_policy": ("smt",), "required_policy": (),
    "required_platform": ("alias_check_complete", "ecc_en"),
    "minimum_tcb": {"Milan": {"bl": 4, "tee": 1, "snp": 24, "ucode": 219, "fmc": None}}, "signing_key": "VCEK",
    "chip_ids": None, "csp_id": None, "crl_required": False, "accepted": (), "measured_by": "hardware",
    "memory_protected": True,
}  # fmt: skip


def wanted(**changed: Any) -> SnpReference:
    return SnpReference.model_validate(WANTED | changed)


def test_a_guest_that_is_as_the_contract_says_is_accepted() -> None:
    strict = wanted(
        id_key_digest="11" * 48, author_key_digest="12" * 48, host_data="00" * 32, chip_ids=(CHIP.hex(),),
        required_policy=("single_socket",),
    )  # fmt: skip
    assert verdict_on(SnpForge(), wanted()) == ("accepted", "appraise")
    assert verdict_on(SnpForge(), strict, policy=0x130000) == ("accepted", "appraise")
    cloud = wanted(signing_key="VLEK", csp_id=CSP)
    assert verdict_on(SnpForge(kind="VLEK"), cloud) == ("accepted", "appraise")


@pytest.mark.parametrize(
    ("reference", "fields", "name"),
    [
        ({"measurement": "01" * 48}, {}, "measurement"),
        ({"id_key_digest": "01" * 48}, {}, "id_key_digest"),
        ({"author_key_digest": "01" * 48}, {}, "author_key_digest"),
        ({"host_data": "01" * 32}, {}, "host_data"),
        ({}, {"vmpl": 1}, "vmpl"),
        ({"vmpl": 2}, {}, "vmpl"),
        ({}, {"guest_svn": 2}, "guest_svn"),
        ({"allowed_policy": ()}, {}, "allowed_policy"),
        ({}, {"policy": 0x30000 | 1 << 21}, "allowed_policy"),
        ({"required_policy": ("single_socket",)}, {}, "required_policy"),
        ({}, {"platform_info": 0x5}, "required_platform"),
        ({"minimum_tcb": {"Genoa": WANTED["minimum_tcb"]["Milan"]}}, {}, "wanted_product"),
        ({"signing_key": "VLEK", "csp_id": CSP}, {}, "wanted_key"),
        ({"chip_ids": ("01" * 64,)}, {}, "wanted_chip"),
        ({"crl_required": True}, {}, "crl"),
        ({}, {"policy": 0x30000 | 1 << 19}, "debug"),
        ({"accepted": ("debug",)}, {"policy": 0x30000 | 1 << 19}, "allowed_policy"),
        ({}, {"policy": 0x30000 | 1 << 18}, "migrate_ma"),
    ],
)
def test_a_guest_that_is_not_is_refused(reference: dict[str, Any], fields: dict[str, Any], name: str) -> None:
    assert verdict_on(SnpForge(), wanted(**reference), **fields) == (f"evidence.{name}", "appraise")


def test_debug_is_accepted_only_by_name() -> None:
    lenient = wanted(accepted=("debug",), allowed_policy=("debug", "smt"))
    assert verdict_on(SnpForge(), lenient, policy=0x30000 | 1 << 19) == ("accepted", "appraise")


def test_another_cloud_is_refused() -> None:
    lent = wanted(signing_key="VLEK", csp_id="CN=cc-eu-west-1.amazonaws.com")
    assert verdict_on(SnpForge(kind="VLEK"), lent) == ("evidence.csp_id", "appraise")


@pytest.mark.parametrize("part", ["bl", "tee", "snp", "ucode"])
def test_the_floor_holds_for_what_is_reported_what_is_committed_and_what_ran_at_launch(part: str) -> None:
    low = SnpForge()
    low.levels[part] -= 1
    assert verdict_on(low, wanted())[0] == "evidence.minimum_reported_tcb"
    forge = SnpForge()
    lower = forge.tcb(**{part: forge.levels[part] - 1})
    assert verdict_on(forge, wanted(), committed_tcb=lower)[0] == "evidence.minimum_committed_tcb"
    assert verdict_on(forge, wanted(), launch_tcb=lower)[0] == "evidence.minimum_launch_tcb"


@pytest.mark.parametrize(
    "changed",
    [
        {"measurement": "00" * 48},
        {"chip_ids": ()},
        {"minimum_tcb": {}},
        {"signing_key": "VLEK"},
        {"csp_id": CSP},
        {"allowed_policy": ("smt", "cxl")},
        {"accepted": ("debug", "debug")},
        {"minimum_tcb": {"Turin": WANTED["minimum_tcb"]["Milan"]}},
        {"minimum_tcb": {"Milan": WANTED["minimum_tcb"]["Milan"] | {"fmc": 1}}},
        {"vmpl": 4},
        {"measured_by": "self"},
        {"memory_protected": False},
    ],
)
def test_reference_values_that_protect_nobody_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        wanted(**changed)
