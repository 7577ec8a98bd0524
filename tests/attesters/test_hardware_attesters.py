"""Attesters of hardware, each before a stand-in of its device and a false vendor; what they hand out is appraised."""

import ctypes
import errno
from pathlib import Path
from typing import Any

import pytest

from mpc.attesters import Attester, Settings, auto, choose
from mpc.attesters.configfs_tsm import ATTEMPTS, ConfigfsTsmAttester, expected_rtmr3
from mpc.attesters.devices import READ_MAX_BYTES, Devices
from mpc.canonical import sha256
from mpc.errors import Misconfigured, OutOfOrder, Refusal, Unavailable
from mpc.evidence.binding import VERSION, Transcript, parse_transcript
from mpc.evidence.formats import parse_and_verify
from tests.attesters.stand_ins import (
    Machine,
    StandInGramine,
    StandInNsm,
    StandInOcclum,
    StandInTsm,
    certificate_table,
    refused,
)
from tests.evidence.intel_forge import NOW as INTEL_NOW
from tests.evidence.intel_forge import IntelForge, enclave_report, td_report
from tests.evidence.nitro.nitro_forge import NOW as NITRO_NOW
from tests.evidence.nitro.nitro_forge import NitroForge
from tests.evidence.snp_forge import NOW as SNP_NOW
from tests.evidence.snp_forge import SnpForge

TRANSCRIPT = Transcript(VERSION, "boot", bytes(range(32)), None, sha256(b"spki"), None, sha256(b"receipt"))
OTHER = Transcript(VERSION, "boot", bytes(32), None, sha256(b"spki"), None, sha256(b"receipt"))
CODE = sha256(b"code")
INTEL, AMD, AWS = IntelForge(), SnpForge(), NitroForge()
AWS_ROOT, INTEL_ROOT = AWS.root(), INTEL.root_certificate()
TDX_COLLATERAL, SGX_COLLATERAL = INTEL.collateral(), INTEL.collateral("SGX")
AMD_LEAF, AMD_LIST = AMD.leaf, AMD.crl()


def sgx_quote(data: bytes) -> bytes:
    return INTEL.quote(enclave_report(report_data=data), version=3, tee=0)


def td_quote(data: bytes) -> bytes:
    return INTEL.quote(td_report(report_data=data))


def snp_report(data: bytes) -> bytes:
    return AMD.report(report_data=data)


def document(data: bytes) -> bytes:
    return AWS.document(AWS.payload(root=AWS_ROOT, user_data=data, nonce=None, public_key=None))


AMD_TABLE = certificate_table(
    ("63da758d-e664-4564-adc5-f4b93be8accd", AMD.leaf),
    ("4ab7b379-bbac-4fe4-a02f-05aef327c782", AMD.issuer),
    ("c0b406a4-a803-4952-9743-3fb6014cd0ae", AMD.root),
)


def tsm(provider: str = "sev_guest", **changed: Any) -> StandInTsm:
    prove = snp_report if provider == "sev_guest" else td_quote
    return StandInTsm(provider, prove, **({"certificates": AMD_TABLE} if provider == "sev_guest" else {}) | changed)


MACHINES = {
    "configfs_tsm, SNP": ("configfs_tsm", tsm, (), AMD.root, SNP_NOW),
    "configfs_tsm, TDX": ("configfs_tsm", lambda: tsm("tdx_guest"), (TDX_COLLATERAL,), INTEL_ROOT, INTEL_NOW),
    "gramine": ("gramine", lambda: StandInGramine(sgx_quote), (SGX_COLLATERAL,), INTEL_ROOT, INTEL_NOW),
    "occlum": ("occlum", lambda: StandInOcclum(sgx_quote), (SGX_COLLATERAL,), INTEL_ROOT, INTEL_NOW),
    "nitro": ("nitro", lambda: StandInNsm(document), (), AWS_ROOT, NITRO_NOW),
}  # fmt: skip


def started(machine: Machine, name: str = "configfs_tsm", **changed: Any) -> Attester:
    attester = choose(name, Settings(devices=machine, **changed))
    attester.measure(CODE)
    return attester


