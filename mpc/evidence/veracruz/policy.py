"""The policy of a Veracruz computation: one JSON file that every principal reads before taking part.

Four dialects are in the field (crates/policy-utils/src/policy.rs and its history):

=========  ==================================================================================================
current    2023 on: identities, programs, pipelines, native modules, hashes of files
2021       the same without pipelines and native modules
2020       identities with ``cert`` and ``roles``, one program named by ``pi_hash``
function   of a service that runs single functions: no identities and no times, programs with ``pi_hash``
=========  ==================================================================================================

Fields beyond those are let be, as Veracruz does; those that it requires have to be there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from mpc.canonical import sha256
from mpc.errors import Malformed
from mpc.evidence.json_fields import field_of, number_of, refuse_field
from mpc.evidence.loose_json import read_json
from mpc.evidence.reference_values.veracruz import Platform
from mpc.evidence.veracruz.pipeline import check_pipeline
from mpc.evidence.veracruz.principals import FileRights, Identity, read_identity, read_pem, read_rights, unique

POLICY_MAX_BYTES = 256 << 10
IDENTITIES_MAX = 32
WHAT = "the Veracruz policy"

Dialect = Literal["current", "2021", "2020", "function"]
_STRATEGIES = ("Interpretation", "JIT")
_NUMBER_MAX = 2**32 - 1


@dataclass(frozen=True)
class Program:
    """A program (or pipeline) that principals may run: its name, its id, and what it may do with which file."""

    name: str
    identifier: int
    file_rights: tuple[FileRights, ...]
    pipeline: str | None = None


@dataclass(frozen=True)
class Policy:
    """A policy, well-formed and believed in nothing; ``digest`` is the SHA-256 that its principals compare.

    ``expires`` is when the enclave's certificate ends; ``runtime_hashes`` are hex, by platform.
    """

    dialect: Dialect
    digest: bytes
    identities: tuple[Identity, ...] = ()
    programs: tuple[Program, ...] = ()
    pipelines: tuple[Program, ...] = ()
    file_hashes: Mapping[str, bytes] = field(default_factory=dict)
    runtime_hashes: Mapping[str, bytes] = field(default_factory=dict)
    expires: datetime | None = None
    function: str | None = None
    debug: bool | None = None
    enable_clock: bool | None = None
    execution_strategy: str | None = None
    ciphersuite: str | None = None


def is_policy(raw: bytes) -> bool:
    """Tell whether ``raw`` is a JSON object with what one of the dialects begins with."""
    try:
        names = read_json(raw, what=WHAT, max_bytes=POLICY_MAX_BYTES).keys()
    except Malformed:
        return False
    return {"identities", "ciphersuite"} <= names or {"function", "programs"} <= names


def parse_policy(raw: bytes) -> Policy:
    """Return the policy that ``raw`` spells, or raise ``Malformed``."""
    fields = read_json(raw, what=WHAT, max_bytes=POLICY_MAX_BYTES)
    match _dialect(fields):
        case "function":
            return _function(fields, raw)
        case "2020":
            return _of_2020(fields, raw)
        case dialect:
            return _of_today(dialect, fields, raw)


def _dialect(fields: Mapping[str, Any]) -> Dialect:
    if "function" in fields:
        return "function"
    identities = field_of(fields, "identities", list, WHAT)
    if any(isinstance(identity, dict) and {"cert", "roles"} & identity.keys() for identity in identities):
        return "2020"
    return "current" if {"pipelines", "native_modules"} & fields.keys() else "2021"


def _of_today(dialect: Dialect, fields: Mapping[str, Any], raw: bytes) -> Policy:
    for name in ("veracruz_server_url", "proxy_attestation_server_url"):
        field_of(fields, name, str, WHAT)
    if dialect == "current":
        read_pem(field_of(fields, "proxy_service_cert", str, WHAT).rstrip("\n"))
        number_of(fields, "max_memory_mib", WHAT, maximum=_NUMBER_MAX)
        for module in _objects(fields, "native_modules"):
            _check_module(module)
    return Policy(
        dialect,
        sha256(raw),
        identities=_identities(fields, "certificate"),
        programs=_programs(fields, "programs", "program_file_name"),
        pipelines=_programs(fields, "pipelines", "name") if dialect == "current" else (),
        file_hashes={
            field_of(entry, "file_path", str, WHAT): _digest(entry, "hash") for entry in _objects(fields, "file_hashes")
        },
        runtime_hashes=_runtime_hashes(fields),
        expires=_expiry(fields),
        debug=field_of(fields, "debug", bool, WHAT),
        enable_clock=field_of(fields, "enable_clock", bool, WHAT),
        execution_strategy=_strategy(fields),
        ciphersuite=_ciphersuite(fields),
    )


def _of_2020(fields: Mapping[str, Any], raw: bytes) -> Policy:
    program = _digest(fields, "pi_hash")
    return Policy(
        "2020",
        sha256(raw),
        identities=_identities(fields, "cert"),
        file_hashes={"program": program},
        runtime_hashes={"any": _digest(fields, "runtime_manager_hash")} if "runtime_manager_hash" in fields else {},
        expires=_expiry(fields),
        ciphersuite=_ciphersuite(fields),
    )


def _function(fields: Mapping[str, Any], raw: bytes) -> Policy:
    data = {
        field_of(entry, "data_file", str, WHAT): _digest(entry, "pi_hash") for entry in _objects(fields, "data_files")
    }
    programs = {
        field_of(entry, "program_file_name", str, WHAT): _digest(entry, "pi_hash")
        for entry in _objects(fields, "programs")
    }
    read_rights(fields)
    number_of(fields, "max_memory_mib", WHAT, maximum=_NUMBER_MAX)
    return Policy(
        "function",
        sha256(raw),
        programs=_programs(fields, "programs", "program_file_name"),
        file_hashes=data | programs,
        function=field_of(fields, "function", str, WHAT),
        debug=field_of(fields, "debug", bool, WHAT),
        enable_clock=field_of(fields, "enable_clock", bool, WHAT),
        execution_strategy=_strategy(fields),
    )


def _identities(fields: Mapping[str, Any], certificate: str) -> tuple[Identity, ...]:
    entries = _objects(fields, "identities")
    if len(entries) > IDENTITIES_MAX:  # each one costs a signature
        refuse_field(WHAT, "too many identities", "identities", f"at most {IDENTITIES_MAX}", str(len(entries)))
    return unique([read_identity(entry, certificate) for entry in entries], "identities")


def _programs(fields: Mapping[str, Any], name: str, label: str) -> tuple[Program, ...]:
    found = []
    for entry in _objects(fields, name):
        pipeline = field_of(entry, "pipeline", str, WHAT) if name == "pipelines" else None
        if pipeline is not None:
            check_pipeline(pipeline)
        found.append(
            Program(
                field_of(entry, label, str, WHAT), number_of(entry, "id", WHAT, maximum=_NUMBER_MAX),
                read_rights(entry), pipeline,
            )
        )  # fmt: skip
    return unique(found, name)


def _runtime_hashes(fields: Mapping[str, Any]) -> dict[str, bytes]:
    names = {platform: f"runtime_manager_hash_{platform}" for platform in get_args(Platform)}
    return {platform: _digest(fields, name) for platform, name in names.items() if fields.get(name) is not None}


def _check_module(module: Mapping[str, Any]) -> None:
    field_of(module, "name", str, WHAT)
    kinds = field_of(module, "type", dict, WHAT)
    if len(kinds) != 1 or not kinds.keys() <= {"Static", "Dynamic", "Provisioned"}:
        refuse_field(
            WHAT, "unknown kind of native module", "type", "Static, Dynamic or Provisioned", " ".join(kinds)[:64]
        )


def _expiry(fields: Mapping[str, Any]) -> datetime:
    parts = field_of(fields, "enclave_cert_expiry", dict, WHAT)
    numbers = [field_of(parts, name, int, WHAT) for name in ("year", "month", "day", "hour", "minute")]
    try:
        expires = datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type,misc]
    except (ValueError, OverflowError):
        expires = None
    if expires is None:
        found = "-".join(map(str, numbers))[:64]
        refuse_field(WHAT, "impossible date", "enclave_cert_expiry", "a date and time that exist", found)
    return expires


def _strategy(fields: Mapping[str, Any]) -> str:
    strategy = field_of(fields, "execution_strategy", str, WHAT)
    if strategy not in _STRATEGIES:
        refuse_field(
            WHAT, "unknown execution strategy", "execution_strategy", " or ".join(_STRATEGIES), repr(strategy[:64])
        )
    return strategy


def _ciphersuite(fields: Mapping[str, Any]) -> str:
    suite = field_of(fields, "ciphersuite", str, WHAT)
    if not re.fullmatch(r"TLS[0-9A-Z_]{3,80}", suite):
        refuse_field(WHAT, "unknown cipher suite", "ciphersuite", "the name of a TLS cipher suite", repr(suite[:64]))
    return suite


def _digest(holder: Mapping[str, Any], name: str) -> bytes:
    text = field_of(holder, name, str, WHAT)
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        refuse_field(WHAT, "malformed hash", name, "SHA-256 in hex", f"{len(text)} characters")
    return bytes.fromhex(text)


def _objects(fields: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    entries = field_of(fields, name, list, WHAT)
    if not all(isinstance(entry, dict) for entry in entries):
        refuse_field(WHAT, "wrong type", name, "a list of objects", "something else")
    return entries
