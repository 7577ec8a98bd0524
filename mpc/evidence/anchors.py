"""Trust anchors that are pinned by their SHA-256: the certificate itself comes along with the evidence.

Wherever a list of roots is taken, 32 bytes stand for the certificate with that digest and anything else is a
certificate in DER. What comes along stays a bridge unless its digest was pinned.
"""

from collections.abc import Iterable, Sequence

from mpc.canonical import sha256
from mpc.evidence.certificate import Certificate, parse_certificate

DIGEST_BYTES = 32


def anchors_among(roots: Sequence[bytes], brought: Iterable[Certificate]) -> list[Certificate]:
    """Return the anchors that ``roots`` are: those given whole, and those of ``brought`` whose digest is pinned."""
    pinned = frozenset(root for root in roots if len(root) == DIGEST_BYTES)
    whole = [parse_certificate(root) for root in roots if len(root) != DIGEST_BYTES]
    return [*whole, *(certificate for certificate in brought if sha256(certificate.der) in pinned)]
