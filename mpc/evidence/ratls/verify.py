"""Believing an RA-TLS certificate: its key is the quote's, it is whole and in date, and Intel vouches for the quote.

The key comes first. A quote of a genuine enclave in somebody else's certificate is the one lie that matters here,
and it shows without any collateral.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from mpc.canonical import sha256
from mpc.evidence import intel, snp
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Claims, Fact
from mpc.evidence.intel import claims_of, read_collateral, verify_quote
from mpc.evidence.intel.collateral import Collateral
from mpc.evidence.intel.layout import SGX, Quote
from mpc.evidence.ratls.binding import require_binding
from mpc.evidence.ratls.certificate import RaTlsCertificate, carrying
from mpc.evidence.ratls.interoperable import NONCE
from mpc.evidence.ratls.self_signed import require_certificate
from mpc.evidence.snp.verify import verify as verify_snp

_WHAT = "the RA-TLS certificate is not believed"


def verify(found: RaTlsCertificate, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime) -> Claims:
    """Return the claims of the quote in a certificate, with the certificate's own among the facts.

    ``endorsements`` are files of collateral; without any, those in the certificate serve. Raises ``NotBelieved``.
    """
    checks = Checks(_WHAT)
    require_binding(found, checks=checks)
    # Digests pin AMD's roots, a key pins Intel's: neither vouches for the other's hardware.
    amds, intels = ([root for root in roots if root not in others] for others in (intel.PINNED, snp.PINNED))
    signed_by = require_certificate(
        found.certificate, found.issuers, roots=intels, at=at, carries=carrying(found.form),
        sha1_is_advisory=found.form == "occlum", checks=checks,
    )  # fmt: skip
    facts = {**_facts(found), "certificate_signed_by": signed_by}
    until = found.certificate.not_after
    if isinstance(found.quote, snp.Report):
        claims = verify_snp(found.quote, endorsements, roots=amds, at=at)
        return replace(
            claims, facts={**claims.facts, **facts}, checks=(*checks.made, *claims.checks),
            valid_until=min(until, claims.valid_until or until),
        )  # fmt: skip
    collateral = read_collateral(endorsements) if endorsements else found.collateral or Collateral()
    return verify_carried(found.quote, collateral, roots=intels, at=at, facts=facts, until=until, checks=checks)


def verify_carried(
    quote: Quote,
    collateral: Collateral,
    *,
    roots: Sequence[bytes],
    at: datetime,
    facts: Mapping[str, Fact],
    checks: Checks,
    until: datetime | None = None,
    bound: bytes | None = None,
) -> Claims:
    """Return the claims of a quote that came in something else, under the format of the bare quote.

    So reference values, careful defaults and waivers for it are those of ``sgx`` and ``tdx``, whatever it came in.
    """
    endorsed = verify_quote(quote, collateral, roots=roots, at=at, checks=checks)
    name = "sgx" if quote.header.tee == SGX else "tdx"
    claims = claims_of(name, quote, endorsed, at=at, checks=checks, bound=bound, facts=facts)
    return claims if until is None else replace(claims, valid_until=min(until, claims.valid_until or until))


def _facts(found: RaTlsCertificate) -> dict[str, Fact]:
    nonce = found.claim_values.get(NONCE)
    return {
        "form": found.form,
        "spki_sha256": sha256(found.certificate.spki).hex(),
        "key_bound": True,
        **({} if found.claims is None else {"claims": tuple(found.claim_values)}),
        **({} if nonce is None else {"nonce": nonce.hex()}),
    }
