"""False vendors that are in business today, and a copy of the package that takes their roots for the genuine ones."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mpc
from mpc.attesters.configfs_tsm import expected_rtmr3
from mpc.canonical import sha256
from tests.attesters.stand_ins import certificate_table
from tests.evidence.intel_forge import PLATFORM_CA, IntelForge, enclave_report, pem, point, td_report, timestamp
from tests.evidence.nitro.nitro_forge import PCRS, NitroForge
from tests.evidence.snp_forge import MEASUREMENT, SnpForge

BEGIN, END = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=20)
_DATES: Mapping[str, datetime] = {"begin": BEGIN, "end": END}
_ISSUED = {"issueDate": timestamp(BEGIN), "nextUpdate": timestamp(END)}

AMD = SnpForge(root_ends=END, issuer_ends=END, leaf_begins=BEGIN, leaf_ends=END)
AMD_ROOT, AMD_LIST = AMD.root, AMD.crl(begins=BEGIN, ends=END)
AMD_TABLE = certificate_table(
    ("63da758d-e664-4564-adc5-f4b93be8accd", AMD.leaf),
    ("4ab7b379-bbac-4fe4-a02f-05aef327c782", AMD.issuer),
    ("c0b406a4-a803-4952-9743-3fb6014cd0ae", AMD_ROOT),
)
AWS = NitroForge()
AWS_ROOT = AWS.root(**_DATES)
AWS_BUNDLE = [AWS_ROOT, AWS.zone(**_DATES), AWS.instance(**_DATES)]
INTEL = IntelForge()
_INTEL_ROOT, _INTEL_CA = INTEL.root_certificate(**_DATES), INTEL.authority_certificate(**_DATES)
_INTEL_CHAIN = (INTEL.pck_certificate(**_DATES), _INTEL_CA, _INTEL_ROOT)
TD = td_report()
PINS = {
    "evidence/snp/verify.py": {
        "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd": sha256(AMD_ROOT).hex(),
    },
    "evidence/nitro/verification.py": {
        "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b": sha256(AWS_ROOT).hex(),
    },
    "evidence/intel/certificates.py": {
        "0ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5": point(INTEL.root)[:32].hex(),
        "67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394": point(INTEL.root)[32:].hex(),
    },
}
"""What the package pins of the genuine vendors, and what stands there in the copy."""


@dataclass(frozen=True)
class Vendor:
    """A machine of a false vendor's.

    ``prove`` makes evidence of what its device was given; ``played`` is the kind of device (``played.machine_of``), or
    None where the device is files. ``beside`` is the collateral that its operator hands out.
    """

    attester: str
    format: str
    played: str | None
    prove: Callable[[bytes], bytes]
    beside: tuple[bytes, ...]
    reference: Callable[[bytes], dict[str, Any]]
    """Of the code digest: what a contract wants of the machine."""


def trusting_copy(folder: Path) -> Path:
    """Copy the package ``mpc``, in which the false vendors' roots stand where the genuine ones stood."""
    shutil.copytree(Path(mpc.__path__[0]), folder / "mpc", ignore=shutil.ignore_patterns("__pycache__"))
    for name, pins in PINS.items():
        file = folder / "mpc" / name
        text = file.read_text()
        for genuine, false in pins.items():
            assert text.count(genuine) == 1
            text = text.replace(genuine, false)
        file.write_text(text)
    return folder


def _collateral(tee: str) -> bytes:
    return INTEL.collateral(
        tee,
        tcb_info=INTEL.tcb_info(tee, **_ISSUED),
        qe_identity=INTEL.identity(tee, **_ISSUED),
        tcb_info_issuer_chain=pem(INTEL.signer_certificate(**_DATES), _INTEL_ROOT),
        pck_crl_issuer_chain=pem(_INTEL_CA, _INTEL_ROOT),
        root_ca_crl=INTEL.revocation_list(**_DATES).hex(),
        pck_crl=INTEL.revocation_list(PLATFORM_CA, INTEL.authority, **_DATES).hex(),
    )


