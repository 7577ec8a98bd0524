"""Open Enclave's buffers of endorsements, taken apart into the collateral that Intel's services gave out.

``oe_endorsements_t`` (SGX): version u32 (1), enclave type u32 (2), size u32 of all behind the count, count u32 (9), as
many u32 offsets from their own end, then the items: version, TCB_INFO, TCB_ISSUER_CHAIN, CRL_PCK_CERT, CRL_PCK_PROC_CA,
CRL_ISSUER_CHAIN_PCK_CERT, QE_ID_INFO, QE_ID_ISSUER_CHAIN, CREATION_DATETIME. An attestation header may stand before.

``tdx_ql_qv_collateral`` (TDX): a C structure as it lay in memory: versions u16 (4) and u16 (0), TEE type u32 (0x81),
seven times a pointer u64, a size u32 and 4 bytes of padding, then the items, which lie as the pointers lay:
PCK_CRL_ISSUER_CHAIN, ROOT_CA_CRL, PCK_CRL, TCB_INFO_ISSUER_CHAIN, TCB_INFO, QE_IDENTITY_ISSUER_CHAIN, QE_IDENTITY.

Texts end with a NUL. A revocation list is DER, maybe with a NUL after it, or DER in hex.
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from mpc.evidence.open_enclave.layout import malformed

ENDORSEMENTS_MAX_BYTES = 512 << 10
_SGX_HEADER, _SGX_ITEMS, _TDX_ITEMS = 16, 9, 7
_DER = b"\x30"  # the tag of a SEQUENCE; a list in hex begins with another digit
_LISTS = frozenset({"pck_crl", "root_ca_crl"})
_SGX, _TDX = 2, 0x81
_TDX_HEADER = 8 + 16 * _TDX_ITEMS
_ATTESTATION_HEADER, _ATTESTATION_VERSION = 32, 3


class Items(NamedTuple):
    """Collateral as bytes: JSON documents with their signatures inside, chains in PEM, lists in DER or hex of it."""

    tcb_info: bytes
    tcb_info_issuer_chain: bytes
    pck_crl: bytes
    root_ca_crl: bytes
    pck_crl_issuer_chain: bytes
    qe_identity: bytes
    qe_identity_issuer_chain: bytes


@dataclass(frozen=True)
class _Span:
    start: int
    end: int


def is_endorsements(raw: bytes) -> bool:
    """Tell whether ``raw`` begins as one of the two buffers does."""
    body = _without_header(raw)
    return _is_sgx(body) or body[:8] == _words(4, _TDX)


def parse_endorsements(raw: bytes) -> Items:
    """Return the items of a buffer of endorsements, or raise ``Malformed``."""
    if len(raw) > ENDORSEMENTS_MAX_BYTES:
        raise malformed(
            "it is over the limit of size", "size", f"at most {ENDORSEMENTS_MAX_BYTES} bytes", f"{len(raw)} bytes"
        )
    body = _without_header(raw)
    if _is_sgx(body):
        return _sgx_items(body)
    if body[:8] == _words(4, _TDX):
        return _tdx_items(body)
    raise malformed(
        "unknown endorsements", "version", "oe_endorsements_t 1 or tdx_ql_qv_collateral 4.0", "something else"
    )


def _is_sgx(body: bytes) -> bool:
    # The header of a report begins alike, and has the high half of its size where the count stands here.
    return body[:8] == _words(1, _SGX) and _u32(body, 12) == _SGX_ITEMS


def _sgx_items(body: bytes) -> Items:
    start, size = _SGX_HEADER + 4 * _SGX_ITEMS, _u32(body, 8)
    if size != len(body) - _SGX_HEADER:
        expected = f"{len(body) - _SGX_HEADER} bytes"
        raise malformed("truncated, or bytes follow it", "buffer_size", expected, f"{size} bytes")
    offsets = [start + _u32(body, _SGX_HEADER + 4 * index) for index in range(_SGX_ITEMS)]
    spans = [_Span(first, second) for first, second in pairwise([*offsets, len(body)])]
    _require_order(spans, start, len(body))
    items = [_text(body[span.start : span.end]) for span in spans]
    return Items(*items[1:8])


def _tdx_items(body: bytes) -> Items:
    entries = [(_u64(body, at), _u32(body, at + 8)) for at in range(8, _TDX_HEADER, 16)]
    first = entries[0][0]
    spans = [_Span(_TDX_HEADER + at - first, _TDX_HEADER + at - first + size) for at, size in entries]
    _require_order(spans, _TDX_HEADER, len(body))
    pck_chain, root_crl, pck_crl, tcb_chain, tcb_info, qe_chain, qe_identity = (
        _text(body[span.start : span.end]) for span in spans
    )
    return Items(tcb_info, tcb_chain, pck_crl, root_crl, pck_chain, qe_identity, qe_chain)


def _require_order(spans: list[_Span], start: int, end: int) -> None:
    """Refuse items that overlap, leave gaps or run past the end: then the buffer would have several readings."""
    whole = all(span.start <= span.end for span in spans)
    joined = all(first.end == second.start for first, second in pairwise(spans))
    if not whole or not joined or spans[0].start != start or spans[-1].end != end:
        raise malformed("truncated, or its items do not follow one another", "offsets", "items side by side", "others")


def _without_header(raw: bytes) -> bytes:
    has_header = _u32(raw, 0) == _ATTESTATION_VERSION and _u64(raw, 24) == len(raw) - _ATTESTATION_HEADER
    return raw[_ATTESTATION_HEADER:] if has_header else raw


def _text(item: bytes) -> bytes:
    # A text's NUL is no part of it. DER says itself how long it is, and its reader knows of the NUL.
    return item if item[:1] == _DER else item.removesuffix(b"\0")


def _words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def _u32(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + 4], "little")


def _u64(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + 8], "little")


def collateral_file(raw: bytes) -> bytes:
    """Return a buffer of endorsements as the JSON that collateral lies in elsewhere, and any other file as it is."""
    if not is_endorsements(raw):
        return raw
    items = parse_endorsements(raw)
    try:
        return json.dumps({name: _in_json(name, item) for name, item in items._asdict().items()}).encode()
    except UnicodeDecodeError:
        raise malformed("malformed text", "items", "JSON and PEM in ASCII", "other bytes") from None


def _in_json(name: str, item: bytes) -> str:
    return item.hex() if name in _LISTS and item[:1] == _DER else item.decode("ascii")
