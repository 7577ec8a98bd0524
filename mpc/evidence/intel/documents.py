"""What Intel signs as JSON: TCB information of a platform (version 2, 3), and the identity of a Quoting Enclave.

The signature covers the very bytes of the document. So it is read from those bytes, and never written anew.
Source: Intel SGX and TDX provisioning certification service, API version 3 (TCB information 2) and 4 (3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, Literal, get_args

from mpc.evidence.intel.certificates import SVN_COUNT
from mpc.evidence.json_fields import field_of, hex_of, number_of, refuse_field, texts_of, time_of
from mpc.evidence.loose_json import read_json

DOCUMENT_MAX_BYTES = 64 << 10
LEVELS_MAX = 64
TcbStatus = Literal[
    "UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
    "TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded", "OutOfDate", "OutOfDateConfigurationNeeded", "Revoked",
]  # fmt: skip
STATUSES: Final[tuple[TcbStatus, ...]] = get_args(TcbStatus)
"""All that a level may be, the best first."""

_TCB_INFO, _IDENTITY = "the TCB information", "the enclave identity"
_LISTS_SINCE = 3  # version 3 has lists of components, version 2 has a name for each of them
_BYTE, _SHORT, _LONG = 0xFF, 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True)
class TcbLevel:
    """The least SVNs of one level, and what is said of machines at it."""

    status: TcbStatus
    date: datetime
    advisories: tuple[str, ...]
    isv_svn: int = 0
    pce_svn: int = 0
    sgx: tuple[int, ...] = ()
    tdx: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ModuleIdentity:
    """Who signed a TDX module and with which attributes; the levels of its versions, unless the platform's count."""

    name: str
    mrsigner: bytes
    attributes: bytes
    attributes_mask: bytes
    levels: tuple[TcbLevel, ...] = ()


@dataclass(frozen=True)
class TcbInfo:
    """The levels of one model of platform, the newest first; ``tee`` is ``SGX`` or ``TDX``."""

    tee: str
    version: int
    issued: datetime
    next_update: datetime
    evaluation_number: int
    fmspc: bytes
    pce_id: bytes | None
    levels: tuple[TcbLevel, ...]
    module: ModuleIdentity | None
    modules: tuple[ModuleIdentity, ...]


@dataclass(frozen=True)
class EnclaveIdentity:
    """What a genuine Quoting Enclave looks like; ``name`` is ``QE``, ``TD_QE`` or another enclave of Intel's."""

    name: str
    version: int
    issued: datetime
    next_update: datetime
    evaluation_number: int
    misc_select: bytes
    misc_select_mask: bytes
    attributes: bytes
    attributes_mask: bytes
    mrsigner: bytes
    isv_prod_id: int
    levels: tuple[TcbLevel, ...]


@lru_cache(maxsize=32)
def parse_tcb_info(raw: bytes) -> TcbInfo:
    """Return the TCB information that the signed bytes ``raw`` spell, or raise ``Malformed``."""
    found = read_json(raw, what=_TCB_INFO, max_bytes=DOCUMENT_MAX_BYTES)
    version = field_of(found, "version", int, _TCB_INFO)
    if number_of(found, "tcbType", _TCB_INFO, maximum=_LONG) != 0:
        refuse_field(_TCB_INFO, "unknown TCB type", "tcbType", "0", "another")
    tee = field_of(found, "id", str, _TCB_INFO) if version >= _LISTS_SINCE else "SGX"
    return TcbInfo(
        tee=tee,
        version=version,
        issued=time_of(found, "issueDate", _TCB_INFO),
        next_update=time_of(found, "nextUpdate", _TCB_INFO),
        evaluation_number=number_of(found, "tcbEvaluationDataNumber", _TCB_INFO, maximum=_LONG),
        fmspc=hex_of(found, "fmspc", _TCB_INFO, count=6),
        pce_id=hex_of(found, "pceId", _TCB_INFO, count=2) if "pceId" in found else None,
        levels=tuple(_platform_level(level, version, tee) for level in _objects(found, "tcbLevels", _TCB_INFO)),
        module=_module(field_of(found, "tdxModule", dict, _TCB_INFO), "TDX") if "tdxModule" in found else None,
        modules=tuple(
            _module(entry, field_of(entry, "id", str, _TCB_INFO))
            for entry in (_objects(found, "tdxModuleIdentities", _TCB_INFO) if "tdxModuleIdentities" in found else ())
        ),
    )


