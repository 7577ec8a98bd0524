"""The transcript: what an enclave binds into the one field of its evidence that it may choose.

Deterministic CBOR of a list, so that there is one spelling::

    [ "sealroom attestation", version, purpose, nonce, contract, spki, hpke, receipt_key ]

``report_data`` is its SHA-512, for the 64-byte fields of SGX, TDX, SEV-SNP and the like; ``qualifying_data`` its
SHA-256, for a TPM quote. A verifier builds the transcript itself, from its own nonce, the contract it signed and the
certificate it pinned; what the enclave says of its transcript serves only to name a difference.
"""

import hashlib
from dataclasses import dataclass, fields
from typing import Literal, get_args

from mpc.canonical import labelled_cbor, parse_labelled_cbor, sha256
from mpc.errors import Malformed

LABEL = "sealroom attestation"
VERSION = 1
NONCE_BYTES = 32
TRANSCRIPT_MAX_BYTES = 1024

BindingPurpose = Literal["boot", "contract"]


@dataclass(frozen=True)
class Transcript:
    """What one attestation is about.

    ``nonce`` is the verifier's (32 bytes); ``contract`` the contract's SHA-256; ``spki`` the SHA-256 of the TLS
    certificate's SubjectPublicKeyInfo; ``hpke`` the SHA-256 of the contract's sealing key; ``receipt_key`` the 32
    bytes of the instance's Ed25519 key. Under ``boot``, contract and hpke are None; under ``contract`` neither is.
    """

    version: int
    purpose: BindingPurpose
    nonce: bytes
    contract: bytes | None
    spki: bytes
    hpke: bytes | None
    receipt_key: bytes

    def __post_init__(self) -> None:
        """Refuse a transcript that would mean two things, or nothing."""
        if self.version != VERSION:
            raise _malformed("version", str(VERSION), str(self.version))
        if self.purpose not in get_args(BindingPurpose):
            raise _malformed("purpose", "boot or contract", repr(self.purpose))
        for_contract = self.purpose == "contract"
        for name, value, present in (
            ("nonce", self.nonce, True),
            ("contract", self.contract, for_contract),
            ("spki", self.spki, True),
            ("hpke", self.hpke, for_contract),
            ("receipt_key", self.receipt_key, True),
        ):
            _check_digest(name, value, present=present)

    @property
    def instance(self) -> bytes:
        """The name of the boot that speaks: SHA-256 of its receipt key, 32 bytes."""
        return sha256(self.receipt_key)

    def to_bytes(self) -> bytes:
        """Return the deterministic CBOR that evidence commits to."""
        return labelled_cbor(LABEL, *(getattr(self, field.name) for field in fields(self)))

    def report_data(self) -> bytes:
        """Return the SHA-512 of the transcript, 64 bytes."""
        return hashlib.sha512(self.to_bytes()).digest()

    def qualifying_data(self) -> bytes:
        """Return the SHA-256 of the transcript, 32 bytes."""
        return sha256(self.to_bytes())


def parse_transcript(raw: bytes) -> Transcript:
    """Return the transcript that ``raw`` spells, or raise ``Malformed``."""
    values = parse_labelled_cbor(raw, LABEL, VERSION, what="the attestation transcript", max_bytes=TRANSCRIPT_MAX_BYTES)
    if len(values) != len(fields(Transcript)) - 1:
        raise _malformed("form", "purpose, nonce, contract, spki, hpke and receipt key", "something else")
    return Transcript(VERSION, *values)


def _check_digest(name: str, value: bytes | None, *, present: bool) -> None:
    if not present:
        if value is not None:
            raise _malformed(name, "nothing under this purpose", "a value")
    elif not isinstance(value, bytes) or len(value) != NONCE_BYTES:
        found = f"{len(value)} bytes" if isinstance(value, bytes) else "no bytes"
        raise _malformed(name, f"{NONCE_BYTES} bytes", found)


def _malformed(field: str, expected: str, found: str) -> Malformed:
    return Malformed(
        "evidence.transcript", "the attestation transcript is malformed", why=f"its {field} has another form",
        remedy="let both sides run the same version", field=field, expected=expected, found=found,
    )  # fmt: skip
