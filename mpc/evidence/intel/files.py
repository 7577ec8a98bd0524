"""Quotes and collateral as they lie in files, and the functions of the three formats: sgx, tdx, dcap-collateral."""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

from mpc.errors import Malformed, Untrusted
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Check, Claims, Fact, Given, Shown
from mpc.evidence.format import Document
from mpc.evidence.intel.certificates import anchors_among
from mpc.evidence.intel.collateral import Collateral, read_collateral
from mpc.evidence.intel.facts import claims_of
from mpc.evidence.intel.layout import (
    QUOTE_MAX_BYTES,
    SGX,
    TDX,
    TEE_NAMES,
    Quote,
    looks_like_quote,
    malformed,
    parse_quote,
)  # fmt: skip
from mpc.evidence.intel.provisioning import verify_authorities, verify_documents, verify_revocation
from mpc.evidence.intel.verify import verify_quote
from mpc.evidence.loose_json import read_json

COLLATERAL = "dcap-collateral"
_NAMES = {SGX: "sgx", TDX: "tdx"}
_HEX = re.compile(rb"\s*(?:0x)?((?:[0-9A-Fa-f]{2})+)\s*")
_BASE64 = re.compile(rb"\s*([A-Za-z0-9+/_-]{64,}={0,2})\s*")
_QUOTE_NAMES = ("quote", "tdx_quote", "sgx_quote")  # as clouds and proxies answer


def is_sgx(raw: bytes) -> bool:
    """Tell whether ``raw`` is an SGX quote, bare or in a wrapper."""
    return looks_like_quote(unwrapped(raw), SGX)


def is_tdx(raw: bytes) -> bool:
    """Tell whether ``raw`` is a TDX quote, bare or in a wrapper."""
    return looks_like_quote(unwrapped(raw), TDX)


def parse_sgx(raw: bytes) -> Quote:
    """Return the SGX quote that ``raw`` is, or raise ``Malformed``."""
    return _of(parse_quote(raw), SGX)


def parse_tdx(raw: bytes) -> Quote:
    """Return the TDX quote that ``raw`` is, or raise ``Malformed``."""
    return _of(parse_quote(raw), TDX)


def gather_sgx(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[Quote, tuple[bytes, ...]]:
    """Return the SGX quote and the files of its collateral, which ``verify`` takes as they lie."""
    del given
    return parse_sgx(unwrapped(raw)), _readable(files)


def gather_tdx(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[Quote, tuple[bytes, ...]]:
    """Return the TDX quote and the files of its collateral, which ``verify`` takes as they lie."""
    del given
    return parse_tdx(unwrapped(raw)), _readable(files)


def verify(quote: Quote, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime) -> Claims:
    """Return the claims of a quote that leads to one of ``roots``, under collateral that speaks of the time ``at``.

    ``endorsements`` are the files of the collateral; none of their certificates is an anchor. Raises ``NotBelieved``.
    """
    checks = Checks(f"the {TEE_NAMES[quote.header.tee]} quote is not believed")
    endorsed = verify_quote(quote, read_collateral(endorsements), roots=roots, at=at, checks=checks)
    return claims_of(_NAMES[quote.header.tee], quote, endorsed, at=at, checks=checks)


def unwrapped(raw: bytes) -> bytes:
    """Return the quote inside of hex, base64 or a JSON answer, and anything else as it is; raises nothing."""
    if len(raw) > 2 * QUOTE_MAX_BYTES + 64 or raw[:1] in {b"\3", b"\4", b"\5"}:
        return raw
    if raw.lstrip()[:1] == b"{":
        raw = _in_json(raw)
    if (found := _HEX.fullmatch(raw)) is not None:
        return bytes.fromhex(found[1].decode())
    if (found := _BASE64.fullmatch(raw)) is not None:
        text = found[1].rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_")
        return urlsafe_b64decode(text + b"=" * (-len(text) % 4)) if len(text) % 4 != 1 else raw
    return raw


def is_collateral(raw: bytes) -> bool:
    """Tell whether ``raw`` is one JSON object with Intel's collateral in it."""
    if raw.lstrip()[:1] != b"{" or not (b"tcb_info" in raw or b"qe_identity" in raw):
        return False
    try:
        read_collateral((raw,))
    except Malformed:
        return False
    return True


def parse_collateral(raw: bytes) -> Collateral:
    """Return the collateral that one file holds, or raise ``Malformed``."""
    return read_collateral((raw,))


def gather_collateral(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[Collateral, tuple[bytes, ...]]:
    """Return the collateral of the file and of those beside it."""
    del given
    return read_collateral((raw, *files)), ()


def verify_collateral(
    raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime
) -> Document:
    """Return what collateral says, once it is whole, in date, signed and not called back; else refuse."""
    collateral, _ = gather_collateral(raw, files, given)
    checks = Checks("the collateral is not believed")
    anchors = anchors_among(roots, collateral.certificates)
    believed = verify_documents(collateral, anchors=anchors, at=at, checks=checks)
    chains = [believed.signer, *verify_authorities(collateral, anchors=anchors, at=at, checks=checks)]
    verify_revocation(chains, collateral, at=at, checks=checks)
    info, identity = believed.tcb_info, believed.identity
    facts: dict[str, Fact] = {
        "tee": info.tee,
        "fmspc": info.fmspc.hex().upper(),
        "tcb_info_version": info.version,
        "tcb_evaluation_data_number": info.evaluation_number,
        "qe": None if identity is None else identity.name,
    }
    return Document(COLLATERAL, "verify", facts, checks.made)


def no_evidence(*_: object, **__: object) -> NoReturn:
    """Raise ``Untrusted``: collateral vouches for machines, and is no evidence of any."""
    raise Untrusted(
        "evidence.collateral_alone", "collateral is no evidence",
        why="it speaks of machines, and of no enclave on them",
        remedy="give a quote, and the collateral beside it",
    )  # fmt: skip


def compare_nothing(claims: Claims, reference: object) -> tuple[Claims, tuple[Check, ...]]:
    """Raise ``Untrusted``: there is no reference for collateral."""
    no_evidence(claims, reference)


def describe_collateral(collateral: Collateral) -> tuple[Shown, ...]:
    """Return what parts there are."""
    return (
        Shown("tcb_info", f"{len(collateral.tcb_info.body) if collateral.tcb_info else 0} bytes", "signed document"),
        Shown("qe_identity", f"{len(collateral.qe_identity.body) if collateral.qe_identity else 0} bytes", "likewise"),
        *(Shown("certificate", one.subject_text, "of an authority or a signer") for one in collateral.certificates),
        *(Shown("revocation list", f"{len(one.der)} bytes", "of an authority") for one in collateral.lists),
    )


def no_roots(reference: object) -> tuple[bytes, ...]:
    """Return no anchors."""
    del reference
    return ()


def _of(quote: Quote, tee: int) -> Quote:
    if quote.header.tee != tee:
        raise malformed("a quote of another kind of TEE", "tee_type", TEE_NAMES[tee], TEE_NAMES[quote.header.tee])
    return quote


def _readable(files: Sequence[bytes]) -> tuple[bytes, ...]:
    read_collateral(files)
    return tuple(files)


def _in_json(raw: bytes) -> bytes:
    try:
        found = read_json(raw, what="the answer", max_bytes=len(raw))
    except Malformed:
        return raw
    named = [found[name] for name in _QUOTE_NAMES if isinstance(found.get(name), str)]
    return json.dumps(named[0])[1:-1].encode() if len(named) == 1 else raw
