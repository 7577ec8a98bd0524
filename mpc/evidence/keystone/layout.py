"""The report of a Keystone enclave, as bytes and as JSON: ``struct report`` of the security monitor, 1352 bytes.

Little-endian, no padding between fields::

       0   64  enclave.hash            1160   64  sm.hash
      64    8  enclave.data_len        1224   32  sm.public_key
      72 1024  enclave.data            1256   64  sm.signature
    1096   64  enclave.signature       1320   32  dev_public_key

What lies in ``data`` behind its length is whatever was in the monitor's memory: nobody signs it and nothing reads it.
"""

import re
from dataclasses import dataclass
from typing import Any, NoReturn

from mpc.errors import Malformed
from mpc.evidence.claims import Shown
from mpc.evidence.loose_json import read_json

REPORT_BYTES = 1352
COPIED_BYTES = 2048  # the SDK's example prints its whole buffer, the report in front
DATA_MAX_BYTES = 1024
HASH_BYTES = 64
JSON_MAX_BYTES = 64 << 10

_WHAT = "the Keystone report"


@dataclass(frozen=True)
class KeystoneReport:
    """What a report says: two hashes (SHA3-512), the enclave's own data, and the chain of keys and signatures."""

    enclave_hash: bytes
    data: bytes
    enclave_signature: bytes
    monitor_hash: bytes
    monitor_key: bytes
    monitor_signature: bytes
    device_key: bytes

    @property
    def signed_by_device(self) -> bytes:
        """The bytes under the device's signature."""
        return self.monitor_hash + self.monitor_key

    @property
    def signed_by_monitor(self) -> bytes:
        """The bytes under the security monitor's signature."""
        return self.enclave_hash + len(self.data).to_bytes(8, "little") + self.data


def parse(raw: bytes) -> KeystoneReport:
    """Return the report that ``raw`` is, binary or JSON, or raise ``Malformed``."""
    return _from_json(raw) if raw.lstrip()[:1] == b"{" else _from_bytes(raw)


def whole_file(raw: bytes) -> bytes:
    """Return the report of a file: the SDK's example writes a buffer of 2048 bytes with the report in front."""
    return raw[:REPORT_BYTES] if len(raw) == COPIED_BYTES else raw


def describe(report: KeystoneReport) -> tuple[Shown, ...]:
    """Return every field for a person to read; nothing of it is believed."""
    return (
        Shown("measurement", report.enclave_hash.hex(), "SHA3-512 over loader, runtime and application"),
        Shown("data", report.data.hex(), f"{len(report.data)} bytes that the enclave chose, at most {DATA_MAX_BYTES}"),
        Shown("enclave_signature", report.enclave_signature.hex(), "by the security monitor's key, over the above"),
        Shown("sm_hash", report.monitor_hash.hex(), "SHA3-512 over the security monitor's firmware"),
        Shown("sm_key", report.monitor_key.hex(), "the security monitor's public key (Ed25519 over SHA3-512)"),
        Shown("sm_signature", report.monitor_signature.hex(), "by the device's key, over monitor and its key"),
        Shown("device_key", report.device_key.hex(), "the device's public key, as the report names it"),
    )


def hex_field(value: object, size: int, name: str) -> bytes:
    """Return the bytes of a JSON field that holds exactly ``size`` bytes in lower-case hex."""
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-f]{{{2 * size}}}", value):
        malformed(f"{name} is not {size} bytes in lower-case hex")
    return bytes.fromhex(value)


def malformed(why: str) -> NoReturn:
    """Refuse bytes that are no report."""
    raise Malformed(
        "evidence.malformed", f"{_WHAT} is malformed", why=why,
        remedy=f"give the report of {REPORT_BYTES} bytes, or the SDK's JSON of it, as it came",
    ) from None  # fmt: skip


def _from_bytes(raw: bytes) -> KeystoneReport:
    if len(raw) != REPORT_BYTES:
        malformed(f"it is {len(raw)} bytes long, not {REPORT_BYTES}")
    length = int.from_bytes(raw[64:72], "little")
    if length > DATA_MAX_BYTES:
        malformed(f"it says that its data are {length} bytes, of at most {DATA_MAX_BYTES}")
    return KeystoneReport(
        raw[:64], raw[72 : 72 + length], raw[1096:1160], raw[1160:1224], raw[1224:1256], raw[1256:1320], raw[1320:]
    )


def _from_json(raw: bytes) -> KeystoneReport:
    # Further names beside the three are let be: people write down where a report came from.
    fields = read_json(raw, what=_WHAT, max_bytes=JSON_MAX_BYTES)
    monitor, enclave = _part(fields, "security_monitor"), _part(fields, "enclave")
    length = enclave.get("datalen")
    if type(length) is not int or not 0 <= length <= DATA_MAX_BYTES:
        malformed(f"enclave.datalen is no number from 0 to {DATA_MAX_BYTES}")
    return KeystoneReport(
        hex_field(enclave.get("hash"), HASH_BYTES, "enclave.hash"),
        hex_field(enclave.get("data"), length, "enclave.data"),
        hex_field(enclave.get("signature"), 64, "enclave.signature"),
        hex_field(monitor.get("hash"), HASH_BYTES, "security_monitor.hash"),
        hex_field(monitor.get("pubkey"), 32, "security_monitor.pubkey"),
        hex_field(monitor.get("signature"), 64, "security_monitor.signature"),
        hex_field(fields.get("device_pubkey"), 32, "device_pubkey"),
    )


def _part(fields: dict[str, Any], name: str) -> dict[str, Any]:
    part = fields.get(name)
    if not isinstance(part, dict):
        malformed(f"it holds no object {name}")
    return part
