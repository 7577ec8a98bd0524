"""What a quote says, as facts by name: of itself, and of its platform once Intel's collateral has spoken."""

from collections.abc import Mapping
from datetime import datetime

from mpc.canonical import format_time
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Claims, Fact
from mpc.evidence.intel.layout import EnclaveReport, Quote, TdReport
from mpc.evidence.intel.verify import Endorsed

_RTMR_BANK, _RTMR_0 = "sha384", 1  # in a TD's log register 0 is MRTD (UEFI specification, 38.4.1)


def claims_of(
    name: str,
    quote: Quote,
    endorsed: Endorsed,
    *,
    at: datetime,
    checks: Checks,
    bound: bytes | None = None,
    facts: Mapping[str, Fact] | None = None,
) -> Claims:
    """Return the claims of a verified quote under the format's ``name``.

    ``bound`` is the field that carries the transcript where that is not the quote's report data; ``facts`` are those
    of what the quote came in.
    """
    return Claims(
        format=name,
        bound=quote.body.report_data if bound is None else bound,
        measurements=measurements_of(quote),
        measured_by="hardware",
        memory_protected=True,
        debug=quote.body.debug,
        verified_at=at,
        facts={**facts_of(quote), **endorsed_facts(endorsed), **(facts or {})},
        checks=checks.made,
        valid_until=endorsed.valid_until,
    )


def measurements_of(quote: Quote) -> dict[str, bytes]:
    """Return the digests that hardware or TDX module measured, and those that the machine's owner set."""
    body = quote.body
    if isinstance(body, EnclaveReport):
        return {"mrenclave": body.mrenclave, "mrsigner": body.mrsigner}
    return {
        "mrtd": body.mrtd,
        **{f"rtmr{index}": value for index, value in enumerate(body.rtmrs)},
        "mrconfigid": body.mrconfigid,
        "mrowner": body.mrowner,
        "mrownerconfig": body.mrownerconfig,
        "mrseam": body.mrseam,
        **({} if body.mrservicetd is None else {"mrservicetd": body.mrservicetd}),
    }


def facts_of(quote: Quote) -> dict[str, Fact]:
    """Return what stands in the quote itself; bytes in hex."""
    body, platform = quote.body, quote.platform
    return {
        "quote_version": quote.header.version,
        "body": quote.body_name,
        **(_td_facts(body) if isinstance(body, TdReport) else _enclave_facts(body)),
        "report_data": body.report_data.hex(),
        "debug": body.debug,
        **({} if platform is None else {"fmspc": platform.fmspc.hex().upper()}),
        **_log_facts(quote),
    }


def endorsed_facts(endorsed: Endorsed) -> dict[str, Fact]:
    """Return what certificates and collateral say of the platform."""
    platform = endorsed.platform
    return {
        "fmspc": platform.fmspc.hex().upper(),
        "ppid": platform.ppid.hex(),
        "platform_instance": None if platform.instance is None else platform.instance.hex(),
        "pck_authority": endorsed.authority,
        "dynamic_platform": platform.dynamic,
        "cached_keys": platform.cached_keys,
        "smt": platform.smt,
        "tcb_status": endorsed.status,
        "platform_tcb_status": endorsed.platform_status,
        "qe_tcb_status": endorsed.qe_status or "not checked: no enclave identity was given",
        "module_tcb_status": endorsed.module_status,
        "tcb_date": format_time(endorsed.tcb_date),
        "advisories": endorsed.advisories,
        "tcb_evaluation_data_number": endorsed.evaluation_number,
        "tcb_info_version": endorsed.tcb_info_version,
    }


def _log_facts(quote: Quote) -> dict[str, Fact]:
    if quote.event_log is None or not isinstance(quote.body, TdReport):
        return {}
    registers = {_RTMR_0 + index: value for index, value in enumerate(quote.body.rtmrs)}
    return {"event_log": quote.event_log.explanation(_RTMR_BANK, registers, name="rtmr", first=_RTMR_0)}


def _enclave_facts(body: EnclaveReport) -> dict[str, Fact]:
    return {
        "mrenclave": body.mrenclave.hex(),
        "mrsigner": body.mrsigner.hex(),
        "isvprodid": body.isv_prod_id,
        "isvsvn": body.isv_svn,
        "attributes": body.attributes.hex(),
        "miscselect": f"{body.misc_select:#010x}",
        "cpusvn": body.cpu_svn.hex(),
        "configid": body.config_id.hex(),
        "configsvn": body.config_svn,
        "isvextprodid": body.isv_ext_prod_id.hex(),
        "isvfamilyid": body.isv_family_id.hex(),
    }


def _td_facts(body: TdReport) -> dict[str, Fact]:
    later: dict[str, Fact] = {}
    if body.mrservicetd is not None and body.tee_tcb_svn2 is not None:
        later = {"mrservicetd": body.mrservicetd.hex(), "tee_tcb_svn2": body.tee_tcb_svn2.hex()}
    return {
        "mrtd": body.mrtd.hex(),
        "rtmr": tuple(value.hex() for value in body.rtmrs),
        "mrconfigid": body.mrconfigid.hex(),
        "mrowner": body.mrowner.hex(),
        "mrownerconfig": body.mrownerconfig.hex(),
        "td_attributes": body.td_attributes.hex(),
        "sept_ve_disable": body.sept_ve_disable,
        "migratable": body.migratable,
        "xfam": body.xfam.hex(),
        "tee_tcb_svn": body.tee_tcb_svn.hex(),
        "mrseam": body.mrseam.hex(),
        "mrsignerseam": body.mrsignerseam.hex(),
        "seamattributes": body.seam_attributes.hex(),
        **later,
    }
