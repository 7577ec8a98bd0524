"""The evidence in a coordinator's TLS certificate: for other RA-TLS clients, never in place of a fresh attestation."""

from collections.abc import Sequence

from cryptography import x509

from mpc.attesters import Attester
from mpc.evidence.ratls.coordinators import attestation_extension, certificate_transcript

EXTENSION_MAX_BYTES = 48 << 10


def certificate_evidence(attester: Attester, spki: bytes, receipt_key: bytes) -> Sequence[x509.ExtensionType]:
    """Return the extension by which ``attester`` vouches for a TLS key, given as DER, and for the receipt key.

    One that would be over the limit of a handshake is left out: parties ask for evidence by themselves.
    """
    extension = attestation_extension(attester.attest(certificate_transcript(spki, receipt_key)))
    return (extension,) if len(extension.value) <= EXTENSION_MAX_BYTES else ()
