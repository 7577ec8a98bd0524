"""Evidence of trusted execution environments: parse, verify, appraise, with no network (RFC 9334).

from mpc.evidence import Exceptions, appraise_attestation, parse_and_verify, recognise

Names are imported when they are first asked for: whoever reads a contract needs reference values, and no verifier.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
_HOMES = ("claims", "binding", "formats", "appraisal")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    homes = (import_module(f"{__name__}.{home}") for home in _HOMES)
    return next(vars(home)[name] for home in homes if name in vars(home))
