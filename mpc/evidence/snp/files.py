"""SEV-SNP evidence as it lies in files: a report with AMD's certificates beside it, or such certificates alone."""

import re
from binascii import Error, a2b_base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from mpc.errors import Malformed
from mpc.evidence.anchors import anchors_among
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Fact, Given
from mpc.evidence.format import Document
from mpc.evidence.snp.endorsements import Endorsements, is_table, sorted_out
from mpc.evidence.snp.layout import REPORT_BYTES, VERSIONS, Report, parse_report
from mpc.evidence.snp.taken_apart import put_together
from mpc.evidence.snp.verify import verify_certificate, verify_key
from mpc.evidence.spellings import bytes_of, joined_once, named_in

_AUTHORITIES: Final = ("ARK-", "SEV-Milan", "SEV-Genoa", "SEV-Turin", "SEV-VLEK-")
_ANSWER_BYTES: Final = 32  # of MSG_REPORT_RSP before the report: status 0, size, zeros (SNP firmware ABI, 7.3)
_ANSWER: Final = (bytes(4) + REPORT_BYTES.to_bytes(4, "little")).ljust(_ANSWER_BYTES, b"\0")
_TEXT: Final = re.compile(rb"[0-9A-Za-z+/_=\r\n-]+")
_TEXT_MAX_BYTES: Final = 64 << 10
_REPORT_NAMES: Final = frozenset({"report", "attestationreport", "snpreport", "outblob"})
_BESIDE_NAMES: Final = frozenset(
    {
        "auxblob",
        "vcek",
        "vlek",
        "vekcert",
        "vcekcert",
        "vlekcert",
        "ask",
        "asvk",
        "ark",
        "certchain",
        "certificatechain",
    }
)
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


def is_report(raw: bytes) -> bool:
    """Tell whether ``raw`` is a report in one of the forms in which it lies about."""
    report, _ = unwrapped(raw)
    return len(report) == REPORT_BYTES and int.from_bytes(report[:4], "little") in VERSIONS


def is_amds(raw: bytes) -> bool:
    """Tell whether ``raw`` is a report, or certificates and lists of AMD's alone."""
    if is_report(raw):
        return True
    try:
        found = sorted_out([raw])
    except Malformed:
        return False
    names = [one.common_name for one in found.authorities]
    return bool(found.keys or names) and all(name.startswith(_AUTHORITIES) for name in names)


def gather(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[Report, tuple[bytes, ...]]:
    """Return the report, and the files beside it, which ``verify`` takes in the forms in which they lie."""
    del given
    whole, along = unwrapped(raw)
    report = parse_report(whole)
    keys = sorted_out((*along, *files)).keys
    return replace(report, product_beside=keys[0].product if keys else None), (*along, *files)


def unwrapped(raw: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the bytes of the report in ``raw``, and the certificate table that came in one piece with it.

    Understood are the report itself; the report and then the host's table, as Google's libraries keep an extended
    report; what ``/dev/sev-guest`` answers (status, size, 24 zeros, report, zeros); each of these in hex or
    base64; and JSON, CBOR or MessagePack with the report and what is beside it, as configfs-tsm and verification
    services name them, the report in bytes or taken apart into its fields.
    """
    raw, along = _answered(raw)
    if raw[:_ANSWER_BYTES] == _ANSWER and not any(raw[_ANSWER_BYTES + REPORT_BYTES :]):
        return raw[_ANSWER_BYTES : _ANSWER_BYTES + REPORT_BYTES], along
    if len(raw) > REPORT_BYTES and is_table(raw[REPORT_BYTES:]):
        return raw[:REPORT_BYTES], (raw[REPORT_BYTES:], *along)
    return raw, along


def _answered(raw: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the report that an answer holds and the table or certificates beside it, else what ``raw`` spells."""
    values = [bytes_of(value) or put_together(value) for value in named_in(raw, _REPORT_NAMES)]
    report = joined_once([value for value in values if value and len(value) == REPORT_BYTES])
    if report is None:
        return decoded(raw), ()
    beside = (one for value in named_in(raw, _BESIDE_NAMES) for one in _certificates(value))
    return report, tuple(dict.fromkeys(beside))


def _certificates(value: object) -> Iterator[bytes]:
    """Yield what lies under a name of certificates: PEM, bytes, or a list or an object of such, to any depth."""
    match value:
        case str() if value.lstrip().startswith("-----BEGIN"):
            yield value.encode(errors="replace")
        case dict():
            for one in value.values():
                yield from _certificates(one)
        case list() if value and not isinstance(value[0], int):
            for one in value:
                yield from _certificates(one)
        case _ if spelled_bytes := bytes_of(value):
            yield spelled_bytes


def decoded(raw: bytes) -> bytes:
    """Return what ``raw`` spells in hex or in base64 of either alphabet, or ``raw`` itself where it spells nothing."""
    if len(raw) < REPORT_BYTES or len(raw) > _TEXT_MAX_BYTES or not _TEXT.fullmatch(raw):
        return raw
    text = raw.strip().replace(b"\n", b"").replace(b"\r", b"")
    try:
        return bytes.fromhex(text.decode())
    except ValueError:
        pass
    bare = text.rstrip(b"=").translate(_TO_STANDARD)
    try:
        return a2b_base64(bare + b"=" * (-len(bare) % 4), strict_mode=True)
    except Error:
        return raw


def chain_of(
    raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime
) -> Document | None:
    """Return the verified chain that ``raw`` begins: of a report's key, or of an authority; None for a report.

    ``raw`` alone may hold the whole chain, as a PkiPath or in PEM. Every authority among it must lead to an anchor.
    """
    del given
    if is_report(raw):
        return None
    try:
        asked = sorted_out([raw])
    except Malformed:
        return None
    beside = sorted_out(files)
    everything = Endorsements(
        asked.keys + beside.keys, asked.authorities + beside.authorities, asked.lists + beside.lists
    )
    checks = Checks("the certificates are not believed")
    for key in asked.keys:
        verify_key(key, everything, roots=roots, at=at, checks=checks)
    anchors = anchors_among(roots, everything.authorities)
    for authority in (one for one in asked.authorities if one not in anchors):
        verify_certificate(authority, everything, roots=roots, at=at, checks=checks, signs_others=True)
    checks.require(
        "certificates", expected="a chain", found=f"{len(checks.made)} checks", passed=bool(checks.made),
        why="nothing to verify: the file holds an anchor alone, or a list", remedy="give the chain as well",
    )  # fmt: skip
    facts: dict[str, Fact] = {
        "authorities": tuple(one.common_name for one in everything.authorities),
        "products": tuple(sorted({key.product for key in asked.keys})),
    }
    return Document("chain", "verify", facts, checks.made)
