"""How a Nitro enclave compares with what a contract wants of it."""

from mpc.evidence.claims import Check, Claims
from mpc.evidence.nitro.verification import PINNED
from mpc.evidence.reference_values.nitro import NitroReference


def compare(claims: Claims, reference: NitroReference) -> tuple[Claims, tuple[Check, ...]]:
    """Return the claims, and how the registers that the reference names compare with them."""
    named = {name: getattr(reference, name) for name in NitroReference.model_fields if name.startswith("pcr")}
    return claims, tuple(_register_check(claims, name, value) for name, value in named.items() if value is not None)


def roots(reference: NitroReference) -> tuple[bytes, ...]:
    """Return the trust anchor of every Nitro enclave: AWS's root, by its digest."""
    del reference
    return PINNED


def _register_check(claims: Claims, name: str, expected: str) -> Check:
    found = claims.measurements.get(name, b"").hex()
    return Check(
        name, expected, found or "not in the document", found == expected,
        why="wrong measurement: it runs something else than the contract names",
        remedy="start the image that the contract names, or agree on one that names this",
    )  # fmt: skip
