"""Occlum's files: how an enclave is built, whom its start-up asks for secrets, and whom it believes.

Each is JSON, read as Occlum reads it: unknown names are nobody's concern, known ones have to have their type.
A file of secrets is read for its names; the secrets stay where they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

from mpc.errors import Malformed
from mpc.evidence.json_fields import field_of, number_of, refuse_field, texts_of
from mpc.evidence.loose_json import read_json

FILE_MAX_BYTES = 256 << 10
U16 = (1 << 16) - 1

Comparison = Literal[
    "verify_config_svn",
    "verify_enclave_debuggable",
    "verify_isv_prod_id",
    "verify_isv_svn",
    "verify_mr_enclave",
    "verify_mr_signer",
]
COMPARISONS: tuple[Comparison, ...] = get_args(Comparison)


@dataclass(frozen=True)
class EnclaveSettings:
    """``Occlum.json``: the product and its version, whether its host may debug it, where a program may start."""

    product_id: int
    version_number: int
    debuggable: bool
    entry_points: tuple[str, ...]


@dataclass(frozen=True)
class Accepted:
    """One enclave of ``sgx_mrs``: measurements in hex as they stand, empty where the file leaves them open."""

    mr_enclave: str
    mr_signer: str
    isv_prod_id: int
    isv_svn: int
    config_svn: int
    debuggable: bool


@dataclass(frozen=True)
class TrustSettings:
    """``ra_config.json``: a peer has to equal one of ``accepted`` in everything that ``compares`` names."""

    compares: frozenset[Comparison]
    accepted: tuple[Accepted, ...]


@dataclass(frozen=True)
class StartSettings:
    """``init_ra_conf.json``: the server that start-up asks, the names of the keys, and what the server has to be."""

    server: str
    keys: tuple[str, ...]
    trust: TrustSettings | None


@dataclass(frozen=True)
class SecretNames:
    """``secret_config.json``: what secrets there are, by name."""

    names: tuple[str, ...]


EPID_NAME = "ias_url"
OcclumFile = EnclaveSettings | TrustSettings | StartSettings | SecretNames
KINDS: Mapping[type[OcclumFile], str] = MappingProxyType(
    {
        EnclaveSettings: "enclave settings",
        TrustSettings: "trust settings",
        StartSettings: "start-up settings",
        SecretNames: "names of secrets",
    }
)


def parse_file(raw: bytes) -> OcclumFile:
    """Return what an Occlum file says, by the names that stand in it, or raise ``Malformed``."""
    found = read_json(raw, what="the Occlum file", max_bytes=FILE_MAX_BYTES)
    if EPID_NAME in found:
        raise Malformed(
            "evidence.occlum_epid", "the Occlum file names a service that is gone",
            why="EPID settings: Intel closed its attestation service in April 2025",
            remedy="give the settings of DCAP: ra_config.json with sgx_mrs", field=EPID_NAME,
        )  # fmt: skip
    if "metadata" in found or "entry_points" in found:
        return _enclave_settings(found)
    if {"kms_server", "kms_keys", "ra_config"} & found.keys():
        return _start_settings(found)
    if "sgx_mrs" in found or set(COMPARISONS) & found.keys():
        return _trust_settings(found)
    return _secret_names(found)


def _enclave_settings(found: Mapping[str, Any]) -> EnclaveSettings:
    what = "Occlum.json"
    metadata = field_of(found, "metadata", dict, what)
    return EnclaveSettings(
        product_id=number_of(metadata, "product_id", what, maximum=U16),
        version_number=number_of(metadata, "version_number", what, maximum=U16),
        debuggable=field_of(metadata, "debuggable", bool, what),
        entry_points=texts_of(found, "entry_points", what),
    )


def _start_settings(found: Mapping[str, Any]) -> StartSettings:
    what = "the start-up settings"
    keys = _objects(field_of(found, "kms_keys", list, what), "kms_keys", what)
    for key in keys:
        field_of(key, "path", str, what)
    return StartSettings(
        server=field_of(found, "kms_server", str, what),
        keys=tuple(field_of(key, "key", str, what) for key in keys),
        trust=_trust_settings(field_of(found, "ra_config", dict, what)) if "ra_config" in found else None,
    )


def _trust_settings(found: Mapping[str, Any]) -> TrustSettings:
    what = "the trust settings"
    entries = _objects(field_of(found, "sgx_mrs", list, what), "sgx_mrs", what)
    return TrustSettings(
        frozenset(name for name in COMPARISONS if _is_on(found, name, what)),
        tuple(
            Accepted(
                mr_enclave=field_of(entry, "mr_enclave", str, what),
                mr_signer=field_of(entry, "mr_signer", str, what),
                isv_prod_id=number_of(entry, "isv_prod_id", what, maximum=U16),
                isv_svn=number_of(entry, "isv_svn", what, maximum=U16),
                config_svn=number_of(entry, "config_svn", what, maximum=U16),
                debuggable=field_of(entry, "debuggable", bool, what),
            )
            for entry in entries
        ),
    )


def _secret_names(found: Mapping[str, Any]) -> SecretNames:
    what = "the file of secrets"
    for name in found:
        field_of(found, name, str, what)
    return SecretNames(tuple(sorted(found)))


def _is_on(found: Mapping[str, Any], name: Comparison, what: str) -> bool:
    value = field_of(found, name, str, what)
    if value not in {"on", "off"}:
        refuse_field(what, "value out of range", name, "on or off", repr(value[:16]))
    return value == "on"


def _objects(values: Sequence[Any], name: str, what: str) -> Sequence[Mapping[str, Any]]:
    for value in values:
        if not isinstance(value, dict):
            refuse_field(what, "wrong type", name, "a list of objects", type(value).__name__)
    return cast("Sequence[Mapping[str, Any]]", values)
