"""TPM quotes whose parts lie in files of their own, as tpm2-tools and others write them.

The evidence is the bare TPMS_ATTEST (or TPM2B_ATTEST); beside it lie, in any order, each recognised by its first bytes
or its size:

* the signature: TPMT_SIGNATURE, or what ``tpm2_quote -f plain`` writes (RSASSA's number, ECDSA's DER);
* the register values: concatenated in the selection's order (``--pcrs_format=values``), or as tpm2-tools writes them
  from its memory (``serialized``, its default: selection, then lists of eight digests, little-endian);
* the key (PEM, or TPM2B_PUBLIC, then maybe with its parent's) and its certificates (PEM or DER).

Keylime's agents put the first three into one text, ``r<base64>:<base64>:<base64>``.
"""

import hashlib
import re
from base64 import b64decode
from binascii import Error
from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from mpc.evidence.certificate import Certificate, certificates_of, parse_certificate
from mpc.evidence.der import SEQUENCE
from mpc.evidence.spellings import named_in
from mpc.evidence.tpm import BANK, TpmEvidence
from mpc.evidence.tpm_structures import (
    DECRYPT,
    ECDSA,
    GENERATED,
    RSAPSS,
    RSASSA,
    Attest,
    Public,
    Signature,
    malformed,
    parse_attest,
    parse_public,
    parse_signature,
)

_WHAT = "the TPM quote's files"
_PEM_KEY = b"-----BEGIN PUBLIC KEY-----"
_PEM = b"-----BEGIN "
_DER = b"\x30\x82"
_SIGNATURES = tuple(scheme.to_bytes(2) for scheme in (RSASSA, RSAPSS, ECDSA))
_RSA_BYTES: Final = (256, 384, 512)
_ECDSA_MAX_BYTES: Final = 104  # DER of two numbers of 384 bits
# tpm2-tools, lib/pcr.c: TPML_PCR_SELECTION (a count, 16 entries of 8 bytes), a count, TPML_DIGESTs of 8 TPM2B_DIGESTs.
_SELECTION_BYTES, _COUNT_BYTES, _DIGESTS, _DIGEST_BYTES = 132, 4, 8, 66
_LIST_BYTES = _COUNT_BYTES + _DIGESTS * _DIGEST_BYTES
_LISTS_MAX = 16
_KEYLIME = re.compile(rb"\s*r([A-Za-z0-9+/]+=*):([A-Za-z0-9+/]+=*):([A-Za-z0-9+/]+=*)\s*")
_KEYLIME_MAX_BYTES = 64 << 10
_QUOTE_NAMES = frozenset({"quote"})
# The scheme's hash makes the digest of the registers (Part 3, TPM2_Quote): its length tells it.
_HASH_OF_BYTES: Final = {32: "sha256", 48: "sha384", 64: "sha512"}


def is_bare_quote(raw: bytes) -> bool:
    """Tell whether ``raw`` begins as every TPMS_ATTEST does."""
    return raw[:4] == GENERATED.to_bytes(4)


def quote_in(raw: bytes) -> tuple[bytes, tuple[bytes, ...]] | None:
    """Return the TPMS_ATTEST that ``raw`` is or holds, and the pieces that came along; None where it holds none."""
    if is_bare_quote(raw):
        return raw, ()
    if is_bare_quote(raw[2:]) and int.from_bytes(raw[:2]) == len(raw) - 2:
        return raw[2:], ()
    texts = [value for value in named_in(raw, _QUOTE_NAMES) if isinstance(value, str)]
    text = texts[0].encode("ascii", "replace") if len(texts) == 1 else raw
    found = _KEYLIME.fullmatch(text) if len(text) <= _KEYLIME_MAX_BYTES else None
    if found is None:
        return None
    try:
        quote, *pieces = (b64decode(part, validate=True) for part in found.groups())
    except Error:
        return None
    return (quote, tuple(pieces)) if is_bare_quote(quote) else None


def parse_pieces(raw: bytes, pieces: Sequence[bytes], *, bank: str = BANK) -> TpmEvidence:
    """Return the evidence made of a bare quote over ``bank`` and the files beside it, or raise ``Malformed``."""
    attest = parse_attest(raw)
    sorted_out: dict[str, bytes] = {}
    certificates: list[Certificate] = []
    areas: list[Public] = []
    for piece in pieces:
        kind = _kind(piece, attest)
        if kind == "certificates":
            certificates += map(parse_certificate, certificates_of(piece))
        elif kind == "public area":
            areas.append(parse_public(piece[2:]))
        elif kind in sorted_out:
            raise malformed(_WHAT, f"there is more than one {kind}")
        else:
            sorted_out[kind] = piece
    if "signature" not in sorted_out:
        raise malformed(_WHAT, "no signature: the quote came without the file that signs it", "signature")
    public, parent = _public_areas(areas)
    certificates.sort(key=lambda certificate: certificate.is_authority)
    spki = _key(sorted_out, public, certificates)
    certificates.sort(key=lambda certificate: certificate.spki != spki)
    return TpmEvidence(
        attest=attest,
        signature=_signature(sorted_out["signature"], attest),
        spki=spki,
        public=public,
        pcrs=_registers(sorted_out.get("registers"), attest),
        certificates=tuple(certificates),
        bank=bank,
        parent=parent,
    )


