"""Settings of other systems, turned into reference values as they stand in a contract's list of enclaves."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mpc.evidence.enarx import parse_policy
from mpc.evidence.occlum.documents import parse_file
from mpc.evidence.occlum.reference import references_of
from mpc.evidence.ratls.gramine_settings import parse_settings
from mpc.evidence.ratls.reference import references_of_settings
from mpc.evidence.reference_values import ReferenceValues

ReadReferences = Callable[[bytes, int], tuple[ReferenceValues, ...]]


def _gramine(raw: bytes, minimum_evaluation: int) -> tuple[ReferenceValues, ...]:
    return references_of_settings(parse_settings(raw), minimum_evaluation=minimum_evaluation)


def _occlum(raw: bytes, minimum_evaluation: int) -> tuple[ReferenceValues, ...]:
    return references_of(parse_file(raw), minimum_evaluation=minimum_evaluation)


def _steward(raw: bytes, minimum_evaluation: int) -> tuple[ReferenceValues, ...]:
    del minimum_evaluation  # a steward's policy does not know it
    return (parse_policy(raw),)


REFERENCE_FILES: Mapping[str, ReadReferences] = MappingProxyType(
    {
        "gramine": _gramine,
        "occlum": _occlum,
        "steward": _steward,
    }
)
"""By name: what reads a file and the least evaluation number of collateral, and raises ``Malformed``."""
