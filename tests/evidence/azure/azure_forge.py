"""A false Azure: a paravisor on a false AMD chip, a vTPM's key, and a quote, each part of which can be wrong."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.evidence.snp_forge import SnpForge, rsa_key
from tests.evidence.tpm_forge import Issuer, selection, sized

BOOTED = {index: bytes([index + 1]) * 32 for index in (0, 1, 2, 3, 4, 5, 6, 7, 9)}
CODE = hashlib.sha256(b"code").digest()
PCRS = BOOTED | {14: hashlib.sha256(bytes(32) + CODE).digest()}
NONCE = b"nonce of the verifier"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def number(value: int) -> bytes:
    return value.to_bytes(4, "little")


def jwk(key: rsa.RSAPrivateKey, *, kid: str = "HCLAkPub", **changed: Any) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    n, e = (base64url(value.to_bytes((value.bit_length() + 7) // 8)) for value in (numbers.n, numbers.e))
    return {"kid": kid, "key_ops": ["sign"], "kty": "RSA", "e": e, "n": n} | changed


@dataclass
class AzureForge:
    """Everything right unless told; the authority certifies the vTPM's key as Microsoft's would."""

    chip: SnpForge = field(default_factory=SnpForge)
    ak: rsa.RSAPrivateKey = field(default_factory=lambda: rsa_key("ak"))
    authority: Issuer = field(default_factory=lambda: Issuer("vTPM CA"))

    def certificate(self, *, key: Any = None, **changed: Any) -> bytes:
        return self.authority.certify("vm", key or self.ak, **changed)

    def runtime(self, **changed: Any) -> bytes:
        fields = {
            "keys": [jwk(self.ak), jwk(rsa_key("ek"), kid="HCLEkPub")],
            "vm-configuration": {"console-enabled": True, "secure-boot": True, "vmUniqueId": "A1"},
            "user-data": "00" * 64,
        } | changed
        return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()

    def report(
        self,
        runtime: bytes | None = None,
        *,
        bound: bytes | None = None,
        header: tuple[int, ...] | None = None,
        kind: tuple[int, int, int] = (1, 2, 1),
        magic: bytes = b"HCLA",
        behind: bytes = bytes(100),
        hardware: bytes | None = None,
        **fields: Any,
    ) -> bytes:
        runtime = self.runtime() if runtime is None else runtime
        name = {1: "sha256", 2: "sha384", 3: "sha512"}.get(kind[2], "sha256")
        data = hashlib.new(name, runtime).digest().ljust(64, b"\0") if bound is None else bound
        made = self.chip.report(report_data=data, **fields) if hardware is None else hardware
        size = 20 + len(runtime)
        words = header or (2, 32 + 1184 + size, 2, 0, 0, 0, 0)
        return (
            magic + b"".join(map(number, words)) + made
            + b"".join(map(number, (size, *kind, len(runtime)))) + runtime + behind
        )  # fmt: skip

    def quote(
        self, *, nonce: bytes = NONCE, registers: dict[int, bytes] | None = None, key: Any = None, **changed: Any
    ) -> dict[str, Any]:
        registers = PCRS if registers is None else registers
        covered = changed.pop("covered", (selection(tuple(registers)),))
        digest = changed.pop("digest", hashlib.sha256(b"".join(registers.values())).digest())
        magic = changed.pop("magic", bytes.fromhex("ff5443478018"))
        clock = bytes(8) + number(0) + number(0) + b"\1" + bytes(8)
        chosen = len(covered).to_bytes(4) + b"".join(covered)
        attest = magic + sized(b"\0\x0b" + bytes(32)) + sized(nonce) + clock + chosen + sized(digest)
        signature = (key or self.ak).sign(attest, padding.PKCS1v15(), hashes.SHA256())
        values = [registers.get(index, bytes(32)).hex() for index in range(24)]
        return {"message": attest.hex(), "signature": signature.hex(), "pcrs": values} | changed

    def evidence(self, *, report: bytes | None = None, quote: dict[str, Any] | None = None, **changed: Any) -> bytes:
        fields = {
            "hcl_report": base64url(self.report() if report is None else report),
            "tpm_quote": self.quote() if quote is None else quote,
        } | changed
        return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()