@pytest.mark.parametrize("name", MACHINES)
def test_evidence_binds_the_transcript_and_leads_to_the_vendor(name: str) -> None:
    kind, machine, endorsements, root, now = MACHINES[name]
    for chosen in (kind, "auto"):
        attester = choose(chosen, Settings(devices=machine(), endorsements=lambda: endorsements))
        with pytest.raises(OutOfOrder):
            attester.attest(TRANSCRIPT)
        attester.measure(CODE)
        given = attester.attest(TRANSCRIPT)
        claims = parse_and_verify(given.format, given.evidence, given.endorsements, roots=(root,), at=now)
        assert claims.bound == TRANSCRIPT.report_data()
        assert (claims.measured_by, claims.memory_protected) == ("hardware", True)
        assert parse_transcript(given.transcript) == TRANSCRIPT
        assert attester.attest(OTHER).evidence != given.evidence


@pytest.mark.parametrize("name", MACHINES)
def test_a_measurement_cannot_be_taken_back(name: str) -> None:
    kind, machine, *_ = MACHINES[name]
    attester = started(machine(), kind)
    attester.measure(CODE)
    with pytest.raises(OutOfOrder):
        attester.measure(sha256(b"other code"))


@pytest.mark.parametrize("name", ["configfs_tsm", "gramine", "occlum", "nitro", "auto"])
def test_a_machine_without_the_device_is_a_misconfiguration(name: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        choose(name, Settings(devices=Machine()))
    assert "/" in str(caught.value.expected)


def test_auto_never_chooses_what_anybody_can_forge_and_takes_a_tpm_last(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        auto.start(Settings(devices=Devices(tmp_path)))
    assert caught.value.code == "attester.none"
    assert "simulated" not in str(caught.value.expected)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "tpmrm0").touch()
    with pytest.raises(Misconfigured) as caught:  # a TPM that nobody vouches for
        auto.start(Settings(devices=Devices(tmp_path)))
    assert caught.value.code == "attester.certificate"


class Several(Machine):
    """Machines in one: each path is answered by the first that has it, as a host's devices show through to a guest."""

    def __init__(self, *machines: Machine) -> None:
        self.machines = machines

    def is_file(self, path: str) -> bool:
        return any(machine.is_file(path) for machine in self.machines)

    def is_folder(self, path: str) -> bool:
        return any(machine.is_folder(path) for machine in self.machines)

    def _with(self, path: str) -> Machine:
        below = (path, path.rpartition("/")[0])
        return next(one for one in self.machines if one.is_file(path) or any(map(one.is_folder, below)))

    def read(self, path: str) -> bytes:
        return self._with(path).read(path)

    def write(self, path: str, data: bytes) -> None:
        self._with(path).write(path, data)

    def make_folder(self, path: str) -> None:
        self._with(path).make_folder(path)

    def remove_folder(self, path: str) -> None:
        self._with(path).remove_folder(path)

    def call(self, path: str, request: int, argument: Any) -> None:
        self._with(path).call(path, request, argument)


def test_auto_takes_what_is_nearest_to_the_process() -> None:
    nearest = [StandInGramine(sgx_quote), StandInOcclum(sgx_quote), StandInNsm(document), tsm("tdx_guest")]
    chosen = [type(choose("auto", Settings(devices=Several(*nearest[at:])))).__name__ for at in range(len(nearest))]
    assert chosen == ["GramineAttester", "OcclumAttester", "NitroAttester", "ConfigfsTsmAttester"]
    assert chosen == [
        type(choose("auto", Settings(devices=Several(*nearest[at:][::-1])))).__name__ for at in range(len(nearest))
    ]


@pytest.mark.parametrize("name", ["configfs_tsm", "configfs-tsm"])
def test_a_name_may_be_spelled_with_hyphens(name: str) -> None:
    assert isinstance(choose(name, Settings(devices=tsm())), ConfigfsTsmAttester)
    with pytest.raises(Misconfigured):
        choose(f"{name}-", Settings(devices=tsm()))


def test_every_report_has_a_folder_of_its_own_that_nobody_can_guess_and_leaves_none() -> None:
    machine = tsm()
    attester = started(machine)
    for _ in range(3):
        attester.attest(TRANSCRIPT)
    assert len(set(machine.names)) == len(machine.names) == 4  # one to learn the provider
    assert all(len(name.removeprefix("sealroom-")) == 32 for name in machine.names)
    assert machine.reports == {}


def patient(machine: Machine, **changed: Any) -> tuple[ConfigfsTsmAttester, list[float]]:
    pauses: list[float] = []
    attester = ConfigfsTsmAttester(Settings(devices=machine, **changed), pause=pauses.append)
    attester.measure(CODE)
    return attester, pauses


def test_a_write_of_somebody_else_is_seen_by_the_generation_and_asked_again() -> None:
    machine = tsm()
    attester, pauses = patient(machine)
    rounds = iter(range(2))

    def race(folder: str) -> None:
        if next(rounds, None) is not None:
            machine.write(f"{folder}/inblob", OTHER.report_data())

    machine.disturb = race
    given = attester.attest(TRANSCRIPT)
    assert TRANSCRIPT.report_data() in given.evidence
    assert len(pauses) == 2
    assert machine.reports == {}


def test_a_write_of_the_same_bytes_is_seen_by_the_generation_alone() -> None:
    machine = tsm()
    attester, _ = patient(machine)
    machine.disturb = lambda folder: machine.write(f"{folder}/privlevel", b"3")
    with pytest.raises(Unavailable) as caught:
        attester.attest(TRANSCRIPT)
    assert caught.value.code == "attester.busy"


def test_a_report_about_other_data_is_never_handed_out() -> None:
    machine = tsm()
    attester, _ = patient(machine)
    machine.prove = lambda _: snp_report(OTHER.report_data())
    with pytest.raises(Unavailable):
        attester.attest(TRANSCRIPT)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR])
