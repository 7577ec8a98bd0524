"""What a contract wants of a Nitro enclave: its program, and perhaps the role and machine of its parent instance."""

from typing import Annotated, Literal

from pydantic import AfterValidator, StringConstraints

from mpc.canonical import Term
from mpc.evidence.claims import Check, Claims
from mpc.evidence.nitro.verification import PINNED


def _not_zero(text: str) -> str:
    if not any(bytes.fromhex(text)):
        raise ValueError("a register that holds zeros was not measured: so are all registers of a debug enclave")
    return text


Register = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$"), AfterValidator(_not_zero)]


class NitroReference(Term):
    """Accept an enclave by its registers, in hex (48 bytes).

    ``pcr0`` to ``pcr2`` are what ``nitro-cli build-enclave`` prints; ``pcr3`` (SHA-384 of the parent's IAM role),
    ``pcr4`` (of its instance) and ``pcr8`` (of the certificate that signed the image) are null where any will do.
    """

    format: Literal["nitro"]
    pcr0: Register
    pcr1: Register
    pcr2: Register
    pcr3: Register | None
    pcr4: Register | None
    pcr8: Register | None
    measured_by: Literal["hardware"]
    memory_protected: Literal[True]


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
