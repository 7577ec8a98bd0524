"""What vouches for the key under an SEV-SNP report, in the forms in which it lies about, taken apart into DER.

* a certificate or a revocation list, DER or PEM, or several of them in PEM;
* a PkiPath (SEQUENCE OF Certificate), as Enarx keeps AMD's chains;
* the certificate table of an extended report (GHCB specification, 4.1.8.1; ``auxblob`` of configfs-tsm): entries of
  GUID, offset, length (16, 4, 4 bytes), ended by zeros;
* what Azure's host answers: JSON of ``vcekCert`` and ``certificateChain``, both PEM;
* each of these in hex or base64.

An endorsement never is an anchor, wherever it came from: anchors are given by SHA-256, or whole, by who verifies.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal
from uuid import UUID

from mpc.errors import Malformed
from mpc.evidence.armour import unarmoured
from mpc.evidence.certificate import Certificate, parse_certificate
from mpc.evidence.chain import OTHERS_MAX_CERTIFICATES
from mpc.evidence.der import CONTEXT_0, INTEGER, SEQUENCE, Element, integer_of, read_element, text_of
from mpc.evidence.json_fields import field_of
from mpc.evidence.loose_json import read_json
from mpc.evidence.reference_values.snp import Product
from mpc.evidence.revocation import RevocationList, parse_revocation_list
from mpc.evidence.spellings import spelled

FILE_MAX_BYTES: Final = 128 << 10
_TABLE_ENTRY_BYTES: Final = 24
_TABLE_GUIDS: Final = (
    "63da758d-e664-4564-adc5-f4b93be8accd",  # VCEK
    "a8074bc2-a25a-483e-aae6-39c045a0b8a1",  # VLEK
    "4ab7b379-bbac-4fe4-a02f-05aef327c782",  # ASK
    "c0b406a4-a803-4952-9743-3fb6014cd0ae",  # ARK
    "92f81bc3-5811-4d3d-97ff-d19f88dc67ea",  # CRL
)
_MACHINE: Final = UUID("ecae0c0f-9502-43b1-afa2-0ae2e0d565b6")  # Google's note on the machine: no certificate
# Hosts write GUIDs in the order of the text; the standard for GUIDs turns their first three parts around.
_TABLE_STARTS: Final = frozenset(
    spelled for text in _TABLE_GUIDS for guid in [UUID(text)] for spelled in (guid.bytes, guid.bytes_le)
)

# AMD "Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification" (57230), 3.1
_AMD: Final = "1.3.6.1.4.1.3704.1"
_STRUCTURE_VERSION, _PRODUCT_NAME, _HARDWARE_ID, _CSP_ID = (f"{_AMD}.{part}" for part in (1, 2, 4, 5))
_PATCH_LEVELS: Final[Mapping[str, str]] = MappingProxyType({
    "bl": f"{_AMD}.3.1", "tee": f"{_AMD}.3.2", "snp": f"{_AMD}.3.3", "ucode": f"{_AMD}.3.8", "fmc": f"{_AMD}.3.9",
})  # fmt: skip
_PRODUCTS: Final[tuple[Product, ...]] = ("Milan", "Genoa", "Turin")


@dataclass(frozen=True)
class KeyCertificate:
    """The certificate of a report's key, with AMD's extensions read: what AMD says of that chip or cloud.

    ``levels`` are the security patch levels for which the key was derived; ``hardware_id`` is the chip's (64 bytes,
    Turin 8), None under a VLEK; ``csp_id`` names the cloud, None under a VCEK.
    """

    certificate: Certificate
    kind: Literal["VCEK", "VLEK"]
    product: Product
    levels: Mapping[str, int]
    hardware_id: bytes | None
    csp_id: str | None


@dataclass(frozen=True)
class Endorsements:
    """Everything that lies beside a report, sorted: certificates of report keys, of authorities, revocation lists."""

    keys: tuple[KeyCertificate, ...]
    authorities: tuple[Certificate, ...]
    lists: tuple[RevocationList, ...]


def is_table(file: bytes) -> bool:
    """Tell whether ``file`` begins as a host's certificate table does."""
    return file[:16] in _TABLE_STARTS or file[:16] in {_MACHINE.bytes, _MACHINE.bytes_le}


def pieces_of(file: bytes) -> tuple[bytes, ...]:
    """Return the DER certificates and revocation lists that ``file`` holds, in whatever form; ``Malformed`` if none."""
    if len(file) > FILE_MAX_BYTES:
        raise _malformed("a file is over the limit of size")
    pieces = tuple(_pieces(file))
    if not pieces or len(pieces) > OTHERS_MAX_CERTIFICATES:
        raise _malformed("a file holds no certificate, or more than any chain needs")
    return pieces


def sorted_out(endorsements: Sequence[bytes]) -> Endorsements:
    """Return what ``endorsements`` (each in any of the forms) hold, or raise ``Malformed``."""
    files = [_read(file) for file in endorsements]
    found = Endorsements(
        tuple(key for file in files for key in file.keys),
        tuple(authority for file in files for authority in file.authorities),
        tuple(given for file in files for given in file.lists),
    )
    if len(found.keys) + len(found.authorities) + len(found.lists) > OTHERS_MAX_CERTIFICATES:
        raise _malformed("there are more of them than any chain needs")
    return found