@lru_cache(maxsize=32)
def parse_enclave_identity(raw: bytes) -> EnclaveIdentity:
    """Return the enclave identity that the signed bytes ``raw`` spell, or raise ``Malformed``."""
    found = read_json(raw, what=_IDENTITY, max_bytes=DOCUMENT_MAX_BYTES)
    levels = tuple(_svn_level(level, _IDENTITY) for level in _objects(found, "tcbLevels", _IDENTITY))
    _require_descending([level.isv_svn for level in levels], _IDENTITY)
    return EnclaveIdentity(
        name=field_of(found, "id", str, _IDENTITY),
        version=field_of(found, "version", int, _IDENTITY),
        issued=time_of(found, "issueDate", _IDENTITY),
        next_update=time_of(found, "nextUpdate", _IDENTITY),
        evaluation_number=number_of(found, "tcbEvaluationDataNumber", _IDENTITY, maximum=_LONG),
        misc_select=hex_of(found, "miscselect", _IDENTITY, count=4),
        misc_select_mask=hex_of(found, "miscselectMask", _IDENTITY, count=4),
        attributes=hex_of(found, "attributes", _IDENTITY, count=16),
        attributes_mask=hex_of(found, "attributesMask", _IDENTITY, count=16),
        mrsigner=hex_of(found, "mrsigner", _IDENTITY, count=32),
        isv_prod_id=number_of(found, "isvprodid", _IDENTITY, maximum=_SHORT),
        levels=levels,
    )


def _platform_level(level: Mapping[str, Any], version: int, tee: str) -> TcbLevel:
    tcb = field_of(level, "tcb", dict, _TCB_INFO)
    if version < _LISTS_SINCE:
        names = [f"sgxtcbcomp{index:02d}svn" for index in range(1, SVN_COUNT + 1)]
        sgx = tuple(number_of(tcb, name, _TCB_INFO, maximum=_BYTE) for name in names)
    else:
        sgx = _components(tcb, "sgxtcbcomponents")
    return TcbLevel(
        *_said(level, _TCB_INFO),
        pce_svn=number_of(tcb, "pcesvn", _TCB_INFO, maximum=_SHORT),
        sgx=sgx,
        tdx=_components(tcb, "tdxtcbcomponents") if tee == "TDX" else None,
    )


def _components(tcb: Mapping[str, Any], name: str) -> tuple[int, ...]:
    components = tuple(number_of(entry, "svn", _TCB_INFO, maximum=_BYTE) for entry in _objects(tcb, name, _TCB_INFO))
    if len(components) != SVN_COUNT:  # fewer would leave the rest uncompared
        refuse_field(_TCB_INFO, "value out of range", name, f"{SVN_COUNT} components", str(len(components)))
    return components


def _module(found: Mapping[str, Any], name: str) -> ModuleIdentity:
    listed = _objects(found, "tcbLevels", _TCB_INFO) if "tcbLevels" in found else ()
    levels = tuple(_svn_level(level, _TCB_INFO) for level in listed)
    _require_descending([level.isv_svn for level in levels], _TCB_INFO)
    return ModuleIdentity(
        name=name,
        mrsigner=hex_of(found, "mrsigner", _TCB_INFO, count=48),
        attributes=hex_of(found, "attributes", _TCB_INFO, count=8),
        attributes_mask=hex_of(found, "attributesMask", _TCB_INFO, count=8),
        levels=levels,
    )


def _svn_level(level: Mapping[str, Any], what: str) -> TcbLevel:
    tcb = field_of(level, "tcb", dict, what)
    return TcbLevel(*_said(level, what), isv_svn=number_of(tcb, "isvsvn", what, maximum=_SHORT))


def _said(level: Mapping[str, Any], what: str) -> tuple[TcbStatus, datetime, tuple[str, ...]]:
    status = field_of(level, "tcbStatus", str, what)
    known = next((name for name in STATUSES if name == status), None)
    if known is None:
        refuse_field(what, "unknown TCB status", "tcbStatus", " or ".join(STATUSES), repr(status[:64]))
    advisories = texts_of(level, "advisoryIDs", what) if "advisoryIDs" in level else ()
    return known, time_of(level, "tcbDate", what), advisories


def _objects(holder: Mapping[str, Any], name: str, what: str) -> tuple[dict[str, Any], ...]:
    values = field_of(holder, name, list, what)
    if len(values) > LEVELS_MAX:
        refuse_field(what, "value out of range", name, f"at most {LEVELS_MAX} entries", str(len(values)))
    for value in values:
        if not isinstance(value, dict):
            refuse_field(what, "wrong type", name, "a list of objects", type(value).__name__)
    return tuple(values)


def _require_descending(svns: list[int], what: str) -> None:
    # The first level that is reached counts: in another order a new enclave would get an old one's status.
    if any(first <= second for first, second in pairwise(svns)):
        refuse_field(what, "value out of range", "tcbLevels", "the newest first", "another order")
