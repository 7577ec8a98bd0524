"""What holds for every enclave and TD whatever the contract: nobody looks in, and the machine is current.

A contract may accept less by name: ``sept_ve_disable``, ``service_td``, and ``tcb:`` with a status. The functions
read the facts of ``facts``, so that every format that wraps a quote may use them.
"""

from typing import Final, get_args

from mpc.evidence.claims import Check, Claims
from mpc.evidence.intel.documents import TcbStatus

_REASONS: Final[dict[TcbStatus, str]] = {
    "UpToDate": "TCB up to date",
    "SWHardeningNeeded": "TCB needs software hardening",
    "ConfigurationNeeded": "TCB needs configuration",
    "ConfigurationAndSWHardeningNeeded": "TCB needs configuration and software hardening",
    "TDRelaunchAdvised": "TD relaunch advised",
    "TDRelaunchAdvisedConfigurationNeeded": "TD relaunch advised and TCB needs configuration",
    "OutOfDate": "TCB out of date",
    "OutOfDateConfigurationNeeded": "TCB out of date and needs configuration",
    "Revoked": "TCB revoked",
}

# Intel SDM 3D, 37.7.1: INIT, DEBUG, MODE64BIT, PROVISIONKEY, EINITTOKEN_KEY, CET, KSS, AEXNOTIFY.
_ENCLAVE_FLAGS = 0x0001 | 0x0002 | 0x0004 | 0x0010 | 0x0020 | 0x0040 | 0x0080 | 0x0400
_INIT = 0x0001
# Intel TDX module 1.5 ABI, 3.4.1.1: the debug group, ICSSD, LASS, SEPT_VE_DISABLE, MIGRATABLE, PKS, KL, TPA, PERFMON.
_TD_FLAGS = 0x0F | 1 << 16 | 1 << 27 | 1 << 28 | 1 << 29 | 1 << 30 | 1 << 31 | 1 << 62 | 1 << 63


def careful(claims: Claims, accepted: frozenset[str]) -> tuple[Check, ...]:
    """Return the careful checks of any quote; which ones, its body tells."""
    return careful_sgx(claims, accepted) if claims.facts["body"] == "sgx" else careful_tdx(claims, accepted)


def careful_sgx(claims: Claims, accepted: frozenset[str]) -> tuple[Check, ...]:
    """Return the checks of an SGX enclave: attributes that are understood, a current machine."""
    flags = int.from_bytes(bytes.fromhex(str(claims.facts["attributes"]))[:8], "little")
    unknown = flags & ~_ENCLAVE_FLAGS
    return (
        _bits_check(unknown, initialised=bool(flags & _INIT)),
        _tcb_check(claims, accepted),
    )


def careful_tdx(claims: Claims, accepted: frozenset[str]) -> tuple[Check, ...]:
    """Return the checks of a TD: attributes that are understood, no hidden faults, no service TD, a current machine."""
    facts = claims.facts
    bits = int.from_bytes(bytes.fromhex(str(facts["td_attributes"])), "little")
    disabled, service = facts["sept_ve_disable"] is True, _service_td(claims)
    return (
        _bits_check(bits & ~_TD_FLAGS, initialised=True),
        Check(
            "sept_ve_disable", "set", "set" if disabled else "not set", disabled or "sept_ve_disable" in accepted,
            why="SEPT_VE_DISABLE not set: the host may take pages away and make the guest handle it",
            remedy="start the TD with SEPT_VE_DISABLE, or use a guest that is safe without it and accept it by name",
        ),
        Check(
            "service_td", "none", service or "none", not service or "service_td" in accepted,
            why="service TD bound: another TD may move this one to a machine of its choice",
            remedy="start the TD without one, or accept service_td by name and pin mrservicetd",
        ),
        _tcb_check(claims, accepted),
    )  # fmt: skip


def _service_td(claims: Claims) -> str:
    bound = str(claims.facts.get("mrservicetd", ""))
    if bound.strip("0"):
        return bound
    # A report of TDX 1.0 does not show the service TD; only that there may be one.
    return "MIGRATABLE" if claims.facts["migratable"] is True else ""


def _bits_check(unknown: int, *, initialised: bool) -> Check:
    found = "as they should be" if not unknown and initialised else f"reserved {unknown:#x}, initialised: {initialised}"
    return Check(
        "reserved_attributes", "as they should be", found, not unknown and initialised,
        why="reserved attribute bits: it runs in a way that this version does not understand",
        remedy="use a newer version of this project, or start it without them",
    )  # fmt: skip


def _tcb_check(claims: Claims, accepted: frozenset[str]) -> Check:
    status = str(claims.facts["tcb_status"])
    waived = sorted(name for name in accepted if name.startswith("tcb:") and name.removeprefix("tcb:") in STATUS_NAMES)
    reason = next((words for name, words in _REASONS.items() if name == status), "TCB status unknown")
    advisories = claims.facts.get("advisories")
    named = ", ".join(map(str, advisories)) if isinstance(advisories, tuple) else ""
    return Check(
        "tcb_status", " or ".join(["UpToDate", *(name.removeprefix("tcb:") for name in waived)]), status,
        status == "UpToDate" or f"tcb:{status}" in waived, why=f"{reason}: {named}" if named else reason,
        remedy=f"update firmware and configuration of the machine, or accept tcb:{status} by name",
    )  # fmt: skip


STATUS_NAMES: Final = frozenset(get_args(TcbStatus)) - {"UpToDate", "Revoked"}
"""The statuses that a contract may accept: a revoked machine never passes."""
