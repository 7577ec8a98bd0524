"""EAT Attestation Results (EAR): what another verifier says, read and verified. Ours ``mpc.evidence.result`` makes."""

from mpc.evidence.ear.claims_set import PROFILE, AttestationResult, parse_claims_set
from mpc.evidence.ear.files import (
    NAME,
    describe,
    gather,
    is_result,
    key_file,
    no_evidence,
    parse,
    read_result,
)
from mpc.evidence.ear.jws import parse_private_key, sign_token
from mpc.evidence.format import Format, no_roots

FORMAT = Format(
    NAME, is_result, parse, gather, no_evidence, no_evidence, describe, no_roots, anchors=key_file,
    document=read_result,
)  # fmt: skip

__all__ = ["FORMAT", "PROFILE", "AttestationResult", "parse_claims_set", "parse_private_key", "sign_token"]
