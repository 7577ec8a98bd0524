"""Gramine's settings of whom to believe: the ``RA_TLS_*`` variables of its verification library.

A file of them is read as a shell, a container file or a manifest writes them: ``NAME=value``, maybe after ``export``,
``ENV`` or ``loader.env.``, maybe in quotes. Variables of other names are not this library's. The four measurements
have to stand there, each as its value or as the word ``any``; an allowance holds where it is ``1``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from mpc.errors import Malformed

FILE_MAX_BYTES = 64 << 10
U16 = (1 << 16) - 1

Allowance = Literal[
    "RA_TLS_ALLOW_DEBUG_ENCLAVE_INSECURE",
    "RA_TLS_ALLOW_HW_CONFIG_NEEDED",
    "RA_TLS_ALLOW_OUTDATED_TCB_INSECURE",
    "RA_TLS_ALLOW_SW_HARDENING_NEEDED",
]
ALLOWANCES: tuple[Allowance, ...] = get_args(Allowance)
_MEASUREMENTS = ("RA_TLS_MRENCLAVE", "RA_TLS_MRSIGNER", "RA_TLS_ISV_PROD_ID", "RA_TLS_ISV_SVN")
_DECIDES = ("RA_TLS_MR", "RA_TLS_ISV", "RA_TLS_ALLOW")
_LINE = re.compile(
    r"\s*(?:export\s+|ENV\s+|loader\.env\.)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*"
    r"(?P<value>\"[^\"\\$`]*\"|'[^']*'|[^\s\"'\\$`#;]*)\s*(?:#.*)?;?\s*"
)
_ANY = "any"


@dataclass(frozen=True)
class GramineSettings:
    """Measurements that a peer has to have, None where any will do; ``isv_svn`` is the least one."""

    mrenclave: bytes | None
    mrsigner: bytes | None
    isv_prod_id: int | None
    isv_svn: int | None
    allows: frozenset[Allowance]


def has_settings(raw: bytes) -> bool:
    """Tell whether a file names one of the variables that decide."""
    return len(raw) <= FILE_MAX_BYTES and any(name.encode() in raw for name in (*_MEASUREMENTS, *ALLOWANCES))


def parse_settings(raw: bytes) -> GramineSettings:
    """Return the settings in a file, or raise ``Malformed``: a guess about whom to believe would be no setting."""
    found = _variables(raw)
    unknown = sorted(name for name in found if name.startswith(_DECIDES) and name not in {*_MEASUREMENTS, *ALLOWANCES})
    if unknown:
        raise _malformed("unknown key", unknown[0], " or ".join((*_MEASUREMENTS, *ALLOWANCES)), unknown[0])
    return GramineSettings(
        mrenclave=_digest(found, "RA_TLS_MRENCLAVE"),
        mrsigner=_digest(found, "RA_TLS_MRSIGNER"),
        isv_prod_id=_number(found, "RA_TLS_ISV_PROD_ID"),
        isv_svn=_number(found, "RA_TLS_ISV_SVN"),
        allows=frozenset(name for name in ALLOWANCES if _is_allowed(found, name)),
    )


def _variables(raw: bytes) -> Mapping[str, str]:
    if len(raw) > FILE_MAX_BYTES or not raw.isascii():
        raise _malformed(
            "it is over the limit of size, or no plain text", "file", f"{FILE_MAX_BYTES} bytes", str(len(raw))
        )
    found: dict[str, str] = {}
    for line in raw.decode("ascii").splitlines():
        matched = _LINE.fullmatch(line)
        if matched is None and any(name in line.partition("#")[0] for name in (*_MEASUREMENTS, *ALLOWANCES)):
            raise _malformed("a line that is no setting", "line", "NAME=value", line.strip()[:32])
        if matched is None or not matched["name"].startswith("RA_TLS_"):
            continue
        if matched["name"] in found:
            raise _malformed("a setting stands twice", matched["name"], "once", "twice")
        found[matched["name"]] = matched["value"].strip("\"'")
    return found


def _digest(found: Mapping[str, str], name: str) -> bytes | None:
    text = _value(found, name)
    if text == _ANY:
        return None
    if re.fullmatch(r"[0-9a-fA-F]{64}", text) is None:
        raise _malformed("malformed hex", name, "32 bytes in hex, or any", f"{len(text)} characters")
    return bytes.fromhex(text)


def _number(found: Mapping[str, str], name: str) -> int | None:
    text = _value(found, name)
    if text == _ANY:
        return None
    if re.fullmatch(r"[0-9]{1,5}", text) is None or int(text) > U16:
        raise _malformed("value out of range", name, f"0 to {U16}, or any", text[:16])
    return int(text)


def _is_allowed(found: Mapping[str, str], name: str) -> bool:
    value = found.get(name, "0")
    if value not in {"0", "1"}:
        raise _malformed("value out of range", name, "0 or 1", value[:16])
    return value == "1"


def _value(found: Mapping[str, str], name: str) -> str:
    if name not in found:
        raise _malformed("missing field", name, "a value, or any", "nothing")
    return found[name]


def _malformed(why: str, name: str, expected: str, found: str) -> Malformed:
    return Malformed(
        "evidence.gramine_settings", "the RA-TLS settings are malformed", why=why,
        remedy="write every setting once, as Gramine documents it", field=name, expected=expected, found=found,
    )  # fmt: skip
