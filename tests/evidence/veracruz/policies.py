"""Veracruz policies in every dialect, made afresh: each test changes one thing."""

import json
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
HASH = "5c" * 32


def certificate(*, ends: datetime = datetime(2030, 1, 1, tzinfo=UTC), key: ec.EllipticCurvePrivateKey = KEY) -> str:
    """Return a certificate as the policy generator writes it: base64 on one line, no newline at the end."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Hospital A")])
    made = (
        x509.CertificateBuilder(name, name, KEY.public_key(), 7)
        .not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    lines = made.public_bytes(Encoding.PEM).decode().strip().split("\n")
    return "\n".join([lines[0], "".join(lines[1:-1]), lines[-1]])


PEM = certificate()
EXPIRY = {"year": 2030, "month": 1, "day": 1, "hour": 0, "minute": 0}


def identity(number: int = 0, **changed: Any) -> dict[str, Any]:
    rights = [{"file_name": "/input/", "rights": 534084}]
    return {"certificate": PEM, "id": number, "file_rights": rights} | changed


def current(**changed: Any) -> dict[str, Any]:
    """Return a policy of today with one principal, one program and one pipeline."""
    rights = [{"file_name": "/input/", "rights": 24582}, {"file_name": "/output/", "rights": 534084}]
    fields = {
        "ciphersuite": "TLS1_3_CHACHA20_POLY1305_SHA256", "debug": False, "enable_clock": False,
        "enclave_cert_expiry": EXPIRY, "execution_strategy": "JIT",
        "file_hashes": [{"file_path": "/program/a.wasm", "hash": HASH}],
        "identities": [identity()], "max_memory_mib": 256,
        "native_modules": [{"name": "aes", "type": {"Static": {"special_file": "/services/aes.dat"}}}],
        "pipelines": [{"name": "0", "pipeline": "a.wasm ; if /output/x { b.wasm ; } else { c.wasm }", "id": 0,
                       "file_rights": rights}],
        "programs": [{"file_rights": rights, "id": 0, "program_file_name": "/program/a.wasm"}],
        "proxy_attestation_server_url": "127.0.0.1:3010", "proxy_service_cert": PEM + "\n",
        "runtime_manager_hash_linux": HASH, "runtime_manager_hash_nitro": None,
        "veracruz_server_url": "127.0.0.1:3017",
    }  # fmt: skip
    return fields | changed


def older(**changed: Any) -> dict[str, Any]:
    """Return the same in the dialect of 2021."""
    kept = {name: value for name, value in current().items() if name not in {"pipelines", "native_modules"}}
    return kept | {"ciphersuite": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"} | changed


def of_2020(**changed: Any) -> dict[str, Any]:
    """Return a policy of 2020."""
    return {
        "identities": [{"cert": PEM, "id": 0, "roles": ["PiProvider", "DataProvider", "ResultReader"]}],
        "ciphersuite": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "enclave_cert_expiry": EXPIRY,
        "runtime_manager_hash": HASH, "pi_hash": HASH, "data_provision_order": [0],
    } | changed  # fmt: skip


def spelled(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, indent=2, sort_keys=True).encode()
