"""Veracruz: the runtime manager's evidence with the certificate request that it binds; policies; example data."""

from mpc.evidence.format import Format
from mpc.evidence.reference_values.veracruz import VeracruzReference
from mpc.evidence.veracruz.documents import read_document
from mpc.evidence.veracruz.evidence import VeracruzEvidence, describe, gather, is_token, parse
from mpc.evidence.veracruz.policy import Policy, is_policy, parse_policy
from mpc.evidence.veracruz.reference import compare, reference_of, roots
from mpc.evidence.veracruz.verify import NAME, PINNED, careful, verify

__all__ = ["FORMAT", "Policy", "VeracruzEvidence", "VeracruzReference", "parse_policy", "reference_of"]


def _recognises(raw: bytes) -> bool:
    return is_policy(raw) or is_token(raw)


FORMAT = Format(
    NAME, _recognises, parse, gather, verify, compare, describe, roots, careful,
    pinned=PINNED, document=read_document,
)  # fmt: skip
