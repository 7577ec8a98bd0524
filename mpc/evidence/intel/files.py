"""Quotes and collateral as they lie in files, and the functions of the three formats: sgx, tdx, dcap-collateral."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, NoReturn

from mpc.errors import Malformed, Untrusted
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Claims, Fact, Given, Shown
from mpc.evidence.event_log import is_event_log, parse_event_log
from mpc.evidence.format import Document
from mpc.evidence.intel.certificates import PCK_AUTHORITIES, PCK_NAME, TCB_SIGNER_NAME, anchors_among
from mpc.evidence.intel.collateral import Collateral, read_collateral
from mpc.evidence.intel.facts import claims_of
from mpc.evidence.intel.layout import (
    QUOTE_MAX_BYTES,
    SGX,
    TDX,
    TEE_NAMES,
    Quote,
    carries_claims,
    is_epid,
    is_td_report,
    looks_like_quote,
    malformed,
    parse_quote,
)  # fmt: skip
from mpc.evidence.intel.provisioning import verify_authorities, verify_documents, verify_revocation
from mpc.evidence.intel.verify import verify_quote
from mpc.evidence.spellings import bytes_of, joined_once, named_in, spelled

COLLATERAL = "dcap-collateral"
_NAMES = {SGX: "sgx", TDX: "tdx"}
# As clouds, proxies and verification services call a quote; "outblob" is what configfs-tsm does.
_QUOTE_NAMES: Final = frozenset(
    {
        "quote",
        "tdxquote",
        "sgxquote",
        "intelquote",
        "dcapquote",
        "rawquote",
        "quotehex",
        "isvquote",
        "isvenclavequotebody",
        "outblob",
    }
)
_PARTS: Final = (b"tcb_info", b"qe_identity", b"tcbInfo", b"enclaveIdentity", b"tcbinfo", b"enclave_identity")
# An enclave may call itself what it likes: only the names of Intel's own authorities make a certificate collateral.
_INTELS: Final = tuple(name.encode() for name in ("Intel SGX Root CA", *PCK_AUTHORITIES, TCB_SIGNER_NAME, PCK_NAME))
_SPELLED_MAX_BYTES: Final = 4 * QUOTE_MAX_BYTES


def is_sgx(raw: bytes) -> bool:
    """Tell whether ``raw`` is an SGX quote, bare or in a wrapper."""
    found = unwrapped(raw)
    return (looks_like_quote(found, SGX) and not carries_claims(found)) or is_epid(found)


def is_tdx(raw: bytes) -> bool:
    """Tell whether ``raw`` is a TDX quote, bare or in a wrapper."""
    found = unwrapped(raw)
    return looks_like_quote(found, TDX) or is_td_report(found)


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
    """Return the TDX quote and the files of its collateral, which ``verify`` takes as they lie.

    The log of the TD's boot (CCEL) may lie among them.
    """
    del given
    logs = [file for file in files if is_event_log(file)]
    quote = parse_tdx(unwrapped(raw))
    if logs:
        quote = replace(quote, event_log=parse_event_log(logs[0]))
    return quote, _readable([file for file in files if file not in logs])


def verify(quote: Quote, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime) -> Claims:
    """Return the claims of a quote that leads to one of ``roots``, under collateral that speaks of the time ``at``.

    ``endorsements`` are the files of the collateral; none of their certificates is an anchor. Raises ``NotBelieved``.
    """
    checks = Checks(f"the {TEE_NAMES[quote.header.tee]} quote is not believed")
    endorsed = verify_quote(quote, read_collateral(endorsements), roots=roots, at=at, checks=checks)
    return claims_of(_NAMES[quote.header.tee], quote, endorsed, at=at, checks=checks)


def unwrapped(raw: bytes) -> bytes:
    """Return the quote inside of hex, base64 or a JSON answer, and anything else as it is; raises nothing."""
    if raw[:1] in {b"\3", b"\4", b"\5"}:
        return raw
    values = [value for value in map(bytes_of, named_in(raw, _QUOTE_NAMES)) if value is not None]
    quotes = [value for value in values if any(looks_like_quote(value, tee) for tee in TEE_NAMES) or is_epid(value)]
    if (quote := joined_once(quotes)) is not None:
        return quote
    return raw if len(raw) > _SPELLED_MAX_BYTES else spelled(raw) or raw


def is_collateral(raw: bytes) -> bool:
    """Tell whether ``raw`` is Intel's collateral: all of it in JSON, one signed document, a chain or a list."""
    if raw.lstrip()[:1] == b"{" and not any(part in raw for part in _PARTS):
        return False
    try:
        found = read_collateral((raw,))
    except Malformed:
        return False
    names = [given.issuer for given in found.lists] + [one.subject_text.encode() for one in found.certificates]
    return bool(found.tcb_info or found.qe_identity) or (
        bool(names) and all(any(known in name for known in _INTELS) for name in names)
    )


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


def describe_collateral(collateral: Collateral) -> tuple[Shown, ...]:
    """Return what parts there are."""
    return (
        Shown("tcb_info", f"{len(collateral.tcb_info.body) if collateral.tcb_info else 0} bytes", "signed document"),
        Shown("qe_identity", f"{len(collateral.qe_identity.body) if collateral.qe_identity else 0} bytes", "likewise"),
        *(Shown("certificate", one.subject_text, "of an authority or a signer") for one in collateral.certificates),
        *(Shown("revocation list", f"{len(one.der)} bytes", "of an authority") for one in collateral.lists),
    )


def _of(quote: Quote, tee: int) -> Quote:
    if quote.header.tee != tee:
        raise malformed("a quote of another kind of TEE", "tee_type", TEE_NAMES[tee], TEE_NAMES[quote.header.tee])
    return quote


def _readable(files: Sequence[bytes]) -> tuple[bytes, ...]:
    read_collateral(files)
    return tuple(files)