def _public_areas(areas: Sequence[Public]) -> tuple[Public | None, Public | None]:
    """Return the key's public area and its parent's: a parent is a storage or endorsement key, which decrypts."""
    keys = [area for area in areas if not area.attributes & DECRYPT] if len(areas) > 1 else list(areas)
    parents = [area for area in areas if area not in keys]
    if len(keys) > 1 or len(parents) > 1:  # of several areas without a key all are parents
        raise malformed(_WHAT, "there is more than one public area of a key, or of its parent", "public area")
    return next(iter(keys), None), next(iter(parents), None)


def _kind(piece: bytes, attest: Attest) -> str:
    if piece.startswith(_PEM_KEY):
        return "key"
    if piece.startswith((_PEM, _DER)):
        return "certificates"
    if _are_registers(piece, attest) or _serialized(piece) is not None:
        return "registers"
    if piece[:2] in _SIGNATURES or len(piece) in _RSA_BYTES or _is_plain_ecdsa(piece):
        return "signature"
    if int.from_bytes(piece[:2]) == len(piece) - 2:
        return "public area"
    raise malformed(_WHAT, "one of them is neither signature, registers, key nor certificate")


def _are_registers(piece: bytes, attest: Attest) -> bool:
    size = sum(_register_bytes(selection.bank) * len(selection.indices) for selection in attest.selections)
    if not size or len(piece) != size:
        return False
    if size not in _RSA_BYTES:
        return True
    # Eight registers of SHA-256 are as long as a signature by RSA: only the quoted ones are told from it.
    name = _HASH_OF_BYTES.get(len(attest.pcr_digest))
    return name is not None and hashlib.new(name, piece).digest() == attest.pcr_digest


def _is_plain_ecdsa(piece: bytes) -> bool:
    return len(piece) <= _ECDSA_MAX_BYTES and piece[:2] == bytes([SEQUENCE, max(len(piece) - 2, 0)])


def _signature(piece: bytes, attest: Attest) -> Signature:
    if piece[:2] in _SIGNATURES and len(piece) not in _RSA_BYTES:
        return parse_signature(piece)
    name = _HASH_OF_BYTES.get(len(attest.pcr_digest))
    if name is None:
        raise malformed(_WHAT, "the quote's digest is of a hash that is not accepted", "hash")
    return Signature("ecdsa" if _is_plain_ecdsa(piece) else "rsassa_pkcs1v15", name, piece)


def _serialized(piece: bytes) -> bytes | None:
    """Return the registers one after the other, None where ``piece`` is not how tpm2-tools keeps them."""
    lists, rest = divmod(len(piece) - _SELECTION_BYTES - _COUNT_BYTES, _LIST_BYTES)
    counted = int.from_bytes(piece[_SELECTION_BYTES:][:_COUNT_BYTES], "little")
    if rest or not 0 < lists <= _LISTS_MAX or counted != lists:
        return None
    values = b""
    for start in range(_SELECTION_BYTES + _COUNT_BYTES, len(piece), _LIST_BYTES):
        count = int.from_bytes(piece[start : start + _COUNT_BYTES], "little")
        if count > _DIGESTS:
            return None
        for index in range(count):
            at = start + _COUNT_BYTES + index * _DIGEST_BYTES
            size = int.from_bytes(piece[at : at + 2], "little")
            values += piece[at + 2 : at + 2 + min(size, _DIGEST_BYTES - 2)]
    return values


def _key(pieces: Mapping[str, bytes], public: Public | None, certificates: Sequence[Certificate]) -> bytes:
    if "key" in pieces:
        try:
            key = load_pem_public_key(pieces["key"])
        except (ValueError, UnsupportedAlgorithm):
            raise malformed(_WHAT, "the key does not parse") from None
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if public is not None and public.spki != spki:
            raise malformed(_WHAT, "key and public area are of two keys")
        return spki
    if public is not None:
        return public.spki
    if certificates:
        return certificates[0].spki
    raise malformed(_WHAT, "there is no key")


def _registers(values: bytes | None, attest: Attest) -> dict[int, bytes] | None:
    if values is None:
        return None
    values = _serialized(values) or values
    registers: dict[int, bytes] = {}
    for selection in attest.selections:
        size = _register_bytes(selection.bank)
        for index in selection.indices:
            registers[index], values = values[:size], values[size:]
    return registers


def _register_bytes(bank: str) -> int:
    return hashlib.new(bank).digest_size
