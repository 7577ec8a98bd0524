"""What a contract may want of a Nitro enclave: its program, and perhaps the role and machine of its parent instance."""

from typing import Annotated, Literal

from pydantic import AfterValidator, StringConstraints

from mpc.canonical import Term


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
