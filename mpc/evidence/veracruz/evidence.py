"""Evidence of a Veracruz runtime manager: the platform's own, which binds the digest of a certificate request.

A Nitro document carries it in ``user_data``, an SEV-SNP report in the first half of ``report_data``, the token of plain
Linux as the signer of its one software component (crates/{nitro,sev,linux}-runtime-manager). The request itself lies
beside the evidence and counts among the endorsements.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

from mpc.errors import Malformed
from mpc.evidence.claims import Given, Shown
from mpc.evidence.nitro import FORMAT as NITRO
from mpc.evidence.nitro import NitroDocument
from mpc.evidence.reference_values.veracruz import Platform
from mpc.evidence.snp import FORMAT as SNP
from mpc.evidence.snp import Report
from mpc.evidence.veracruz.request import take_request
from mpc.evidence.veracruz.token import PsaToken, parse_token

PlatformEvidence = PsaToken | NitroDocument | Report


@dataclass(frozen=True)
class VeracruzEvidence:
    """Evidence of one of the three platforms."""

    platform: Platform
    inner: PlatformEvidence


def parse(raw: bytes) -> VeracruzEvidence:
    """Return the evidence of whichever platform ``raw`` is, or raise ``Malformed``."""
    if SNP.recognises(raw):
        return VeracruzEvidence("sevsnp", SNP.parse(raw))
    if NITRO.recognises(raw):
        document: NitroDocument = NITRO.parse(raw)
        if document.of != "enclave":
            raise Malformed(
                "evidence.malformed", "the Veracruz evidence is malformed", why="the document is of an instance: a "
                "runtime manager runs in an enclave", remedy="give the document of the enclave", field="of",
                expected="enclave", found=document.of,
            )  # fmt: skip
        return VeracruzEvidence("nitro", document)
    return VeracruzEvidence("linux", parse_token(raw))


def is_token(raw: bytes) -> bool:
    """Tell whether ``raw`` is a token: other platforms' evidence is of their own formats, unless one says else."""
    try:
        parse_token(raw)
    except Malformed:
        return False
    return True


def gather(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[VeracruzEvidence, tuple[bytes, ...]]:
    """Return the evidence, and as endorsements the request, if there is one, and what the platform's own takes."""
    request, others = take_request(files)
    evidence = parse(raw)
    first = () if request is None else (request,)
    match evidence.platform:
        case "sevsnp":
            inner, beside = SNP.gather(raw, others, given)
            return VeracruzEvidence("sevsnp", inner), (*first, *beside)
        case "nitro":
            return evidence, (*first, *NITRO.gather(raw, others, given)[1])
        case _:
            return evidence, first


def describe(evidence: VeracruzEvidence) -> tuple[Shown, ...]:
    """Return every field for a person to read; nothing of it is believed."""
    return (Shown("platform", evidence.platform, "linux, nitro or sevsnp"), *_describe(evidence.inner))


@singledispatch
def _describe(inner: PlatformEvidence) -> tuple[Shown, ...]:
    raise TypeError(type(inner).__name__)


@_describe.register
def _(inner: NitroDocument) -> tuple[Shown, ...]:
    return NITRO.describe(inner)


@_describe.register
def _(inner: Report) -> tuple[Shown, ...]:
    return SNP.describe(inner)


@_describe.register
def _(inner: PsaToken) -> tuple[Shown, ...]:
    return (
        Shown("challenge", inner.challenge.hex(), "bytes that the verifier asked to repeat"),
        Shown("instance", inner.instance.hex(), "1 and the SHA-256 of the key that signs"),
        Shown("lifecycle", str(inner.lifecycle), "state of the platform; the mock says 0x4000"),
        Shown("debug", "on" if inner.debug else "off", "whether the host can change what runs"),
        Shown("runtime_manager", inner.runtime.hex(), "SHA-256 of the runtime manager, by itself"),
        Shown("request", inner.request.hex(), "SHA-256 of the enclave's certificate request"),
    )