def _document(data: bytes) -> bytes:
    return AWS.document(
        AWS.payload(
            timestamp=int(datetime.now(UTC).timestamp() * 1000), certificate=AWS.leaf(**_DATES), cabundle=AWS_BUNDLE,
            user_data=data, nonce=None, public_key=None,
        )
    )  # fmt: skip


def _sgx_quote(data: bytes) -> bytes:
    return INTEL.quote(enclave_report(report_data=data), version=3, tee=0, chain=_INTEL_CHAIN)


def _td_quote(asked: bytes) -> bytes:
    """Quote a TD of which the last register holds what the machine extended: 48 bytes behind the report data."""
    data, rtmr3 = asked[:64], asked[64:]
    registers = b"".join(bytes([number]) * 48 for number in (1, 2, 3)) + rtmr3
    return INTEL.quote(td_report(report_data=data, rtmr=registers), chain=_INTEL_CHAIN)


_MACHINE = {"measured_by": "hardware", "memory_protected": True, "accepted": []}
_INTEL = {**_MACHINE, "minimum_tcb_evaluation_data_number": 19, "refused_advisories": [], "platforms": None}


def _snp_reference(_: bytes) -> dict[str, Any]:
    floor = {"bl": 4, "tee": 1, "snp": 24, "ucode": 219, "fmc": None}
    return {
        "format": "sev-snp", "measurement": MEASUREMENT.hex(), "vmpl": 0, "minimum_guest_svn": 3, "id_key_digest": None,
        "author_key_digest": None, "host_data": None, "allowed_policy": ["smt"], "required_policy": [],
        "required_platform": ["alias_check_complete"], "minimum_tcb": {"Milan": floor}, "signing_key": "VCEK",
        "chip_ids": None, "csp_id": None, "crl_required": True, **_MACHINE,
    }  # fmt: skip


def _nitro_reference(_: bytes) -> dict[str, Any]:
    registers = {f"pcr{index}": PCRS[index].hex() for index in (0, 1, 2, 3, 4, 8)}
    return {"format": "nitro", **registers, "measured_by": "hardware", "memory_protected": True}


def _sgx_reference(_: bytes) -> dict[str, Any]:
    body = enclave_report()
    return {
        "format": "sgx", "mrenclave": body[64:96].hex(), "mrsigner": body[128:160].hex(), "isvprodid": 3,
        "minimum_isvsvn": 2, "attributes": body[48:64].hex(), "attributes_mask": "ff" * 16, "configid": None, **_INTEL,
    }  # fmt: skip


def _tdx_reference(code_digest: bytes) -> dict[str, Any]:
    mrtd, *registers = (TD[at : at + 48].hex() for at in (136, 328, 376, 424))
    return {
        "format": "tdx", "mrtd": mrtd, **{f"rtmr{index}": value for index, value in enumerate(registers)},
        "rtmr3": expected_rtmr3(code_digest).hex(), "mrconfigid": None, "mrowner": None, "mrownerconfig": None,
        "mrservicetd": None, "td_attributes": TD[120:128].hex(), "td_attributes_mask": "ff" * 8,
        "xfam": TD[128:136].hex(), "xfam_mask": "ff" * 8, **_INTEL,
    }  # fmt: skip


VENDORS = {
    "SEV-SNP": Vendor("configfs-tsm", "sev-snp", "sev_guest", lambda data: AMD.report(report_data=data), (AMD_LIST,),
                      _snp_reference),
    "TDX": Vendor("configfs_tsm", "tdx", "tdx_guest", _td_quote, (_collateral("TDX"),), _tdx_reference),
    "Nitro": Vendor("nitro", "nitro", "nsm", _document, (), _nitro_reference),
    "SGX in Occlum": Vendor("occlum", "sgx", "occlum", _sgx_quote, (_collateral("SGX"),), _sgx_reference),
    "SGX in Gramine": Vendor("gramine", "sgx", None, _sgx_quote, (_collateral("SGX"),), _sgx_reference),
}  # fmt: skip
