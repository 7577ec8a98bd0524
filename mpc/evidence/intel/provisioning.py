"""Believing what Intel's provisioning service signed: documents, the chain of their key, and revocation lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mpc.canonical import format_time
from mpc.evidence.certificate import Certificate
from mpc.evidence.chain import Chain, load_key, verify_chain
from mpc.evidence.checks import Checks
from mpc.evidence.intel.certificates import verify_signer_chain
from mpc.evidence.intel.collateral import Collateral, Signed
from mpc.evidence.intel.documents import EnclaveIdentity, TcbInfo, parse_enclave_identity, parse_tcb_info
from mpc.evidence.revocation import RevocationList, check_lists, check_revocation

_TCB_INFO_VERSIONS: Final = {"SGX": frozenset({2, 3}), "TDX": frozenset({3})}
_IDENTITY_VERSION = 2
_NOTHING = Signed(b"", b"")


@dataclass(frozen=True)
class Believed:
    """Documents of collateral whose signatures and dates were checked; ``signer`` is the chain of their key."""

    tcb_info: TcbInfo
    identity: EnclaveIdentity | None
    signer: Chain


def verify_documents(
    collateral: Collateral,
    *,
    anchors: Sequence[Certificate],
    at: datetime,
    checks: Checks,
    identity_required: bool = True,
) -> Believed:
    """Return the collateral's documents once they are in date and signed by Intel, or raise ``NotBelieved``."""
    signed, identity_signed = collateral.tcb_info or _NOTHING, collateral.qe_identity
    whole = collateral.tcb_info and (identity_signed or not identity_required) and collateral.signers
    checks.require(
        "collateral", expected="TCB information, enclave identity and their signer", found=_parts(collateral),
        passed=bool(whole), why="no collateral: without it nobody knows whether the machine is current",
        remedy="give the platform's collateral, as the provisioning service has it (sealroom collateral fetch)",
    )  # fmt: skip
    info = parse_tcb_info(signed.body)
    _require_current("tcb_info_validity", info, at, checks)
    known = sorted(_TCB_INFO_VERSIONS.get(info.tee, ()))
    _require_known("tcb_info_version", f"{info.tee} {info.version}", [f"{info.tee} {one}" for one in known], checks)
    identity = None if identity_signed is None else parse_enclave_identity(identity_signed.body)
    if identity is not None:
        _require_current("qe_identity_validity", identity, at, checks)
        _require_known("qe_identity_version", str(identity.version), [str(_IDENTITY_VERSION)], checks)
    signers = sorted(collateral.signers, key=lambda one: not one.not_before <= at <= one.not_after)
    signer = verify_signer_chain(signers[0], collateral.certificates, roots=anchors, at=at, checks=checks)
    _require_signed("tcb_info_signature", signed, signer.leaf, checks)
    if identity_signed is not None:
        _require_signed("qe_identity_signature", identity_signed, signer.leaf, checks)
    return Believed(info, identity, signer)


def verify_authorities(
    collateral: Collateral, *, anchors: Sequence[Certificate], at: datetime, checks: Checks
) -> tuple[Chain, ...]:
    """Return the chains of the authorities of PCK certificates that came along, whose lists are believed as well."""
    chains = tuple(
        verify_chain(
            authority, collateral.certificates, roots=anchors, at=at, handled=frozenset(), checks=checks,
            signs_others=True,
        )
        for authority in collateral.authorities
    )  # fmt: skip
    unsigned = [given for given in collateral.lists if not any(_is_list_of(given, chain) for chain in chains)]
    checks.require(
        "crl_authority", expected="revocation lists of Intel's authorities", passed=bool(chains) and not unsigned,
        found=f"{len(chains)} authorities, {len(unsigned)} lists of others",
        why="no collateral: the authority of PCK certificates, or its list, is not there",
        remedy="give the revocation lists with the certificates of their authorities",
    )  # fmt: skip
    ends = [check_lists(chain.leaf, collateral.lists, at=at, checks=checks) for chain in chains]
    _require_lists([chain.leaf for chain, end in zip(chains, ends, strict=True) if end is None], checks)
    return chains


