"""Certificates of Intel's provisioning service: what a PCK certificate says of its platform, and whose chain it is.

Intel's root *key* is the anchor: the root certificate may be issued again, and comes along with what it signed. Every
other certificate has one place in one chain, known by its name, so that a key of one purpose signs nothing of another.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from mpc.errors import Malformed
from mpc.evidence.armour import unarmoured
from mpc.evidence.certificate import Certificate, parse_certificate
from mpc.evidence.chain import CHAIN_MAX_CERTIFICATES, Chain, is_signed_by, verify_chain
from mpc.evidence.checks import Checks
from mpc.evidence.der import BOOLEAN, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, Element, read_element

PCK_EXTENSION = "1.2.840.113741.1.13.1"
PCK_NAME: Final = "Intel SGX PCK Certificate"
PCK_AUTHORITIES: Final = {"Intel SGX PCK Platform CA": "platform", "Intel SGX PCK Processor CA": "processor"}
TCB_SIGNER_NAME: Final = "Intel SGX TCB Signing"
SVN_COUNT = 16
_SGX = bytes.fromhex("2a864886f84d010d01")  # the same name, as DER encodes it; its fields are numbered below it
_PPID, _TCB, _PCEID, _FMSPC, _TYPE, _INSTANCE, _CONFIGURATION = (_SGX + bytes([index]) for index in range(1, 8))
_PCESVN = _TCB + bytes([17])

_SPKI_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
ROOT_KEY: Final = _SPKI_P256 + bytes.fromhex(
    "04"
    "0ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5"
    "67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394"
)
"""The key of Intel SGX Root CA, as DER SubjectPublicKeyInfo."""
PINNED: Final = (ROOT_KEY,)

# One spelling of PEM, so that no byte of it may be changed unseen; a NUL may end it, as C writes texts, and some
# provisioning services leave out the end of line between two certificates.
_ARMOUR = re.compile(
    rb"(?:-----BEGIN CERTIFICATE-----\r?\n(?:[A-Za-z0-9+/=]+\r?\n)+-----END CERTIFICATE-----(?:\r?\n|(?=-)|\Z))+\0?"
)


@dataclass(frozen=True)
class Platform:
    """What the PCK certificate says: ``ppid`` names the machine, ``fmspc`` its model, the SVNs its firmware.

    ``svns`` are the 16 SGX components, ``instance`` is the platform instance of machines with several packages. Of the
    last three None means that the certificate is silent (processor certificates).
    """

    ppid: bytes
    svns: tuple[int, ...]
    pce_svn: int
    pce_id: bytes
    fmspc: bytes
    instance: bytes | None
    dynamic: bool | None
    cached_keys: bool | None
    smt: bool | None


def anchors_among(roots: Sequence[bytes], brought: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """Return the anchors that ``roots`` are: certificates given whole, and what was ``brought`` under a pinned key.

    A root is a certificate in DER or a P-256 key as DER SubjectPublicKeyInfo; a certificate of that key anchors only
    where it has signed itself, so that no byte of it is free.
    """
    keys = {root for root in roots if root.startswith(_SPKI_P256)}
    whole = {root: parse_certificate(root) for root in roots if root not in keys}
    known = {other.der: other for other in brought if other.spki in keys and is_signed_by(other, other)}
    return tuple((whole | known).values())


def parse_armour(data: bytes) -> tuple[Certificate, ...]:
    """Return the certificates of strictly spelled PEM, in its order, or raise ``Malformed``."""
    if _ARMOUR.fullmatch(data) is None:
        raise _malformed("it is not PEM of certificates and nothing else")
    if data.count(b"-----BEGIN") > CHAIN_MAX_CERTIFICATES:
        raise _malformed("more certificates than any chain needs")
    try:
        return tuple(parse_certificate(der) for _, der in unarmoured(data.removesuffix(b"\0")))
    except ValueError as problem:
        raise _malformed(str(problem)) from None


@lru_cache(maxsize=64)
def platform_of(certificate: Certificate) -> Platform:
    """Return what the Intel SGX extension of a PCK certificate says, or raise ``Malformed``."""
    raw = certificate.extension(PCK_EXTENSION)
    if raw is None:
        raise _malformed("it has no Intel SGX extension")
    try:
        fields = _fields(read_element(raw))
        tcb = _fields(fields[_TCB])
        configuration = _fields(fields[_CONFIGURATION]) if _CONFIGURATION in fields else {}
        return Platform(
            ppid=_octets(fields[_PPID], 16),
            svns=tuple(_number(tcb[_TCB + bytes([index])], 0xFF) for index in range(1, SVN_COUNT + 1)),
            pce_svn=_number(tcb[_PCESVN], 0xFFFF),
            pce_id=_octets(fields[_PCEID], 2),
            fmspc=_octets(fields[_FMSPC], 6),
            instance=_octets(fields[_INSTANCE], 16) if _INSTANCE in fields else None,
            dynamic=_flag(configuration, 1),
            cached_keys=_flag(configuration, 2),
            smt=_flag(configuration, 3),
        )
    except (ValueError, KeyError) as failure:
        raise _malformed(f"its Intel SGX extension does not parse ({type(failure).__name__})") from None


def authority_kind(certificate: Certificate) -> str | None:
    """Return ``platform`` or ``processor`` for the authority that signs such PCK certificates, else None."""
    return PCK_AUTHORITIES.get(certificate.common_name)


def verify_pck_chain(
    chain: Sequence[Certificate], *, roots: Sequence[Certificate], at: datetime, checks: Checks
) -> Chain:
    """Return the path of a PCK certificate to Intel's root key."""
    path = verify_chain(chain[0], chain[1:], roots=roots, at=at, handled=frozenset(), checks=checks)
    names = [certificate.common_name for certificate in path.certificates]
    right = len(names) == 3 and names[0] == PCK_NAME and names[1] in PCK_AUTHORITIES  # noqa: PLR2004 - leaf, CA, root
    _require_role("pck_certificate", f"{PCK_NAME} <- {' or '.join(PCK_AUTHORITIES)} <- root", names, right, checks)
    return path


