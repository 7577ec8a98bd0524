"""Which level of Intel's TCB information a platform, its Quoting Enclave and its TDX module have reached.

Levels stand in order, the newest first; the first one that is reached in *every* component counts. The result of the
parts is the worst of them: a current platform with an old module is out of date.
"""

from collections.abc import Iterable, Sequence

from mpc.evidence.intel.certificates import Platform
from mpc.evidence.intel.documents import STATUSES, ModuleIdentity, TcbInfo, TcbLevel, TcbStatus
from mpc.evidence.intel.layout import TdReport

_NEEDS_CONFIGURATION = frozenset({
    "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "TDRelaunchAdvisedConfigurationNeeded",
})  # fmt: skip


def platform_level(info: TcbInfo, platform: Platform, td: TdReport | None) -> TcbLevel | None:
    """Return the level that the platform has reached, None below all of them.

    SGX components and PCE come from the PCK certificate, TDX components from the TD's report.
    """
    return next((level for level in info.levels if _reaches(level, platform, td)), None)


def _reaches(level: TcbLevel, platform: Platform, td: TdReport | None) -> bool:
    if not _at_least(platform.svns, level.sgx) or platform.pce_svn < level.pce_svn:
        return False
    if td is None:
        return True
    # Since module version 1 the first two components are the module's SVN and version, with levels of their own.
    first = 2 if module_version(td) else 0
    return level.tdx is not None and _at_least(tuple(td.tee_tcb_svn[first:]), level.tdx[first:])


def _at_least(found: Sequence[int], wanted: Sequence[int]) -> bool:
    return all(have >= least for have, least in zip(found, wanted, strict=True))


def module_version(td: TdReport) -> int:
    """Return the version of the TDX module; 0 for those whose levels are the platform's."""
    return td.tee_tcb_svn[1]


def module_identity(info: TcbInfo, td: TdReport) -> ModuleIdentity | None:
    """Return who has to have signed the TDX module that measured the TD, None for an unknown version."""
    version = module_version(td)
    if version == 0:
        return info.module
    return next((module for module in info.modules if module.name == f"TDX_{version:02X}"), None)


def svn_level(levels: Iterable[TcbLevel], svn: int) -> TcbLevel | None:
    """Return the level that one SVN has reached, None below all of them."""
    return next((level for level in levels if svn >= level.isv_svn), None)


def worst(statuses: Sequence[TcbStatus]) -> TcbStatus:
    """Return the worst of ``statuses``; what is out of date and needs configuration as well needs both."""
    status = max(statuses, key=STATUSES.index)
    if status == "OutOfDate" and not _NEEDS_CONFIGURATION.isdisjoint(statuses):
        return "OutOfDateConfigurationNeeded"
    return status


def masked(value: bytes, mask: bytes) -> bytes:
    """Return the bits of ``value`` that ``mask`` looks at; both have one length."""
    return bytes(byte & bits for byte, bits in zip(value, mask, strict=True))
