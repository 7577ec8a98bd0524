"""What the evidence of an Azure confidential VM proves, link by link.

The processor's vendor vouches for a report of the hardware; its report data are the hash of the paravisor's runtime
data; those name the vTPM's key; that key signs a quote, which holds the nonce and the registers. So the key needs no
certificate: one that is given has to lead to Microsoft's root all the same. The paravisor asks for its report at the
highest privilege level, and the guest cannot: that level is checked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hmac import compare_digest
from typing import Final

from mpc.errors import Malformed
from mpc.evidence import intel, snp
from mpc.evidence.azure.layout import AzureEvidence, HclReport, TdReport
from mpc.evidence.certificate import Certificate, certificates_of, parse_certificate
from mpc.evidence.chain import Chain
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Claims, Fact
from mpc.evidence.intel.facts import endorsed_facts, facts_of, measurements_of
from mpc.evidence.tpm import ATTESTATION_KEY_USAGE, TpmEvidence, verify_key_chain, verify_quote

NAME: Final = "azure-vtpm"
VTPM_PINNED: Final = (
    # SHA-256 of the DER of "Azure Virtual TPM Root Certificate Authority 2023", "Microsoft RSA Devices Root CA 2021"
    bytes.fromhex("e6c596b17f8ffefba5c300f714cfb1260c6028704ecf7becc4ab5018efb00e95"),
    bytes.fromhex("8c2bb9144d4970c94fb8105cc5d860a58e2e675eb360fdd8c14b30833aaaec1d"),
)
PINNED: Final = (*snp.PINNED, *intel.PINNED, *VTPM_PINNED)
_WHAT = "the evidence of the Azure VM is not believed"


@dataclass(frozen=True)
class _Hardware:
    """What the hardware's own evidence says, in the names of its own format."""

    measurements: Mapping[str, bytes]
    facts: Mapping[str, Fact]
    debug: bool
    valid_until: datetime


def verify(evidence: AzureEvidence, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime) -> Claims:
    """Return the claims of an Azure VM whose every link holds at the time ``at``, or refuse.

    ``endorsements`` are files: AMD's or Intel's, and certificates of the vTPM's key. ``roots`` as in ``PINNED``; a
    pinned one anchors only what its owner makes. ``bound`` is the quote's qualifying data.
    """
    checks = Checks(_WHAT)
    files = (*endorsements, *evidence.brought)
    _verify_binding(evidence.report, checks)
    hardware = _verify_hardware(evidence, files, roots, at, checks)
    quote = _require_quote(evidence, checks)
    chain = _verify_key(quote, files, roots, at, checks)
    registers = verify_quote(quote, checks)
    ends = [hardware.valid_until] + ([chain.valid_until] if chain else [])
    return Claims(
        format=NAME,
        bound=quote.attest.extra_data,
        measurements={**hardware.measurements, **{f"pcr{index}": value for index, value in sorted(registers.items())}},
        measured_by="self",
        memory_protected=True,
        debug=hardware.debug,
        verified_at=at,
        facts={**hardware.facts, **_facts(evidence.report, quote, chain)},
        checks=checks.made,
        valid_until=min(ends),
    )


def _verify_binding(report: HclReport, checks: Checks) -> None:
    found = report.hardware.report_data
    checks.require(
        "runtime_data", expected=report.bound.hex(), found=found.hex(), passed=compare_digest(found, report.bound),
        why="runtime data not bound to report", remedy="give the paravisor's report as the VM read it, whole",
    )  # fmt: skip


def _verify_hardware(
    evidence: AzureEvidence, files: Sequence[bytes], roots: Sequence[bytes], at: datetime, checks: Checks
) -> _Hardware:
    report = evidence.report.hardware
    if isinstance(report, TdReport):
        return _verify_tdx(report, evidence.td_quote, files, roots, at=at, checks=checks)
    return _verify_snp(report, files, roots, at=at, checks=checks)


def _verify_snp(
    report: snp.Report, files: Sequence[bytes], roots: Sequence[bytes], *, at: datetime, checks: Checks
) -> _Hardware:
    endorsed = snp.verify_report(report, files, roots=_roots_for(snp.PINNED, roots), at=at, checks=checks)
    # A guest above which the paravisor stands runs at level 2, and can write any runtime data it likes into a report.
    checks.require(
        "paravisor_vmpl", expected="0", found=str(report.vmpl), passed=report.vmpl == 0,
        why="wrong privilege level: not the paravisor asked for the report",
        remedy="give the report that the paravisor leaves in the vTPM",
    )  # fmt: skip
    measured = ("measurement", "host_data", "id_key_digest", "author_key_digest")
    return _Hardware(
        {name: getattr(report, name) for name in measured},
        snp.facts_of(report, endorsed), report.debug, endorsed.valid_until,
    )  # fmt: skip


