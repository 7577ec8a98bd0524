"""Evidence of trusted execution environments: parse, verify, appraise, with no network (RFC 9334).

from mpc.evidence import Exceptions, appraise_attestation, parse_and_verify, recognise
"""

from mpc.evidence.appraisal import (
    Assessment,
    AttestedKey,
    Exceptions,
    appraise,
    appraise_attestation,
    assess,
    assess_attestation,
)
from mpc.evidence.binding import Transcript, parse_transcript
from mpc.evidence.claims import Attestation, Check, Claims
from mpc.evidence.formats import FORMATS, parse_and_verify, recognise, roots_of

__all__ = [
    "FORMATS",
    "Assessment",
    "Attestation",
    "AttestedKey",
    "Check",
    "Claims",
    "Exceptions",
    "Transcript",
    "appraise",
    "appraise_attestation",
    "assess",
    "assess_attestation",
    "parse_and_verify",
    "parse_transcript",
    "recognise",
    "roots_of",
]
