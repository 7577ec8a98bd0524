"""RA-TLS certificates: evidence in the certificate of a TLS key, in the forms of several makers.

Formats: ``ra-tls`` (any form), ``gramine`` (Gramine's two, and its settings of whom to believe).
"""

from mpc.evidence import intel, snp
from mpc.evidence.format import Format
from mpc.evidence.intel.reference import roots
from mpc.evidence.ratls.certificate import RaTlsCertificate, parse_ra_tls
from mpc.evidence.ratls.files import careful_of, compare, forms_in, gather_as, show
from mpc.evidence.ratls.gramine import gather_gramine, is_gramine, parse_gramine, read_settings
from mpc.evidence.ratls.verify import verify

_ELSEWHERE = ({"gramine"}, {"occlum"})
PINNED = (*intel.PINNED, *snp.PINNED)


def is_ra_tls(raw: bytes) -> bool:
    """Tell whether ``raw`` is a certificate with evidence, and not in the one form of a format of its own."""
    forms = set(forms_in(raw))
    return bool(forms) and forms not in _ELSEWHERE


FORMAT = Format(
    "ra-tls", is_ra_tls, parse_ra_tls, gather_as(None), verify, compare, show, roots, careful_of, pinned=PINNED,
)  # fmt: skip
GRAMINE_FORMAT = Format(
    "gramine", is_gramine, parse_gramine, gather_gramine, verify, compare, show, roots, careful_of,
    pinned=intel.PINNED, document=read_settings,
)  # fmt: skip

__all__ = ["FORMAT", "GRAMINE_FORMAT", "RaTlsCertificate", "parse_ra_tls", "verify"]