def test_a_busy_kernel_is_asked_again_and_not_for_ever(number: int) -> None:
    machine = tsm()
    attester, pauses = patient(machine)
    rounds = iter(range(2))

    def busy(_: str) -> None:
        if next(rounds, None) is not None:
            raise refused(number)

    machine.disturb = busy
    attester.attest(TRANSCRIPT)
    assert len(pauses) == 2

    def always(_: str) -> None:
        raise refused(number)

    machine.disturb = always
    with pytest.raises(Unavailable):
        attester.attest(TRANSCRIPT)
    assert len(pauses) == 2 + ATTEMPTS - 1
    assert machine.reports == {}


def test_an_error_that_does_not_pass_is_told_at_once() -> None:
    machine = tsm()
    attester, pauses = patient(machine)

    def broken(_: str) -> None:
        raise refused(errno.EIO)

    machine.disturb = broken
    with pytest.raises(Unavailable) as caught:
        attester.attest(TRANSCRIPT)
    assert (caught.value.code, pauses, machine.reports) == ("attester.device", [], {})


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(Misconfigured) as caught:
        choose("configfs_tsm", Settings(devices=StandInTsm("arm_cca_guest", snp_report)))
    assert caught.value.found == "arm_cca_guest"


def test_without_certificates_of_the_host_the_operators_go_along() -> None:
    for empty in (b"", bytes(24)):
        attester = started(tsm(certificates=empty), endorsements=lambda: (AMD_LEAF,))
        assert attester.attest(TRANSCRIPT).endorsements == (AMD_LEAF,)
    attester = started(tsm(certificates=None))
    assert attester.attest(TRANSCRIPT).endorsements == ()
    both = started(tsm(), endorsements=lambda: (AMD_LIST,)).attest(TRANSCRIPT)
    assert both.endorsements == (AMD_TABLE, AMD_LIST)


def test_the_privilege_level_is_asked_for_and_counts_as_a_write() -> None:
    asked: list[bytes] = []
    machine = tsm()
    machine.disturb = lambda folder: asked.append(machine.reports[folder]["privlevel"])
    started(machine, privilege_level=2).attest(TRANSCRIPT)
    assert asked == [b"2"]


