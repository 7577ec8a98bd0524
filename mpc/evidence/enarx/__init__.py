"""Enarx: certificate requests of keeps in SGX and SNP, the steward's policy as reference values, a keep's settings."""

from mpc.evidence.enarx.describe import describe
from mpc.evidence.enarx.files import document, gather, is_enarx, policy
from mpc.evidence.enarx.policy import parse_policy
from mpc.evidence.enarx.reference import careful, compare, roots
from mpc.evidence.enarx.request import EnarxRequest, is_request, parse_request
from mpc.evidence.enarx.verify import FORMAT as NAME
from mpc.evidence.enarx.verify import PINNED, verify
from mpc.evidence.format import Format
from mpc.evidence.reference_values.enarx import EnarxReference

FORMAT = Format(
    NAME, is_enarx, parse_request, gather, verify, compare, describe, roots, careful, pinned=PINNED,
    document=document, policy=policy,
)  # fmt: skip

__all__ = ["FORMAT", "EnarxReference", "EnarxRequest", "is_request", "parse_policy", "parse_request", "verify"]
