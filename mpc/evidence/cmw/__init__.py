"""Conceptual Message Wrappers (draft-ietf-rats-msg-wrap): evidence and its kin with a name on it, alone or together."""

from mpc.evidence.cmw.files import FORMAT
from mpc.evidence.cmw.reading import parse_wrapper
from mpc.evidence.cmw.wrapper import Collection, Indicator, Record, Wrapper, to_cbor, to_json, to_tag

__all__ = [
    "FORMAT",
    "Collection",
    "Indicator",
    "Record",
    "Wrapper",
    "parse_wrapper",
    "to_cbor",
    "to_json",
    "to_tag",
]