def _is_list_of(given: RevocationList, chain: Chain) -> bool:
    return any(given.issuer == authority.subject for authority in chain.certificates)


def verify_revocation(chains: Sequence[Chain], collateral: Collateral, *, at: datetime, checks: Checks) -> datetime:
    """Return until when the revocation lists speak; a step of a chain without a list refuses, as a revoked one."""
    ends = []
    for chain in chains:
        covered = check_revocation(chain, collateral.lists, at=at, checks=checks)
        steps = enumerate(chain.certificates[1:])
        _require_lists([issuer for step, issuer in steps if step not in covered.steps], checks)
        ends += [covered.valid_until] if covered.valid_until else []
    return min(ends)


def _require_lists(missing: Sequence[Certificate], checks: Checks) -> None:
    checks.require(
        "revocation_lists", expected="a list of every authority of the chain", passed=not missing,
        found=f"none of {' and '.join(one.subject_text for one in missing)}" if missing else "all of them",
        why="no CRL: nobody knows whether a certificate was called back",
        remedy="give the revocation lists of Intel's root and of the authority of PCK certificates",
    )  # fmt: skip


def is_signed(key: bytes, signature: bytes, signed: bytes) -> bool:
    """Tell whether r and s (64 bytes) by the P-256 key x and y (64 bytes) cover ``signed`` under SHA-256."""
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key)
    except ValueError:  # no point of the curve
        return False
    return _verifies(public, signature, signed)


def _verifies(public: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        public.verify(der, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=64)  # it depends on the bytes alone, and one document serves many quotes
def _is_document_signed(spki: bytes, signature: bytes, body: bytes) -> bool:
    return is_signed_under(spki, signature, body)


def is_signed_under(spki: bytes, signature: bytes, signed: bytes) -> bool:
    """Tell the same for a key that is given as DER SubjectPublicKeyInfo; keys that are not on P-256 never sign."""
    match load_key(spki):
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()) as key:
            return _verifies(key, signature, signed)
        case _:
            return False


def _require_current(name: str, document: TcbInfo | EnclaveIdentity, at: datetime, checks: Checks) -> None:
    when = "not yet valid" if at < document.issued else "expired"
    checks.require(
        name, expected=f"{format_time(document.issued)} to {format_time(document.next_update)}", found=format_time(at),
        passed=document.issued <= at <= document.next_update,
        why=f"collateral {when}: it does not speak of the time of verification",
        remedy="fetch current collateral, judge as of a time that it covers, or correct the clock",
    )  # fmt: skip


def _require_known(name: str, found: str, known: Sequence[str], checks: Checks) -> None:
    checks.require(
        name, expected=" or ".join(known) or "SGX or TDX", found=found, passed=found in known,
        why="unknown collateral version: this version cannot read what it says",
        remedy="fetch collateral in a version that is understood",
    )  # fmt: skip


def _require_signed(name: str, signed: Signed, signer: Certificate, checks: Checks) -> None:
    passed = _is_document_signed(signer.spki, signed.signature, signed.body) or (
        _is_document_signed(signer.spki, signed.signature, signed.compact)  # which takes a while to make
    )
    checks.require(
        name, expected=f"signed by {signer.subject_text}", found="so" if passed else "not so", passed=passed,
        why="bad collateral signature: it was changed, or Intel did not make it", remedy="fetch the collateral again",
    )  # fmt: skip


def _parts(collateral: Collateral) -> str:
    parts = {
        "TCB information": collateral.tcb_info, "enclave identity": collateral.qe_identity,
        "their signer": collateral.signers, "revocation lists": collateral.lists,
    }  # fmt: skip
    return ", ".join(name for name, part in parts.items() if part) or "nothing"
