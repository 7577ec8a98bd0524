"""The structures of TPM 2.0 that a quote consists of, parsed and believed in nothing.

Section numbers are those of "Trusted Platform Module Library, Part 2: Structures" (TCG). All numbers are big-endian.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mpc.errors import Malformed

GENERATED: Final = 0xFF544347  # TPM_GENERATED_VALUE (6.2): "\xffTCG", which a restricted key signs only for the TPM
ATTEST_QUOTE: Final = 0x8018  # TPM_ST_ATTEST_QUOTE (6.9)

RSA, NULL, RSASSA, RSAPSS, ECDSA, ECC = 0x0001, 0x0010, 0x0014, 0x0016, 0x0018, 0x0023  # TPM_ALG_ID (6.3)
HASH_NAMES: Final = {0x000B: "sha256", 0x000C: "sha384", 0x000D: "sha512"}
BANK_NAMES: Final = {0x0004: "sha1", **HASH_NAMES}
_SCHEMES = {RSASSA: "rsassa_pkcs1v15", RSAPSS: "rsassa_pss", ECDSA: "ecdsa"}
_CURVES: Final = {0x0003: ec.SECP256R1, 0x0004: ec.SECP384R1}  # TPM_ECC_CURVE (6.4)

FIXED_TPM, FIXED_PARENT, SENSITIVE_DATA_ORIGIN = 1 << 1, 1 << 4, 1 << 5  # TPMA_OBJECT (8.3)
USER_WITH_AUTH, RESTRICTED, DECRYPT, SIGN = 1 << 6, 1 << 16, 1 << 17, 1 << 18
PCR_COUNT: Final = 24
_SELECT_MAX_BYTES = 4


@dataclass(frozen=True)
class Selection:
    """The registers of one bank that a quote covers (TPMS_PCR_SELECTION, 10.6.2)."""

    bank: str
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Attest:
    """A quote as the TPM signs it (TPMS_ATTEST, 10.12.12); ``raw`` are the bytes under the signature.

    ``clock_ms`` counts milliseconds of power, ``reset_count`` boots; ``safe`` says that the clock was never set back.
    """

    raw: bytes
    qualified_signer: bytes
    extra_data: bytes
    clock_ms: int
    reset_count: int
    restart_count: int
    safe: bool
    firmware_version: int
    selections: tuple[Selection, ...]
    pcr_digest: bytes


@dataclass(frozen=True)
class Signature:
    """TPMT_SIGNATURE (11.3.4): ``scheme`` and ``hash`` by name; ECDSA's value is the pair (r, s)."""

    scheme: str
    hash: str
    value: bytes | tuple[int, int]


@dataclass(frozen=True)
class Public:
    """A key's public area (TPMT_PUBLIC, 12.2.4); ``spki`` is the key in DER, ``attributes`` the TPMA_OBJECT bits."""

    raw: bytes
    name_hash: str
    name_algorithm: int
    attributes: int
    spki: bytes

    @property
    def name(self) -> bytes:
        """The object's Name: its hash algorithm and the digest of its public area (Part 1, 16)."""
        return self.name_algorithm.to_bytes(2) + hashlib.new(self.name_hash, self.raw).digest()

    def qualified_name(self, above: bytes) -> bytes:
        """Return the Qualified Name of an object (Part 1, 26.5).

        ``above`` is the handle of its hierarchy (4 bytes) for a primary object, else the Qualified Name of its parent.
        """
        digest = hashlib.new(self.name_hash, above + self.name).digest()
        return self.name_algorithm.to_bytes(2) + digest


class _Reader:
    """Takes numbers and sized fields from the front of some bytes; ``Malformed`` when they run out."""

    def __init__(self, raw: bytes, what: str) -> None:
        self._rest = raw
        self._what = what

    def take(self, count: int) -> bytes:
        if len(self._rest) < count:
            raise malformed(self._what, "it ends too early")
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count))

    def sized(self) -> bytes:
        return self.take(self.number(2))

    def end(self) -> None:
        if self._rest:
            raise malformed(self._what, "bytes follow it")


def parse_attest(raw: bytes) -> Attest:
    """Return the quote that ``raw`` spells, or raise ``Malformed``; anything that is not a quote is refused."""
    reader = _Reader(raw, "the quote")
    for field, expected, size in (("magic", GENERATED, 4), ("type", ATTEST_QUOTE, 2)):
        found = reader.number(size)
        if found != expected:
            raise malformed("the quote", f"its {field} is not a TPM quote's", field, f"{expected:#x}", f"{found:#x}")
    attest = Attest(
        raw=raw,
        qualified_signer=reader.sized(),
        extra_data=reader.sized(),
        clock_ms=reader.number(8),
        reset_count=reader.number(4),
        restart_count=reader.number(4),
        safe=_yes_or_no(reader),
        firmware_version=reader.number(8),
        selections=tuple(_selection(reader) for _ in range(_bounded(reader.number(4)))),
        pcr_digest=reader.sized(),
    )
    reader.end()
    return attest


