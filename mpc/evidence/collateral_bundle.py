"""A bundle of collateral: one file that can be carried to a machine without a network.

Canonical JSON of parts, each the exact bytes that a vendor's service answered, with their digest. The vendors'
signatures are inside of the parts and are what is believed; the bundle adds none, and a part of it is no more than
the same file given by hand. A digest finds damage on the way.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from asn1crypto import x509
from pydantic import Field, model_validator

from mpc.canonical import Base64, Hex32, Term, Text, Timestamp, canonical_json, format_time, parse_json, sha256
from mpc.errors import Malformed
from mpc.evidence.intel.collateral import Collateral, read_collateral

BUNDLE_MAX_BYTES = 8 << 20
PARTS_MAX = 64
_BEGINS = b'{"format":"sealroom collateral",'
_WHAT = "the bundle of collateral"
_AMD = b"Advanced Micro Devices"


class Part(Term):
    """One answer of a service, or one file: where it came from, and its bytes with their SHA-256."""

    content: Base64
    sha256: Hex32
    source: Text

    @property
    def raw(self) -> bytes:
        """The bytes as the vendor signed them."""
        return base64.b64decode(self.content)

    @model_validator(mode="after")
    def _is_what_its_digest_says(self) -> Self:
        try:
            raw = base64.b64decode(self.content, validate=True)
        except binascii.Error:
            raise ValueError("content is not base64") from None
        if base64.b64encode(raw).decode() != self.content:
            raise ValueError("content has another spelling in base64")
        if sha256(raw).hex() != self.sha256:
            raise ValueError("content is damaged: its digest is another one")
        return self


class Bundle(Term):
    """Parts sorted by digest, each once; ``made_at`` is when they were packed, and decides nothing."""

    format: Literal["sealroom collateral"]
    made_at: Timestamp
    parts: Annotated[tuple[Part, ...], Field(min_length=1, max_length=PARTS_MAX)]
    version: Literal[1]

    @model_validator(mode="after")
    def _parts_are_sorted(self) -> Self:
        digests = [part.sha256 for part in self.parts]
        if digests != sorted(set(digests)):
            raise ValueError("parts must be sorted by digest, each one once")
        return self


@dataclass(frozen=True)
class Expiry:
    """When something in a part ends: ``what`` names it for a person, ``source`` the part."""

    what: str
    until: datetime
    source: str

    def is_over(self, at: datetime) -> bool:
        """Tell whether it has ended by the time ``at``."""
        return self.until <= at

    def is_near(self, at: datetime, days: int) -> bool:
        """Tell whether it ends within so many days after ``at``."""
        return self.until <= at + timedelta(days=days)


def pack(files: Iterable[tuple[str, bytes]], *, at: datetime) -> bytes:
    """Return the bundle of files, each with its source; equal ones stand once, and a bundle gives its parts.

    ``Malformed`` for what is no collateral, and for collateral of two kinds of machines: which of them is meant would
    be a guess wherever the bundle is used.
    """
    parts: dict[str, Part] = {}
    for source, content in (pair for name, raw in files for pair in _unpacked(name, raw)):
        read_collateral([content])  # refuses what is none, of whichever vendor
        digest = sha256(content).hex()
        encoded = base64.b64encode(content).decode()
        parts.setdefault(digest, Part(content=encoded, sha256=digest, source=source))
    if not 0 < len(parts) <= PARTS_MAX:
        raise Malformed(
            "collateral.parts", f"{_WHAT} cannot be made", why="it would hold no part, or too many",
            remedy="pack the collateral of a few machines", field="parts", expected=f"1 to {PARTS_MAX}",
            found=str(len(parts)),
        )  # fmt: skip
    chosen = tuple(parts[digest] for digest in sorted(parts))
    _require_one_kind(chosen)
    return canonical_json(Bundle(format="sealroom collateral", made_at=format_time(at), parts=chosen, version=1))


def is_bundle(raw: bytes) -> bool:
    """Tell whether ``raw`` begins as a bundle does."""
    return raw.startswith(_BEGINS)


def parse_bundle(raw: bytes) -> Bundle:
    """Return the bundle that ``raw`` is, every digest compared, or raise ``Malformed``."""
    return parse_json(Bundle, raw, what=_WHAT, max_bytes=BUNDLE_MAX_BYTES)


def unpacked(raw: bytes) -> tuple[bytes, ...]:
    """Return the parts of a bundle, or the file itself when it is none: what ``--endorsements`` stands for."""
    return tuple(part.raw for part in parse_bundle(raw).parts) if is_bundle(raw) else (raw,)


def expiries(bundle: Bundle) -> tuple[Expiry, ...]:
    """Return everything in a bundle that ends, the first to end first."""
    found = [expiry for part in bundle.parts for expiry in _expiries(part.source, read_collateral([part.raw]))]
    return tuple(sorted(found, key=lambda expiry: (expiry.until, expiry.what)))


def _unpacked(source: str, raw: bytes) -> Sequence[tuple[str, bytes]]:
    return [(part.source, part.raw) for part in parse_bundle(raw).parts] if is_bundle(raw) else [(source, raw)]


def _require_one_kind(parts: Sequence[Part]) -> None:
    together = read_collateral([part.raw for part in parts])  # refuses two different documents of one kind
    names = [certificate.subject for certificate in together.certificates] + [each.issuer for each in together.lists]
    of_amd = [_AMD in name for name in names]
    if any(of_amd) and (not all(of_amd) or together.tcb_info or together.qe_identity):
        raise Malformed(
            "collateral.mixed", f"{_WHAT} cannot be made", why="it would hold collateral of two vendors",
            remedy="pack a bundle for each kind of machine", field="parts", expected="one vendor", found="two",
        )  # fmt: skip


def _expiries(source: str, found: Collateral) -> Iterable[Expiry]:
    for kind, signed in (("TCB information", found.tcb_info), ("enclave identity", found.qe_identity)):
        if signed is not None:
            fields = json.loads(signed.body)
            name = fields.get("fmspc") or fields.get("id")
            yield Expiry(f"{kind} {name}", datetime.fromisoformat(fields["nextUpdate"]).astimezone(UTC), source)
    for certificate in found.certificates:
        yield Expiry(f"certificate {certificate.subject_text}", certificate.not_after, source)
    for revoked in found.lists:
        issuer = x509.Name.load(revoked.issuer).human_friendly
        yield Expiry(f"revocation list of {issuer}", revoked.next_update, source)
