"""Stand-ins for devices that behave as the kernel documents, around hardware that the test made itself."""
# ruff: noqa: ARG002 - a stand-in has the parameters of what it stands in for

import ctypes
import errno
import hashlib
import os
import struct
import uuid
from collections.abc import Callable
from typing import Any

import cbor2

from mpc.attesters.configfs_tsm import REPORTS, RTMR3

Prove = Callable[[bytes], bytes]


def refused(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class Machine:
    """A machine without devices; the others add theirs."""

    def is_file(self, path: str) -> bool:
        return False

    def is_folder(self, path: str) -> bool:
        return False

    def read(self, path: str) -> bytes:
        raise refused(errno.ENOENT)

    def write(self, path: str, data: bytes) -> None:
        raise refused(errno.ENOENT)

    def make_folder(self, path: str) -> None:
        raise refused(errno.EPERM)

    def remove_folder(self, path: str) -> None:
        raise refused(errno.ENOENT)

    def call(self, path: str, request: int, argument: Any) -> None:
        raise refused(errno.ENOTTY)


class StandInTsm(Machine):
    """configfs-tsm: ``disturb`` runs before each read of ``outblob``, with the report's folder, as another would."""

    def __init__(
        self, provider: str, prove: Prove, *, certificates: bytes | None = None, rtmr3: bytes | None = None
    ) -> None:
        self.provider, self.prove, self.certificates, self.rtmr3 = provider, prove, certificates, rtmr3
        self.reports: dict[str, dict[str, Any]] = {}
        self.names: list[str] = []
        self.disturb: Callable[[str], None] = lambda _: None

    def is_folder(self, path: str) -> bool:
        return path == REPORTS

    def is_file(self, path: str) -> bool:
        if path == RTMR3:
            return self.rtmr3 is not None
        folder, _, name = path.rpartition("/")
        attributes = {"provider", "generation", "inblob", "outblob", "privlevel"}
        return folder in self.reports and name in attributes | ({"auxblob"} if self.certificates is not None else set())

    def make_folder(self, path: str) -> None:
        assert path.rpartition("/")[0] == REPORTS
        if path in self.reports:
            raise refused(errno.EEXIST)
        self.reports[path] = {"generation": 0, "inblob": b"", "privlevel": None}
        self.names.append(path.rpartition("/")[2])

    def remove_folder(self, path: str) -> None:
        del self.reports[path]

    def write(self, path: str, data: bytes) -> None:
        if path == RTMR3 and self.rtmr3 is not None:
            self.rtmr3 = extended(self.rtmr3, data)
            return
        report, name = self._report(path)
        if name not in {"inblob", "privlevel"}:
            raise refused(errno.EACCES)
        if name == "inblob" and not 0 < len(data) <= 64:
            raise refused(errno.EINVAL)
        report[name] = data
        report["generation"] += 1

    def read(self, path: str) -> bytes:
        if path == RTMR3 and self.rtmr3 is not None:
            return self.rtmr3
        report, name = self._report(path)
        match name:
            case "provider":
                return self.provider.encode() + b"\n"
            case "generation":
                return f"{report['generation']}\n".encode()
            case "outblob" if report["inblob"]:
                self.disturb(path.rpartition("/")[0])
                return self.prove(report["inblob"].ljust(64, b"\0"))
            case "auxblob" if self.certificates is not None:
                return self.certificates
        raise refused(errno.EINVAL)

    def _report(self, path: str) -> tuple[dict[str, Any], str]:
        folder, _, name = path.rpartition("/")
        if folder not in self.reports:
            raise refused(errno.ENOENT)
        return self.reports[folder], name


class StandInGramine(Machine):
    """Gramine's files of one process: the report data stays until it is written again."""

    def __init__(self, prove: Prove, kind: bytes = b"dcap") -> None:
        self.prove, self.kind, self.data = prove, kind, bytes(64)

    def is_file(self, path: str) -> bool:
        return path in {f"dev/attestation/{name}" for name in ("attestation_type", "user_report_data", "quote")}

    def read(self, path: str) -> bytes:
        match path:
            case "dev/attestation/attestation_type":
                return self.kind
            case "dev/attestation/quote" if self.kind == b"dcap":
                return self.prove(self.data)
        raise refused(errno.EACCES)

    def write(self, path: str, data: bytes) -> None:
        if path != "dev/attestation/user_report_data" or len(data) != 64:
            raise refused(errno.EINVAL)
        self.data = data


class StandInOcclum(Machine):
    """Occlum's device: two calls, with the caller's pointers."""

    def __init__(self, prove: Prove) -> None:
        self.prove = prove

    def is_file(self, path: str) -> bool:
        return path == "dev/sgx"

    def call(self, path: str, request: int, argument: Any) -> None:
        if request == 0x80047307:
            ctypes.memmove(argument, (8192).to_bytes(4, "little"), 4)
        elif request == 0xC0187308:
            data, length, buffer = struct.unpack("<3Q", argument.raw)
            quote = self.prove(ctypes.string_at(data, 64))
            room = int.from_bytes(ctypes.string_at(length, 4), "little")
            if room < len(quote):
                raise refused(errno.EINVAL)
            ctypes.memmove(buffer, quote, len(quote))
            ctypes.memmove(length, len(quote).to_bytes(4, "little"), 4)
        else:
            raise refused(errno.ENOTTY)


class StandInNsm(Machine):
    """The Nitro security module: CBOR in, CBOR out, and the answer's length written back."""

    def __init__(self, prove: Prove) -> None:
        self.prove = prove
        self.answer: Any = None

    def is_file(self, path: str) -> bool:
        return path == "dev/nsm"

    def call(self, path: str, request: int, argument: Any) -> None:
        if request != 0xC0200A00:
            raise refused(errno.ENOTTY)
        asked, size, buffer, room = struct.unpack("<4Q", argument.raw)
        if size > 0x1000 or room < 0x3000:
            raise refused(errno.EMSGSIZE)
        fields = cbor2.loads(ctypes.string_at(asked, size))["Attestation"]
        assert set(fields) == {"user_data", "nonce", "public_key"}
        answer = cbor2.dumps(self.answer or {"Attestation": {"document": self.prove(fields["user_data"])}})
        ctypes.memmove(buffer, answer, len(answer))
        ctypes.memmove(ctypes.addressof(argument) + 24, len(answer).to_bytes(8, "little"), 8)


def extended(register: bytes, digest: bytes) -> bytes:
    assert len(digest) == 48
    return hashlib.sha384(register + digest).digest()


def certificate_table(*entries: tuple[str, bytes]) -> bytes:
    """Spell a certificate table as the host hands it to an SEV-SNP guest (GHCB specification, 4.1.8.1)."""
    at, head, body = 24 * (len(entries) + 1), b"", b""
    for guid, certificate in entries:
        head += uuid.UUID(guid).bytes + struct.pack("<2I", at + len(body), len(certificate))
        body += certificate
    return head + bytes(24) + body
