"""From the device to the verdict: what an attester hands out is wanted by a contract that names that machine."""

from datetime import datetime
from typing import Any

from mpc.attesters import Settings, choose
from mpc.attesters.configfs_tsm import expected_rtmr3
from mpc.canonical import sha256
from mpc.evidence.binding import VERSION, Transcript
from mpc.evidence.claims import Given
from mpc.evidence.intel import TdxReference
from mpc.evidence.snp import SnpReference
from mpc.evidence.verdict import Verdict, examine
from tests.attesters.stand_ins import StandInTsm
from tests.evidence.intel_forge import NOW as INTEL_NOW
from tests.evidence.intel_forge import IntelForge, td_report
from tests.evidence.snp_forge import MEASUREMENT, SnpForge
from tests.evidence.snp_forge import NOW as SNP_NOW

CODE = sha256(b"code")
TRANSCRIPT = Transcript(
    VERSION, "contract", bytes(range(32)), CODE, sha256(b"spki"), sha256(b"hpke"), sha256(b"receipt")
)
AMD, INTEL = SnpForge(), IntelForge()


def wanted_guest(**changed: Any) -> SnpReference:
    floor = {"bl": 4, "tee": 1, "snp": 24, "ucode": 219, "fmc": None}
    values = {
        "format": "sev-snp", "measurement": MEASUREMENT.hex(), "vmpl": 0, "minimum_guest_svn": 3,
        "id_key_digest": None, "author_key_digest": None, "host_data": None, "allowed_policy": ("smt",),
        "required_policy": (), "required_platform": ("alias_check_complete",), "minimum_tcb": {"Milan": floor},
        "signing_key": "VCEK", "chip_ids": None, "csp_id": None, "crl_required": True, "accepted": (),
        "measured_by": "hardware", "memory_protected": True,
    }  # fmt: skip
    return SnpReference(**(values | changed))


def judged(machine: StandInTsm, reference: Any, root: bytes, at: datetime, *endorsements: bytes) -> Verdict:
    attester = choose("auto", Settings(devices=machine, endorsements=lambda: endorsements))
    attester.measure(CODE)
    given = attester.attest(TRANSCRIPT)
    assert given.format == reference.format
    return examine(
        given.evidence, at=at, format=given.format, endorsements=given.endorsements, roots=[root],
        references=[reference], given=Given(nonce=TRANSCRIPT.report_data()),
    )  # fmt: skip


def test_a_guest_of_a_false_amd_is_wanted_by_who_trusts_it() -> None:
    machine = StandInTsm("sev_guest", lambda data: AMD.report(report_data=data))
    beside = (*AMD.endorsements, AMD.crl())
    verdict = judged(machine, wanted_guest(), AMD.root, SNP_NOW, *beside)
    assert verdict.accepted, verdict.refusal
    for changed, check in (
        ({"measurement": "1" * 96}, "measurement"),
        ({"vmpl": 1}, "vmpl"),
        ({"minimum_guest_svn": 4}, "guest_svn"),
    ):
        refused = judged(machine, wanted_guest(**changed), AMD.root, SNP_NOW, *beside)
        assert [one.name for one in refused.checks if not one.passed] == [check]


def test_nobody_else_trusts_it() -> None:
    machine = StandInTsm("sev_guest", lambda data: AMD.report(report_data=data))
    verdict = judged(machine, wanted_guest(), SnpForge(root_name="other").root, SNP_NOW, *AMD.endorsements)
    assert verdict.refusal is not None
    assert verdict.stage == "verify"


def test_a_trust_domain_whose_rtmr3_holds_the_code_is_wanted_by_who_trusts_its_intel() -> None:
    machine = StandInTsm("tdx_guest", lambda data: INTEL.quote(td(data, machine.rtmr3 or b"")), rtmr3=bytes(48))
    body = td_report()
    mrtd, rtmr0, rtmr1, rtmr2 = (body[at : at + 48].hex() for at in (136, 328, 376, 424))
    reference = TdxReference(
        format="tdx", mrtd=mrtd, rtmr0=rtmr0, rtmr1=rtmr1, rtmr2=rtmr2,
        rtmr3=expected_rtmr3(CODE).hex(), mrconfigid=None, mrowner=None, mrownerconfig=None, mrservicetd=None,
        td_attributes=body[120:128].hex(), td_attributes_mask="ff" * 8, xfam=body[128:136].hex(), xfam_mask="ff" * 8,
        accepted=(), minimum_tcb_evaluation_data_number=1, refused_advisories=(), platforms=None,
        measured_by="hardware", memory_protected=True,
    )  # fmt: skip
    verdict = judged(machine, reference, INTEL.root_certificate(), INTEL_NOW, INTEL.collateral())
    assert verdict.accepted, verdict.refusal
    other = reference.model_copy(update={"rtmr3": expected_rtmr3(sha256(b"other code")).hex()})
    refused = judged(machine, other, INTEL.root_certificate(), INTEL_NOW, INTEL.collateral())
    assert [one.name for one in refused.checks if not one.passed] == ["rtmr3"]


def td(data: bytes, rtmr3: bytes) -> bytes:
    return td_report(report_data=data, rtmr=b"".join(bytes([number]) * 48 for number in (1, 2, 3)) + rtmr3)
