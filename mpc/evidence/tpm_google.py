"""Google Cloud's virtual TPMs: whose root vouches for their keys, and what a key's certificate says of the instance.

The certificates of attestation keys lie in the TPM (NV 0x01c10000 for RSA, 0x01c10002 for ECC) and lead to a root that
is pinned here by its SHA-256: roots and intermediates are public at pki.goog/cloud_integrity.
"""

from typing import Final

from asn1crypto import core

from mpc.evidence.certificate import Certificate
from mpc.evidence.claims import Fact

PINNED: Final = (
    bytes.fromhex("9bd5285f8fb18502a7947e621ffd470266f49fcd3b73e19a190f690ad32a7caf"),  # tpm_ek_root_1 (2018)
    bytes.fromhex("594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2"),  # EK/AK CA Root (2022)
)
USAGES: Final = frozenset({"2.23.133.8.1"})
"""Google marks the certificates of its attestation keys as those of endorsement keys (tcg-kp-EKCertificate)."""

_INSTANCE = "1.3.6.1.4.1.11129.2.1.21"
_FIELDS = (
    ("gce_zone", core.UTF8String), ("gce_project_number", core.Integer), ("gce_project_id", core.UTF8String),
    ("gce_instance_id", core.Integer), ("gce_instance_name", core.UTF8String),
)  # fmt: skip


def instance_facts(leaf: Certificate) -> dict[str, Fact]:
    """Return which instance the certificate of an attestation key was made for; nothing where it does not say."""
    value = leaf.extension(_INSTANCE)
    if value is None:
        return {}
    try:
        parts = list(core.SequenceOf.load(value, spec=core.Any, strict=True))
        return {name: part.parse(kind).native for (name, kind), part in zip(_FIELDS, parts, strict=False)}
    except (ValueError, TypeError, OverflowError, RecursionError):
        return {}
