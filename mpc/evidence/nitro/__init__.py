"""AWS Nitro Enclaves: attestation documents of the Nitro Security Module, signed by AWS (COSE_Sign1, P-384)."""

from mpc.evidence.format import Format
from mpc.evidence.nitro.document import NitroDocument, describe, gather, is_document, parse
from mpc.evidence.nitro.reference import compare, roots
from mpc.evidence.nitro.verification import NAME, PINNED, verify
from mpc.evidence.reference_values.nitro import NitroReference

FORMAT = Format(
    NAME, is_document, parse, gather, verify, compare, describe, roots, pinned=PINNED,
)  # fmt: skip

__all__ = ["FORMAT", "NitroDocument", "NitroReference", "parse", "verify"]
