"""One document of Intel's collateral as it lies in a file: TCB info or an enclave's identity, with its signature.

Read as strictly as Open Enclave reads it: every field there, of its type, in its range. What is read here is shown
and judged by itself; what a quote is judged by is ``mpc.evidence.intel``'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mpc.evidence.json_fields import field_of, hex_bytes, hex_of, number_of, refuse_field, texts_of, time_of
from mpc.evidence.loose_json import read_json

DOCUMENT_MAX_BYTES = 256 << 10
SIGNATURE_BYTES = 64
COMPONENTS = 16

Kind = Literal["tcbInfo", "enclaveIdentity"]
_NAMES: Mapping[Kind, str] = {"tcbInfo": "the TCB info", "enclaveIdentity": "the enclave's identity"}
_U8, _U16, _U32 = (1 << 8) - 1, (1 << 16) - 1, (1 << 32) - 1
_FIRST_WITH_LISTS = 3
_STATUSES = frozenset({
    "UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "OutOfDate",
    "OutOfDateConfigurationNeeded", "Revoked",
})  # fmt: skip


@dataclass(frozen=True)
class CollateralDocument:
    """What the document says of itself, and the 64 bytes r and s that stand beside it."""

    kind: Kind
    version: int
    signature: bytes


def parse_collateral_document(raw: bytes) -> CollateralDocument | None:
    """Return the document that the JSON in ``raw`` is, None where it is another; raise ``Malformed`` for a bad one."""
    found = read_json(raw, what="the collateral", max_bytes=DOCUMENT_MAX_BYTES)
    kind: Kind | None = next((name for name in _NAMES if name in found), None)
    if kind is None:
        return None
    what = _NAMES[kind]
    signature = hex_bytes(field_of(found, "signature", str, what))
    if signature is None or len(signature) != SIGNATURE_BYTES:
        refuse_field(what, "malformed signature", "signature", f"{SIGNATURE_BYTES} bytes in hex", "something else")
    body = field_of(found, kind, dict, what)
    version = field_of(body, "version", int, what)
    time_of(body, "issueDate", what)
    time_of(body, "nextUpdate", what)
    number_of(body, "tcbEvaluationDataNumber", what, maximum=_U32)
    _check_body(kind, body, version, what)
    return CollateralDocument(kind, version, signature)


def _check_body(kind: Kind, body: Mapping[str, Any], version: int, what: str) -> None:
    if kind == "enclaveIdentity":
        _check_identity(body, what)
    else:
        _check_tcb_info(body, version, what)
    for level in field_of(body, "tcbLevels", list, what):
        if not isinstance(level, dict):
            refuse_field(what, "wrong type", "tcbLevels", "a list of objects", type(level).__name__)
        _check_level(kind, level, version, what)


def _check_tcb_info(body: Mapping[str, Any], version: int, what: str) -> None:
    hex_of(body, "fmspc", what, count=6)
    if number_of(body, "tcbType", what, maximum=_U32) != 0:
        refuse_field(what, "unknown TCB type", "tcbType", "0", "another")
    if version >= _FIRST_WITH_LISTS:
        field_of(body, "id", str, what)
        hex_of(body, "pceId", what, count=2)


def _check_identity(body: Mapping[str, Any], what: str) -> None:
    field_of(body, "id", str, what)
    number_of(body, "isvprodid", what, maximum=_U16)
    for name, count in (
        ("miscselect", 4), ("miscselectMask", 4), ("attributes", 16), ("attributesMask", 16), ("mrsigner", 32),
    ):  # fmt: skip
        hex_of(body, name, what, count=count)


def _check_level(kind: Kind, level: Mapping[str, Any], version: int, what: str) -> None:
    tcb = field_of(level, "tcb", dict, what)
    if kind == "enclaveIdentity":
        number_of(tcb, "isvsvn", what, maximum=_U16)
    else:
        number_of(tcb, "pcesvn", what, maximum=_U16)
        _check_components(tcb, version, what)
    time_of(level, "tcbDate", what)
    status = field_of(level, "tcbStatus", str, what)
    if status not in _STATUSES:
        refuse_field(what, "unknown TCB status", "tcbStatus", " or ".join(sorted(_STATUSES)), repr(status[:32]))
    if "advisoryIDs" in level:
        texts_of(level, "advisoryIDs", what)


def _check_components(tcb: Mapping[str, Any], version: int, what: str) -> None:
    if version < _FIRST_WITH_LISTS:
        for number in range(1, COMPONENTS + 1):
            number_of(tcb, f"sgxtcbcomp{number:02d}svn", what, maximum=_U8)
        return
    for name in ("sgxtcbcomponents", *(("tdxtcbcomponents",) if "tdxtcbcomponents" in tcb else ())):
        components = field_of(tcb, name, list, what)
        if len(components) != COMPONENTS:
            refuse_field(what, "value out of range", name, f"{COMPONENTS} components", str(len(components)))
        for component in components:
            if not isinstance(component, dict):
                refuse_field(what, "wrong type", name, "a list of objects", type(component).__name__)
            number_of(component, "svn", what, maximum=_U8)
