"""Believing a quote: from Intel's root key down to the enclave or TD, and to how current its machine is.

Order: the PCK certificate's chain; the attestation key's signature over the quote, the Quoting Enclave's report that
vouches for that key, the PCK key's signature over that report; then the collateral: documents in date and signed,
revocation lists for every certificate, the Quoting Enclave's identity, the levels. What every field means stands in
``layout``. A revoked level and a platform below all levels are never believed; any other level becomes a claim.

What comes without an enclave identity (Enarx) may be verified with ``identity_required=False``: then signer and
product of the Quoting Enclave are held against what Intel publishes, its SVN against nothing, and the claims say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import Final, cast

from mpc.canonical import sha256
from mpc.evidence.certificate import Certificate
from mpc.evidence.chain import Chain
from mpc.evidence.checks import Checks
from mpc.evidence.intel.certificates import (
    Platform,
    anchors_among,
    authority_kind,
    platform_of,
    require_no_stray,
    verify_pck_chain,
)
from mpc.evidence.intel.collateral import Collateral
from mpc.evidence.intel.documents import EnclaveIdentity, ModuleIdentity, TcbInfo, TcbLevel, TcbStatus
from mpc.evidence.intel.layout import KEY_TYPE_P256, TEE_NAMES, Quote, TdReport
from mpc.evidence.intel.levels import masked, module_identity, module_version, platform_level, svn_level, worst
from mpc.evidence.intel.provisioning import is_signed, is_signed_under, verify_documents, verify_revocation

INTEL_QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
QE_NAMES: Final = {"SGX": "QE", "TDX": "TD_QE"}
_QE_SIGNERS: Final = {  # signer and product of Intel's own Quoting Enclaves
    "SGX": (bytes.fromhex("8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff"), 1),
    "TDX": (bytes.fromhex("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5"), 2),
}


@dataclass(frozen=True)
class Endorsed:
    """What Intel's collateral says of a quote's platform; made only by ``verify_quote``.

    ``status`` is the worst of platform, Quoting Enclave and TDX module. ``qe_status`` is None where no enclave
    identity was given, ``module_status`` for SGX. ``evaluation_number`` is the least of the documents.
    """

    platform: Platform
    authority: str
    status: TcbStatus
    platform_status: TcbStatus
    qe_status: TcbStatus | None
    module_status: TcbStatus | None
    tcb_date: datetime
    advisories: tuple[str, ...]
    evaluation_number: int
    tcb_info_version: int
    valid_until: datetime


def verify_quote(
    quote: Quote,
    collateral: Collateral,
    *,
    roots: Sequence[bytes],
    at: datetime,
    checks: Checks,
    identity_required: bool = True,
) -> Endorsed:
    """Return what is endorsed of ``quote`` at the time ``at``, or raise ``NotBelieved``; see the module.

    ``roots`` are keys or certificates (``certificates.anchors_among``). Debug, attributes and statuses other than
    revoked are the appraisal's to judge.
    """
    anchors = anchors_among(roots, (*quote.chain, *collateral.certificates))
    chain = _verify_pck(quote, collateral, anchors, at, checks)
    platform = platform_of(chain.leaf)
    _verify_signatures(quote, chain.leaf, checks)
    believed = verify_documents(collateral, anchors=anchors, at=at, checks=checks, identity_required=identity_required)
    until = min(chain.valid_until, verify_revocation((chain, believed.signer), collateral, at=at, checks=checks))
    tee = TEE_NAMES[quote.header.tee]
    _verify_match(believed.tcb_info, platform, tee, checks)
    qe_level = _verify_qe(quote, believed.identity, tee, checks)
    td = quote.body if isinstance(quote.body, TdReport) else None
    reached = _verify_level(believed.tcb_info, platform, td, checks)
    module = _verify_module(believed.tcb_info, td, checks) if td else None
    levels = [level for level in (reached, qe_level, module) if level is not None]
    status = worst([level.status for level in levels])
    _require_not_revoked(status, checks)
    _require_zeros(quote.behind, checks)
    documents = [document for document in (believed.tcb_info, believed.identity) if document is not None]
    return Endorsed(
        platform=platform,
        authority=authority_kind(chain.certificates[1]) or "",
        status=status,
        platform_status=reached.status,
        qe_status=qe_level.status if qe_level else None,
        module_status=module.status if module else None,
        tcb_date=min(level.date for level in levels),
        advisories=tuple(sorted({advisory for level in levels for advisory in level.advisories})),
        evaluation_number=min(document.evaluation_number for document in documents),
        tcb_info_version=believed.tcb_info.version,
        valid_until=min(until, believed.signer.valid_until, *(document.next_update for document in documents)),
    )


def _verify_pck(
    quote: Quote, collateral: Collateral, anchors: Sequence[Certificate], at: datetime, checks: Checks
) -> Chain:
    header = quote.header
    checks.require(
        "qe_vendor", expected=f"Intel, key type {KEY_TYPE_P256}", found=f"{header.vendor.hex()}, {header.key_type}",
        passed=header.vendor == INTEL_QE_VENDOR and header.key_type == KEY_TYPE_P256,
        why="unknown Quoting Enclave: another maker or kind of key than is understood",
        remedy="use Intel's Quoting Enclave with ECDSA P-256",
    )  # fmt: skip
    chain = quote.chain or collateral.pck_certificates[:1]
    checks.require(
        "pck_chain", expected="in the quote, or with its collateral", found="there" if chain else "nowhere",
        passed=bool(chain), why="no collateral: the quote only names its platform, and its certificate did not come",
        remedy="give the platform's PCK certificate chain",
    )  # fmt: skip
    # Alone, the leaf finds its authority among the collateral.
    beside = collateral.authorities if len(chain) == 1 else ()
    path = verify_pck_chain((*chain, *beside), roots=anchors, at=at, checks=checks)
    require_no_stray(quote.chain, path, checks)
    return path


def _verify_signatures(quote: Quote, leaf: Certificate, checks: Checks) -> None:
    bound = sha256(quote.attestation_key + quote.qe_auth_data) + bytes(32)
    steps = (
        (
            "quote_signature", "the quote by its attestation key", "bad quote signature",
            is_signed(quote.attestation_key, quote.signature, quote.signed),
        ),
        (
            "qe_report_data", "the attestation key by the Quoting Enclave", "attestation key not bound",
            compare_digest(bound, quote.qe_report.report_data),
        ),
        (
            "qe_report_signature", "the Quoting Enclave's report by the PCK key", "bad QE report signature",
            is_signed_under(leaf.spki, quote.qe_signature, quote.qe_report.raw),
        ),
    )  # fmt: skip
    for name, expected, why, passed in steps:
        checks.require(
            name, expected=f"vouched for: {expected}", found="so" if passed else "not so", passed=passed,
            why=f"{why}: the quote was changed, or no genuine machine made it", remedy="ask for a genuine, whole quote",
        )  # fmt: skip


def _verify_match(info: TcbInfo, platform: Platform, tee: str, checks: Checks) -> None:
    expected = f"{tee} {platform.fmspc.hex().upper()} {platform.pce_id.hex().upper()}"
    found = f"{info.tee} {info.fmspc.hex().upper()} {(info.pce_id or b'').hex().upper()}"
    checks.require(
        "tcb_info_platform", expected=expected, found=found, passed=expected == found,
        why="collateral for another platform: model, PCE or kind of TEE differ",
        remedy=f"give the {tee} collateral for FMSPC {platform.fmspc.hex().upper()}",
    )  # fmt: skip


def _verify_qe(quote: Quote, identity: EnclaveIdentity | None, tee: str, checks: Checks) -> TcbLevel | None:
    report = quote.qe_report
    if identity is None:
        wanted, found = _QE_SIGNERS[tee], (report.mrsigner, report.isv_prod_id)
        _require_qe(_qe_words(*wanted), _qe_words(*found), wanted == found and not report.debug, checks)
        return None
    _require_qe(QE_NAMES[tee], identity.name, identity.name == QE_NAMES[tee], checks)
    misc = report.misc_select.to_bytes(4, "big")
    same = (
        report.mrsigner == identity.mrsigner and report.isv_prod_id == identity.isv_prod_id and not report.debug
        and masked(misc, identity.misc_select_mask) == masked(identity.misc_select, identity.misc_select_mask)
        and masked(report.attributes, identity.attributes_mask)
        == masked(identity.attributes, identity.attributes_mask)
    )  # fmt: skip
    found_words = f"{_qe_words(report.mrsigner, report.isv_prod_id)}, attributes {report.attributes.hex()}"
    expected = f"{_qe_words(identity.mrsigner, identity.isv_prod_id)}, attributes {identity.attributes.hex()}"
    _require_qe(expected, found_words, same, checks)
    level = svn_level(identity.levels, report.isv_svn)
    return _require_level("qe_tcb_level", "the Quoting Enclave", f"SVN {report.isv_svn}", level, checks)


def _qe_words(mrsigner: bytes, product: int) -> str:
    return f"signer {mrsigner.hex()}, product {product}"


def _require_qe(expected: str, found: str, passed: bool, checks: Checks) -> None:
    # Any enclave on a genuine machine has a report by the PCK key; only this tells Intel's from the others.
    checks.require(
        "qe_identity", expected=expected, found=found, passed=passed,
        why="wrong Quoting Enclave: another enclave vouches for the attestation key",
        remedy="use Intel's Quoting Enclave, and the identity that belongs to this kind of TEE",
    )  # fmt: skip


def _verify_level(info: TcbInfo, platform: Platform, td: TdReport | None, checks: Checks) -> TcbLevel:
    words = f"SGX {bytes(platform.svns).hex()}, PCE {platform.pce_svn}" + (
        f", TDX {td.tee_tcb_svn.hex()}" if td else ""
    )
    return _require_level("tcb_level", "the platform", words, platform_level(info, platform, td), checks)


def _verify_module(info: TcbInfo, td: TdReport, checks: Checks) -> TcbLevel | None:
    module = module_identity(info, td)
    expected = "a TDX module that the TCB information knows" if module is None else _module_words(module)
    found = f"version {module_version(td)}, signer {td.mrsignerseam.hex()}, attributes {td.seam_attributes.hex()}"
    checks.require(
        "tdx_module", expected=expected, found=found, passed=module is not None and _is_module(td, module),
        why="wrong TDX module: not one that Intel's TCB information names",
        remedy="load the TDX module that Intel signed",
    )  # fmt: skip
    if module is None or module_version(td) == 0:  # such a module's SVN is among the platform's components
        return None
    svn = td.tee_tcb_svn[0]
    level = svn_level(module.levels, svn)
    return _require_level("tdx_module_level", f"the TDX module {module.name}", f"SVN {svn}", level, checks)


def _is_module(td: TdReport, module: ModuleIdentity) -> bool:
    mask = module.attributes_mask
    same = masked(td.seam_attributes, mask) == masked(module.attributes, mask)
    return same and td.mrsignerseam == module.mrsigner


def _module_words(module: ModuleIdentity) -> str:
    return f"{module.name}, signer {module.mrsigner.hex()}, attributes {module.attributes.hex()}"


def _require_level(name: str, whose: str, found: str, level: TcbLevel | None, checks: Checks) -> TcbLevel:
    checks.require(
        name, expected=f"a level of {whose} that is published", found=found, passed=level is not None,
        why=f"no matching TCB level: {whose} is older than all that Intel still lists", remedy="update the machine",
    )  # fmt: skip
    return cast("TcbLevel", level)  # the check above has refused None


def _require_not_revoked(status: TcbStatus, checks: Checks) -> None:
    checks.require(
        "tcb_revoked", expected="a level that is not revoked", found=status, passed=status != "Revoked",
        why="TCB revoked: keys of machines at this level may be known", remedy="use another machine",
    )  # fmt: skip


def _require_zeros(behind: bytes, checks: Checks) -> None:
    checks.require(
        "padding", expected="nothing but zeros behind the quote", passed=not any(behind),
        found=f"{len(behind)} bytes, {'zeros' if not any(behind) else 'not all of them zero'}",
        why="trailing bytes: nobody has signed what stands behind the quote", remedy="give the quote without them",
    )  # fmt: skip