@lru_cache(maxsize=64)  # one machine's endorsements come along with every report of it
def _read(file: bytes) -> Endorsements:
    lists, certificates = [], []
    for piece in pieces_of(file):
        if _is_list(piece):
            lists.append(parse_revocation_list(piece))
        else:
            certificates.append(parse_certificate(piece))
    keys = tuple(key_certificate(one) for one in certificates if one.extension(_STRUCTURE_VERSION) is not None)
    authorities = tuple(one for one in certificates if one.extension(_STRUCTURE_VERSION) is None)
    return Endorsements(keys, authorities, tuple(lists))


def key_certificate(certificate: Certificate) -> KeyCertificate:
    """Return ``certificate`` with AMD's extensions read, or raise ``Malformed``."""
    try:
        name = text_of(read_element(certificate.extension(_PRODUCT_NAME) or b""))
        levels = {part: _level(certificate, oid) for part, oid in _PATCH_LEVELS.items()}
        csp = certificate.extension(_CSP_ID)
        csp_id = None if csp is None else text_of(read_element(csp))
    except ValueError as failure:
        raise _malformed(f"AMD's extensions of a certificate do not parse ({type(failure).__name__})") from None
    product = next((known for known in _PRODUCTS if name.partition("-")[0] == known), None)
    identity = certificate.extension(_HARDWARE_ID)
    if product is None or (identity is None) == (csp_id is None):
        raise _malformed("a certificate is of no known product, or neither of a chip nor of a cloud")
    return KeyCertificate(
        certificate, "VCEK" if csp_id is None else "VLEK", product,
        {part: level for part, level in levels.items() if level is not None},
        None if identity is None else _bare(identity), csp_id,
    )  # fmt: skip


def _level(certificate: Certificate, oid: str) -> int | None:
    value = certificate.extension(oid)
    return None if value is None else integer_of(read_element(value))


def _bare(identity: bytes) -> bytes:
    """Return a hardware ID without the OCTET STRING in which some certificates wrap it."""
    return identity[2:] if identity[:2] in {b"\x04\x40", b"\x04\x08"} and len(identity) in {66, 10} else identity


def _pieces(file: bytes) -> Iterator[bytes]:
    file = spelled(file) or file
    if is_table(file):
        yield from _of_table(file)
    elif file.lstrip().startswith(b"{"):
        yield from _of_json(file)
    elif file.lstrip().startswith(b"-----BEGIN"):
        yield from _of_pem(file)
    else:
        yield from _of_der(file)


def _of_pem(file: bytes) -> Iterator[bytes]:
    try:
        for kind, der in unarmoured(file):
            if kind not in {"CERTIFICATE", "X509 CRL"}:
                raise _malformed(f"a file holds a {kind[:32].lower()}")
            yield der
    except ValueError:
        raise _malformed("a file is no PEM") from None


def _of_der(file: bytes) -> Iterator[bytes]:
    """Yield one certificate or list, or those of a PkiPath."""
    try:
        outer = read_element(file)
        is_path = _begins_with(_begins_with(_begins_with(outer))).tag == CONTEXT_0
    except ValueError:
        is_path = False
    if is_path:
        yield from (certificate.whole for certificate in outer.children())
    else:
        yield file


def _is_list(piece: bytes) -> bool:
    # A list begins with the number of its version, a certificate with the same in a context tag.
    try:
        return _begins_with(_begins_with(read_element(piece))).tag == INTEGER
    except ValueError:
        return False


def _begins_with(element: Element) -> Element:
    first, *_ = element.children(SEQUENCE)
    return first


def _of_table(table: bytes) -> Iterator[bytes]:
    for at in range(0, _TABLE_ENTRY_BYTES * OTHERS_MAX_CERTIFICATES, _TABLE_ENTRY_BYTES):
        entry = table[at : at + _TABLE_ENTRY_BYTES]
        if len(entry) < _TABLE_ENTRY_BYTES:
            raise _malformed("the certificate table has no end")
        if not any(entry[:16]):
            return
        start, length = int.from_bytes(entry[16:20], "little"), int.from_bytes(entry[20:], "little")
        if entry[:16] in _TABLE_STARTS:  # others are the host's own affair
            blob = table[start : start + length]
            if len(blob) != length or start < at + _TABLE_ENTRY_BYTES:
                raise _malformed("the certificate table points outside of itself")
            yield from _of_pem(blob) if blob.startswith(b"-----BEGIN") else _of_der(blob)
    raise _malformed("the certificate table has more entries than any chain needs")


def _of_json(file: bytes) -> Iterator[bytes]:
    answer = read_json(file, what="the host's answer", max_bytes=FILE_MAX_BYTES)
    for name in ("vcekCert", "certificateChain"):
        yield from _of_pem(field_of(answer, name, str, "the host's answer").encode(errors="replace"))


def _malformed(why: str) -> Malformed:
    return Malformed(
        "evidence.snp_endorsements", "the endorsements of the SEV-SNP report are malformed", why=why,
        remedy="give AMD's certificates and lists as DER, PEM, PkiPath, or the host's certificate table",
        field="endorsements",
    )  # fmt: skip
