"""A party's two private keys in one file, and the public card that it gives to the others.

The key file is for its owner alone (mode 0600, and refused otherwise). The card is public; what protects it is that
people compare its fingerprint by another way than the one the card came.
"""

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints

from mpc.canonical import AnyTerm, Base64, Hex32, Identifier, Term, Text, canonical_json, parse_json
from mpc.contract.terms import Party
from mpc.errors import Misconfigured
from mpc.sealing.hpke import SealingKey
from mpc.signing import SigningKey, VerifyingKey

KEY_FILE_MAX_BYTES = 4096
CARD_MAX_BYTES = 16_384
_GROUP = 4
_GROUPS_A_LINE = 8


class KeyFile(Term):
    """The private key file: hex seeds of the Ed25519 key (32 bytes) and of the X-Wing key (96 bytes)."""

    format: Literal["sealroom.key"]
    name: Identifier
    signing_seed: Hex32
    sealing_seed: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64,192}$")]

    def __repr__(self) -> str:
        return f"KeyFile(name={self.name!r})"


class Card(Term):
    """A party's public card: its signing key (hex, 32 bytes) and sealing key (base64, 1216 bytes)."""

    format: Literal["sealroom.party"]
    name: Identifier
    label: Text
    signing_key: Hex32
    sealing_key: Base64

    @property
    def fingerprint(self) -> str:
        """The hex SHA-256 of the signing key: what people compare out of band."""
        return VerifyingKey(bytes.fromhex(self.signing_key)).keyid

    def party(self) -> Party:
        """Return the card as a contract names the party."""
        return Party(name=self.name, label=self.label, signing_key=self.signing_key, sealing_key=self.sealing_key)


@dataclass(frozen=True)
class Keys:
    """A party's private keys, loaded. Neither prints."""

    name: str
    signing: SigningKey
    sealing: SealingKey

    def known(self, confirmed: Mapping[str, str]) -> Mapping[str, str]:
        """Return the fingerprints this party knows by name: those it ``confirmed``, and its own."""
        return {self.name: self.signing.public.keyid, **confirmed}

    def card(self, label: str) -> Card:
        """Return the public card of these keys."""
        return Card(
            format="sealroom.party",
            name=self.name,
            label=label,
            signing_key=self.signing.public.raw.hex(),
            sealing_key=base64.b64encode(self.sealing.public.raw).decode(),
        )


def new_keys(name: str, label: str, path: Path) -> Card:
    """Write fresh keys to ``path`` (0600, never over a file) and the card to ``path`` + ``.pub``; return the card."""
    keys = Keys(name, SigningKey.generate(), SealingKey.generate())
    card = keys.card(label)
    file = KeyFile(
        format="sealroom.key",
        name=name,
        signing_seed=keys.signing.seed().hex(),
        sealing_seed=keys.sealing.seed().hex(),
    )
    _write_new(path, canonical_json(file), mode=0o600)
    _write_new(card_path(path), canonical_json(card) + b"\n", mode=0o644)
    return card


def card_path(key_path: Path) -> Path:
    """Return where the card of a key file stands."""
    return key_path.with_name(key_path.name + ".pub")


def load_keys(path: Path) -> Keys:
    """Return the keys in ``path``; ``Misconfigured`` when the file is absent or others may read it."""
    with _opened(path, what="the key file") as descriptor:
        mode = os.fstat(descriptor).st_mode & 0o777
        if mode & 0o077:
            raise Misconfigured(
                "key.permissions", "the key file is open to others", why="who reads it can sign in your name",
                remedy=f"chmod 600 {path}", field=str(path), expected="0600", found=f"{mode:04o}",
            )  # fmt: skip
        file = _parsed(
            KeyFile, os.read(descriptor, KEY_FILE_MAX_BYTES + 1), what="the key file", limit=KEY_FILE_MAX_BYTES
        )
    return Keys(
        name=file.name,
        signing=SigningKey(bytes.fromhex(file.signing_seed)),
        sealing=SealingKey.from_seed(bytes.fromhex(file.sealing_seed)),
    )


def load_card(path: Path) -> Card:
    """Return the public card in ``path``; ``Misconfigured`` when it is absent, ``Malformed`` when it is no card."""
    with _opened(path, what="the public card") as descriptor:
        raw = os.read(descriptor, CARD_MAX_BYTES + 1)
    return _parsed(Card, raw, what="the public card", limit=CARD_MAX_BYTES)


def spoken(fingerprint: str) -> str:
    """Return a fingerprint in groups of four and two lines, for reading aloud over the telephone."""
    groups = [fingerprint[start : start + _GROUP] for start in range(0, len(fingerprint), _GROUP)]
    lines = [groups[start : start + _GROUPS_A_LINE] for start in range(0, len(groups), _GROUPS_A_LINE)]
    return "\n".join(" ".join(line) for line in lines)


def _parsed(kind: type[AnyTerm], raw: bytes, *, what: str, limit: int) -> AnyTerm:
    return parse_json(kind, raw.removesuffix(b"\n"), what=what, max_bytes=limit)


@contextmanager
def _opened(path: Path, *, what: str) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Misconfigured(
            "key.unreadable", f"{what} cannot be read", why=error.strerror or "it cannot be opened",
            remedy="make one with `sealroom keys new NAME -o FILE`, or correct the path", field=str(path),
        ) from None  # fmt: skip
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise Misconfigured(
            "key.exists" if isinstance(error, FileExistsError) else "key.unwritable",
            "the file is not written", why=error.strerror or "it cannot be created",
            remedy="name another file; a key is never written over", field=str(path),
        ) from None  # fmt: skip
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
