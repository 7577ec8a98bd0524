"""Files of Enarx: a keep's request with AMD's chain beside it, and what is no evidence: chains, policies, settings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from mpc.errors import Malformed
from mpc.evidence import intel
from mpc.evidence.claims import Fact, Given
from mpc.evidence.enarx.policy import parse_policy, read_toml
from mpc.evidence.enarx.request import EnarxRequest, SnpEvidence, is_request, parse_request
from mpc.evidence.enarx.settings import parse_settings
from mpc.evidence.format import Document
from mpc.evidence.reference_values.enarx import EnarxReference
from mpc.evidence.snp.endorsements import sorted_out
from mpc.evidence.snp.files import chain_of

_DER_SEQUENCE = b"\x30"
_OF_GRAMINE = {"libos", "loader"}  # its manifests have a table sgx as well
_TOP_LEVEL = {"sgx": dict, "snp": dict, "files": list, "steward": str}


def is_enarx(raw: bytes) -> bool:
    """Tell whether ``raw`` is a request, or a file in TOML that only Enarx writes: a steward's policy, settings."""
    if is_request(raw):
        return True
    try:
        found = read_toml(raw, what="the file")
    except Malformed:
        return False
    mine = any(isinstance(found.get(name), kind) for name, kind in _TOP_LEVEL.items())
    return mine and not found.keys() & _OF_GRAMINE


def gather(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[EnarxRequest, tuple[bytes, ...]]:
    """Return the request, and the files beside it as they lie."""
    del given
    request = parse_request(raw)
    if isinstance(request.evidence, SnpEvidence):  # an earlier report does not name its product; its certificate does
        keys = sorted_out([request.evidence.vcek]).keys
        report = replace(request.evidence.report, product_beside=keys[0].product if keys else None)
        request = replace(request, evidence=replace(request.evidence, report=report))
    return request, tuple(files)


def policy(raw: bytes) -> EnarxReference | None:
    """Return the reference values that a ``steward.toml`` is; None for any other file."""
    try:
        found = read_toml(raw, what="the file")
    except Malformed:
        return None
    return parse_policy(raw) if found.keys() & {"sgx", "snp"} else None


def document(
    raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime
) -> Document | None:
    """Return the chain, steward's policy or keep's settings that ``raw`` is; None for a request, or for nothing."""
    if is_request(raw) or not raw.strip():  # no settings at all would be valid ones, and a lost file accepted
        return None
    if raw.startswith(_DER_SEQUENCE):
        amd = [root for root in roots if root not in intel.PINNED]
        return chain_of(raw, files, given, roots=amd, at=at)
    found = read_toml(raw, what="the file")
    return _policy(raw, found) if found.keys() & {"sgx", "snp"} else _settings(raw)


def _policy(raw: bytes, found: Mapping[str, object]) -> Document:
    parse_policy(raw)
    return Document("steward's policy", "parse", {name: _fact(section) for name, section in found.items()})


def _settings(raw: bytes) -> Document:
    settings = parse_settings(raw)
    return Document("keep's settings", "parse", {
        "args": settings.args, "env": dict(settings.env), "files": tuple(one.kind for one in settings.files),
        "names": tuple(one.name for one in settings.files), "steward": settings.steward, "ignored": settings.ignored,
    })  # fmt: skip


def _fact(value: object) -> Fact:
    """Return a value of TOML as a fact; a policy that parsed holds tables, lists, texts and numbers."""
    if isinstance(value, Mapping):
        return {str(name): _fact(one) for name, one in value.items()}
    if isinstance(value, list):
        return tuple(_fact(one) for one in value)
    return value if isinstance(value, bool | int | str) else str(value)
