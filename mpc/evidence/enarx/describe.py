"""Every field of a keep's request, as a person reads it; nothing of it is believed."""

from mpc.canonical import sha256
from mpc.evidence.claims import Shown
from mpc.evidence.enarx.request import EnarxRequest, SgxEvidence, SnpEvidence
from mpc.evidence.intel.describe import describe as describe_quote
from mpc.evidence.snp.describe import describe as describe_report


def describe(request: EnarxRequest) -> tuple[Shown, ...]:
    """Return the request's own fields, and those of the evidence in it."""
    lists = request.evidence.lists if request.evidence else ()
    return (
        Shown("tee", request.tee, "where the keep runs: sgx, snp, or kvm, which attests nothing"),
        Shown("key", sha256(request.spki).hex(), "SHA-256 of the public key that asks for a certificate"),
        Shown("subject", request.subject.hex(), "name that is asked for, DER; keeps leave it empty"),
        *(Shown("revocation_list", given.url, f"{len(given.der)} bytes, got there by the machine") for given in lists),
        *_evidence(request),
    )


def _evidence(request: EnarxRequest) -> tuple[Shown, ...]:
    match request.evidence:
        case SgxEvidence() as found:
            said = "none" if found.tcb_info is None else f"{len(found.tcb_info)} bytes"
            return Shown("tcb_info", said, "what Intel says of the machine's levels"), *describe_quote(found.quote)
        case SnpEvidence() as found:
            return describe_report(found.report)
    return ()