def test_rtmr3_takes_the_code_once_and_only_where_nothing_stands() -> None:
    machine = tsm("tdx_guest", rtmr3=bytes(48))
    started(machine).measure(CODE)
    assert machine.rtmr3 == expected_rtmr3(CODE)
    started(machine)  # the coordinator started again in the same boot: the register stays
    assert machine.rtmr3 == expected_rtmr3(CODE)
    launched = tsm("tdx_guest", rtmr3=b"\1" * 48)
    started(launched)
    assert launched.rtmr3 == b"\1" * 48
    snp = tsm(rtmr3=bytes(48))
    started(snp)
    assert snp.rtmr3 == bytes(48)


def test_gramine_has_to_be_told_to_quote() -> None:
    with pytest.raises(Misconfigured) as caught:
        choose("gramine", Settings(devices=StandInGramine(sgx_quote, kind=b"none")))
    assert (caught.value.expected, caught.value.found) == ("dcap", "none")


@pytest.mark.parametrize("name", ["gramine", "occlum"])
def test_a_quote_about_other_data_is_never_handed_out(name: str) -> None:
    kinds = {"gramine": StandInGramine, "occlum": StandInOcclum}
    attester = started(kinds[name](lambda _: sgx_quote(OTHER.report_data())), name)
    with pytest.raises(Unavailable):
        attester.attest(TRANSCRIPT)


def test_a_file_of_the_hosts_driver_is_not_occlum() -> None:
    class Driver(Machine):
        def is_file(self, path: str) -> bool:
            return path == "dev/sgx"

    with pytest.raises(Unavailable):
        choose("occlum", Settings(devices=Driver()))
    with pytest.raises(Misconfigured):
        choose("auto", Settings(devices=Driver()))


@pytest.mark.parametrize(
    "answer", [{"Error": "InputTooLarge"}, {"Attestation": {}}, ["x"], {"Attestation": {"document": "x"}}]
)
def test_what_the_security_module_refuses_is_a_refusal(answer: Any) -> None:
    machine = StandInNsm(document)
    machine.answer = answer
    with pytest.raises(Unavailable):
        started(machine, "nitro").attest(TRANSCRIPT)


def test_an_answer_that_claims_more_than_its_buffer_is_not_read() -> None:
    class Liar(StandInNsm):
        def call(self, path: str, request: int, argument: Any) -> None:
            del path, request
            argument[24:32] = (1 << 20).to_bytes(8, "little")

    with pytest.raises(Unavailable):
        started(Liar(document), "nitro").attest(TRANSCRIPT)


def test_files_below_a_folder_are_read_and_written_as_they_are(tmp_path: Path) -> None:
    devices = Devices(tmp_path)
    devices.make_folder("report")
    (tmp_path / "report" / "inblob").touch()
    devices.write("report/inblob", b"data")
    assert devices.read("report/inblob") == b"data"
    assert (devices.is_folder("report"), devices.is_file("report"), devices.is_file("report/inblob")) == (
        True,
        False,
        True,
    )
    with pytest.raises(FileNotFoundError):
        devices.write("report/absent", b"data")
    with pytest.raises(OSError, match=r"Inappropriate"):
        devices.call("report/inblob", 0xC0200A00, ctypes.create_string_buffer(32))
    (tmp_path / "long").write_bytes(bytes(READ_MAX_BYTES + 1))
    with pytest.raises(OSError, match="too long"):
        devices.read("long")
    (tmp_path / "report" / "inblob").unlink()
    devices.remove_folder("report")
    assert not devices.is_folder("report")


def test_a_folder_without_the_kernel_behind_it_refuses(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/config/tsm/report").mkdir(parents=True)
    (tmp_path / "dev/attestation").mkdir(parents=True)
    (tmp_path / "dev/attestation/attestation_type").write_bytes(b"dcap")
    for name in ("configfs_tsm", "gramine"):
        with pytest.raises(Refusal):
            started(Devices(tmp_path), name).attest(TRANSCRIPT)
    assert list((tmp_path / "sys/kernel/config/tsm/report").iterdir()) == []