def parse_signature(raw: bytes) -> Signature:
    """Return the signature that ``raw`` spells, or raise ``Malformed``."""
    reader = _Reader(raw, "the quote's signature")
    scheme, hash_name = _named(_SCHEMES, reader, "scheme"), _named(HASH_NAMES, reader, "hash")
    value: bytes | tuple[int, int]
    value = (int.from_bytes(reader.sized()), int.from_bytes(reader.sized())) if scheme == "ecdsa" else reader.sized()
    reader.end()
    return Signature(scheme, hash_name, value)


def parse_public(raw: bytes) -> Public:
    """Return the public area that ``raw`` spells, or raise ``Malformed``; only RSA and ECC signing keys exist here."""
    reader = _Reader(raw, "the attestation key's public area")
    kind, name_algorithm, attributes, _policy = reader.number(2), reader.number(2), reader.number(4), reader.sized()
    if name_algorithm not in HASH_NAMES:
        raise malformed("the attestation key's public area", "its name has an unknown hash")
    _skip_symmetric(reader)
    _skip_scheme(reader)
    if kind == RSA:
        spki = _rsa_key(reader)
    elif kind == ECC:
        spki = _ecc_key(reader)
    else:
        raise malformed("the attestation key's public area", "it is neither an RSA nor an ECC key")
    reader.end()
    return Public(raw, HASH_NAMES[name_algorithm], name_algorithm, attributes, spki)


def attribute_words(attributes: int) -> str:
    """Return the attributes that matter for attestation, in the specification's words."""
    names = {
        "fixedTPM": FIXED_TPM, "fixedParent": FIXED_PARENT, "sensitiveDataOrigin": SENSITIVE_DATA_ORIGIN,
        "restricted": RESTRICTED, "sign": SIGN, "decrypt": DECRYPT,
    }  # fmt: skip
    return " ".join(name for name, bit in names.items() if attributes & bit) or "none"


def malformed(
    what: str, why: str, field: str | None = None, expected: str | None = None, found: str | None = None
) -> Malformed:
    """Return the refusal of TPM bytes that are not ``what`` they claim to be."""
    return Malformed(
        "evidence.malformed", f"{what} is malformed", why=why, remedy="give the bytes as the TPM returned them",
        field=field, expected=expected, found=found,
    )  # fmt: skip


def _selection(reader: _Reader) -> Selection:
    bank = reader.number(2)
    bits = int.from_bytes(reader.take(_bounded(reader.number(1), _SELECT_MAX_BYTES)), "little")
    if bank not in BANK_NAMES:
        raise malformed(
            "the quote", "it covers a bank of an unknown hash", "bank", " or ".join(BANK_NAMES.values()), hex(bank)
        )
    return Selection(BANK_NAMES[bank], tuple(index for index in range(bits.bit_length()) if bits >> index & 1))


def _bounded(count: int, limit: int = 16) -> int:
    if count > limit:
        raise malformed("the quote", "it covers more banks or registers than there are")
    return count


def _yes_or_no(reader: _Reader) -> bool:
    value = reader.number(1)
    if value > 1:
        raise malformed("the quote", "its safe flag is neither yes nor no")
    return value == 1


def _named(names: dict[int, str], reader: _Reader, what: str) -> str:
    value = reader.number(2)
    if value not in names:
        raise malformed(
            "the quote's signature", f"its {what} is not accepted", what, " or ".join(names.values()), hex(value)
        )
    return names[value]


def _skip_symmetric(reader: _Reader) -> None:
    if reader.number(2) != NULL:
        reader.take(4)  # key bits and mode (TPMT_SYM_DEF_OBJECT, 11.1.7)


def _skip_scheme(reader: _Reader) -> None:
    if reader.number(2) != NULL:
        reader.take(2)  # its hash (TPMT_ASYM_SCHEME, 11.2.3.5)


def _rsa_key(reader: _Reader) -> bytes:
    bits, exponent, modulus = reader.number(2), reader.number(4), int.from_bytes(reader.sized())
    if modulus.bit_length() != bits:
        raise malformed("the attestation key's public area", "its modulus has another length than it says")
    try:
        key = rsa.RSAPublicNumbers(exponent or 65537, modulus).public_key()
    except ValueError:
        raise malformed("the attestation key's public area", "its RSA key does not exist") from None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _ecc_key(reader: _Reader) -> bytes:
    curve = _CURVES.get(reader.number(2))
    _skip_scheme(reader)  # of key derivation
    x, y = int.from_bytes(reader.sized()), int.from_bytes(reader.sized())
    if curve is None:
        raise malformed("the attestation key's public area", "its curve is neither P-256 nor P-384")
    try:
        key = ec.EllipticCurvePublicNumbers(x, y, curve()).public_key()
    except ValueError:
        raise malformed("the attestation key's public area", "its point is not on the curve") from None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
