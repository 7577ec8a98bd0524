"""An RA-TLS certificate, parsed and believed in nothing: which form it has, which quote it carries, for which key.

Five makers put a quote into a self-signed certificate, under object identifiers of their own. Of what ties the quote
to the key there are three rules; ``mpc.evidence.ratls.binding`` holds them.

========  ==============================  =========================================================
form      object identifier               value of the extension
========  ==============================  =========================================================
ccc       2.23.133.5.4.9                  CBOR, tag 60000 ``[quote, claims]``; rats-tls also writes SEV-SNP reports
gramine   0.6.9.42.840.113741.1337.6      the quote; what came of an identifier encoded twice
rats-tls  1.2.840.113741.1337.6 and .8    the quote; since 2022 rats-tls writes ``ccc``
intel     1.2.840.113741.1.13.1           the quote; the identifier also names Intel's PCK extension
occlum    1.2.840.113741.1                the quote
========  ==============================  =========================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from mpc.errors import Malformed
from mpc.evidence.armour import unarmoured
from mpc.evidence.certificate import Certificate, parse_certificate
from mpc.evidence.chain import CHAIN_MAX_CERTIFICATES
from mpc.evidence.intel import Quote, collateral_of, parse_quote
from mpc.evidence.intel.collateral import Collateral
from mpc.evidence.intel.layout import TDX
from mpc.evidence.ratls.interoperable import (
    ENDORSEMENTS,
    EVIDENCE,
    holds_snp,
    read_claims,
    read_endorsements,
    read_evidence,
)
from mpc.evidence.snp import Report, parse_report

RA_TLS_MAX_BYTES = 64 << 10

Form = Literal["ccc", "gramine", "intel", "occlum", "rats-tls"]
FORMS: tuple[Form, ...] = get_args(Form)

_INTEROPERABLE = ("ccc", "rats-tls")
_RAW_QUOTE: Mapping[Form, tuple[str, ...]] = {
    "gramine": ("0.6.9.42.840.113741.1337.6",),
    "rats-tls": ("1.2.840.113741.1337.6", "1.2.840.113741.1337.8"),
    "intel": ("1.2.840.113741.1.13.1",),
    "occlum": ("1.2.840.113741.1",),
}
_QUOTE_VERSIONS = (b"\3\0", b"\4\0", b"\5\0")


@dataclass(frozen=True)
class RaTlsCertificate:
    """A certificate and what its extension holds; ``claims`` are the signed bytes, ``claim_values`` what they spell."""

    form: Form
    certificate: Certificate
    issuers: tuple[Certificate, ...]
    quote: Quote | Report
    claims: bytes | None = None
    claim_values: Mapping[str, bytes] = field(default_factory=dict)
    collateral: Collateral | None = None

    @property
    def report_data(self) -> bytes:
        """The 64 bytes of the hardware's evidence that carry the certificate's key."""
        return self.quote.report_data if isinstance(self.quote, Report) else self.quote.body.report_data

    @property
    def is_tdx(self) -> bool:
        """Whether the evidence is of a TD, for which one maker hashes otherwise."""
        return not isinstance(self.quote, Report) and self.quote.header.tee == TDX


def parse_ra_tls(raw: bytes, form: str | None = None) -> RaTlsCertificate:
    """Return the certificate that ``raw`` is, in DER or in PEM with its issuers after it, or raise ``Malformed``.

    Without a ``form`` the interoperable one counts where it is present, as every verifier of it does; else the first
    that is. A certificate that has not the form that was asked for refuses: another extension proves nothing for it.
    """
    leaf, *issuers = certificates_in(raw)
    found = _form_of(leaf, form)
    evidence = leaf.extension(EVIDENCE) if found in _INTEROPERABLE else None
    if evidence is None:
        return RaTlsCertificate(found, leaf, tuple(issuers), parse_quote(_raw_quote(leaf, found) or b""))
    inside, claims = read_evidence(evidence)
    quote = parse_report(inside) if holds_snp(evidence) else parse_quote(inside)
    return RaTlsCertificate(found, leaf, tuple(issuers), quote, claims, read_claims(claims), _collateral(leaf))


def certificates_in(raw: bytes) -> tuple[Certificate, ...]:
    """Return the certificates of a file: one in DER, or several in PEM, leaf first. Raises ``Malformed``."""
    if len(raw) > RA_TLS_MAX_BYTES:
        raise malformed(
            "it is over the limit of size", "size", f"at most {RA_TLS_MAX_BYTES} bytes", f"{len(raw)} bytes"
        )
    if not raw.lstrip().startswith(b"-----BEGIN"):
        return (parse_certificate(raw, max_bytes=RA_TLS_MAX_BYTES),)
    try:
        found = [der for kind, der in unarmoured(raw) if kind == "CERTIFICATE"]
    except ValueError:
        found = []
    if not 0 < len(found) <= CHAIN_MAX_CERTIFICATES:
        raise malformed(
            "the file holds no certificate, or too many",
            "certificates",
            f"1 to {CHAIN_MAX_CERTIFICATES}",
            str(len(found)),
        )
    return tuple(parse_certificate(der, max_bytes=RA_TLS_MAX_BYTES) for der in found)


def forms_of(leaf: Certificate) -> tuple[Form, ...]:
    """Return the forms that a certificate has, the interoperable one first."""
    ccc: tuple[Form, ...] = ("ccc",) if leaf.extension(EVIDENCE) is not None else ()
    return (*ccc, *(form for form in _RAW_QUOTE if _raw_quote(leaf, form) is not None))


def _form_of(leaf: Certificate, asked: str | None) -> Form:
    present = forms_of(leaf)
    if asked == "rats-tls" and "ccc" in present:
        return "rats-tls"
    chosen = next((form for form in present if asked in {None, form}), None)
    if chosen is None:
        raise malformed(
            "no evidence in the certificate: it has no extension of that form", "form",
            (asked or " or ".join(FORMS))[:64], " and ".join(present) or "none",
        )  # fmt: skip
    return chosen


def carrying(form: Form) -> frozenset[str]:
    """Return the identifiers of the extensions that carry evidence in a form."""
    return frozenset((*_RAW_QUOTE.get(form, ()), *((EVIDENCE, ENDORSEMENTS) if form in _INTEROPERABLE else ())))


def _raw_quote(leaf: Certificate, form: Form) -> bytes | None:
    values = (leaf.extension(oid) for oid in _RAW_QUOTE[form])
    # Intel's identifier is that of the extension of every PCK certificate too: only a quote begins as one.
    return next((value for value in values if value is not None and value[:2] in _QUOTE_VERSIONS), None)


def _collateral(leaf: Certificate) -> Collateral | None:
    value = leaf.extension(ENDORSEMENTS)
    if value is None:
        return None
    tcb_info, tcb_chain, pck_list, root_list, list_chain, identity, identity_chain = read_endorsements(value)
    return collateral_of(
        tcb_info=tcb_info.rstrip(b"\0"), qe_identity=identity.rstrip(b"\0"),
        chains=(tcb_chain, list_chain, identity_chain), lists=(pck_list, root_list),
    )  # fmt: skip


def malformed(why: str, name: str, expected: str, found: str) -> Malformed:
    """Return the refusal of an RA-TLS certificate that is not what it claims to be."""
    return Malformed(
        "evidence.ra_tls", "the RA-TLS certificate is malformed", why=why,
        remedy="give the certificate as the enclave presented it", field=name, expected=expected, found=found,
    )  # fmt: skip