def require_no_stray(chain: Sequence[Certificate], path: Chain, checks: Checks) -> None:
    """Write down whether every certificate of ``chain`` belongs to ``path``, so that none of their bytes is free."""
    used = {certificate.der for certificate in path.certificates}
    stray = [other for other in chain if other.der not in used and not _is_same_root(other, path.root)]
    checks.require(
        "certificate_stray", expected="certificates of the chain only",
        found=" and ".join(other.subject_text for other in stray) or "such only", passed=not stray,
        why="bad certificate signature: a certificate came along that belongs to no chain",
        remedy="give the chain as the provisioning service wrote it",
    )  # fmt: skip


def verify_signer_chain(
    signer: Certificate,
    beside: Sequence[Certificate],
    *,
    roots: Sequence[Certificate],
    at: datetime,
    checks: Checks,
) -> Chain:
    """Return the path of the key that signs TCB information and enclave identities to Intel's root key."""
    path = verify_chain(signer, beside, roots=roots, at=at, handled=frozenset(), checks=checks)
    names = [certificate.common_name for certificate in path.certificates]
    right = len(names) == 2 and names[0] == TCB_SIGNER_NAME  # noqa: PLR2004 - leaf and root
    _require_role("collateral_signer", f"{TCB_SIGNER_NAME} <- root", names, right, checks)
    return path


def _is_same_root(other: Certificate, root: Certificate) -> bool:
    return other.spki == root.spki and is_signed_by(other, root) and is_signed_by(other, other)


def _require_role(name: str, expected: str, names: Sequence[str], right: bool, checks: Checks) -> None:
    checks.require(
        name, expected=expected, found=" <- ".join(names), passed=right,
        why="wrong certificate: Intel made it for another purpose",
        remedy="give the certificates that belong to the quote and to its collateral",
    )  # fmt: skip


def _fields(element: Element) -> dict[bytes, Element]:
    """Return the values of a SEQUENCE of pairs, by their object identifiers as DER encodes them."""
    pairs = [pair.children(SEQUENCE) for pair in element.children(SEQUENCE)]
    found = {name.content: value for name, value in pairs if name.tag == OBJECT_IDENTIFIER}
    if len(found) != len(pairs):
        raise ValueError("a field stands twice, or has no name")
    return found


def _octets(value: Element, count: int) -> bytes:
    if value.tag != OCTET_STRING or len(value.content) != count:
        raise ValueError("octets of another length")
    return value.content


def _number(value: Element, maximum: int) -> int:
    number = int.from_bytes(value.content[:4], "big", signed=True)
    if value.tag != INTEGER or not value.content or len(value.content) > 4 or not 0 <= number <= maximum:  # noqa: PLR2004 - 32 bits
        raise ValueError("a number outside of its range")
    return number


def _flag(configuration: dict[bytes, Element], index: int) -> bool | None:
    value = configuration.get(_CONFIGURATION + bytes([index]))
    if value is None:
        return None
    if value.tag != BOOLEAN or len(value.content) != 1:
        raise ValueError("neither true nor false")
    return value.content != b"\0"


def _malformed(why: str) -> Malformed:
    return Malformed(
        "evidence.pck_certificate", "a certificate chain is malformed", why=why,
        remedy="give the chain as the provisioning service wrote it", field="certificates",
    )  # fmt: skip
