"""A forge of Keystone reports: devices, security monitors and enclaves with keys of the test's own."""

import hashlib
import json
from dataclasses import dataclass, replace

from mpc.canonical import sha256
from mpc.evidence.keystone.ed25519_sha3 import BASE, ORDER, _multiply, encode, public_key


@dataclass(frozen=True)
class Key:
    """An expanded secret: a clamped scalar, and what the nonces are made from."""

    scalar: bytes
    prefix: bytes

    @classmethod
    def of(cls, name: str) -> "Key":
        expanded = bytearray(hashlib.sha3_512(sha256(name.encode())).digest())
        expanded[0] &= 248
        expanded[31] = expanded[31] & 63 | 64
        return cls(bytes(expanded[:32]), bytes(expanded[32:]))

    @property
    def public(self) -> bytes:
        return public_key(self.scalar)

    def sign(self, message: bytes) -> bytes:
        scalar = int.from_bytes(self.scalar, "little")
        nonce = int.from_bytes(hashlib.sha3_512(self.prefix + message).digest(), "little") % ORDER
        point = encode(_multiply(nonce, BASE))
        public = encode(_multiply(scalar, BASE))
        hashed = int.from_bytes(hashlib.sha3_512(point + public + message).digest(), "little")
        return point + ((nonce + hashed * scalar) % ORDER).to_bytes(32, "little")


DEVICE, MONITOR = Key.of("device"), Key.of("monitor")


@dataclass(frozen=True)
class Forge:
    """One machine; ``report`` mints what it would say of an enclave."""

    device: Key = DEVICE
    monitor: Key = MONITOR
    measurement: bytes = hashlib.sha3_512(b"enclave").digest()
    monitor_hash: bytes = hashlib.sha3_512(b"monitor").digest()
    data: bytes = b"nonce"

    def but(self, **changed: object) -> "Forge":
        return replace(self, **changed)

    def report(self, *, padding: int = 0) -> bytes:
        body = self.measurement + len(self.data).to_bytes(8, "little") + self.data
        endorsed = self.monitor_hash + self.monitor.public
        return (
            body
            + bytes([padding]) * (1024 - len(self.data))
            + self.monitor.sign(body)
            + endorsed
            + self.device.sign(endorsed)
            + self.device.public
        )

    def as_json(self, **changed: object) -> bytes:
        raw = self.report()
        fields = {
            "device_pubkey": raw[1320:].hex(),
            "security_monitor": {
                "hash": raw[1160:1224].hex(), "pubkey": raw[1224:1256].hex(), "signature": raw[1256:1320].hex(),
            },
            "enclave": {
                "hash": raw[:64].hex(), "datalen": len(self.data), "data": self.data.hex(),
                "signature": raw[1096:1160].hex(),
            },
        }  # fmt: skip
        return json.dumps(fields | changed).encode()
