"""The formats of evidence that are understood: a new one is a module with these functions, and an entry here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from mpc.errors import Malformed, Untrusted
from mpc.evidence import simulated, tpm, tpm_files, tpm_google
from mpc.evidence.azure import FORMAT as AZURE
from mpc.evidence.claims import Claims, Given
from mpc.evidence.cmw import FORMAT as CMW
from mpc.evidence.ear import FORMAT as EAR
from mpc.evidence.enarx import FORMAT as ENARX
from mpc.evidence.envelopes import Held, held_in
from mpc.evidence.format import Format, no_roots
from mpc.evidence.intel import COLLATERAL_FORMAT, SGX_FORMAT, TDX_FORMAT
from mpc.evidence.keystone import FORMAT as KEYSTONE
from mpc.evidence.nitro import FORMAT as NITRO
from mpc.evidence.occlum import FORMAT as OCCLUM
from mpc.evidence.open_enclave import FORMAT as OPEN_ENCLAVE
from mpc.evidence.ratls import FORMAT as RA_TLS
from mpc.evidence.ratls import GRAMINE_FORMAT as GRAMINE
from mpc.evidence.reference_values import ReferenceValues
from mpc.evidence.snp import FORMAT as SNP
from mpc.evidence.veracruz import FORMAT as VERACRUZ


def _gather_simulated(
    raw: bytes, files: Sequence[bytes], given: Given
) -> tuple[simulated.SimulatedEvidence, tuple[bytes, ...]]:
    del files, given
    return simulated.parse(raw), ()


def _is_simulated(raw: bytes) -> bool:
    return _parses(simulated.parse, raw)


def _parses(parse: Callable[[bytes], object], raw: bytes) -> bool:
    try:
        parse(raw)
    except Malformed:
        return False
    return True


_ALL = (
    Format(
        simulated.FORMAT, _is_simulated, simulated.parse, _gather_simulated, simulated.verify, simulated.compare,
        simulated.describe, no_roots,
    ),
    Format(
        tpm.FORMAT, tpm_files.is_tpm, tpm.parse, tpm_files.gather, tpm.verify, tpm.compare, tpm.describe, tpm.roots,
        pinned=tpm_google.PINNED, document=tpm_files.read_log,
    ),
    SGX_FORMAT,
    TDX_FORMAT,
    COLLATERAL_FORMAT,
    SNP,
    ENARX,
    NITRO,
    AZURE,
    EAR,
    CMW,
    KEYSTONE,
    VERACRUZ,
    RA_TLS,
    GRAMINE,
    OPEN_ENCLAVE,
    OCCLUM,
)  # fmt: skip
_NO_EVIDENCE = frozenset({CMW.name, EAR.name, COLLATERAL_FORMAT.name})
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


def anchors_of(name: str, references: Iterable[ReferenceValues]) -> tuple[bytes, ...]:
    """Return the anchors for evidence of the format ``name``: those of its own references, else those of the package.

    An authority that a contract names for one format vouches for no other. Without any reference of the format its
    evidence is refused later, by that name and not for its root.
    """
    own = [reference for reference in references if reference.format == name]
    return roots_of(own) if own else format_named(name).pinned


def names_of(raw: bytes) -> list[str]:
    """Return the names of all formats that ``raw`` has the form of."""
    return [name for name, chosen in FORMATS.items() if chosen.recognises(raw)]


def recognise(raw: bytes) -> str:
    """Return the name of the one format that ``raw`` is in, or raise ``Malformed``."""
    return _only(names_of(raw))


def _only(names: Sequence[str]) -> str:
    if len(names) != 1:
        raise Malformed(
            "evidence.unrecognised", "the evidence is not recognised",
            why="it has the form of none, or of several, of the known formats",
            remedy="name its format, or check that the file is whole", field="format",
            expected=" or ".join(FORMATS), found=" and ".join(names) or "none",
        )  # fmt: skip
    return names[0]


def taken_out(raw: bytes, asked: str | None = None) -> tuple[str, Held]:
    """Return the format of ``raw``, or of the one piece of evidence in the envelope that it is, and that piece.

    ``asked`` names the format where somebody knows it. Raises ``Malformed`` where ``raw`` is of no one format. An
    envelope with several pieces, or with something that is evidence by itself, is not opened.
    """
    if asked is not None and format_named(asked).recognises(raw):
        return asked, Held("", raw)
    direct = [] if asked is not None else names_of(raw)
    inside = (
        [(name, held) for held in held_in(raw) for name in names_of(held.evidence) if name not in _NO_EVIDENCE]
        if set(direct) <= {CMW.name}
        else []
    )
    if len(inside) == 1 and asked in {None, inside[0][0]}:
        return inside[0]
    return asked or _only(direct), Held("", raw)