def _verify_tdx(
    report: TdReport,
    quote: intel.Quote | None,
    files: Sequence[bytes],
    roots: Sequence[bytes],
    *,
    at: datetime,
    checks: Checks,
) -> _Hardware:
    body = quote.body if quote else None
    checks.require(
        "td_quote", expected="a TD quote beside the report", found="one" if quote else "none",
        passed=isinstance(body, intel.TdReport), why="no TD quote: only the processor can check a TDREPORT",
        remedy="ask Azure's host for the quote of the TDREPORT (/acc/tdquote)",
    )  # fmt: skip
    if quote is None or not isinstance(body, intel.TdReport):  # for the types alone: the check above has refused
        raise AssertionError
    info = b"".join((
        body.td_attributes, body.xfam, body.mrtd, body.mrconfigid, body.mrowner, body.mrownerconfig, *body.rtmrs,
    ))  # fmt: skip
    same = compare_digest(body.report_data, report.report_data) and compare_digest(info, report.info)
    checks.require(
        "td_report", expected=f"report data {report.report_data.hex()}", found=f"report data {body.report_data.hex()}",
        passed=same, why="wrong TD quote: it was not made of the TDREPORT in the paravisor's report",
        remedy="ask Azure's host for the quote of exactly this TDREPORT",
    )  # fmt: skip
    collateral = intel.read_collateral(files)
    endorsed = intel.verify_quote(quote, collateral, roots=_roots_for(intel.PINNED, roots), at=at, checks=checks)
    return _Hardware(
        measurements_of(quote), {**facts_of(quote), **endorsed_facts(endorsed)}, body.debug, endorsed.valid_until
    )


def _require_quote(evidence: AzureEvidence, checks: Checks) -> TpmEvidence:
    checks.require(
        "vtpm_quote", expected="a quote by the vTPM's key", found="one" if evidence.quote else "none",
        passed=evidence.quote is not None, why="no quote: a report without one may be of any time and any boot",
        remedy="give the quote that the VM's vTPM made over the nonce",
    )  # fmt: skip
    if evidence.quote is None:  # for the types alone: the check above has refused
        raise AssertionError
    return evidence.quote


def _verify_key(
    quote: TpmEvidence, files: Sequence[bytes], roots: Sequence[bytes], at: datetime, checks: Checks
) -> Chain | None:
    certificates = _certificates_among(files)
    leaves = [one for one in certificates if ATTESTATION_KEY_USAGE in one.extended_key_usage and not one.is_authority]
    # The one that fits, if there is one; another key's is checked all the same, and refused for being that.
    leaf = next((one for one in leaves if one.spki == quote.spki), leaves[0] if leaves else None)
    if leaf is None:
        return None
    bridges = [one.der for one in certificates if one != leaf and one.is_authority]
    endorsed = replace(quote, certificates=(leaf,))
    return verify_key_chain(endorsed, bridges, _roots_for(VTPM_PINNED, roots), at, checks)


def _certificates_among(files: Sequence[bytes]) -> list[Certificate]:
    found: dict[bytes, Certificate] = {}
    for file in files:
        try:
            found |= {der: parse_certificate(der) for der in certificates_of(file)}
        except Malformed:
            continue  # JSON and revocation lists, which the hardware's own module reads, and refuses where it must
    return list(found.values())


def _roots_for(own: Sequence[bytes], roots: Sequence[bytes]) -> list[bytes]:
    """Return ``roots`` without those that are pinned for another vendor: AMD vouches for no TPM."""
    others = frozenset(PINNED) - frozenset(own)
    return [root for root in roots if root not in others]


def _facts(report: HclReport, quote: TpmEvidence, chain: Chain | None) -> dict[str, Fact]:
    attest, log = quote.attest, quote.event_log
    return {
        **({} if log is None else {"event_log": log.explanation(quote.bank, quote.pcrs or {})}),
        "tee": report.tee,
        "ak_endorsed": chain is not None,
        "secure_boot": report.configuration.get("secure-boot") is True,
        "vm_configuration": {
            name: value for name, value in report.configuration.items() if isinstance(value, str | int | bool)
        },
        "user_data": report.user_data.lower(),
        "nonce": attest.extra_data.hex(),
        "bank": quote.bank,
        "selection": tuple(index for selection in attest.selections for index in selection.indices),
        "clock_ms": attest.clock_ms,
        "reset_count": attest.reset_count,
    }
