"""The report of Azure's paravisor (HCL), which a confidential VM reads from its vTPM at NV index 0x01400001.

All numbers are little-endian. Sources: microsoft/openvmm (openhcl_attestation_protocol, igvm_attest) and
kinvolk/azure-cvm-tooling (az-cvm-vtpm, hcl). A header of 32 bytes, a report of the hardware in 1184, the runtime data:

====  ==============================================================================================================
0     ``HCLA``; version; size of all that is filled; kind of request (2: certificate of the attestation key); status
32    report of AMD SEV-SNP, or TDREPORT of Intel TDX (1024 bytes, then zeros)
1216  size of the runtime data; its version; kind of report (2 SNP, 4 TDX); hash (1 SHA-256, 2 SHA-384, 3 SHA-512);
      size of what follows
1236  JSON: the vTPM's keys as JWK, how the VM is configured, 64 bytes of the guest's choice; then zeros
====  ==============================================================================================================

The hardware's report holds the hash of that JSON, as it stands, in its report data.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mpc.errors import Malformed
from mpc.evidence.intel import Quote
from mpc.evidence.json_fields import field_of
from mpc.evidence.loose_json import read_json
from mpc.evidence.snp import Report, parse_report
from mpc.evidence.tpm import TpmEvidence

REPORT_MAX_BYTES = 16 << 10
REPORT_DATA_BYTES = 64
AK_NAME = "HCLAkPub"
_HEADER_BYTES, _HARDWARE_BYTES, _RUNTIME_HEADER_BYTES = 32, 1184, 20
_SIGNATURE = b"HCLA"
_HEADER_VERSIONS = (1, 2)
_AK_CERTIFICATE_REQUEST = 2
_RUNTIME_VERSION = 1
_HASHES: Final = {1: "sha256", 2: "sha384", 3: "sha512"}
_TEES: Final[Mapping[int, Literal["snp", "tdx"]]] = {2: "snp", 4: "tdx"}
_TD_REPORT_BYTES = 1024
_TD_TYPE = 0x81  # REPORTTYPE of TDX (Intel TDX module ABI, REPORTMACSTRUCT)
_TD_REPORT_DATA_AT, _TD_INFO_AT, _TD_INFO_BYTES = 128, 512, 400
_WHAT = "the report of Azure's paravisor"
_RUNTIME = "the runtime data of Azure's paravisor"


@dataclass(frozen=True)
class TdReport:
    """A TDREPORT: only the processor that made it can check its MAC, so that it is held against a quote.

    ``info`` are the first 400 bytes of TDINFO: attributes, XFAM, MRTD, three owner's fields, RTMR 0 to 3.
    """

    report_data: bytes
    info: bytes


@dataclass(frozen=True)
class HclReport:
    """The paravisor's report. ``bound`` is what the hardware's report data has to be; ``ak`` the vTPM's key in DER."""

    tee: Literal["snp", "tdx"]
    hardware: Report | TdReport
    runtime: bytes
    bound: bytes
    ak: bytes
    configuration: Mapping[str, Any]
    user_data: str


@dataclass(frozen=True)
class AzureEvidence:
    """A report of the paravisor, a quote by the key that it names, and under TDX the quote of the hardware.

    A report may come without a quote: then it can be read, and never be believed.

    ``brought`` are certificates that lay inside: they may bridge, as any endorsement.
    """

    report: HclReport
    quote: TpmEvidence | None
    td_quote: Quote | None
    brought: tuple[bytes, ...]


def parse_report_of_paravisor(raw: bytes) -> HclReport:
    """Return the report that ``raw`` spells, or raise ``Malformed``."""
    if not _HEADER_BYTES + _HARDWARE_BYTES + _RUNTIME_HEADER_BYTES < len(raw) <= REPORT_MAX_BYTES:
        raise malformed("it is too short or too long")
    words = _words(raw[4:_HEADER_BYTES])
    hardware, rest = raw[_HEADER_BYTES:][:_HARDWARE_BYTES], raw[_HEADER_BYTES + _HARDWARE_BYTES :]
    size, version, kind, hash_id, count = _words(rest[:_RUNTIME_HEADER_BYTES])
    filled = _HEADER_BYTES + _HARDWARE_BYTES + size
    if (
        raw[:4] != _SIGNATURE
        or words[0] not in _HEADER_VERSIONS
        or words[1:] != [filled, _AK_CERTIFICATE_REQUEST, 0, 0, 0, 0]
    ):
        raise malformed("its header is not that of a report for an attestation key")
    if version != _RUNTIME_VERSION or kind not in _TEES or hash_id not in _HASHES:
        raise malformed("its runtime data are of an unknown version, kind or hash")
    runtime, behind = rest[_RUNTIME_HEADER_BYTES:][:count], rest[_RUNTIME_HEADER_BYTES + count :]
    if size != _RUNTIME_HEADER_BYTES + count or len(runtime) != count or any(behind):
        raise malformed("its runtime data end elsewhere than they say")
    fields = read_json(runtime, what=_RUNTIME, max_bytes=REPORT_MAX_BYTES)
    return HclReport(
        tee=_TEES[kind],
        hardware=parse_report(hardware) if _TEES[kind] == "snp" else _td_report(hardware),
        runtime=runtime,
        bound=hashlib.new(_HASHES[hash_id], runtime).digest().ljust(REPORT_DATA_BYTES, b"\0"),
        ak=_attestation_key(fields),
        configuration=field_of(fields, "vm-configuration", dict, _RUNTIME),
        # Paravisors of 2023 had no place for it yet.
        user_data=field_of(fields, "user-data", str, _RUNTIME) if "user-data" in fields else "",
    )


def _words(raw: bytes) -> list[int]:
    return [int.from_bytes(raw[at : at + 4], "little") for at in range(0, len(raw), 4)]


def _td_report(raw: bytes) -> TdReport:
    if raw[0] != _TD_TYPE or any(raw[_TD_REPORT_BYTES:]):
        raise malformed("its hardware's report is not a TDREPORT with zeros behind it")
    return TdReport(
        raw[_TD_REPORT_DATA_AT:][:REPORT_DATA_BYTES],
        raw[_TD_INFO_AT:][:_TD_INFO_BYTES],
    )


def _attestation_key(fields: Mapping[str, Any]) -> bytes:
    keys = [
        key for key in field_of(fields, "keys", list, _RUNTIME) if isinstance(key, dict) and key.get("kid") == AK_NAME
    ]
    if len(keys) != 1 or keys[0].get("kty") != "RSA":
        raise malformed("its runtime data do not name one RSA attestation key", "keys")
    modulus, exponent = (_number(field_of(keys[0], name, str, _RUNTIME)) for name in ("n", "e"))
    try:
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        raise malformed("its attestation key does not exist", "keys") from None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _number(text: str) -> int:
    try:
        return int.from_bytes(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise malformed("a number of its attestation key is not base64", "keys") from None


def malformed(why: str, field: str | None = None) -> Malformed:
    """Return the refusal of bytes that are no report of the paravisor, or not what goes with one."""
    return Malformed(
        "evidence.malformed", f"{_WHAT} is malformed", why=why, remedy="give it as the VM read it from its vTPM",
        field=field,
    )  # fmt: skip
