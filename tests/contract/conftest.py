"""A small contract of three parties, as plain JSON that tests can spoil, with everybody's keys."""

import base64
import copy
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mpc.contract.document import parse_contract
from mpc.contract.terms import Contract
from mpc.signing import SigningKey

Document = dict[str, Any]
NAMES = ("north", "south", "university")
GRADES = [{"value": value, "label": f"grade {value}"} for value in "123"]


def signing_key(name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(name.encode()).digest())


def column(name: str, kind: str, **changes: Any) -> Document:
    plain: Document = {
        "name": name, "description": f"the {name}", "type": kind, "precision": None, "scale": None, "unit": None,
        "nullable": False, "missing": [], "minimum": None, "maximum": None, "codes": [], "filterable": False,
        "identifier": False,
    }  # fmt: skip
    return plain | changes


def rules(**changes: Any) -> Document:
    return {
        "profile": "standard", "threshold": 10, "coalition": 1, "zeros": "withhold", "complementary": "suppress",
        "significant_digits": 6,
    } | changes  # fmt: skip


def sound_document() -> Document:
    return {
        "format": "sealroom.contract",
        "version": 1,
        "title": "Nodes by grade",
        "purpose": "To describe both cohorts together.",
        "parties": [
            {
                "name": name,
                "label": name.capitalize(),
                "signing_key": signing_key(name).public.raw.hex(),
                "sealing_key": base64.b64encode(hashlib.shake_256(name.encode()).digest(1216)).decode(),
            }
            for name in NAMES
        ],
        "datasets": [
            {
                "name": "patients",
                "description": "Patients",
                "owners": ["north", "south"],
                "columns": [
                    column("pid", "integer", identifier=True),
                    column("age", "integer", unit="years", minimum="18", maximum="110"),
                    column("grade", "category", codes=GRADES, filterable=True),
                    column("nodes", "integer", nullable=True, missing=["-9"]),
                    column("shoe_size", "float"),
                ],
                "subject": {
                    "domain": "patient", "column": "pid", "identity": "disjoint", "normalisation": "exact",
                    "rows": "one",
                },
                "keys": [],
                "freshness": {"refreshes": 0, "until": None},
            }
        ],
        "computations": [
            {
                "name": "nodes_by_grade",
                "purpose": "Nodes at each grade",
                "question": {"kind": "sql", "text": "SELECT grade, avg(nodes) AS nodes FROM patients GROUP BY grade"},
                "parameters": [],
                "recipients": ["university"],
                "runs": 3,
                "unattended": 1,
            }
        ],
        "disclosure": [{"party": name, "rules": rules()} for name in ("north", "south")],
        "enclaves": [
            {"format": "simulated", "code_digest": "ab" * 32, "measured_by": "self", "memory_protected": False}
        ],
        "attested_key_seconds": 600,
        "limits": {"upload_mib": 64, "resident_mib": 64, "run_memory_mib": 256, "run_seconds": 30},
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2027-01-01T00:00:00Z",
        "supersedes": None,
    }  # fmt: skip


def spelled(document: Document) -> bytes:
    return rfc8785.dumps(document)


@pytest.fixture
def document() -> Document:
    return copy.deepcopy(sound_document())


@pytest.fixture
def raw(document: Document) -> bytes:
    return spelled(document)


@pytest.fixture
def contract(raw: bytes) -> Contract:
    return parse_contract(raw)


@pytest.fixture
def key_of() -> Callable[[str], SigningKey]:
    return signing_key


@pytest.fixture
def spell() -> Callable[[Document], bytes]:
    return spelled


@pytest.fixture
def authority() -> str:
    """The base64 of a DER certificate, self-signed by a key that nobody keeps."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "attestation keys of south")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
