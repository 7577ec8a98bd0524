"""What outlives an instance: public state plain on disk, secret state sealed, private keys not at all.

    contract.json, consents/PARTY     once all have signed         pending/DIGEST/…   while they have not
    log                               the leaves, length before each, in order
    envelopes/SHA-256                 every signed statement that a leaf names
    shares/PARTY                      a share of the state key, sealed to its owner
    secret/VERSION                    history of releases, sealed under the state key
    results/RUN/…                     receipt, and the sealed result of each recipient
    vault/UPLOAD/…                    ciphertext (``mpc.coordinator.vault``)

A leaf is written only after what it names, and nothing is answered before its leaf is on stable storage: so a crash
at any moment loses nothing that was signed and acknowledged. Everything is verified again when it is read.
"""

import os
import struct
import threading
from collections.abc import Mapping
from pathlib import Path

from mpc.canonical import sha256
from mpc.coordinator.disk import disk_refusals, lock_folder, sync_folder, write_durably
from mpc.errors import Malformed, Misconfigured
from mpc.receipts.log import LEAF_MAX_BYTES

PENDING_MAX = 8
_LENGTH = struct.Struct("!I")


class StateFolder:
    """The state folder of one coordinator, locked for this process until ``close``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with disk_refusals():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("pending", "consents", "envelopes", "shares", "secret", "results"):
                (folder / name).mkdir(mode=0o700, exist_ok=True)
            self._lock_descriptor = lock_folder(folder)
            self._log = os.open(folder / "log", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            sync_folder(folder)
        self._log_end = 0
        self._appending = threading.Lock()

    def close(self) -> None:
        """Let go of the folder; nothing happens the second time."""
        if self._log >= 0:
            os.close(self._log)
            os.close(self._lock_descriptor)
            self._log = self._lock_descriptor = -1

    # Consents, before and after everybody has signed

    def keep_pending(self, contract: bytes, consents: Mapping[str, bytes]) -> None:
        """Keep a contract that not everybody has signed yet."""
        folder = self.folder / "pending" / sha256(contract).hex()
        with disk_refusals():
            folder.mkdir(mode=0o700, exist_ok=True)
            if not (folder / "contract.json").exists():
                write_durably(folder / "contract.json", contract)
            for party, consent in consents.items():
                if not (folder / party).exists():
                    write_durably(folder / party, consent)

    def pending(self) -> list[tuple[bytes, dict[str, bytes]]]:
        """Return every contract that waits for signatures, with those it has."""
        return [
            _contract_in(folder)
            for folder in sorted((self.folder / "pending").iterdir())
            if (folder / "contract.json").exists()
        ]

    def keep_agreed(self, contract: bytes, consents: Mapping[str, bytes]) -> None:
        """Keep the contract that this folder is about from now on."""
        with disk_refusals():
            for party, consent in consents.items():
                write_durably(self.folder / "consents" / party, consent)
            write_durably(self.folder / "contract.json", contract)

    def agreed(self) -> tuple[bytes, list[bytes]] | None:
        """Return the agreed contract and its consents, or None."""
        path = self.folder / "contract.json"
        if not path.exists():
            return None
        consents = [_read(file) for file in sorted((self.folder / "consents").iterdir()) if file.suffix != ".partial"]
        return _read(path), consents

    # The log and what its leaves name

    def append(self, leaves: tuple[bytes, ...]) -> None:
        """Bring ``leaves`` to stable storage, all or (after a crash) the first of them."""
        framed = b"".join(_LENGTH.pack(len(leaf)) + leaf for leaf in leaves)
        with self._appending, disk_refusals():
            try:
                self._write(framed)
            except OSError:
                os.ftruncate(self._log, self._log_end)  # nobody is told of a leaf that is not whole
                raise
            self._log_end += len(framed)

    def _write(self, framed: bytes) -> None:
        written = 0
        while written < len(framed):  # a disk that is nearly full takes a part, and says at the next why no more
            written += os.pwrite(self._log, framed[written:], self._log_end + written)
        os.fsync(self._log)

    def leaves(self) -> list[bytes]:
        """Return all leaves; a torn last one, which nobody was told of, is cut off."""
        raw = (self.folder / "log").read_bytes()
        leaves, offset = [], 0
        while offset + _LENGTH.size <= len(raw):
            length = _LENGTH.unpack_from(raw, offset)[0]
            end = offset + _LENGTH.size + length
            if not 0 < length <= LEAF_MAX_BYTES or end > len(raw):
                break
            leaves.append(raw[offset + _LENGTH.size : end])
            offset = end
        os.ftruncate(self._log, offset)
        self._log_end = offset
        return leaves

    def begin_log(self) -> None:
        """Drop leaves of a first boot that ended before it was done with its first event; nobody was told of them."""
        os.ftruncate(self._log, 0)
        self._log_end = 0

    def keep_envelope(self, envelope: bytes) -> str:
        """Keep a signed statement and return its hex SHA-256, by which leaves name it."""
        digest = sha256(envelope).hex()
        path = self.folder / "envelopes" / digest
        with disk_refusals():
            if not path.exists():
                write_durably(path, envelope)
        return digest

    def envelope(self, digest: str) -> bytes:
        """Return the statement with this digest, or refuse a folder that was changed."""
        path = self.folder / "envelopes" / digest
        envelope = _read(path) if path.exists() else b""
        if sha256(envelope).hex() != digest:
            raise _changed("a signed statement that the log names is missing or was changed")
        return envelope

    # Secret state

    def keep_shares(self, shares: Mapping[str, bytes]) -> None:
        """Keep the sealed shares, each of which only its owner can open."""
        with disk_refusals():
            for party, sealed in shares.items():
                write_durably(self.folder / "shares" / party, sealed)

    def share(self, party: str) -> bytes | None:
        """Return the sealed share of ``party``, or None."""
        path = self.folder / "shares" / party
        return _read(path) if path.exists() else None

    def keep_secret(self, version: int, sealed: bytes) -> None:
        """Keep the sealed secret state; earlier versions go when ``forget_secrets`` says so."""
        with disk_refusals():
            write_durably(self.folder / "secret" / str(version), sealed)

    def secret(self) -> bytes | None:
        """Return the latest sealed secret state, or None."""
        versions = self._versions()
        return _read(self.folder / "secret" / str(versions[-1])) if versions else None

    def forget_secrets(self, before: int) -> None:
        """Remove versions of the secret state that are older than ``before``."""
        for version in self._versions():
            if version < before:
                (self.folder / "secret" / str(version)).unlink(missing_ok=True)

    def _versions(self) -> list[int]:
        return sorted(int(path.name) for path in (self.folder / "secret").iterdir() if path.name.isdecimal())

    # Results

    def keep_result(self, run: int, name: str, content: bytes) -> None:
        """Keep the receipt or one recipient's sealed result of a run."""
        folder = self.folder / "results" / str(run)
        with disk_refusals():
            folder.mkdir(mode=0o700, exist_ok=True)
            write_durably(folder / name, content)

    def result(self, run: int, name: str) -> bytes | None:
        """Return what ``keep_result`` kept, or None."""
        path = self.folder / "results" / str(run) / name
        return _read(path) if path.exists() else None


def _contract_in(folder: Path) -> tuple[bytes, dict[str, bytes]]:
    consents = {
        file.name: _read(file)
        for file in sorted(folder.iterdir())
        if file.name != "contract.json" and file.suffix != ".partial"
    }
    return _read(folder / "contract.json"), consents


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise Misconfigured(
            "state.unreadable", "the state folder cannot be read", why="a file does not open",
            remedy="make the folder readable for the coordinator alone", field="--state",
        ) from None  # fmt: skip


def _changed(why: str) -> Malformed:
    return Malformed(
        "state.changed", "the state folder is not as the coordinator wrote it", why=why,
        remedy="restore it whole; if that is not possible the contract cannot go on here",
    )  # fmt: skip
