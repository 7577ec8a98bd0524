"""The formats of evidence that are understood: a new one is a module with these functions, and an entry here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from mpc.errors import Malformed, Untrusted
from mpc.evidence import simulated, tpm
from mpc.evidence.chain import certificates_of
from mpc.evidence.claims import Check, Claims, ReferenceValues, Shown
from mpc.evidence.tpm_pieces import is_bare_quote, parse_pieces


@dataclass(frozen=True)
class Format:
    """One format: ``parse`` believes nothing, ``verify`` believes signatures, ``compare`` looks at reference values.

    ``roots`` gives the DER trust anchors that a reference names; ``gather`` takes evidence and endorsements as they
    lie in files, and returns what ``parse`` would and the endorsements in DER; ``describe`` shows every field.
    """

    name: str
    parse: Callable[[bytes], Any]
    verify: Callable[..., Claims]
    compare: Callable[[Claims, Any], tuple[Claims, tuple[Check, ...]]]
    describe: Callable[[Any], tuple[Shown, ...]]
    roots: Callable[[Any], tuple[bytes, ...]]
    gather: Callable[[bytes, Sequence[bytes]], tuple[Any, tuple[bytes, ...]]]


def _gather_simulated(raw: bytes, files: Sequence[bytes]) -> tuple[simulated.SimulatedEvidence, tuple[bytes, ...]]:
    del files
    return simulated.parse(raw), ()


def _gather_tpm(raw: bytes, files: Sequence[bytes]) -> tuple[tpm.TpmEvidence, tuple[bytes, ...]]:
    if is_bare_quote(raw):
        return parse_pieces(raw, files), ()
    return tpm.parse(raw), tuple(der for file in files for der in certificates_of(file))


def _no_roots(reference: ReferenceValues) -> tuple[bytes, ...]:
    del reference
    return ()


_ALL = (
    Format(
        simulated.FORMAT, simulated.parse, simulated.verify, simulated.compare, simulated.describe,
        roots=_no_roots, gather=_gather_simulated,
    ),
    Format(tpm.FORMAT, tpm.parse, tpm.verify, tpm.compare, tpm.describe, roots=tpm.roots, gather=_gather_tpm),
)  # fmt: skip
FORMATS: Mapping[str, Format] = MappingProxyType({chosen.name: chosen for chosen in _ALL})


def format_named(name: str) -> Format:
    """Return the format called ``name``, or raise ``Untrusted``: what is not understood is not believed."""
    if name not in FORMATS:
        raise Untrusted(
            "evidence.format", "the evidence is of an unknown format", why="this version cannot check it",
            remedy="use an attester whose evidence both sides understand, or a newer version",
            field="format", expected=" or ".join(FORMATS), found=repr(name[:64]),
        )  # fmt: skip
    return FORMATS[name]


def parse_and_verify(
    name: str, raw: bytes, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime
) -> Claims:
    """Return the claims of evidence ``raw`` whose signatures lead to ``roots`` at the time ``at``, or refuse."""
    chosen = format_named(name)
    return chosen.verify(chosen.parse(raw), endorsements, roots=roots, at=at)


def roots_of(references: Iterable[ReferenceValues]) -> tuple[bytes, ...]:
    """Return the DER trust anchors that reference values name."""
    return tuple(root for reference in references for root in FORMATS[reference.format].roots(reference))


def recognise(raw: bytes) -> str:
    """Return the name of the one format that ``raw`` is in, or raise ``Malformed``."""
    names = [name for name, chosen in FORMATS.items() if _parses(chosen, raw)]
    if is_bare_quote(raw):
        names.append(tpm.FORMAT)
    if len(names) != 1:
        raise Malformed(
            "evidence.unrecognised", "the evidence is not recognised", why="it parses as none of the known formats",
            remedy="name its format, or check that the file is whole", field="format",
            expected=" or ".join(FORMATS), found="none",
        )  # fmt: skip
    return names[0]


def _parses(chosen: Format, raw: bytes) -> bool:
    try:
        chosen.parse(raw)
    except Malformed:
        return False
    return True
