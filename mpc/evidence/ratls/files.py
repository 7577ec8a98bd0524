"""RA-TLS certificates as they lie in files, and the functions of the formats that read them."""

from collections.abc import Callable, Sequence

from mpc.canonical import format_time, sha256
from mpc.errors import Malformed
from mpc.evidence.checks import Checks, NotBelieved
from mpc.evidence.claims import Check, Claims, Given, Shown
from mpc.evidence.intel import careful, compare_sgx, compare_tdx, describe, read_collateral
from mpc.evidence.ratls.binding import require_binding
from mpc.evidence.ratls.certificate import Form, RaTlsCertificate, certificates_in, forms_of, parse_ra_tls
from mpc.evidence.ratls.interoperable import ENDORSEMENTS, NONCE
from mpc.evidence.reference_values.intel import SgxReference, TdxReference
from mpc.evidence.snp import Report
from mpc.evidence.snp.describe import describe as describe_report
from mpc.evidence.snp.endorsements import sorted_out

Gather = Callable[[bytes, Sequence[bytes], Given], tuple[RaTlsCertificate, tuple[bytes, ...]]]


def gather_as(default: str | None) -> Gather:
    """Return what reads a certificate and the files of its collateral, in the form ``default`` unless one is given."""

    def gather(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[RaTlsCertificate, tuple[bytes, ...]]:
        found = parse_ra_tls(raw, given.form or default)
        (sorted_out if isinstance(found.quote, Report) else read_collateral)(files)
        return found, tuple(files)

    return gather


def forms_in(raw: bytes) -> tuple[Form, ...]:
    """Return the forms of evidence in a file; none where it is no certificate. Raises nothing."""
    if not (raw[:1] == b"0" or raw.lstrip()[:27] == b"-----BEGIN CERTIFICATE-----"):
        return ()
    try:
        return forms_of(certificates_in(raw)[0])
    except Malformed:
        return ()


def show(found: RaTlsCertificate) -> tuple[Shown, ...]:
    """Return the fields of the certificate, then those of the quote in it."""
    leaf = found.certificate
    names = ", ".join(found.claim_values) or "none"
    nonce = found.claim_values.get(NONCE)
    endorsed = "there" if leaf.extension(ENDORSEMENTS) is not None else "none"
    return (
        Shown("form", found.form, "whose way of putting a quote into a certificate"),
        Shown("subject", leaf.subject_text, "whom the certificate names; nobody has checked it"),
        Shown("valid", f"{format_time(leaf.not_before)} to {format_time(leaf.not_after)}", "by its own word, UTC"),
        Shown("spki_sha256", sha256(leaf.spki).hex(), "SHA-256 of the certificate's key (SubjectPublicKeyInfo)"),
        Shown("key_bound", "true" if _is_bound(found) else "false", "whether the report data carries that key"),
        *(() if found.claims is None else (Shown("claims", names, "by name: what the report data vouches for"),)),
        *(() if nonce is None else (Shown("nonce", nonce.hex(), "what a verifier asked for, by the claims"),)),
        Shown("endorsements", endorsed, "collateral in the certificate itself"),
        *(describe_report(found.quote) if isinstance(found.quote, Report) else describe(found.quote)),
    )


def compare(claims: Claims, reference: SgxReference | TdxReference) -> tuple[Claims, tuple[Check, ...]]:
    """Compare as for the bare quote: claims and reference values of these formats are those of SGX and TDX."""
    return compare_sgx(claims, reference) if isinstance(reference, SgxReference) else compare_tdx(claims, reference)


def careful_of(claims: Claims, accepted: frozenset[str]) -> tuple[Check, ...]:
    """Be as careful as for the bare quote."""
    return careful(claims, accepted)


def _is_bound(found: RaTlsCertificate) -> bool:
    try:
        require_binding(found, checks=Checks("the certificate"))
    except NotBelieved:
        return False
    return True
