"""TPM quotes whose parts lie in files of their own, as tpm2-tools and others write them.

The evidence is the bare TPMS_ATTEST; beside it lie, in any order, each recognised by its first bytes: the signature
(TPMT_SIGNATURE), the register values (concatenated, in the selection's order), the key (PEM, or TPM2B_PUBLIC) and its
certificates (PEM or DER).
"""

import hashlib
from collections.abc import Mapping, Sequence

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from mpc.evidence.certificate import Certificate, certificates_of, parse_certificate
from mpc.evidence.tpm import BANK, TpmEvidence
from mpc.evidence.tpm_structures import (
    ECDSA,
    GENERATED,
    RSAPSS,
    RSASSA,
    Attest,
    Public,
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


def is_bare_quote(raw: bytes) -> bool:
    """Tell whether ``raw`` begins as every TPMS_ATTEST does."""
    return raw[:4] == GENERATED.to_bytes(4)


def parse_pieces(raw: bytes, pieces: Sequence[bytes], *, bank: str = BANK) -> TpmEvidence:
    """Return the evidence made of a bare quote over ``bank`` and the files beside it, or raise ``Malformed``."""
    attest = parse_attest(raw)
    sorted_out: dict[str, bytes] = {}
    certificates: list[Certificate] = []
    for piece in pieces:
        kind = _kind(piece, attest)
        if kind == "certificates":
            certificates += map(parse_certificate, certificates_of(piece))
        elif kind in sorted_out:
            raise malformed(_WHAT, f"there is more than one {kind}")
        else:
            sorted_out[kind] = piece
    if "signature" not in sorted_out:
        raise malformed(_WHAT, "there is no signature")
    public = parse_public(sorted_out["public area"][2:]) if "public area" in sorted_out else None
    certificates.sort(key=lambda certificate: certificate.is_authority)
    spki = _key(sorted_out, public, certificates)
    certificates.sort(key=lambda certificate: certificate.spki != spki)
    return TpmEvidence(
        attest=attest,
        signature=parse_signature(sorted_out["signature"]),
        spki=spki,
        public=public,
        pcrs=_registers(sorted_out.get("registers"), attest),
        certificates=tuple(certificates),
        bank=bank,
    )


def _kind(piece: bytes, attest: Attest) -> str:
    size = sum(_register_bytes(selection.bank) * len(selection.indices) for selection in attest.selections)
    if piece.startswith(_PEM_KEY):
        return "key"
    if piece.startswith((_PEM, _DER)):
        return "certificates"
    if size and len(piece) == size:
        return "registers"
    if piece[:2] in _SIGNATURES:
        return "signature"
    if int.from_bytes(piece[:2]) == len(piece) - 2:
        return "public area"
    raise malformed(_WHAT, "one of them is neither signature, registers, key nor certificate")


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
    registers: dict[int, bytes] = {}
    for selection in attest.selections:
        size = _register_bytes(selection.bank)
        for index in selection.indices:
            registers[index], values = values[:size], values[size:]
    return registers


def _register_bytes(bank: str) -> int:
    return hashlib.new(bank).digest_size
