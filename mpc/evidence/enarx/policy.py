"""``steward.toml``: which keeps an Enarx steward certifies; here, which keeps reference values accept.

Signers are digests of keys, hashes are measurements (SHA-256 for SGX, SHA-384 for SNP). A steward of Enarx passes over
keys that it does not know; a policy with a slip of the pen would then accept more than its author meant, so that here
an unknown key refuses. ``Debug`` among the features does not by itself accept a debug enclave: that has its own name,
``debug``, in ``accepted``.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final, TypeVar, get_args

from pydantic import ValidationError

from mpc.errors import Malformed
from mpc.evidence.reference_values.enarx import EnarxReference, Section, SgxPolicy, SnpPolicy
from mpc.evidence.reference_values.intel import TcbWaiver

POLICY_MAX_BYTES = 32 << 10
LINE_MAX_DOTS = 64
_OF_ENCLAVES: Final = frozenset(name for name in get_args(TcbWaiver) if not name.startswith("tcb:TD"))
_COMPARISON = re.compile(r"\s*(>=|>|<=|<|=|\^|~)?\s*([0-9.]+)\s*")
_PARTS = 3
AnySection = TypeVar("AnySection", bound=Section)


def parse_policy(raw: bytes, *, accepted: frozenset[str] = frozenset()) -> EnarxReference:
    """Return the reference values that a ``steward.toml`` is, or raise ``Malformed``.

    A list of allowed advisories accepts any status of the machine's TCB, as it does for Enarx, but none that is
    revoked. ``accepted`` names what is accepted besides.
    """
    found = read_toml(raw, what="the steward's policy")
    sections = {name: found.get(name) for name in ("sgx", "snp")}
    unknown = sorted(set(found) - set(sections))
    if unknown:
        raise _malformed("unknown key", unknown[0], "sgx or snp")
    sgx, snp = _section(SgxPolicy, sections["sgx"], "sgx"), _section(SnpPolicy, sections["snp"], "snp")
    waived = _OF_ENCLAVES if sgx is not None and sgx.allowed_advisories else frozenset()
    try:
        return EnarxReference.model_validate({
            "format": "enarx", "sgx": sgx, "snp": snp, "accepted": tuple(sorted(waived | accepted)),
            "measured_by": "hardware", "memory_protected": True,
        })  # fmt: skip
    except ValidationError as refusal:
        raise _malformed(*_first(refusal)) from None


def read_toml(raw: bytes, *, what: str) -> dict[str, Any]:
    """Return the table that ``raw`` spells in TOML, or raise ``Malformed``."""
    if len(raw) > POLICY_MAX_BYTES:
        raise Malformed(
            "toml.size", f"{what} is too long", why="it is over the limit of size", remedy="give the right file",
            field="size", expected=f"at most {POLICY_MAX_BYTES} bytes", found=f"{len(raw)} bytes",
        )  # fmt: skip
    # A key of very many parts takes the reader the square of their number; nobody writes one.
    if max(line.count(b".") for line in raw.split(b"\n")) > LINE_MAX_DOTS:
        raise _no_toml(what, "malformed TOML: it is nested too deeply")
    try:
        return tomllib.loads(raw.decode())
    except (ValueError, RecursionError):
        raise _no_toml(what, "malformed TOML: it does not parse") from None


def _no_toml(what: str, why: str) -> Malformed:
    return Malformed(
        "toml.invalid", f"{what} is not TOML", why=why, remedy="write it as https://toml.io has it, in UTF-8"
    )


def version_matches(requirement: str, version: tuple[int, int]) -> bool:
    """Tell whether major and minor ``version`` meet a requirement such as ``>=1.51, <2``."""
    return all(_meets(*_compared(one), (*version, 0)) for one in requirement.split(","))


def _compared(one: str) -> tuple[str, tuple[int, ...]]:
    matched = _COMPARISON.fullmatch(one)
    if matched is None:
        raise AssertionError("the field's type lets no other text in")
    return matched[1] or "^", tuple(map(int, matched[2].split(".")))


def _meets(operator: str, wanted: tuple[int, ...], version: tuple[int, int, int]) -> bool:
    """Compare as Cargo does: what a requirement leaves out is any for ``=``, ``>`` and ``<=``, else zero."""
    said, least = version[: len(wanted)], wanted + (0,) * (_PARTS - len(wanted))
    fixed = 1 if operator == "^" and wanted[0] else min(2, len(wanted))
    return {
        ">=": version >= least,
        "<": version < least,
        ">": said > wanted,
        "<=": said <= wanted,
        "=": said == wanted,
        "^": version >= least and version[:fixed] == least[:fixed],
        "~": version >= least and version[:fixed] == least[:fixed],
    }[operator]


def _section(kind: type[AnySection], found: object, name: str) -> AnySection | None:
    if found is None:
        return None
    if not isinstance(found, Mapping):
        raise _malformed("wrong type", name, "a table")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}
    try:
        return kind.model_validate({key: _lower(value) for key, value in values.items()})
    except ValidationError as refusal:
        why, key, expected = _first(refusal)
        raise _malformed(why, f"{name}.{key}", expected) from None


def _lower(value: object) -> object:
    """Return digests in lower case; both are in use."""
    if isinstance(value, tuple):
        return tuple(_lower(one) for one in value)
    is_hex = isinstance(value, str) and re.fullmatch(r"[0-9A-Fa-f]{64}|[0-9A-Fa-f]{96}", value)
    return value.lower() if isinstance(value, str) and is_hex else value


def _first(refusal: ValidationError) -> tuple[str, str, str]:
    """Return why, field and what was expected of the first thing that is wrong."""
    first = refusal.errors(include_url=False, include_input=False)[0]
    reasons = {"extra_forbidden": "unknown key", "missing": "missing field", "value_error": "contradiction"}
    why = reasons.get(first["type"], "value out of range")
    message = first["msg"].removeprefix("Value error, ")
    known = ("missing field", "contradiction", "value out of range")
    why = message if first["type"] == "value_error" and message.startswith(known) else why
    return why, ".".join(map(str, first["loc"])) or "policy", message


def _malformed(why: str, field: str, expected: str) -> Malformed:
    return Malformed(
        "evidence.enarx_policy", "the steward's policy is malformed", why=why,
        remedy="write what is meant: nothing in it is passed over", field=field[:64], expected=expected,
        found="another",
    )  # fmt: skip
